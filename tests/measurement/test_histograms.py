"""Histograms: every ml of lung in one step, and the means that the report gives."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_result import small_result

from ctlung.measurement.histograms import START_HU, STEP_HU, STEPS, in_steps
from ctlung.measurement.tally import BINS
from ctlung.records import ScanResult
from ctlung.volume import HU_MIN


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return small_result()


def test_every_ml_is_in_one_step(result: ScanResult) -> None:
    by_tissue = {h.tissue: sum(h.ml) for h in result.report.histograms}
    lesion, lungs = (result.report.value(f"{w}_volume_ml") for w in ("lesion", "lung"))
    assert lesion is not None
    assert lungs is not None
    assert by_tissue["lesion"] == pytest.approx(lesion)
    assert by_tissue["lesion"] + by_tissue["other_lung"] == pytest.approx(lungs)


def test_the_middle_of_the_steps_is_near_the_mean(result: ScanResult) -> None:
    found = next(h for h in result.report.histograms if h.tissue == "lesion")
    middles = found.start_hu + found.step_hu * (np.arange(len(found.ml)) + 0.5)
    mean = float(middles @ np.array(found.ml)) / sum(found.ml)
    assert mean == pytest.approx(result.report.value("ct_number_lesion_hu"), abs=STEP_HU / 2)


@pytest.mark.parametrize(
    ("hu", "step"),
    [(-1024, 1), (-1001, 1), (-1000, 2), (0, 42), (299, STEPS - 1), (3071, STEPS - 1)],
)
def test_where_a_ct_number_counts(hu: int, step: int) -> None:
    volumes = np.zeros(BINS)
    volumes[hu - HU_MIN] = 2.5
    steps = in_steps(volumes)
    assert steps[step] == 2.5
    assert sum(steps) == 2.5
    assert START_HU + step * STEP_HU <= hu
