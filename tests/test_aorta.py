"""The descending aorta by its shape, in a chest of a few boxes and a bent tube."""

from __future__ import annotations

import numpy as np
import pytest

from ctlung.aorta import Disc, aorta_mask, find_aorta
from ctlung.working_grid import WorkingGrid

SPACING = (3.0, 2.0, 2.0)
SHAPE = (80, 130, 160)
RADIUS_MM = 13.0


def _centre(z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y and x (mm) of the tube: left of the spine, bending a little."""
    return 178.0 - 0.04 * z_mm, 184.0 - 0.06 * z_mm


Chest = tuple[WorkingGrid, np.ndarray, np.ndarray, np.ndarray]


def _chest(*, tube: bool = True, hu: float = 40.0, noise: float = 10.0) -> Chest:
    """Grid, right lung, left lung and the tube."""
    z, y, x = np.meshgrid(
        *((np.arange(n) + 0.5) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij"
    )
    volume = np.full(SHAPE, -1000.0)
    volume[((x - 160) / 150) ** 2 + ((y - 130) / 115) ** 2 < 1] = -100.0  # fat
    lungs = [
        ((x - at) / 62) ** 2 + ((y - 130) / 90) ** 2 + ((z - 120) / 115) ** 2 < 1
        for at in (85, 235)
    ]
    for lung in lungs:
        volume[lung] = -860.0
    volume[(x - 160) ** 2 + (y - 205) ** 2 < 20**2] = 300.0  # spine
    volume[((x - 165) / 45) ** 2 + ((y - 105) / 35) ** 2 + ((z - 90) / 60) ** 2 < 1] = 35.0  # heart
    at_y, at_x = _centre(z)
    inside = (x - at_x) ** 2 + (y - at_y) ** 2 < RADIUS_MM**2
    if tube:
        volume[inside] = hu
        lungs = [lung & ~inside for lung in lungs]
    rng = np.random.default_rng(4)
    volume = volume + rng.normal(0, noise, SHAPE)
    grid = WorkingGrid(volume.astype(np.float32), SPACING, (1, 1, 1), SHAPE, None)
    return grid, lungs[0], lungs[1], inside


@pytest.mark.parametrize("hu", [30.0, 45.0, 180.0, 300.0])
def test_the_tube_is_found_where_it_is(hu: float) -> None:
    grid, right, left, _ = _chest(hu=hu)
    discs = find_aorta(grid, (right, left))
    assert len(discs) * 5 >= 60
    centres = [_centre(np.array((disc.level + 0.5) * SPACING[0])) for disc in discs]
    off = [
        np.hypot(disc.y_mm - y, disc.x_mm - x) for disc, (y, x) in zip(discs, centres, strict=True)
    ]
    assert np.median(off) < 2.0
    assert max(off) < 5.0
    assert np.median([d.radius_mm for d in discs]) == pytest.approx(RADIUS_MM, abs=1.0)
    assert np.median([d.hu for d in discs]) == pytest.approx(hu, abs=5)


def test_without_a_tube_nothing_is_found() -> None:
    grid, right, left, _ = _chest(tube=False)
    assert find_aorta(grid, (right, left)) == ()


def test_without_two_lungs_nothing_is_found() -> None:
    grid, right, left, _ = _chest()
    assert find_aorta(grid, (right, np.zeros_like(left))) == ()
    assert find_aorta(grid, (np.zeros_like(right), np.zeros_like(left))) == ()


def test_the_mask_covers_the_tube_between_its_discs() -> None:
    grid, right, left, tube = _chest()
    discs = find_aorta(grid, (right, left))
    mask = aorta_mask(grid, discs, 2.0)
    levels = slice(discs[0].level, discs[-1].level + 1)
    assert (mask[levels] & tube[levels]).sum() > 0.97 * tube[levels].sum()
    assert not mask[: levels.start].any()
    assert not mask[levels.stop :].any()
    assert mask.sum() < 1.7 * tube[levels].sum()


def test_the_mask_of_two_discs_by_hand() -> None:
    grid = WorkingGrid(np.zeros((5, 30, 30), np.float32), SPACING, (1, 1, 1), (5, 30, 30), None)
    discs = (Disc(1, 20.0, 20.0, 6.0, 40.0, 1.0, 0.5), Disc(3, 30.0, 24.0, 8.0, 40.0, 1.0, 0.5))
    mask = aorta_mask(grid, discs, 1.0)
    expected = np.zeros(mask.shape, bool)
    for k, y0, x0, r in ((1, 20, 20, 7), (2, 25, 22, 8), (3, 30, 24, 9)):
        for j in range(30):
            for i in range(30):
                expected[k, j, i] = (2 * j + 1 - y0) ** 2 + (2 * i + 1 - x0) ** 2 <= r**2
    np.testing.assert_array_equal(mask, expected)
    assert not aorta_mask(grid, (), 2.0).any()
