"""What the lesion benchmark counts, on arrays small enough to count by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import ctlung
from ctlung.vocabulary import LUNG_LABELS

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import lesions_healthy
from lesions_cases import METHODS, Truth, judge
from lesions_readers import components_hit

SPACING = (2.0, 1.0, 1.0)
SHAPE = (24, 40, 40)


def _scan(hu: int = -850) -> ctlung.Scan:
    geometry = ctlung.Geometry.from_spacing(SHAPE, SPACING)
    return ctlung.Scan(np.full(SHAPE, hu, np.int16), geometry)


def _truth() -> Truth:
    """A ground-glass box of 2 ml and, 10 mm further, a consolidation of 1 ml."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:14, 5:15, 5:15] = 1
    labels[4:14, 5:15, 25:30] = 2
    hu = np.where(labels == 1, -500.0, np.where(labels == 2, 20.0, -850.0))
    return Truth(labels, hu, np.ones(SHAPE, np.uint8))


def _lesion(row: dict[str, object], kind: str) -> dict[str, object]:
    lesions = row["lesions"]
    assert isinstance(lesions, list)
    (found,) = [one for one in lesions if one["kind"] == kind]
    assert isinstance(found, dict)
    return found


def test_the_truth_itself_scores_full_marks() -> None:
    truth = _truth()
    row = judge(truth.labels, _scan(), truth)
    assert row["dice"] == row["dice_ground_glass"] == row["dice_consolidation"] == 1.0
    assert row["elsewhere_ml"] == 0.0
    for kind, ml, hu in (("ground_glass", 2.0, -500.0), ("consolidation", 1.0, 20.0)):
        one = _lesion(row, kind)
        assert one["ml"] == one["found_ml"] == one["found_same_ml"] == pytest.approx(ml)
        assert one["dice"] == one["dice_same"] == 1.0
        assert one["truth_hu"] == pytest.approx(hu)
        assert one["found_hu"] == pytest.approx(-850.0)


def test_the_other_kind_counts_as_found_and_not_as_the_same() -> None:
    truth = _truth()
    row = judge(np.where(truth.labels == 1, 2, 0).astype(np.uint8), _scan(), truth)
    one = _lesion(row, "ground_glass")
    assert (one["dice"], one["dice_same"]) == (1.0, 0.0)
    assert one["found_same_hu"] is None
    missed = _lesion(row, "consolidation")
    assert (missed["dice"], missed["found_ml"], missed["found_hu"]) == (0.0, 0.0, None)


def test_what_lies_far_off_is_no_lesions() -> None:
    truth = _truth()
    found = np.zeros(SHAPE, np.uint8)
    found[20:22, 35:40, 5:15] = 1  # 21 mm behind, 14 mm above the nearest
    row = judge(found, _scan(), truth)
    assert row["elsewhere_ml"] == row["found_ml"] == pytest.approx(0.2)
    assert _lesion(row, "ground_glass")["found_ml"] == 0.0


def test_a_neighbour_within_10_mm_belongs_to_the_nearer_lesion() -> None:
    truth = _truth()
    found = np.zeros(SHAPE, np.uint8)
    found[4:14, 5:15, 16:18] = 1  # 2 to 3 mm beside the ground-glass, 8 to 9 from the other
    row = judge(found, _scan(), truth)
    assert row["elsewhere_ml"] == 0.0
    assert _lesion(row, "ground_glass")["found_ml"] == pytest.approx(0.4)
    assert _lesion(row, "consolidation")["found_ml"] == 0.0


def test_plain_bands_are_half_open_and_inside_the_lungs() -> None:
    hu = np.full(SHAPE, -1000, np.int16)
    hu[0, 0, :8] = (-751, -750, -301, -300, 99, 100, -500, -500)
    lungs = np.ones(SHAPE, np.uint8)
    lungs[0, 0, 7] = 0
    geometry = ctlung.Geometry.from_spacing(SHAPE, SPACING)
    found = METHODS["bands"](
        ctlung.Scan(hu, geometry),
        ctlung.LabelMap(lungs, geometry, LUNG_LABELS),
        ctlung.Anatomy(),
    )
    assert found[0, 0, :8].tolist() == [0, 1, 1, 2, 2, 0, 1, 0]
    assert int((found > 0).sum()) == 5


def test_components_of_fifty_voxels_and_more_are_asked_for() -> None:
    reference = np.zeros(SHAPE, bool)
    reference[0:2, 0:5, 0:5] = True  # 50 voxels
    reference[10:14, 0:5, 0:5] = True  # 100
    reference[20, 0:7, 0:7] = True  # 49: too small
    found = np.zeros(SHAPE, bool)
    assert components_hit(found, reference) == (0, 2)
    found[13, 4, 4] = True
    found[20, 3, 3] = True
    assert components_hit(found, reference) == (1, 2)


def test_nodules_are_spheres_in_mm(tmp_path: Path) -> None:
    listed = tmp_path / "nodules.csv"
    listed.write_text(
        "scan,slice,row,column,radius_mm,seen\nhere,10,20,20,4,x\nelsewhere,0,0,0,9,x\n",
        encoding="utf-8",
    )
    where = lesions_healthy.nodules_of("here", _scan(), (listed,))
    slow = [
        (z, y, x)
        for z in range(SHAPE[0])
        for y in range(SHAPE[1])
        for x in range(SHAPE[2])
        if (2 * (z - 10)) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 16
    ]
    assert sorted(map(tuple, np.argwhere(where).tolist())) == slow


def test_the_test_family_is_never_trained_on() -> None:
    scripts = Path(__file__).parent.parent / "scripts"
    for path in scripts.glob("train_*.py"):
        assert "family_test" not in path.read_text(encoding="utf-8"), path.name
