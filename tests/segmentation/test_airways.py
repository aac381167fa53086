from __future__ import annotations

import numpy as np
import pytest
from support.chest import AIRWAYS, Chest, chest, dice

from ctlung.segmentation.airways import MAX_VOLUME_ML, find_airways, midline_mm
from ctlung.segmentation.body import air_inside
from ctlung.working_grid import WorkingGrid, block_mean, working_grid


def _found(c: Chest) -> tuple[WorkingGrid, np.ndarray, np.ndarray]:
    grid = working_grid(c.scan)
    lumen = find_airways(grid, air_inside(grid))
    return grid, lumen, block_mean(c.lumen, grid.factors) > 0.5


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), (2.5, 1.0, 1.1)])
def test_trachea_and_main_bronchi_are_found(spacing: tuple[float, float, float]) -> None:
    _, lumen, truth = _found(chest(spacing=spacing, z_mm=(60, 240)))
    assert dice(lumen, truth) > 0.85


def test_both_main_bronchi_down_to_their_ends() -> None:
    c = chest()
    _, lumen, _ = _found(c)
    for _, (z, y, x), _ in AIRWAYS[1:]:
        where = np.linalg.inv(c.scan.geometry.matrix) @ [x, y, z, 1.0]
        k, i, j = np.rint(where[:3]).astype(int)
        assert lumen[k - 1 : k + 2, i - 1 : i + 2, j - 1 : j + 2].any()


def test_lung_does_not_leak_in() -> None:
    c = chest()
    grid, lumen, _ = _found(c)
    assert not (lumen & (c.lungs > 0)).any()
    assert lumen.sum() * grid.voxel_ml < MAX_VOLUME_ML


def test_a_bronchus_that_opens_into_dark_lung_is_rolled_back() -> None:
    """Emphysema at -960 HU is as dark as the airway; a hole in the wall must not drain it."""
    c = chest(lung_hu=-960, noise_hu=4.0)
    hu = np.array(c.scan.hu)
    # An open door from the right main bronchus into the lung.
    hu[29:36, 64:72, 50:72] = -1000
    grid = WorkingGrid(hu.astype(np.float32), c.scan.geometry.spacing_mm, (1, 1, 1), hu.shape, None)
    lumen = find_airways(grid, air_inside(grid))
    assert lumen.sum() * grid.voxel_ml <= MAX_VOLUME_ML
    assert (lumen & (c.lungs > 0)).sum() < 0.05 * (c.lungs > 0).sum()


def test_no_trachea_no_airways() -> None:
    _, lumen, _ = _found(chest(airways=False))
    assert not lumen.any()


def test_too_short_to_be_a_trachea() -> None:
    """Four slices hold 16 mm of it: less than anything that could be told from bowel."""
    _, lumen, _ = _found(chest(z_mm=(180, 196)))
    assert not lumen.any()


def test_stomach_gas_is_no_airway() -> None:
    c = chest(airways=False, stomach_gas=True)
    _, lumen, _ = _found(c)
    assert not lumen.any()


def test_midline_is_the_patients_middle() -> None:
    for options in ({}, {"x_mm": (-150.0, 176.0)}, {"mirrored": True}):
        c = chest(**options)
        grid = working_grid(c.scan)
        origin = c.scan.geometry.matrix[0, 3]
        middle = midline_mm(grid)[len(grid.hu) // 3 :] + origin
        assert np.abs(middle).max() < 25.0
