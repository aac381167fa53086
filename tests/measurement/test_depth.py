"""Core and rim against spheres, whose depth is known, and against distances voxel by voxel."""

from __future__ import annotations

from itertools import pairwise
from math import dist

import numpy as np
import pytest
from scipy import ndimage

from ctlung.arrays import BoolArray, LabelArray
from ctlung.geometry import Geometry
from ctlung.measurement.depth import BEYOND, rim_of
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap

RADIUS = 60.0
DEEPEST = RADIUS * (1 - 0.01 ** (1 / 3))
"""99 % of a ball lie no deeper than this."""


def _map(labels: LabelArray, geometry: Geometry) -> LabelMap:
    return LabelMap(labels, geometry, LUNG_LABELS)


def _rim(labels: LabelArray, spacing: tuple[float, float, float]) -> BoolArray:
    return rim_of(_map(labels, Geometry.from_spacing(labels.shape, spacing)))


def _grid(*axes: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.ix_(*axes)


def _ball(spacing: tuple[float, float, float]) -> tuple[LabelArray, np.ndarray]:
    """A round lung and the distance of every voxel to its middle."""
    n = [int(2 * RADIUS / s) + 7 for s in spacing]
    z, y, x = _grid(*((np.arange(k) - (k - 1) / 2) * s for k, s in zip(n, spacing, strict=True)))
    r = np.sqrt(z**2 + y**2 + x**2)
    return (r < RADIUS).astype(np.uint8), r


@pytest.mark.parametrize(
    ("spacing", "share", "apart"),
    [
        ((1.0, 1.0, 1.0), 0.006, 0.9),
        ((0.8, 0.7, 0.7), 0.006, 1.2),
        ((2.5, 0.9, 0.9), 0.006, 1.4),
        ((5.0, 1.0, 1.0), 0.008, 1.7),
        ((8.0, 2.5, 2.5), 0.008, 2.0),
        ((10.0, 1.5, 1.5), 0.02, 2.2),
    ],
)
def test_a_ball_has_the_rim_of_a_ball(
    spacing: tuple[float, float, float], share: float, apart: float
) -> None:
    labels, r = _ball(spacing)
    rim, lung = _rim(labels, spacing), labels > 0
    depth = RADIUS - r
    assert not (rim & ~lung).any()
    assert rim[lung].mean() == pytest.approx(1 - (1 - DEEPEST / 3 / RADIUS) ** 3, abs=share)
    wrong = lung & (rim != (depth <= DEEPEST / 3))
    off = np.abs(depth - DEEPEST / 3)[wrong]
    assert off.max() < apart
    assert off.mean() < apart / 2


def test_slices_stand_where_they_lie() -> None:
    rng = np.random.default_rng(3)
    z = np.cumsum(rng.uniform(0.6, 5.0, 60))
    z = z[z < 2 * RADIUS + 6] - RADIUS - 3
    y = x = np.arange(-64.0, 65.0, 1.5)
    along, across, left = _grid(z, y, x)
    r = np.sqrt(along**2 + across**2 + left**2)
    matrix = Geometry.from_spacing(r.shape, (1.0, 1.5, 1.5)).matrix.copy()
    matrix[2, 0] = (z[-1] - z[0]) / (len(z) - 1)
    geometry = Geometry.from_affine(r.shape, matrix, z.tolist())
    rim = rim_of(_map((r < RADIUS).astype(np.uint8), geometry))
    wrong = (r < RADIUS) & (rim != (RADIUS - r <= DEEPEST / 3))
    assert wrong.any()
    assert np.abs(RADIUS - r - DEEPEST / 3)[wrong].max() < 2.2
    weights = geometry.slice_weights_mm[:, None, None] * (r < RADIUS)
    share = (weights * rim).sum() / weights.sum()
    assert share == pytest.approx(1 - (1 - DEEPEST / 3 / RADIUS) ** 3, abs=0.012)


def _ragged(seed: int, side: float) -> BoolArray:
    """A lung of 3 mm voxels with a dent, a hole and a crack, free of the array's edge."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((16, 15, 13))
    bumps = ndimage.gaussian_filter(rng.normal(0, 1, z.shape), 2.0) * 1.5
    lung = ((z - 7.5) / 7) ** 2 + ((y - 7) / 6.4) ** 2 + ((x - 6) / 5.4) ** 2 + bumps < 1
    lung &= (z - 7) ** 2 + (y - 7) ** 2 + (x - side) ** 2 > 6
    lung[7, 9:11, 5:7] = False
    lung[:, 4, :] = False
    return lung


def _slow_rim(lung: BoolArray) -> BoolArray:
    """Fill, measure from each voxel to all outside, sort; 3 mm voxels."""
    filled = lung.copy()
    near = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    grown = ndimage.binary_dilation(lung)
    for v in np.argwhere(grown):
        if all(grown[tuple(v + d)] for d in near):
            filled[tuple(v)] = True
    filled = ndimage.binary_fill_holes(filled)
    outside = [tuple(v) for v in np.argwhere(ndimage.binary_dilation(filled) & ~filled)]
    inside = [tuple(v) for v in np.argwhere(lung)]
    depth = {v: 3 * min(dist(v, w) for w in outside) - 3 * BEYOND for v in inside}
    ranked = sorted(depth.values())
    deepest = ranked[-(-99 * len(ranked) // 100) - 1]
    rim = np.zeros(lung.shape, bool)
    for v in inside:
        rim[v] = depth[v] <= deepest / 3 + 1e-3
    return rim


@pytest.mark.parametrize("seed", range(4))
def test_the_rim_is_that_of_the_slow_way(seed: int) -> None:
    right, left = _ragged(seed, 11.0), _ragged(seed + 50, 1.0)
    labels = np.zeros((20, 19, 32), np.uint8)
    labels[2:18, 2:17, 2:15][right] = 1
    labels[2:18, 2:17, 16:29][left] = 2
    rim = _rim(labels, (3.0, 3.0, 3.0))
    expected = np.zeros(labels.shape, bool)
    expected |= _slow_rim(labels == 1) | _slow_rim(labels == 2)
    assert 0.3 < expected[labels > 0].mean() < 0.9
    np.testing.assert_array_equal(rim, expected)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (1.3, 0.7, 0.7), (4.0, 1.0, 1.0)])
def test_a_mirrored_chest_has_the_mirrored_rim(
    axis: int, spacing: tuple[float, float, float]
) -> None:
    labels = np.zeros((33, 42, 61), np.uint8)
    labels[1:17, 3:18, 2:15][_ragged(1, 11.0)] = 1
    labels[9:31, 20:41, 30:59] = 2
    labels[9:14, 20:28, 30:40] = 0
    plain = _rim(labels, spacing)
    assert 0.2 < plain[labels > 0].mean() < 0.9
    mirrored = np.ascontiguousarray(np.flip(np.array([0, 2, 1], np.uint8)[labels], axis))
    # Distances differ in the sixth decimal; of 20,000 voxels one may lie that close to the border.
    assert np.count_nonzero(_rim(mirrored, spacing) != np.flip(plain, axis)) <= 1


def test_thicker_storage_keeps_the_share() -> None:
    shares = []
    for spacing in ((1.0, 0.8, 0.8), (2.5, 1.6, 1.6), (5.0, 0.8, 0.8)):
        n = [int(v / s) for v, s in zip((170, 130, 110), spacing, strict=True)]
        axes = [(np.arange(k) + 0.5) * s for k, s in zip(n, spacing, strict=True)]
        z, y, x = _grid(*axes)
        lung = ((z - 85) / 80) ** 2 + ((y - 65) / 60) ** 2 + ((x - 55) / 50) ** 2 < 1
        lung &= ((z - 60) / 50) ** 2 + ((y - 50) / 40) ** 2 + ((x - 110) / 45) ** 2 > 1
        shares.append(_rim(lung.astype(np.uint8), spacing)[lung].mean())
    assert 0.4 < shares[0] < 0.7
    assert shares == pytest.approx([shares[0]] * 3, abs=0.01)


def _box(n: int = 40) -> LabelArray:
    labels = np.zeros((n + 6, n + 6, n + 6), np.uint8)
    labels[3:-3, 3:-3, 3:-3] = 1
    return labels


def test_a_fissure_is_no_surface_and_a_hilum_is() -> None:
    whole = _rim(_box(), (1.5, 1.5, 1.5))
    cut, dented = _box(), _box()
    cut[23] = 0
    dented[17:30, 17:30, 20:] = 0
    kept = cut > 0
    np.testing.assert_array_equal(_rim(cut, (1.5, 1.5, 1.5))[kept], whole[kept])
    assert not whole[23, 23, 18]
    assert _rim(dented, (1.5, 1.5, 1.5))[23, 23, 18]


def test_holes_are_filled() -> None:
    holed = _box()
    holed[18:28, 18:28, 18:28] = 0
    rim = _rim(holed, (1.5, 1.5, 1.5))
    assert not rim[16, 22, 22]
    assert rim[4, 22, 22]


def test_each_lung_has_its_own_depth() -> None:
    labels = np.zeros((50, 50, 90), np.uint8)
    labels[2:48, 2:48, 2:48] = 1
    labels[16:34, 16:34, 60:78] = 2
    rim = _rim(labels, (3.0, 3.0, 3.0))
    # 5 voxels deep is rim in the large lung and core in the small one.
    assert rim[25, 25, 6]
    assert not rim[25, 25, 64]
    alone = np.where(labels == 2, labels, 0).astype(np.uint8)
    np.testing.assert_array_equal(_rim(alone, (3.0, 3.0, 3.0))[..., 60:], rim[..., 60:])


def test_the_ends_of_the_scan_are_surface() -> None:
    labels = _box()
    inside = np.ascontiguousarray(labels[3:-3, 3:-3, 3:-3])
    expected = _rim(labels, (1.5, 1.5, 1.5))[3:-3, 3:-3, 3:-3]
    np.testing.assert_array_equal(_rim(inside, (1.5, 1.5, 1.5)), expected)


def test_a_lung_too_small_for_a_block_is_all_rim_and_none_has_none() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[[1, 4, 7], [1, 4, 7], [1, 4, 7]] = 2
    np.testing.assert_array_equal(_rim(labels, (2.0, 2.0, 2.0)), labels > 0)
    assert not _rim(0 * labels, (2.0, 2.0, 2.0)).any()


def test_the_border_does_not_depend_on_rounding() -> None:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[3:27, 3:27, 3:27] = 1
    rims = [_rim(labels, (s, s, s)) for s in (0.1 * 3, 0.3, float(np.float32(0.3)), 0.30000001)]
    for one, other in pairwise(rims):
        np.testing.assert_array_equal(one, other)
