"""Which numbers a notice takes away, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ctlung.notices import Notice
from ctlung.vocabulary import DEPTHS, LOBES, LOBES_OF, MEASURES, THIRDS, expand

_LUNG_OF = {
    **{third: lung for lung in LOBES_OF for third in THIRDS if third.startswith(lung)},
    **{lobe: lung for lung, lobes in LOBES_OF.items() for lobe in lobes},
}
"""Thirds and lobes to their lung."""


def withholding(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """The notices that take numbers away, in their order. The first gives the reason."""
    return tuple(n for n in notices if n.effect in ("null", "refuse"))


def covers(notice: Notice, region: str, lungs: Sequence[str] = ()) -> bool:
    """Whether a notice speaks of a region.

    Args:
        notice: any.
        region: its name.
        lungs: the lungs that a user's region lies in; of ctlung's own regions it is known.

    A notice without regions speaks of all. What is wrong with a part is wrong with the whole
    that it is summed into; what is wrong with one lung is wrong with its thirds (a lung cut off
    has no thirds) and its lobes. A third and a lobe of one lung overlap: a notice on one speaks
    of the other. Core and rim lie in every part of both lungs, and a user's region is taken to
    lie in every part of its lungs. ``lungs`` named alone speaks of both lungs together only.
    """
    if not notice.regions:
        return True
    return any(
        region in (named, "lungs", _LUNG_OF.get(named))
        or _LUNG_OF.get(region) == named
        or _overlap(region, named, lungs)
        for named in notice.regions
    )


def _overlap(region: str, named: str, lungs: Sequence[str]) -> bool:
    """Whether two regions of which neither holds the other share some lung."""
    if named in DEPTHS:
        return region not in (*DEPTHS, "lungs")
    lung = _LUNG_OF.get(named, named)
    if region in DEPTHS:
        return lung in LOBES_OF
    if lungs:
        return lung in lungs
    same = region in _LUNG_OF and _LUNG_OF[region] == _LUNG_OF.get(named)
    return same and (region in LOBES) is not (named in LOBES)


def reason_for(
    notices: Sequence[Notice], measure: str, region: str, lungs: Sequence[str] = ()
) -> str | None:
    """Code of the first notice that withholds a measure in a region, or ``None``.

    Args:
        notices: those that withhold.
        measure, region: of which.
        lungs: as for :func:`covers`.
    """
    for notice in notices:
        if not covers(notice, region, lungs):
            continue
        if measure in _affected(notice):
            return notice.code
        # Thirds of a lung that is not all in view are thirds of something else; so is its core.
        if "thirds" in notice.affects and region in (*THIRDS, *DEPTHS):
            return notice.code
    return None


def slices_withheld(
    notices: Sequence[Notice], region: str, lungs: Sequence[str] = ()
) -> dict[int, str]:
    """Slices whose areas are withheld in a region, with the code of the first such notice."""
    found: dict[int, str] = {}
    for notice in notices:
        if covers(notice, region, lungs):
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
