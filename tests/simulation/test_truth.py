from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import DENSE, GROUND_GLASS, PERSON

from ctlung.geometry import Geometry
from ctlung.simulation.anatomy import Anatomy
from ctlung.simulation.breathing import Breath
from ctlung.simulation.thorax import phantom_grid, render
from ctlung.simulation.truth import lesion_ct_numbers, measure_truth

GRID = phantom_grid(PERSON, (6.0, 4.5, 4.5))
BALL_ML = 4 / 3 * np.pi * 28 * 26 * 30 / 1000
CORE_ML = 4 / 3 * np.pi * 14 * 13 * 15 / 1000


def _rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_lesion_volume_is_the_ellipsoids() -> None:
    around = Geometry.from_spacing((14, 18, 18), (6.0, 4.5, 4.5), (-120.0, -20.0, 80.0))
    truth = measure_truth(PERSON, around, (GROUND_GLASS, DENSE), rng=_rng())
    assert truth.lesion_ml(2) == pytest.approx(CORE_ML, rel=0.005)
    assert truth.lesion_ml() == pytest.approx(BALL_ML, rel=0.005)
    assert truth.lesion_ml(1) == pytest.approx(BALL_ML - CORE_ML, rel=0.01)
    assert truth.lesion_ml(side=2) == 0
    assert truth.error_ml[1] < 0.2
    area, position = truth.lesion_area_max()
    assert position == pytest.approx(120, abs=3.1)
    assert area == pytest.approx(np.pi * 28 * 26 / 100, rel=0.02)


def test_lung_volume_against_random_points() -> None:
    truth = measure_truth(PERSON, GRID, rng=_rng())
    rng = np.random.default_rng(5)
    low, high = np.array([-145, -115, -30]), np.array([145, 110, 270])
    cloud = rng.uniform(low, high, (400_000, 3)).astype(np.float32)
    anatomy = Anatomy(PERSON, *PERSON.to_atlas(*(cloud[:, i] for i in range(3))))
    share = float((anatomy.lungs < 0).mean())
    box_ml = float(np.prod(high - low)) / 1000
    deviation = box_ml * np.sqrt(share * (1 - share) / len(cloud))
    assert truth.lung_ml() == pytest.approx(box_ml * share, abs=4 * deviation)
    assert truth.lung_ml() == pytest.approx(truth.lung_ml(1) + truth.lung_ml(2))
    assert truth.error_ml[0] < 0.002 * truth.lung_ml()


def test_truth_agrees_with_voxels_of_a_fine_grid() -> None:
    fine = Geometry.from_spacing((26, 40, 40), (2.4, 1.6, 1.6), (-110.0, -12.0, 90.0))
    drawn = render(PERSON, fine, (GROUND_GLASS, DENSE))
    truth = measure_truth(PERSON, fine, (GROUND_GLASS, DENSE), rng=_rng())
    ml = 2.4 * 1.6 * 1.6 / 1000
    assert (drawn.lungs > 0).sum() * ml == pytest.approx(truth.lung_ml(), rel=0.002)
    assert (drawn.lesions == 2).sum() * ml == pytest.approx(truth.lesion_ml(2), rel=0.01)


def test_breath_changes_the_lung_and_moves_the_lesion() -> None:
    out = Breath(lift_mm=12.0, fall_mm=2.0)
    grid = phantom_grid(PERSON, (12.0, 9.0, 9.0))
    still = measure_truth(PERSON, grid, (GROUND_GLASS,), rng=_rng())
    moved = measure_truth(PERSON, grid, (GROUND_GLASS,), out, rng=_rng())
    assert moved.lung_ml() < 0.96 * still.lung_ml()
    assert moved.lesion_ml() < still.lesion_ml()
    assert moved.lesion_area_max()[1] >= still.lesion_area_max()[1]


def test_ct_numbers_of_lesions() -> None:
    around = Geometry.from_spacing((14, 20, 20), (6.0, 4.5, 4.5), (-120.0, -20.0, 80.0))
    found = lesion_ct_numbers(PERSON, around, (GROUND_GLASS, DENSE))
    assert set(found) == {"lesions", "ground_glass", "consolidation"}
    # Even without blur the half of its edge that counts as lesion lowers a small lesion's mean.
    assert found["consolidation"].object_hu == pytest.approx(-15, abs=20)
    assert found["ground_glass"].object_hu == pytest.approx(-585, abs=25)
    assert found["consolidation"].seen_hu < found["consolidation"].object_hu
    whole = found["lesions"]
    assert whole.volume_ml == pytest.approx(BALL_ML, rel=0.02)
    parts = (found["ground_glass"], found["consolidation"])
    mean = sum(p.seen_hu * p.volume_ml for p in parts) / whole.volume_ml
    assert whole.seen_hu == pytest.approx(mean)


def test_no_lesion_has_no_ct_number() -> None:
    assert lesion_ct_numbers(PERSON, GRID, ()) == {}
