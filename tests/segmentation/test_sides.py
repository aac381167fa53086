from __future__ import annotations

import numpy as np
import pytest
from support.chest import Chest, chest, dice

from ctlung.segmentation.sides import lung_parts, split_sides, without_bowel_gas
from ctlung.working_grid import WorkingGrid

SPACING = (4.0, 2.0, 2.0)


def _grid(hu: np.ndarray, spacing: tuple[float, float, float] = SPACING) -> WorkingGrid:
    return WorkingGrid(hu.astype(np.float32), spacing, (1, 1, 1), hu.shape, None)


def _boxes(*boxes: tuple[tuple[slice, slice, slice], float]) -> tuple[WorkingGrid, np.ndarray]:
    """Boxes of air in muscle."""
    hu = np.full((30, 60, 90), 50.0)
    air = np.zeros(hu.shape, bool)
    for where, value in boxes:
        hu[where], air[where] = value, True
    return _grid(hu), air


RIGHT = (slice(5, 25), slice(10, 50), slice(5, 40))
LEFT = (slice(5, 25), slice(10, 50), slice(50, 80))
SMALL = (slice(2, 4), slice(2, 5), slice(2, 5))


def test_parts_come_largest_first_with_their_volume() -> None:
    grid, air = _boxes((LEFT, -850), (RIGHT, -840))
    parts = lung_parts(grid, air)
    assert [ml for ml, _ in parts] == pytest.approx([28000 * 0.016, 24000 * 0.016])
    assert parts[0][1][RIGHT].all()
    assert parts[1][1][LEFT].all()


def test_specks_are_no_lung() -> None:
    grid, air = _boxes((RIGHT, -850), (LEFT, -850), (SMALL, -850))
    assert len(lung_parts(grid, air)) == 2


def test_gas_is_no_lung() -> None:
    grid, air = _boxes((RIGHT, -995), (LEFT, -1000))
    assert lung_parts(grid, air) == []


def test_what_is_much_darker_than_the_lung_is_no_lung() -> None:
    lower = (slice(5, 15), slice(10, 50), slice(50, 80))
    grid, air = _boxes((RIGHT, -800), (lower, -950))
    assert [bool(part[RIGHT].all()) for _, part in lung_parts(grid, air)] == [True]
    grid, air = _boxes((RIGHT, -900), (lower, -950))
    assert len(lung_parts(grid, air)) == 2


def test_nothing_gives_no_parts() -> None:
    grid, air = _boxes()
    assert lung_parts(grid, air) == []


def test_right_is_low_x() -> None:
    grid, air = _boxes((RIGHT, -850), (LEFT, -850))
    labels, cut = split_sides(grid, lung_parts(grid, air), middle_mm=90.0)
    assert not cut
    assert (labels[RIGHT] == 1).all()
    assert (labels[LEFT] == 2).all()
    assert (labels > 0).sum() == air.sum()


def test_a_lung_that_reaches_over_the_middle_stays_whole() -> None:
    """An over-inflated right lung herniates to the left; a tenth of it is no left lung."""
    wide = (slice(5, 25), slice(10, 50), slice(5, 48))
    left = (slice(5, 25), slice(10, 50), slice(52, 80))
    grid, air = _boxes((wide, -850), (left, -850))
    labels, cut = split_sides(grid, lung_parts(grid, air), middle_mm=88.0)
    assert not cut
    assert (labels[wide] == 1).all()


def test_touching_lungs_are_cut_where_the_bridge_is() -> None:
    bridge = (slice(15, 20), slice(10, 14), slice(40, 50))
    grid, air = _boxes((RIGHT, -850), (LEFT, -850), (bridge, -850))
    parts = lung_parts(grid, air)
    assert len(parts) == 1
    labels, cut = split_sides(grid, parts, middle_mm=90.0)
    assert cut
    assert (labels[RIGHT] == 1).mean() > 0.99
    assert (labels[LEFT] == 2).mean() > 0.99
    assert (labels[air] > 0).all()


def test_the_cut_follows_the_thinnest_place_not_the_middle() -> None:
    """The heart pushes the front border to the left of the middle: x = 50 is 100 mm."""
    bridge = (slice(15, 20), slice(10, 14), slice(40, 50))
    grid, air = _boxes((RIGHT, -850), (LEFT, -850), (bridge, -850))
    labels, _ = split_sides(grid, lung_parts(grid, air), middle_mm=72.0)
    assert (labels[RIGHT] == 1).mean() > 0.99
    assert (labels[LEFT] == 2).mean() > 0.99


def _sides(c: Chest) -> np.ndarray:
    grid = _grid(np.asarray(c.scan.hu), c.scan.geometry.spacing_mm)
    middle = -float(c.scan.geometry.matrix[0, 3])
    labels, _ = split_sides(grid, lung_parts(grid, c.lungs > 0), middle)
    return labels


def test_lungs_that_touch_in_front_are_told_apart() -> None:
    c = chest(lungs_touch=True)
    labels = _sides(c)
    for side in (1, 2):
        assert dice(labels == side, c.lungs == side) > 0.99


def test_bowel_gas_walled_in_by_tissue_goes() -> None:
    """A thin bridge of half-filled voxels joins the stomach to the lung."""
    gas = (slice(6, 12), slice(20, 40), slice(55, 75))
    lung = (slice(14, 28), slice(10, 50), slice(50, 80))
    hu = np.full((30, 60, 90), 50.0)
    hu[lung], hu[gas] = -850, -1000
    bridge = (slice(12, 14), slice(29, 31), slice(64, 66))
    hu[bridge] = -500
    air = hu < -260
    kept = without_bowel_gas(_grid(hu), air)
    assert not kept[gas].any()
    assert kept[lung].mean() > 0.97


def test_a_bulla_inside_the_lung_stays() -> None:
    bulla = (slice(8, 12), slice(20, 40), slice(15, 30))
    hu = np.full((30, 60, 90), 50.0)
    hu[RIGHT], hu[LEFT] = -850, -850
    hu[bulla] = -1000
    air = hu < -260
    np.testing.assert_array_equal(without_bowel_gas(_grid(hu), air), air)


def test_dark_lung_at_the_top_is_not_taken_for_bowel() -> None:
    apex = (slice(22, 25), slice(20, 40), slice(10, 35))
    hu = np.full((30, 60, 90), 50.0)
    hu[RIGHT], hu[LEFT] = -850, -850
    hu[apex] = -1000
    air = hu < -260
    np.testing.assert_array_equal(without_bowel_gas(_grid(hu), air), air)
