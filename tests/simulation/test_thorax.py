from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import COARSE_MM, DENSE, GROUND_GLASS, PERSON, healthy

from ctlung.geometry import Geometry
from ctlung.simulation.anatomy import Anatomy
from ctlung.simulation.breathing import grid_points
from ctlung.simulation.thorax import Phantom, Thorax, phantom_grid, random_thorax, render
from ctlung.simulation.trees import grow_tree

VOXEL_ML = float(np.prod(COARSE_MM)) / 1000
SMALL = Geometry.from_spacing((12, 30, 30), (4.0, 4.0, 4.0), (-130.0, -40.0, 90.0))


def _at(phantom: Phantom, x: float, y: float, z: float) -> float:
    index = np.linalg.inv(phantom.geometry.matrix) @ [x, y, z, 1]
    k, j, i = (round(float(v)) for v in index[:3])
    return float(phantom.hu[k, j, i])


def _middle(phantom: Phantom, where: np.ndarray) -> np.ndarray:
    return np.array([c[where].mean() for c in grid_points(phantom.geometry)])


def test_same_thorax_same_bytes() -> None:
    first = render(PERSON, SMALL, (GROUND_GLASS, DENSE))
    grow_tree.cache_clear()
    again = render(PERSON, SMALL, (GROUND_GLASS, DENSE))
    assert first.hu.tobytes() == again.hu.tobytes()
    assert first.lesions.tobytes() == again.lesions.tobytes()


def test_another_seed_is_another_patient() -> None:
    other = render(Thorax(seed=12), SMALL)
    assert not np.array_equal(other.hu, render(PERSON, SMALL).hu)


def test_random_thorax_follows_its_generator() -> None:
    one, two = (random_thorax(np.random.default_rng(5)) for _ in range(2))
    assert one == two
    assert random_thorax(np.random.default_rng(6)) != one


def test_right_is_right_and_larger() -> None:
    p = healthy()
    assert _middle(p, p.lungs == 1)[0] < -40 < 40 < _middle(p, p.lungs == 2)[0]
    right, left = ((p.lungs == side).sum() * VOXEL_ML for side in (1, 2))
    assert 1.02 * left < right < 1.35 * left
    assert 4000 < right + left < 5000


def test_heart_and_aorta_left_liver_right() -> None:
    p = healthy()
    x, y, z = grid_points(p.geometry)
    heart = (p.blood > 0.5) & (y < 0) & (z > 50) & (z < 95)
    aorta = (p.blood > 0.9) & (y > 35) & (np.abs(z - 70) < 20) & (np.abs(x) < 40)
    liver = (p.hu > 54) & (p.hu < 66) & (z < 30) & (y < 40) & (np.abs(x) < 120)
    assert heart.sum() > 500
    assert _middle(p, heart)[0] > 10
    assert aorta.sum() > 50
    assert 15 < _middle(p, aorta)[0] < 35
    assert liver.sum() > 2000
    assert _middle(p, liver)[0] < -30


def test_head_is_up_back_is_down() -> None:
    p = healthy()
    _, y, z = grid_points(p.geometry)
    trachea = p.airways & (z > 180)
    assert trachea.any()
    assert not p.lungs[:4].any()
    assert not p.lungs[-4:].any()
    assert p.airways[-1].any()
    assert not p.airways[0].any()
    table = (p.hu > -960) & ~p.body & (y > 100)
    assert table.sum() > 5000
    assert y[table].mean() > y[p.body].max()
    right, left = (z[p.lungs == side].min() for side in (1, 2))
    assert max(right, left) < 20


def test_right_dome_is_higher() -> None:
    x, y = np.full(200, -65, np.float32), np.zeros(200, np.float32)
    z = np.linspace(0, 120, 200).astype(np.float32)
    right = z[Anatomy(PERSON, *PERSON.to_atlas(x, y, z)).lungs < 0].min()
    left = z[Anatomy(PERSON, *PERSON.to_atlas(-x, y, z)).lungs < 0].min()
    assert right > left + 5


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ((-175, -170, 100), -1000, -1000),
        ((0, 10, 220), -1000, -1000),
        ((-80, 10, 10), 45, 72),
        ((20, -35, 75), 40, 44),
    ],
    ids=["air", "trachea", "liver", "heart"],
)
def test_ct_numbers_of_the_field(place: tuple[float, float, float], low: int, high: int) -> None:
    assert low <= _at(healthy(), *place) <= high


def test_lung_is_inspired_and_denser_behind() -> None:
    p = healthy()
    _, y, _ = grid_points(p.geometry)
    assert -865 < p.hu[p.lungs > 0].mean() < -800
    pure = (p.lungs > 0) & (p.hu < -800)
    assert p.hu[pure & (y > 40)].mean() > p.hu[pure & (y < -20)].mean() + 5


def test_vessels_are_a_few_percent_of_the_lung() -> None:
    share = healthy().blood[healthy().lungs > 0].mean()
    assert 0.015 < share < 0.06


def test_lesions_lie_in_the_lungs_and_consolidation_wins() -> None:
    p = render(PERSON, SMALL, (DENSE, GROUND_GLASS))
    assert not p.lesions[p.lungs == 0].any()
    assert set(np.unique(p.lesions)) == {0, 1, 2}
    middle = np.linalg.inv(SMALL.matrix) @ [-80, 20, 120, 1]
    k, j, i = (round(float(v)) for v in middle[:3])
    assert p.lesions[k, j, i] == 2
    assert p.hu[k, j, i] == pytest.approx(20, abs=40)


def test_partial_volume_keeps_the_mass_of_a_finer_grid() -> None:
    fine = Geometry.from_spacing((24, 60, 60), (2.0, 2.0, 2.0), (-131.0, -41.0, 89.0))
    coarse, finer = render(PERSON, SMALL).hu, render(PERSON, fine).hu
    blocks = finer.reshape(12, 2, 30, 2, 30, 2).mean(axis=(1, 3, 5))
    assert coarse.mean() == pytest.approx(blocks.mean(), abs=4.0)
    assert np.abs(coarse - blocks).mean() < 25


def test_patients_differ_within_reason() -> None:
    volumes = []
    for index in range(8):
        person = random_thorax(np.random.default_rng(np.random.SeedSequence([9, index])))
        grid = phantom_grid(person, (8.0, 8.0, 8.0))
        anatomy = Anatomy(person, *person.to_atlas(*grid_points(grid)))
        lung = anatomy.lungs < 0
        ml = [float((lung & (anatomy.sides == side)).sum()) * 0.512 for side in (1, 2)]
        volumes.append(sum(ml))
        assert 0.98 < ml[0] / ml[1] < 1.4
        assert not lung[:3].any()
        assert not lung[-3:].any()
    assert 2500 < min(volumes) < max(volumes) < 6800
    assert np.std(volumes) > 150
