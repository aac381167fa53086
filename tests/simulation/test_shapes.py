from __future__ import annotations

import numpy as np
import pytest

from ctlung.geometry import Geometry
from ctlung.simulation.breathing import grid_points
from ctlung.simulation.opacities import Opacity
from ctlung.simulation.shapes import (
    FAR_MM,
    Noise,
    along,
    coverage,
    ellipsoid,
    profile,
    rounded,
    smooth_max,
    smooth_min,
    superellipse,
    tube,
)

GRID = Geometry.from_spacing((20, 30, 30), (3.0, 2.0, 2.0), (-29.0, -29.0, -28.5))
X, Y, Z = grid_points(GRID)
VOXEL = 12.0


def test_coverage_sums_to_the_volume() -> None:
    ball = ellipsoid(X, Y, Z, (0.3, -0.7, 0.4), (17, 14, 20))
    volume = float(coverage(ball).sum()) * VOXEL
    assert volume == pytest.approx(4 / 3 * np.pi * 17 * 14 * 20, rel=0.015)


def test_coverage_of_a_plane_is_exact() -> None:
    share = coverage(X - np.float32(0.5))
    column = share[5, 5]
    places = X[5, 5]
    assert column == pytest.approx(np.clip((0.5 - (places - 1)) / 2, 0, 1), abs=1e-5)


def test_an_edge_widens_the_border_and_keeps_the_volume() -> None:
    ball = ellipsoid(X, Y, Z, (0, 0, 0), (18, 18, 18))
    sharp, soft = coverage(ball), coverage(ball, 6.0)
    assert float(soft.sum()) == pytest.approx(float(sharp.sum()), rel=0.04)
    assert ((soft > 0) & (soft < 1)).sum() > 1.5 * ((sharp > 0) & (sharp < 1)).sum()


def test_an_axis_turns_the_ellipsoid() -> None:
    turned = ellipsoid(X, Y, Z, (0, 0, 0), (24, 8, 8), (0, 1, 0))
    inside = turned < 0
    assert np.ptp(Y[inside]) > 40
    assert np.ptp(X[inside]) < 18


def test_smooth_union_and_intersection_bound_the_hard_ones() -> None:
    a = ellipsoid(X, Y, Z, (-8, 0, 0), (12, 12, 12))
    b = ellipsoid(X, Y, Z, (8, 0, 0), (12, 12, 12))
    assert (smooth_min(a, b, 6) <= np.minimum(a, b) + 1e-4).all()
    assert (smooth_max(a, b, 6) >= np.maximum(a, b) - 1e-4).all()


def test_superellipse_of_power_two_is_an_ellipse() -> None:
    zero = 0 * X
    inside = superellipse(X, Y, 20 + zero, 10 + zero, 2.0) < 0
    assert np.array_equal(inside, (X / 20) ** 2 + (Y / 10) ** 2 < 1)


def test_tube_is_a_capsule_and_far_away_is_far() -> None:
    f = tube(X, Y, Z, [(-10, 0, 0), (10, 0, 0)], [6, 6])
    volume = float(coverage(f).sum()) * VOXEL
    assert volume == pytest.approx(np.pi * 36 * 20 + 4 / 3 * np.pi * 216, rel=0.03)
    away = tube(X, Y, Z, [(500, 0, 0), (510, 0, 0)], [6, 6])
    assert (away == FAR_MM).all()


def test_rounding_keeps_the_ends() -> None:
    line = rounded([(0, 0, 0), (10, 0, 0), (10, 10, 0)])
    assert line[0] == (0, 0, 0)
    assert line[-1] == (10, 10, 0)
    assert (10, 0, 0) not in line


def test_profile_passes_its_knots() -> None:
    table = profile((0, 10, 30), (5, 7, 2))
    assert along(np.array([-4, 0, 10, 30, 99], np.float32), table).tolist() == [5, 5, 7, 2, 2]


def test_noise_is_the_same_on_every_grid() -> None:
    noise = Noise(np.random.default_rng(1), 5.0, size=16)
    whole = noise(X, Y, Z)
    part = noise(X[3:5, 4:9, 2:7], Y[3:5, 4:9, 2:7], Z[3:5, 4:9, 2:7])
    assert part == pytest.approx(whole[3:5, 4:9, 2:7], abs=1e-5)


def test_noise_has_mean_nought_and_sd_one() -> None:
    far = Geometry.from_spacing((40, 40, 40), (3.1, 3.1, 3.1))
    values = Noise(np.random.default_rng(2), 3.0)(*grid_points(far))
    assert float(values.mean()) == pytest.approx(0, abs=0.04)
    assert float(values.std()) == pytest.approx(1, abs=0.03)


def test_an_opacity_without_ellipsoids_is_refused() -> None:
    with pytest.raises(ValueError, match="an opacity needs at least one ellipsoid"):
        Opacity("ground_glass", (), (), -600.0).border(X, Y, Z)


def test_ragged_outline_stays_in_its_box() -> None:
    opacity = Opacity("ground_glass", ((0, 0, 0),), ((12, 12, 12),), -600.0, ragged_mm=2.0, seed=5)
    inside = opacity.border(X, Y, Z) < 0
    low, high = opacity.box(0.0)
    for i, c in enumerate((X, Y, Z)):
        assert low[i] < c[inside].min() < c[inside].max() < high[i]
    smooth = Opacity("ground_glass", ((0, 0, 0),), ((12, 12, 12),), -600.0, ragged_mm=0.0)
    assert not np.array_equal(inside, smooth.border(X, Y, Z) < 0)
