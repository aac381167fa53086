"""Which numbers a notice takes away, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ctlung.notices import Notice
from ctlung.vocabulary import LOBES, LOBES_OF, MEASURES, THIRDS, expand

_LUNG_OF = {
    **{third: lung for lung in LOBES_OF for third in THIRDS if third.startswith(lung)},
    **{lobe: lung for lung, lobes in LOBES_OF.items() for lobe in lobes},
}
"""Thirds and lobes to their lung."""


def withholding(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """The notices that take numbers away, in their order. The first gives the reason."""
    return tuple(n for n in notices if n.effect in ("null", "refuse"))


def covers(notice: Notice, region: str) -> bool:
    """Whether a notice speaks of a region.

    A notice without regions speaks of all. What is wrong with a part is wrong with the whole
    that it is summed into; what is wrong with one lung is wrong with its thirds (a lung cut off
    has no thirds) and its lobes. A third and a lobe of one lung overlap: a notice on one speaks
    of the other. ``lungs`` named alone speaks of both lungs together only.
    """
    if not notice.regions:
        return True
    return any(
        region in (named, "lungs", _LUNG_OF.get(named))
        or _LUNG_OF.get(region) == named
        or _overlap(region, named)
        for named in notice.regions
    )


def _overlap(one: str, other: str) -> bool:
    """Whether one is a lobe and the other a third of the same lung."""
    same = one in _LUNG_OF and _LUNG_OF[one] == _LUNG_OF.get(other)
    return same and (one in LOBES) is not (other in LOBES)


def reason_for(notices: Sequence[Notice], measure: str, region: str) -> str | None:
    """Code of the first notice that withholds a measure in a region, or ``None``."""
    for notice in notices:
        if not covers(notice, region):
            continue
        if measure in _affected(notice):
            return notice.code
        # Thirds of a lung that is not all in view are thirds of something else.
        if "thirds" in notice.affects and region in THIRDS:
            return notice.code
    return None


def slices_withheld(notices: Sequence[Notice], region: str) -> dict[int, str]:
    """Slices whose areas are withheld in a region, with the code of the first such notice."""
    found: dict[int, str] = {}
    for notice in notices:
        if covers(notice, region):
            for k in notice.slices:
                found.setdefault(k, notice.code)
    return found


def reason_for_all(notices: Sequence[Notice], region: str) -> str | None:
    """Code of the first notice that withholds every measure in a region, or ``None``."""
    for notice in notices:
        if covers(notice, region) and _affected(notice) >= MEASURES.keys():
            return notice.code
    return None


def _affected(notice: Notice) -> frozenset[str]:
    if notice.effect == "refuse" and not notice.affects:
        return expand(("all",))
    return expand(notice.affects)
