"""What both lesion families promise alike."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage
from support.lesion_families import VOXEL_ML, insert, rise
from support.phantoms import healthy, healthy_series

from ctlung.simulation import family_test, family_train
from ctlung.simulation.insertion import KINDS, LABELS, LesionPlan, LungSpace

BOTH = pytest.mark.parametrize("family", [family_train, family_test], ids=["train", "test"])
GLASS = LesionPlan("ground_glass", 60.0, 250.0, 2.0)
DENSE = LesionPlan("consolidation", 30.0, 20.0, 1.0)


@BOTH
def test_same_stream_same_bytes(family: ModuleType) -> None:
    one, two = insert(family, index=3), insert(family, index=3)
    assert one.hu.tobytes() == two.hu.tobytes()
    assert one.lesions.tobytes() == two.lesions.tobytes()
    assert one.put_in == two.put_in
    assert not np.array_equal(one.hu, insert(family, index=4).hu)


@BOTH
@pytest.mark.parametrize("ml", [0.5, 5.0, 60.0, 300.0])
def test_volume_is_as_planned(family: ModuleType, ml: float) -> None:
    result = insert(family, LesionPlan("ground_glass", ml, 200.0, 2.0))
    counted = float((result.lesions == 1).sum()) * VOXEL_ML
    assert counted == pytest.approx(ml, rel=0.03, abs=VOXEL_ML)
    assert result.put_in[0].ml == pytest.approx(counted)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_truth_is_half_mixed_and_in_the_lungs(family: ModuleType, kind: str) -> None:
    hu = 200.0 if LABELS[kind] == 1 else 20.0
    result = insert(family, LesionPlan(kind, 40.0, hu))  # type: ignore[arg-type]
    assert not result.lesions[result.lungs == 0].any()
    assert np.array_equal(result.lesions > 0, result.fraction >= 0.5)
    assert set(np.unique(result.lesions)) == {0, LABELS[kind]}
    if kind == "effusion":
        assert result.effusion.sum() * VOXEL_ML == pytest.approx(40, rel=0.05)
        assert (healthy().lungs[result.effusion] > 0).all()
        assert (result.lungs[result.effusion] == 0).all()
    else:
        assert not result.effusion.any()
        assert np.array_equal(result.lungs, healthy().lungs)


@BOTH
def test_ground_glass_rises_over_the_local_lung(family: ModuleType) -> None:
    result = insert(family, GLASS)
    deep = (result.fraction > 0.98) & (healthy_series().hu < -800)
    assert deep.sum() > 100
    assert rise(result)[deep].mean() == pytest.approx(250, rel=0.12)


@BOTH
def test_consolidation_reaches_its_ct_number(family: ModuleType) -> None:
    result = insert(family, DENSE)
    deep = (result.fraction > 0.98) & (healthy_series().hu < -800)
    assert deep.sum() > 30
    assert result.hu[deep].mean() == pytest.approx(20, abs=25)


@BOTH
def test_nothing_changes_far_away_and_vessels_stay(family: ModuleType) -> None:
    result = insert(family, DENSE)
    change = np.abs(rise(result))
    # Next to the lesion a voxel of the lungs' border, half wall, still holds air to lose.
    near = ndimage.binary_dilation(result.fraction > 0, iterations=2)
    assert change[~near].max() == 0
    assert change[near].max() > 500
    soft = (healthy_series().hu > 30) & (healthy_series().hu < 60)
    assert change[soft].max() < 15


@BOTH
def test_wide_edges_are_wide(family: ModuleType) -> None:
    def rim(edge: float) -> float:
        result = insert(family, LesionPlan("ground_glass", 80.0, 300.0, edge), index=5)
        return float(((result.fraction > 0.06) & (result.fraction < 0.94)).sum())

    assert rim(6.0) > 1.25 * rim(0.0)


@BOTH
@pytest.mark.parametrize("touches", [True, False])
def test_pleura_is_touched_or_not_as_planned(family: ModuleType, touches: bool) -> None:
    for index in range(6):
        plan = LesionPlan("ground_glass", 20.0, 200.0, 1.0, touches_pleura=touches)
        assert insert(family, plan, index=index).put_in[0].touches_pleura is touches


@BOTH
def test_lower_preference_is_obeyed(family: ModuleType) -> None:
    def height(lower: float) -> float:
        levels = []
        for index in range(8):
            plan = LesionPlan("ground_glass", 5.0, 200.0, lower=lower)
            levels.append(np.argwhere(insert(family, plan, index=index).lesions)[:, 0].mean())
        return float(np.mean(levels))

    assert height(1.0) < height(0.0) - 3


@BOTH
def test_air_bronchograms_are_open(family: ModuleType) -> None:
    plan = LesionPlan("consolidation", 100.0, 30.0, 1.0, air_bronchogram=True)
    closed = LesionPlan("consolidation", 100.0, 30.0, 1.0)
    result = insert(family, plan, index=2)
    solid = insert(family, closed, index=2)
    where = solid.fraction > 0.95
    assert (result.hu[where] < -100).sum() >= 8
    assert (solid.hu[where] < -100).mean() < 0.002


@BOTH
def test_crazy_paving_has_septa(family: ModuleType) -> None:
    def spread(kind: str) -> float:
        result = insert(family, LesionPlan(kind, 80.0, 200.0, 1.0), index=6)  # type: ignore[arg-type]
        return float(rise(result)[result.fraction > 0.95].std())

    assert spread("crazy_paving") > spread("ground_glass") + 8


@BOTH
def test_patients_are_drawn_without_a_plan(family: ModuleType) -> None:
    result = insert(family, index=7)
    assert 1 <= len(result.put_in) <= 7
    assert result.lesions.any()


def test_shapes_must_agree() -> None:
    p = healthy()
    with pytest.raises(ValueError, match=r"must have the grid's shape \(\d+, \d+, \d+\)"):
        LungSpace(p.hu[1:], p.lungs, p.geometry)


def test_lungs_are_needed() -> None:
    p = healthy()
    with pytest.raises(ValueError, match="there are no lungs to put lesions into"):
        LungSpace(p.hu, np.zeros_like(p.lungs), p.geometry)
