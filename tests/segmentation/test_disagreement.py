"""Where two segmenters disagree."""

from __future__ import annotations

import numpy as np
import pytest

from ctlung.segmentation.disagreement import LESS_ML, MORE_ML, disagreements
from ctlung.working_grid import WorkingGrid


def grid_and_lungs() -> tuple[WorkingGrid, np.ndarray]:
    shape = (60, 60, 80)
    lungs = np.zeros(shape, np.uint8)
    lungs[5:55, 10:50, 5:35] = 1
    lungs[5:55, 10:50, 45:75] = 2
    hu = np.where(lungs > 0, -850, 40).astype(np.float32)
    return WorkingGrid(hu, (2.0, 2.0, 2.0), (1, 1, 1), shape, None), lungs


def test_the_same_lungs_raise_nothing() -> None:
    grid, lungs = grid_and_lungs()
    assert disagreements(grid, lungs, lungs) == ()


def test_a_difference_of_borders_raises_nothing() -> None:
    grid, lungs = grid_and_lungs()
    thinner = np.zeros_like(lungs)
    thinner[7:53, 12:48] = lungs[7:53, 12:48]
    assert disagreements(grid, lungs, thinner) == ()


@pytest.mark.parametrize(
    ("rows", "third"),
    [(slice(8, 20), "lower"), (slice(25, 36), "middle"), (slice(42, 54), "upper")],
)
def test_what_the_network_alone_took_is_a_warning_that_says_where(rows: slice, third: str) -> None:
    grid, lungs = grid_and_lungs()
    lost = lungs.copy()
    lost[rows, 30:50, 45:75] = 0
    grid.hu[rows, 30:50, 45:75] = 30
    (notice,) = disagreements(grid, lungs, lost)
    assert (notice.code, notice.effect, notice.regions) == (
        "segmenters_disagree",
        "warn",
        ("left_lung",),
    )
    assert f"of the left lung, mostly in its {third} third (mean 30 HU)" in notice.sentence
    whole = float((lungs != lost).sum()) * grid.voxel_ml
    assert isinstance(notice.measured, float)
    assert 0.8 * whole < notice.measured <= whole
    assert notice.limit == MORE_ML


def test_what_the_network_left_out_is_a_warning() -> None:
    grid, lungs = grid_and_lungs()
    missed = lungs.copy()
    missed[8:24, 12:40, 5:35] = 0
    (notice,) = disagreements(grid, missed, lungs)
    assert notice.effect == "warn"
    assert notice.limit == LESS_ML
    assert "beside the right lung, mostly in its lower third (mean -850 HU)" in notice.sentence


def test_lungs_that_only_the_network_found_are_a_warning() -> None:
    grid, lungs = grid_and_lungs()
    (notice,) = disagreements(grid, lungs, None)
    assert notice.effect == "warn"
    assert "the threshold segmenter found none" in notice.sentence
