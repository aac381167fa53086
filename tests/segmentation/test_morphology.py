"""Growing and shrinking by millimetres, against every pair of voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ctlung.morphology import (
    close,
    distance_outside,
    fill_holes,
    fill_small_holes,
    grow,
    grow_faces,
    open_,
    open_box,
    shrink,
    shrink_box,
    shrink_faces,
)

SPACINGS = [(1.0, 1.0, 1.0), (4.0, 2.0, 2.2), (1.3, 0.7, 0.9)]
Spacing = tuple[float, float, float]


def _random(seed: int, share: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).random((6, 9, 8)) < share


def _distances(to: np.ndarray, shape: tuple[int, ...], spacing: Spacing) -> np.ndarray:
    """Distance (mm) of every voxel of a grid to the nearest of the given voxels."""
    least = np.full(shape, np.inf)
    axes = np.indices(shape)
    for point in np.argwhere(to):
        parts = (((a - p) * s) ** 2 for a, p, s in zip(axes, point, spacing, strict=True))
        np.minimum(least, sum(parts), out=least)
    return np.sqrt(least)


def _padded(mask: np.ndarray, by: int, value: bool = False) -> np.ndarray:
    return np.pad(mask, by, constant_values=value)


def _cut(mask: np.ndarray, by: int) -> np.ndarray:
    return mask[by:-by, by:-by, by:-by]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_distance_outside(seed: int, spacing: Spacing) -> None:
    mask = _random(seed)
    expected = _distances(mask, mask.shape, spacing)
    got = distance_outside(mask, spacing)
    np.testing.assert_allclose(got[~mask], expected[~mask], rtol=1e-5)
    assert (got[mask] <= 0).all()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.3, 4.5])
def test_grow(radius: float, spacing: Spacing) -> None:
    mask = _random(11)
    expected = _distances(mask, mask.shape, spacing) <= radius + 1e-4
    np.testing.assert_array_equal(grow(mask, radius, spacing), expected)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.3, 4.5])
def test_shrink_leaves_the_edge_of_the_volume_alone(radius: float, spacing: Spacing) -> None:
    mask = ~_random(12, 0.02)
    expected = _distances(~mask, mask.shape, spacing) > radius + 1e-4
    assert expected.any()
    assert (expected != mask).any()
    np.testing.assert_array_equal(shrink(mask, radius, spacing), expected)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.3, 4.5])
def test_close(radius: float, spacing: Spacing) -> None:
    mask = _random(13, 0.15)
    wide = _padded(mask, 8)
    grown = _distances(wide, wide.shape, spacing) <= radius + 1e-4
    closed = _distances(~grown, wide.shape, spacing) > radius + 1e-4
    expected = _cut(closed | wide, 8)
    assert (expected != mask).any()
    np.testing.assert_array_equal(close(mask, radius, spacing), expected)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.1, 2.6])
def test_open(radius: float, spacing: Spacing) -> None:
    z, y, x = np.indices((9, 16, 16))
    mask = (z - 4) ** 2 + (y - 7) ** 2 + (x - 7) ** 2 < 20
    mask[4, 7, :] = True  # a thread that an opening takes off
    wide = _padded(mask, 6)
    core = _distances(~wide, wide.shape, spacing) > radius + 1e-4
    expected = _cut(_distances(core, wide.shape, spacing) <= radius + 1e-4, 6) & mask
    assert expected.any()
    assert (expected != mask).any()
    np.testing.assert_array_equal(open_(mask, radius, spacing), expected)


def test_an_opening_that_leaves_nothing_is_empty() -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 3] = True
    assert not open_(mask, 3.0, (1.0, 1.0, 1.0)).any()


@pytest.mark.parametrize("work", [grow, shrink, close, open_])
def test_empty_stays_empty_and_the_input_stays_as_it_was(work: object) -> None:
    empty = np.zeros((4, 5, 6), bool)
    assert not work(empty, 3.0, (1.0, 1.0, 1.0)).any()  # type: ignore[operator]
    mask = _random(14, 0.3)
    before = mask.copy()
    work(mask, 2.0, (2.0, 1.0, 1.0))  # type: ignore[operator]
    np.testing.assert_array_equal(mask, before)


def test_a_full_volume_does_not_shrink_from_its_edges() -> None:
    assert shrink(np.ones((4, 5, 6), bool), 9.0, (1.0, 1.0, 1.0)).all()


def test_only_small_holes_within_a_slice_are_filled() -> None:
    mask = np.zeros((2, 20, 20), bool)
    mask[0, 1:19, 1:19] = True
    mask[0, 3:5, 3:5] = False  # 4 pixels
    mask[0, 8:12, 8:12] = False  # 16 pixels
    mask[0, 0:3, 15] = False  # open to the outside
    got = fill_small_holes(mask, 5)
    assert got[0, 3:5, 3:5].all()
    assert not got[0, 8:12, 8:12].any()
    assert not got[0, 1:3, 15].any()
    assert not got[1].any()
    assert fill_small_holes(mask, 16)[0, 8:12, 8:12].all()


@pytest.mark.parametrize("seed", range(3))
def test_holes_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((12, 40, 50)), 1.5) > -0.02
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
    by_plane = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    np.testing.assert_array_equal(fill_small_holes(mask, mask[0].size), by_plane)
    some = fill_small_holes(mask, 12)
    labels, _ = ndimage.label(by_plane & ~mask, structure=np.eye(3)[1][:, None, None] * _CROSS)
    sizes = np.bincount(labels.ravel())
    np.testing.assert_array_equal(some, mask | ((labels > 0) & (sizes <= 12)[labels]))
    assert mask.sum() < some.sum() < by_plane.sum()


_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])


def test_growing_over_faces() -> None:
    mask = np.zeros((7, 7, 7), bool)
    mask[3, 3, 3] = True
    z, y, x = np.indices(mask.shape)
    steps = abs(z - 3) + abs(y - 3) + abs(x - 3)
    np.testing.assert_array_equal(grow_faces(mask, 2), steps <= 2)
    np.testing.assert_array_equal(grow_faces(mask, 0), mask)


@pytest.mark.parametrize("size", [(1, 3, 5), (2, 3, 1), (4, 2, 2), (3, 3, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_faces_and_boxes_as_scipy_does_it(seed: int, size: tuple[int, int, int]) -> None:
    mask = _random(seed, 0.9)
    box = np.ones(size, bool)
    np.testing.assert_array_equal(grow_faces(mask, 2), ndimage.binary_dilation(mask, iterations=2))
    np.testing.assert_array_equal(shrink_faces(mask), ndimage.binary_erosion(mask))
    np.testing.assert_array_equal(shrink_faces(mask, 2), ndimage.binary_erosion(mask, iterations=2))
    np.testing.assert_array_equal(shrink_box(mask, size), ndimage.binary_erosion(mask, box))
    np.testing.assert_array_equal(open_box(mask, size), ndimage.binary_opening(mask, box))
