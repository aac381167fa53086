"""Pairs with a known change: is the truth what was asked for?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from support.phantoms import healthy

from ctlung.simulation import family_test, family_train
from ctlung.simulation.breathing import REST, Breath
from ctlung.simulation.followup import Fate, Pair, simulate_pair
from ctlung.simulation.insertion import LesionPlan

GLASS = LesionPlan("ground_glass", 30.0, 250.0, 2.0)
SOLID = LesionPlan("consolidation", 30.0, 20.0, 2.0)


@lru_cache(maxsize=16)
def pair(plan: LesionPlan, fate: Fate, breath: Breath = REST, family: str = "train") -> Pair:
    phantom = healthy()
    insert = (family_train if family == "train" else family_test).insert
    return simulate_pair(
        phantom.hu, phantom.lungs, phantom.geometry, insert, [plan], [fate], breath, 5
    )


def _ml(labels: np.ndarray) -> float:
    return float((labels > 0).sum() * np.prod(healthy().geometry.spacing_mm) / 1000)


@pytest.mark.parametrize("family", ["train", "test"])
def test_what_stays_the_same_is_the_same_voxel_by_voxel(family: str) -> None:
    same = pair(GLASS, "same", family=family)
    assert np.array_equal(same.baseline.lesions, same.unbreathed)
    assert np.array_equal(same.followup.lesions, same.unbreathed)
    assert np.abs(same.followup.hu - same.baseline.hu).max() < 0.1
    assert _ml(same.baseline.lesions) == pytest.approx(30.0, rel=0.05)


@pytest.mark.parametrize(
    ("fate", "before", "after"),
    [("grown", 30.0, 60.0), ("shrunk", 30.0, 12.0), ("resolved", 30.0, 0.0), ("new", 0.0, 30.0)],
)
def test_fates_give_the_volumes_they_promise(fate: Fate, before: float, after: float) -> None:
    found = pair(GLASS, fate)
    assert _ml(found.baseline.lesions) == pytest.approx(before, rel=0.05)
    assert _ml(found.unbreathed) == pytest.approx(after, rel=0.05)


def test_what_resolved_is_the_healthy_scan_again() -> None:
    found = pair(SOLID, "resolved")
    assert np.abs(found.followup.hu - healthy().hu).max() < 0.1


def test_consolidation_that_clears_becomes_ground_glass() -> None:
    found = pair(SOLID, "cleared")
    where = found.baseline.lesions > 0
    assert set(np.unique(found.baseline.lesions)) == {0, 2}
    assert set(np.unique(found.unbreathed)) == {0, 1}
    assert np.array_equal(where, found.unbreathed > 0)
    assert -600 < found.followup.hu[where].mean() < -250


def test_a_breath_moves_everything_and_makes_nothing_solid_denser() -> None:
    out = pair(SOLID, "same", Breath(20.0, 3.0, 0.0, 260.0))
    assert _ml(out.followup.lungs) < 0.97 * _ml(out.baseline.lungs)
    assert np.array_equal(out.carried, out.followup.lesions)
    solid = out.followup.hu[out.followup.lesions > 0]
    assert np.percentile(solid, 95) < 80.0


def test_plans_and_fates_belong_together() -> None:
    phantom = healthy()
    for plans, fates in (([GLASS], []), ([LesionPlan("effusion", 30.0, 10.0)], ["same"])):
        with pytest.raises(ValueError, match="fate"):
            simulate_pair(
                phantom.hu,
                phantom.lungs,
                phantom.geometry,
                family_train.insert,
                plans,
                fates,  # type: ignore[arg-type]
                REST,
                5,
            )
