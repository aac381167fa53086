"""Voxel answers through a map that is known, so that only they can be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.known_pair import (
    BOX,
    CORE,
    GOOD,
    GRID,
    OTHER,
    VOXEL_ML,
    blocks,
    compared,
)

from ctlung.alignment import Alignment, Field, PatientGrid, SideMaps
from ctlung.comparison.compare import compare_reports, with_voxels
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.records import ScanResult
from ctlung.vocabulary import CHANGE_PAIRS, LESION_LABELS, LUNG_LABELS, PAIR_MEASURES
from ctlung.volume import LabelMap, Scan


def _ml(*box: slice) -> float:
    return float(np.prod([s.stop - s.start for s in box])) * VOXEL_ML


@pytest.mark.parametrize("lift", [0, 3])
def test_the_number_in_the_baselines_area_is_read_in_the_followup(lift: int) -> None:
    found = compared(blocks((BOX, -550)), blocks((BOX, -700), lift=lift), lift)
    change = found["ct_number_baseline_region_hu"]
    assert change.baseline == pytest.approx(-550)
    assert change.followup == pytest.approx(-700)
    assert change.delta == pytest.approx(-150)
    assert change.claimed is True
    assert change.baseline == found["ct_number_lesion_hu"].baseline
    assert found["restoration_index"].followup == pytest.approx(0.5)


def test_healed_lung_has_index_one_and_an_unchanged_one_nought() -> None:
    healed = compared(blocks((BOX, -550)), blocks())
    assert healed["restoration_index"].followup == pytest.approx(1.0)
    assert healed.voxelwise is not None
    assert healed.voxelwise.ml("resolved")[0] == pytest.approx(_ml(*BOX))
    same = compared(blocks((BOX, -550)), blocks((BOX, -550)))
    assert same["restoration_index"].delta == 0.0
    assert same["ct_number_baseline_region_hu"].claimed is False


def test_the_index_is_as_sure_as_the_alignment() -> None:
    b, f = blocks((BOX, -550)), blocks((BOX, -700))
    widths = []
    for inverse_mm in (0.5, 4.0):
        index = compared(b, f, quality=replace(GOOD, inverse_mm=inverse_mm))["restoration_index"]
        assert index.delta is not None
        assert index.low is not None
        assert index.high is not None
        assert index.low < index.delta < index.high
        widths.append(index.high - index.low)
    assert 0.05 < widths[0] < widths[1] < 2.0


def test_what_clears_around_a_core_is_told_apart_from_getting_worse() -> None:
    """FIELD 1.4: the mean of the current area rises while the lung heals; both are reported."""
    b = blocks((BOX, -600), (CORE, -100))
    f = blocks((CORE, -100))
    found = compared(b, f)
    assert found["ct_number_lesion_hu"].delta is not None
    assert found["ct_number_lesion_hu"].delta > 0
    carried = found["ct_number_baseline_region_hu"].delta
    assert carried is not None
    assert carried < 0
    index = found["restoration_index"].followup
    assert index is not None
    assert index > 0


def test_transitions_sum_to_the_baseline_and_name_what_happened() -> None:
    b = blocks((BOX, -550), (CORE, 20))
    f = blocks((BOX, -550), (CORE, -500), (OTHER, 0))
    found = compared(b, f).voxelwise
    assert found is not None
    rows: dict[str, float] = {}
    for t in found.transitions:
        rows[t.before] = rows.get(t.before, 0.0) + t.ml
    lesions = b.lesions.labels
    assert rows["ground_glass"] == pytest.approx((lesions == 1).sum() * VOXEL_ML)
    assert rows["consolidation"] == pytest.approx((lesions == 2).sum() * VOXEL_ML)
    assert sum(rows.values()) == pytest.approx((b.lungs.labels > 0).sum() * VOXEL_ML)
    assert found.ml("improved")[0] == pytest.approx(_ml(*CORE))
    assert found.ml("new")[0] == pytest.approx(_ml(*OTHER))
    assert found.ml("worsened")[0] == 0.0
    assert found.ml("persistent")[0] == pytest.approx(_ml(*BOX) - _ml(*CORE))
    for what in CHANGE_PAIRS:
        ml, uncertain = found.ml(what)
        assert 0.0 <= uncertain <= ml + 1e-9
    assert found.maps is not None
    labels = found.maps.change.labels
    assert set(np.unique(labels)) == {0, 2, 3, 5}
    assert (labels == 3).sum() * VOXEL_ML == pytest.approx(_ml(*OTHER))


def test_the_area_is_matched_at_the_same_level_of_the_body() -> None:
    b = blocks((BOX, -550))
    small = (BOX[0], BOX[1], slice(18, 24))
    for lift in (0, 4):
        found = compared(b, blocks((small, -550), lift=lift), lift)["lesion_area_matched_cm2"]
        assert found.baseline == pytest.approx(12 * 12 * 2.5**2 / 100)
        assert found.followup == pytest.approx(12 * 6 * 2.5**2 / 100)


def test_the_matched_area_is_as_sure_as_both_areas_and_the_level() -> None:
    b, f = blocks((BOX, -550)), blocks((BOX, -550))
    name = "lesion_area_matched_cm2"
    assert compared(b, f)[name].low is None
    sure = tuple(
        replace(m, low=0.9 * m.value, high=1.1 * m.value)
        if m.measure == "lesion_area_max_cm2" and m.value
        else m
        for m in b.report.measurements
    )
    b = replace(b, report=replace(b.report, measurements=sure))
    near = compared(b, f, quality=replace(GOOD, inverse_mm=0.01))[name]
    assert (near.low, near.high) == (pytest.approx(-0.9, rel=0.01), pytest.approx(0.9, rel=0.01))
    far = compared(b, f)[name]
    # The largest slice is the lesion's lowest: 0.8 of 2.5 mm lower, a third of the slab is past it.
    assert far.high == pytest.approx(np.hypot(0.9, 9 * 0.8 / 2.5), rel=0.05)


@pytest.mark.parametrize(
    "bad",
    [
        {"dice": 0.88},
        {"surface_mm": 6.0},
        {"inverse_mm": 5.5},
        {"vessel_mm": 5.5},
        {"folded_percent": 0.2},
        {"odd_jacobian_percent": 3.0},
    ],
)
def test_below_the_gate_nothing_is_said_voxel_by_voxel(bad: dict[str, float]) -> None:
    b, f = blocks((BOX, -550)), blocks((BOX, -700))
    found = compared(b, f, quality=replace(GOOD, **bad))
    assert found.voxelwise is not None
    assert found.voxelwise.reason == "registration"
    assert found.voxelwise.transitions == ()
    for measure in PAIR_MEASURES:
        assert (found[measure].delta, found[measure].reason) == (None, "registration")
    assert found["lesion_volume_ml"].delta is not None
    assert any(n.code == "registration" and n.effect == "null" for n in found.notices)


def test_between_warning_and_gate_it_is_said_with_a_warning() -> None:
    found = compared(
        blocks((BOX, -550)), blocks((BOX, -700)), quality=replace(GOOD, inverse_mm=3.0)
    )
    assert [n.effect for n in found.notices if n.code == "registration"] == ["warn"] * 2
    assert found["ct_number_baseline_region_hu"].delta is not None


def test_without_a_lesion_at_baseline_there_is_no_number() -> None:
    found = compared(blocks(), blocks((BOX, -550)))
    assert found["ct_number_baseline_region_hu"].reason == "no_lesion"
    assert found["restoration_index"].reason == "no_lesion"
    assert found.voxelwise is not None
    assert found.voxelwise.ml("new")[0] == pytest.approx(_ml(*BOX))


def test_breath_alone_claims_nothing() -> None:
    """Half the height in the follow-up: twice as dense, and not inflamed any more than before."""
    b = blocks((BOX, -700))
    shape = (30, 60, 100)
    grid = Geometry.from_spacing(shape, (2.5, 2.5, 2.5), (-124.0, -74.0, 0.0))
    hu = np.where(b.lungs.labels[::2] > 0, 2 * (b.scan.hu[::2] + 1000) - 1000, b.scan.hu[::2])
    maps = (
        LabelMap(b.lungs.labels[::2].copy(), grid, LUNG_LABELS),
        LabelMap(b.lesions.labels[::2].copy(), grid, LESION_LABELS),
    )
    scan = Scan(hu.astype(np.int16), grid)
    f = ScanResult(scan, *maps, analyze(scan, *maps, ()))
    mine = PatientGrid((-124.0, -74.0, 0.0), 2.5, GRID.shape)
    theirs = PatientGrid((-124.0, -74.0, 0.0), 2.5, shape)
    moved = np.zeros((3, *GRID.shape), np.float32)
    moved[2] = -0.5 * mine.points()[2]
    forward = Field(mine, moved)
    back = np.zeros((3, *shape), np.float32)
    back[2] = theirs.points()[2]
    both = SideMaps(forward, Field(theirs, back), GOOD)
    found = with_voxels(compare_reports(b.report, f.report), b, f, Alignment({1: both, 2: both}))
    change = found["ct_number_baseline_region_hu"]
    assert change.delta == pytest.approx(300, abs=1)
    assert change.breath == pytest.approx(300, abs=15)
    assert change.claimed is False


def test_lesions_are_followed_one_by_one() -> None:
    near = (slice(20, 32), slice(42, 46), slice(18, 30))
    b = blocks((BOX, -550), (OTHER, -500))
    f = blocks((CORE, -550), ((slice(20, 23), slice(30, 33), slice(18, 21)), -550), (near, -400))
    found = compared(b, f).voxelwise
    assert found is not None
    fates = {t.fate: t for t in found.tracks}
    assert set(fates) == {"split", "resolved", "new"}
    assert fates["resolved"].region == "left_lung"
    assert fates["resolved"].baseline_ml == pytest.approx(_ml(*OTHER))
    assert len(fates["split"].followup) == 2
    assert fates["split"].baseline_ml == pytest.approx(_ml(*BOX))
    assert fates["new"].followup_ml == pytest.approx(_ml(*near))
    labels = [n for t in found.tracks for n in t.baseline]
    assert sorted(labels) == sorted(lesion.label for lesion in b.report.lesions)


def test_a_lesion_that_only_moved_with_the_lung_persists() -> None:
    found = compared(blocks((BOX, -550)), blocks((BOX, -550), lift=5), 5).voxelwise
    assert found is not None
    (track,) = found.tracks
    assert (track.fate, track.baseline, track.followup) == ("persistent", (1,), (1,))
