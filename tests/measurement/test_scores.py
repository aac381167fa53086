"""Severity scores against classes written out by hand (FIELD 2.5)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.measured_scans import random_lobes, random_scan

from ctlung.measurement.analyze import analyze
from ctlung.measurement.scores import SCALES, Scale, points, severity_scores
from ctlung.notices import Notice
from ctlung.records import Measurement, SeverityScore
from ctlung.settings import Settings
from ctlung.vocabulary import LOBES, REASONS, THIRDS
from ctlung.writing.tables import report_as_json

BY_NAME = {scale.name: scale for scale in SCALES}
LIMITS = Settings()

WRITTEN_OUT = {
    "lss": {0: 0, 0.99: 0, 1: 1, 25: 1, 25.01: 2, 50: 2, 50.01: 3, 75: 3, 75.01: 4, 100: 4},
    "lhos": {0: 0, 0.99: 0, 1: 1, 25: 1, 25.01: 2, 50: 2, 50.01: 3, 75: 3, 75.01: 4, 100: 4},
    "tss20": {0: 0, 0.99: 0, 1: 1, 25: 1, 25.01: 2, 50: 2, 50.01: 3, 75: 3, 75.01: 4, 100: 4},
    "ctss25_pan": {0.01: 1, 4.99: 1, 5: 2, 25: 2, 25.01: 3, 49.99: 3, 50: 4, 75: 4, 75.01: 5},
    "ctss25_francone": {0.01: 1, 4.99: 1, 5: 2, 25: 2, 25.01: 3, 50: 3, 50.01: 4, 75: 4, 75.1: 5},
    "six_zone24": {0.01: 1, 24.99: 1, 25: 2, 49.99: 2, 50: 3, 74.99: 3, 75: 4, 100: 4},
}
HIGHEST = {
    "lss": 20,
    "lhos": 20,
    "tss20": 20,
    "ctss25_pan": 25,
    "ctss25_francone": 25,
    "six_zone24": 24,
}


def _measured(percents: dict[str, float | None], measure: str, ml: float = 50) -> list[Measurement]:
    rows = []
    for region, percent in percents.items():
        reason = None if percent is not None else "region_small"
        rows.append(Measurement(measure, region, percent, reason))
        rows.append(Measurement("lesion_volume_ml", region, ml if percent else 0.0))
    return rows


def _score(scale: Scale, rows: list[Measurement]) -> SeverityScore:
    return next(s for s in severity_scores(rows, LIMITS) if s.score == scale.name)


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_each_class_has_its_edges(name: str) -> None:
    made = {p: points(BY_NAME[name], p, 50.0, LIMITS) for p in WRITTEN_OUT[name]}
    assert made == WRITTEN_OUT[name]


def test_every_score_is_written_out() -> None:
    assert set(BY_NAME) == set(WRITTEN_OUT) == set(HIGHEST)
    assert {s.name: s.highest for s in SCALES} == HIGHEST


def test_pan_and_francone_differ_only_at_fifty() -> None:
    pan, francone = BY_NAME["ctss25_pan"], BY_NAME["ctss25_francone"]
    differ = [
        p / 10
        for p in range(1001)
        if points(pan, p / 10, 50.0, LIMITS) != points(francone, p / 10, 50.0, LIMITS)
    ]
    assert differ == [50.0]


def test_a_speck_scores_where_any_lesion_counts_and_not_where_one_percent_does() -> None:
    assert points(BY_NAME["six_zone24"], 0.5, 0.1, LIMITS) == 1
    assert points(BY_NAME["six_zone24"], 0.5, 0.09, LIMITS) == 0
    assert points(BY_NAME["six_zone24"], 0.0, 0.0, LIMITS) == 0
    assert points(BY_NAME["lss"], 0.5, 50.0, LIMITS) == 0


@pytest.mark.parametrize("name", HIGHEST)
def test_all_inflamed_is_the_highest_score(name: str) -> None:
    scale = BY_NAME[name]
    rows = _measured(dict.fromkeys(scale.regions, 100.0), scale.measure)
    assert _score(scale, rows).value == HIGHEST[name]


def test_points_are_summed_by_lobe() -> None:
    percents = dict(zip(LOBES, (0.0, 3.0, 30.0, 50.0, 80.0), strict=True))
    found = _score(BY_NAME["ctss25_pan"], _measured(percents, "lesion_percent"))
    assert [p.points for p in found.parts] == [0, 1, 3, 4, 5]
    assert [p.percent for p in found.parts] == [0.0, 3.0, 30.0, 50.0, 80.0]
    assert (found.value, found.reason) == (13, None)


def test_one_part_unknown_and_there_is_no_score() -> None:
    percents = {**dict.fromkeys(THIRDS, 10.0), "left_lung_upper": None}
    found = _score(BY_NAME["six_zone24"], _measured(percents, "lesion_percent"))
    assert (found.value, found.reason) == (None, "region_small")
    assert sum(p.points is None for p in found.parts) == 1


def test_a_scan_without_lobes_has_the_zones_only() -> None:
    item = random_scan(1)
    report = analyze(item.scan, item.lungs, item.lesions, settings=Settings(min_region_ml=0.0))
    assert report.score("six_zone24").value is not None
    for name in set(HIGHEST) - {"six_zone24"}:
        assert (report.score(name).value, report.score(name).reason) == (None, "no_lobes")
    assert "no_lobes" in REASONS
    with pytest.raises(KeyError, match="no severity score 'tss'"):
        report.score("tss")


def test_lobes_of_a_scan_are_scored_from_their_percentages() -> None:
    item = random_lobes(2)
    limits = Settings(min_region_ml=0.0)
    report = analyze(item.scan, item.lungs, item.lesions, settings=limits, lobes=item.lobes)
    for scale in SCALES:
        expected = 0
        for region in scale.regions:
            percent = report.value(scale.measure, region)
            ml = report.value("lesion_volume_ml", region)
            assert percent is not None
            assert ml is not None
            expected += points(scale, percent, ml, limits)
        assert report.score(scale.name).value == expected


def test_what_withholds_the_percentage_withholds_the_score() -> None:
    item = random_scan(3)
    cut = Notice("coverage_bottom", "null", "Cut off.", affects=("volumes",))
    report = analyze(
        item.scan, item.lungs, item.lesions, [cut], settings=Settings(min_region_ml=0.0)
    )
    found = report.score("six_zone24")
    assert (found.value, found.reason) == (None, "coverage_bottom")
    assert {p.points for p in found.parts} == {None}
    written = json.loads(report_as_json(report))["scores"]
    assert [s["score"] for s in written] == [s.name for s in SCALES]
    assert written[-1]["parts"][0] == {
        "region": THIRDS[0],
        "percent": None,
        "points": None,
        "reason": "coverage_bottom",
    }


def test_a_larger_percentage_never_scores_less() -> None:
    for scale in SCALES:
        made = [points(scale, float(p), 50.0, LIMITS) for p in np.linspace(0, 100, 2001)]
        assert made == sorted(made)
        assert replace(scale, regions=()).highest == 0
