"""Severity scores: how much of each lobe or zone is inflamed, in classes, summed (FIELD 2.5).

They were made for the eye, in whole percents; here the percentages are measured. Scores lose
information and are secondary to the percentages that they are made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ctlung.records import Measurement, ScorePart, SeverityScore
from ctlung.settings import Settings
from ctlung.vocabulary import LOBES, THIRDS

Edges = tuple[tuple[float, bool], ...]


@dataclass(frozen=True)
class Scale:
    """One published score.

    Attributes:
        name: as in FIELD 2.5.
        title: in words.
        regions: whose points are summed.
        measure: the percentage that is put into classes.
        edges: upper edge of class 1, 2, ... in percent, and whether the edge still belongs to it.
        least_percent: below it there are no points; ``None``: any lesion counts.
        source: where it was published.
    """

    name: str
    title: str
    regions: tuple[str, ...]
    measure: str
    edges: Edges
    least_percent: float | None
    source: str

    @property
    def highest(self) -> int:
        """Most points that there can be."""
        return len(self.regions) * len(self.edges)


_QUARTERS: Edges = ((25.0, True), (50.0, True), (75.0, True), (100.0, True))
_PAN: Edges = ((5.0, False), (25.0, True), (50.0, False), (75.0, True), (100.0, True))
_FRANCONE: Edges = ((5.0, False), (25.0, True), (50.0, True), (75.0, True), (100.0, True))
_ZONES: Edges = ((25.0, False), (50.0, False), (75.0, False), (100.0, True))

SCALES = (
    Scale(
        "lss",
        "lung severity score",
        LOBES,
        "lesion_percent",
        _QUARTERS,
        1.0,
        "Chaganti 2020",
    ),
    Scale(
        "lhos",
        "lung high opacity score",
        LOBES,
        "high_opacity_percent",
        _QUARTERS,
        1.0,
        "Chaganti 2020",
    ),
    Scale(
        "tss20",
        "total severity score",
        LOBES,
        "lesion_percent",
        _QUARTERS,
        1.0,
        "Li Kunwei 2020",
    ),
    Scale(
        "ctss25_pan",
        "CT severity score after Pan",
        LOBES,
        "lesion_percent",
        _PAN,
        None,
        "Pan 2020",
    ),
    Scale(
        "ctss25_francone",
        "CT severity score after Francone",
        LOBES,
        "lesion_percent",
        _FRANCONE,
        None,
        "Francone 2020",
    ),
    Scale(
        "six_zone24",
        "score of six zones",
        THIRDS,
        "lesion_percent",
        _ZONES,
        None,
        "FIELD 2.5 [25]; zones are thirds of each lung's height, not anatomical levels",
    ),
)


def points(scale: Scale, percent: float, lesion_ml: float, settings: Settings) -> int:
    """Class of one region.

    Args:
        scale: the score.
        percent: of the region that is inflamed, 0 to 100.
        lesion_ml: lesion in the region. Less than ``settings.min_lesion_ml_null`` is none, where
            the scale has no least percentage.
        settings: limits.

    Trap: the printed classes leave gaps between whole percents; here the upper edge closes them.
    """
    if scale.least_percent is None:
        if lesion_ml < settings.min_lesion_ml_null:
            return 0
    elif percent < scale.least_percent:
        return 0
    for number, (edge, belongs) in enumerate(scale.edges, start=1):
        if percent < edge or (belongs and percent == edge):
            return number
    return len(scale.edges)


def severity_scores(
    measurements: Iterable[Measurement], settings: Settings
) -> tuple[SeverityScore, ...]:
    """Every score of ``SCALES``, with its points by region, or the reason why there is none.

    One region without a percentage, and the whole score is withheld with that region's reason;
    without lobes, the scores of lobes are (``no_lobes``). Nothing is estimated from other regions.

    Source: FIELD 2.5.
    """
    found = {(m.measure, m.region): m for m in measurements}
    return tuple(_score(scale, found, settings) for scale in SCALES)


def _score(
    scale: Scale, found: Mapping[tuple[str, str], Measurement], settings: Settings
) -> SeverityScore:
    parts = tuple(_part(scale, region, found, settings) for region in scale.regions)
    reason = next((part.reason for part in parts if part.reason), None)
    total = None if reason else sum(part.points or 0 for part in parts)
    return SeverityScore(scale.name, total, scale.highest, reason, parts)


def _part(
    scale: Scale,
    region: str,
    found: Mapping[tuple[str, str], Measurement],
    settings: Settings,
) -> ScorePart:
    share = found.get((scale.measure, region))
    if share is None:
        return ScorePart(region, None, None, "no_lobes")
    lesion = found["lesion_volume_ml", region]
    reason = share.reason or lesion.reason
    if reason or share.value is None or lesion.value is None:
        return ScorePart(region, None, None, reason)
    made = points(scale, share.value, lesion.value, settings)
    return ScorePart(region, share.value, made, None)
