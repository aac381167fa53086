from __future__ import annotations

import itertools

import numpy as np
import pytest

from ctlung.geometry import Geometry
from ctlung.volume import Scan
from ctlung.working_grid import WorkingGrid, block_mean, spread, working_grid


def _slow_mean(volume: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    shape = tuple(-(-n // f) for n, f in zip(volume.shape, factors, strict=True))
    out = np.empty(shape)
    for index in itertools.product(*map(range, shape)):
        block = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        out[index] = volume[block].astype(np.float64).mean()
    return out


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 3, 2), (1, 2, 2), (3, 1, 5), (7, 11, 13)])
@pytest.mark.parametrize("shape", [(4, 6, 10), (5, 7, 9), (1, 8, 8), (7, 11, 13)])
def test_block_mean_is_that_of_plain_loops(
    shape: tuple[int, int, int], factors: tuple[int, int, int]
) -> None:
    volume = np.random.default_rng(3).integers(-1024, 3072, shape).astype(np.int16)
    got = block_mean(volume, factors)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, _slow_mean(volume, factors), rtol=1e-5, atol=1e-3)


def test_block_mean_of_a_mask_is_its_share() -> None:
    mask = np.random.default_rng(4).random((5, 6, 7)) < 0.4
    np.testing.assert_allclose(block_mean(mask, (2, 2, 3)), _slow_mean(mask, (2, 2, 3)), rtol=1e-6)


def test_large_blocks_of_dense_voxels_do_not_overflow() -> None:
    volume = np.full((40, 60, 60), 3071, np.int16)
    assert block_mean(volume, (40, 60, 60)).item() == 3071.0


@pytest.mark.parametrize(
    ("spacing", "factors"),
    [
        ((4.0, 2.0, 2.2), (1, 1, 1)),
        ((1.25, 0.7, 0.7), (1, 3, 3)),
        ((0.5, 0.5, 0.5), (4, 4, 4)),
        ((10.0, 1.0, 1.0), (1, 2, 2)),
    ],
)
def test_grid_is_never_much_coarser_than_asked_and_keeps_its_millimetres(
    spacing: tuple[float, float, float], factors: tuple[int, int, int]
) -> None:
    shape = (9, 20, 22)
    grid = working_grid(Scan(np.zeros(shape, np.int16), Geometry.from_spacing(shape, spacing)))
    assert grid.factors == factors
    assert grid.native_shape == shape
    assert grid.spacing_mm == pytest.approx([s * f for s, f in zip(spacing, factors, strict=True)])
    assert grid.hu.shape == tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    assert grid.voxel_ml == pytest.approx(np.prod(grid.spacing_mm) / 1000)
    assert grid.padding is None


def test_lengths_in_voxels_are_rounded_and_at_least_one() -> None:
    grid = WorkingGrid(np.zeros((1, 1, 1), np.float32), (5.0, 2.0, 1.0), (1, 1, 1), (1, 1, 1), None)
    assert grid.voxels(2.0) == (1, 1, 2)
    assert grid.voxels(7.0) == (1, 4, 7)


def test_padding_is_where_most_of_a_block_is_padding() -> None:
    outside = np.zeros((2, 8, 8), bool)
    outside[:, :3, :4] = True
    geometry = Geometry.from_spacing(outside.shape, (2.0, 1.0, 1.0))
    grid = working_grid(Scan(np.zeros(outside.shape, np.int16), geometry, outside_fov=outside))
    assert grid.factors == (1, 2, 2)
    expected = np.zeros((2, 4, 4), bool)
    expected[:, 0, :2] = True  # the second row of blocks is half padding: not most
    np.testing.assert_array_equal(grid.padding, expected)


def _ball(shape: tuple[int, int, int], centre: float, radius: float) -> np.ndarray:
    z, y, x = np.indices(shape)
    return (z - centre) ** 2 + (y - centre) ** 2 + (x - centre) ** 2 < radius**2


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (1, 3, 3), (2, 1, 3)])
def test_a_ball_comes_back_from_the_coarse_grid(factors: tuple[int, int, int]) -> None:
    shape = (37, 38, 41)
    ball = _ball(shape, 19.0, 12.0)
    coarse = block_mean(ball, factors) > 0.5
    grid = WorkingGrid(coarse.astype(np.float32), (1.0, 1.0, 1.0), factors, shape, None)
    whole = (slice(0, 37), slice(0, 38), slice(0, 41))
    back = spread(coarse, grid, whole)
    assert back.shape == shape
    overlap = 2 * (back & ball).sum() / (back.sum() + ball.sum())
    assert overlap > 0.93
    # Not shifted: a wrong half voxel would move the centre.
    centres = [np.argwhere(m).mean(axis=0) for m in (back, ball)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.3)


def test_a_part_is_that_part_of_the_whole() -> None:
    coarse = np.random.default_rng(5).random((6, 8, 9)) < 0.5
    shape = (11, 16, 25)
    grid = WorkingGrid(coarse.astype(np.float32), (1.0, 1.0, 1.0), (2, 2, 3), shape, None)
    whole = spread(coarse, grid, (slice(0, 11), slice(0, 16), slice(0, 25)))
    box = (slice(3, 10), slice(5, 15), slice(7, 22))
    np.testing.assert_array_equal(spread(coarse, grid, box), whole[box])


def test_without_coarsening_nothing_changes() -> None:
    mask = np.random.default_rng(6).random((4, 5, 6)) < 0.5
    grid = WorkingGrid(mask.astype(np.float32), (4.0, 2.0, 2.0), (1, 1, 1), mask.shape, None)
    box = (slice(1, 4), slice(0, 5), slice(2, 6))
    np.testing.assert_array_equal(spread(mask, grid, box), mask[box])
