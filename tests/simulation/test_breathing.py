from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from support.phantoms import PERSON, healthy

from ctlung.geometry import Geometry
from ctlung.simulation.anatomy import Anatomy
from ctlung.simulation.breathing import Breath, breathe, grid_points, random_breath
from ctlung.simulation.thorax import render

OUT = Breath(lift_mm=20.0, fall_mm=4.0)


def _points(n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.uniform((-130, -100, -20), (130, 100, 250), (n, 3)).astype(np.float32)


def test_forward_undoes_back() -> None:
    now = _points()
    rest = np.stack(OUT.back(*(now[:, i] for i in range(3))), axis=1)
    assert np.abs(OUT.forward(rest) - now).max() < 0.02
    assert np.abs(rest - now).max() > 5


def test_jacobian_is_the_determinant_of_the_movement() -> None:
    p = _points(200).astype(np.float64)
    step = 0.5
    rows = []
    for axis in range(3):
        ahead, behind = p.copy(), p.copy()
        ahead[:, axis] += step
        behind[:, axis] -= step
        a, b = (np.stack(OUT.back(*q.T), axis=1).astype(np.float64) for q in (ahead, behind))
        rows.append((a - b) / (2 * step))
    determinant = np.linalg.det(np.stack(rows, axis=2))
    assert OUT.jacobian(*p.T) == pytest.approx(determinant, abs=2e-3)


def test_rest_changes_nothing() -> None:
    p = healthy()
    hu, lungs, jacobian = breathe(p.hu, p.lungs, p.geometry, Breath())
    assert np.abs(hu - p.hu).max() < 0.5
    assert np.array_equal(lungs, p.lungs)
    assert (jacobian == 1).all()


@pytest.mark.parametrize("lift", [-15.0, 20.0], ids=["in", "out"])
def test_mass_is_kept_and_volume_is_not(lift: float) -> None:
    grid = healthy().geometry
    x, y, z = grid_points(grid)
    ball = (x / 90) ** 2 + (y / 70) ** 2 + ((z - 110) / 90) ** 2 < 1
    hu = np.where(ball, np.float32(-850), np.float32(-1000))
    breath = Breath(lift_mm=lift, fall_mm=0.15 * lift)
    moved, lungs, jacobian = breathe(hu, ball.astype(np.uint8), grid, breath)
    assert float((moved + 1000).sum()) == pytest.approx(float((hu + 1000).sum()), rel=0.005)
    assert (lungs.sum() < ball.sum()) == (lift > 0)
    assert abs(lungs.sum() / ball.sum() - 1) > 0.08
    assert float(jacobian[lungs > 0].sum()) == pytest.approx(ball.sum(), rel=0.02)


@pytest.mark.parametrize("lift", [-15.0, 20.0], ids=["in", "out"])
def test_mass_of_a_lungs_inside_is_kept(lift: float) -> None:
    p = healthy()
    core = ndimage.binary_erosion(p.lungs > 0, iterations=3).astype(np.uint8)
    hu, moved, _ = breathe(p.hu, core, p.geometry, Breath(lift_mm=lift, fall_mm=0.15 * lift))
    before, after = float((p.hu[core > 0] + 1000).sum()), float((hu[moved > 0] + 1000).sum())
    assert after == pytest.approx(before, rel=0.02)


def test_rendered_breath_keeps_mass_too() -> None:
    grid = Geometry.from_spacing((64, 46, 60), (4.5, 4.6, 4.6), (-136.0, -110.0, -20.0))
    mass, volume = [], []
    for breath in (Breath(), OUT):
        rest = breath.back(*grid_points(grid))
        core = Anatomy(PERSON, *PERSON.to_atlas(*rest)).lungs < -8
        mass.append(float((render(PERSON, grid, (), breath).hu[core] + 1000).sum()))
        volume.append(int(core.sum()))
    assert volume[1] < 0.93 * volume[0]
    assert mass[1] == pytest.approx(mass[0], rel=0.03)


def test_diaphragm_moves_apex_stays() -> None:
    x, y = np.zeros(2, np.float32), np.zeros(2, np.float32)
    _, _, rest = Breath(lift_mm=20).back(x, y, np.array([20, 252], np.float32))
    assert rest[0] == pytest.approx(0, abs=0.1)
    assert rest[1] == pytest.approx(252)


def test_a_folding_breath_is_refused() -> None:
    with pytest.raises(ValueError, match="would fold the lung; make the lift or fall less"):
        Breath(lift_mm=150.0)


def test_random_breath_follows_its_generator() -> None:
    assert random_breath(np.random.default_rng(2)) == random_breath(np.random.default_rng(2))


def test_grid_points_reach_beyond_the_ends() -> None:
    grid = Geometry.from_affine(
        (3, 2, 2), [[0, 0, 1, 5], [0, 2, 0, 6], [3, 0, 0, 7], [0, 0, 0, 1]], (7.0, 10.0, 14.0)
    )
    x, y, z = grid_points(grid, -1, 4)
    assert z[:, 0, 0].tolist() == pytest.approx([4, 7, 10, 14, 17.5], abs=0.6)
    assert z[1:4, 0, 0].tolist() == [7, 10, 14]
    assert y[0, :, 0].tolist() == [6, 8]
    assert x[0, 0].tolist() == [5, 6]
