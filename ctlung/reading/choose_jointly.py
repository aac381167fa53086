"""Which series of several visits are measured, so that they can be compared (FIELD 3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctlung.reading.choose import candidates, choose_series, describe
from ctlung.reading.listing import SeriesInfo, SeriesListing
from ctlung.settings import Settings


@dataclass(frozen=True)
class Look:
    """What a scan looks like: class of its kernel, mm of its slices, contrast agent or not."""

    kernel_class: str
    thickness_mm: float | None
    contrast: bool

    @classmethod
    def of(cls, series: SeriesInfo) -> Look:
        """What a series looks like by its header."""
        spacing = None if series.spacing_mm is None else series.spacing_mm[0]
        return cls(
            series.kernel_class,
            series.slice_thickness_mm or spacing,
            series.contrast_agent is not None,
        )


def choose_jointly(
    listings: Sequence[SeriesListing],
    like: Sequence[Look] = (),
    settings: Settings | None = None,
) -> tuple[tuple[SeriesInfo, str], ...]:
    """One series per visit, and why: those that look alike before those that are best alone.

    Alike is one class of kernel, then contrast agent in all or none, then slices at most
    ``Settings.thickness_pair_warn`` times as thick as the others'. What a series must be to be
    measured at all, and original before derived, not prone, and the field of view along the body
    come before that, as in :func:`choose_series`; among equals its order decides.

    Args:
        listings: of the visits that are still to be read.
        like: how the visits look that are measured already.
        settings: limits.

    Raises:
        The errors of :func:`choose_series`, for the first visit that has no series to measure.
    """
    limits = settings or Settings()
    alone = [choose_series(listing, None, limits) for listing in listings]
    there = [candidates(listing) for listing in listings]
    aims = [Look.of(s) for visit in there for s in visit] + list(like)
    if len(listings) + len(like) < 2 or all(len(visit) == 1 for visit in there):
        return tuple(alone)

    def cost(aim: Look) -> tuple[tuple[int, ...], int]:
        chosen = [_nearest(visit, aim, limits) for visit in there]
        looks = [Look.of(v[k]) for v, k in zip(there, chosen, strict=True)] + list(like)
        apart = [sum(v) for v in zip(*(_apart(look, aim, limits) for look in looks), strict=True)]
        return tuple(apart), sum(chosen)

    aim = min(aims, key=lambda a: (cost(a), a.kernel_class, a.thickness_mm or 0.0, a.contrast))
    found = []
    for visit, best in zip(there, alone, strict=True):
        one = visit[_nearest(visit, aim, limits)]
        why = f"Chosen to look like the other visits, not for itself: {describe(one)}."
        found.append(best if one is best[0] else (one, why))
    return tuple(found)


def _nearest(visit: Sequence[SeriesInfo], aim: Look, settings: Settings) -> int:
    """Number of the series that looks most like it; the best of those that look the same."""
    apart = [_apart(Look.of(s), aim, settings) for s in visit]
    return apart.index(min(apart))


def _apart(look: Look, aim: Look, settings: Settings) -> tuple[int, int, int]:
    a, b = look.thickness_mm, aim.thickness_mm
    ratio = max(a, b) / min(a, b) if a and b else 1.0
    return (
        int(look.kernel_class != aim.kernel_class),
        int(look.contrast != aim.contrast),
        int(ratio > settings.thickness_pair_warn),
    )
