"""The figures that masks are judged by (FIELD 4.6), against slow oracles and by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SPACING = (3.0, 1.5, 2.0)


@pytest.fixture(scope="module")
def scores() -> ModuleType:
    path = Path(__file__).parent.parent / "scripts" / "segmentation_scores.py"
    spec = importlib.util.spec_from_file_location("segmentation_scores", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def blob(seed: int, shape: tuple[int, int, int] = (9, 12, 11)) -> np.ndarray[Any, Any]:
    """A ragged ball with holes and loose voxels, some of it at the array's edge."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.indices(shape), axis=-1).astype(float)
    middle = np.array(shape) / 2 + rng.uniform(-2, 2, 3)
    distance = np.linalg.norm((index - middle) * SPACING, axis=-1)
    found: np.ndarray[Any, Any] = distance + rng.normal(0, 2, shape) < 9
    found[0, 0, 0] = True
    return found


def slow_border(mask: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """Voxel by voxel: inside, with a neighbour over a face that is not."""
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    inside = {tuple(int(v) for v in p) for p in np.argwhere(mask)}
    return sorted(
        p for p in inside if any((p[0] + a, p[1] + b, p[2] + c) not in inside for a, b, c in steps)
    )


def slow_directed(
    source: list[tuple[int, int, int]], target: list[tuple[int, int, int]]
) -> np.ndarray[Any, Any]:
    """From every voxel to every voxel, and the least."""
    a, b = np.array(source) * SPACING, np.array(target) * SPACING
    least: np.ndarray[Any, Any] = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)).min(axis=1)
    return least


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3), (4, 4)])
def test_border_and_distances_against_a_slow_oracle(
    scores: ModuleType, seeds: tuple[int, int]
) -> None:
    a, b = blob(seeds[0]), blob(seeds[1])
    border_a, border_b = slow_border(a), slow_border(b)
    assert [tuple(p) for p in np.argwhere(scores.border(a))] == border_a
    there, back = slow_directed(border_a, border_b), slow_directed(border_b, border_a)
    both = np.concatenate([there, back])
    found = scores.surface_scores(a, b, SPACING).whole
    assert found.assd_mm == pytest.approx(both.mean())
    assert found.masd_mm == pytest.approx((there.mean() + back.mean()) / 2)
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found.nsd == pytest.approx((both <= 2.0).mean())


def test_distances_do_not_change_in_a_larger_field(scores: ModuleType) -> None:
    # The masks end inside both arrays: only then is a border the same in both.
    a, b = blob(5), blob(6)
    a[0, 0, 0] = b[0, 0, 0] = False
    inner = (slice(1, -1), slice(1, -1), slice(1, -1))
    small_a, small_b = (np.pad(m[inner], 1) for m in (a, b))
    wide_a, wide_b = (np.pad(m, ((4, 2), (7, 0), (3, 9))) for m in (small_a, small_b))
    assert scores.surface_scores(wide_a, wide_b, SPACING) == scores.surface_scores(
        small_a, small_b, SPACING
    )


def test_dice_by_hand(scores: ModuleType) -> None:
    a, b = np.zeros((1, 1, 6), bool), np.zeros((1, 1, 6), bool)
    a[..., :4] = True
    b[..., 2:5] = True
    assert scores.dice(a, b) == pytest.approx(4 / 7)
    assert scores.dice(a, ~a) == 0.0
    assert scores.dice(a & ~a, b & ~b) == 1.0
    assert scores.dice(a, b & ~b) == 0.0


def test_two_plates_by_hand(scores: ModuleType) -> None:
    """Two plates, 6 mm apart along z: every distance is that."""
    a, b = np.zeros((8, 5, 5), bool), np.zeros((8, 5, 5), bool)
    a[2], b[4] = True, True
    found = scores.surface_scores(a, b, SPACING).whole
    assert (found.assd_mm, found.masd_mm, found.hd95_mm, found.nsd) == (6.0, 6.0, 6.0, 0.0)


def test_pooled_and_directed_means_differ(scores: ModuleType) -> None:
    """One voxel against two: 0, then 0 and 4 mm. Pooled 4/3, of means (0 + 2)/2 = 1."""
    a, b = np.zeros((3, 3, 5), bool), np.zeros((3, 3, 5), bool)
    a[1, 1, 1] = b[1, 1, 1] = b[1, 1, 3] = True
    found = scores.surface_scores(a, b, SPACING).whole
    assert found.assd_mm == pytest.approx(4 / 3)
    assert found.masd_mm == pytest.approx(1.0)
    assert found.hd95_mm == pytest.approx(3.8)
    assert found.nsd == pytest.approx(2 / 3)


def test_empty_masks(scores: ModuleType) -> None:
    a = np.zeros((4, 4, 4), bool)
    b = a.copy()
    b[1:3, 1:3, 1:3] = True
    none = scores.Surface(None, None, None, 0.0)
    assert scores.surface_scores(a, b, SPACING).whole == none
    assert scores.surface_scores(b, a, SPACING).whole == none
    assert scores.surface_scores(a, a, SPACING).whole == scores.Surface(0.0, 0.0, 0.0, 1.0)
    assert scores.millilitres(b, SPACING) == pytest.approx(0.072)


def test_beyond_counts_what_is_further_than_the_limit(scores: ModuleType) -> None:
    reference, found = np.zeros((3, 3, 12), bool), np.zeros((3, 3, 12), bool)
    reference[1, 1, 1] = True
    found[1, 1, :] = True
    # Voxels 2 mm apart: 10 mm away lies voxel 6, which does not count; 7 to 11 do.
    assert scores.beyond_ml(found, reference, SPACING) == pytest.approx(5 * 9 / 1000)
    judged = np.ones_like(found)
    judged[1, 1, 11] = False
    assert scores.beyond_ml(found, reference, SPACING, judged=judged) == pytest.approx(0.036)
    nothing = np.zeros_like(reference)
    assert scores.beyond_ml(found, nothing, SPACING) == pytest.approx(12 * 9 / 1000)
    assert scores.beyond_ml(nothing, reference, SPACING) == 0.0


def test_beyond_against_a_slow_oracle(scores: ModuleType) -> None:
    found, reference = blob(7, (10, 14, 14)), np.zeros((10, 14, 14), bool)
    reference[2:4, 3:6, 8:10] = True
    away = slow_directed(
        [tuple(p) for p in np.argwhere(found)], [tuple(p) for p in np.argwhere(reference)]
    )
    assert (away > 10).any()
    assert (away <= 10).any()
    expected = (away > 10.0).sum() * 9 / 1000
    assert scores.beyond_ml(found, reference, SPACING) == pytest.approx(expected)


@pytest.fixture
def block() -> np.ndarray[Any, Any]:
    """A box of 60 mm height, 3 mm voxels, its axes those of the grid."""
    mask = np.zeros((30, 30, 30), bool)
    mask[5:25, 6:24, 6:24] = True
    return mask


def test_surface_parts_of_a_box(scores: ModuleType, block: np.ndarray[Any, Any]) -> None:
    airways = np.zeros_like(block)
    airways[20, 6, 6] = True
    parts = scores.surface_parts(block, airways, (3.0, 3.0, 3.0))
    wall, hilum, diaphragm = range(3)
    assert scores.PARTS == ("chest_wall", "hilum", "diaphragm")
    assert parts[5, 15, 15] == diaphragm
    assert parts[24, 15, 15] == wall  # faces the head
    assert parts[8, 15, 6] == wall  # low, but faces sideways
    assert parts[20, 6, 12] == hilum  # 18 mm away
    assert parts[20, 6, 13] == wall  # 21 mm away
    without = scores.surface_parts(block, None, (3.0, 3.0, 3.0))
    assert set(np.unique(without)) == {wall, diaphragm}


def test_a_floor_above_the_lower_third_is_no_diaphragm(
    scores: ModuleType, block: np.ndarray[Any, Any]
) -> None:
    block[5:15, :, 15:] = False  # half of the box ends higher up
    parts = scores.surface_parts(block, None, (3.0, 3.0, 3.0))
    assert parts[5, 15, 10] == scores.PARTS.index("diaphragm")
    assert parts[15, 15, 19] == scores.PARTS.index("chest_wall")


@pytest.mark.parametrize(("rise", "is_diaphragm"), [(0.5, True), (2.0, False)])
def test_slope_of_45_degrees_divides(scores: ModuleType, rise: float, is_diaphragm: bool) -> None:
    z, _, x = np.indices((60, 20, 40))
    mask = (z > rise * (x - 20) + 20) & (z >= 3) & (z < 57)
    parts = scores.surface_parts(mask, None, (2.0, 2.0, 2.0))
    lowest = int(np.flatnonzero(mask[:, 10, 14])[0])
    assert 3 < lowest < 21  # on the slope, and in the lower third of slices 3 to 56
    assert (parts[lowest, 10, 14] == scores.PARTS.index("diaphragm")) == is_diaphragm


def test_an_error_at_one_part_stays_there(scores: ModuleType, block: np.ndarray[Any, Any]) -> None:
    found = block.copy()
    found[3:5, 6:24, 6:24] = True  # 6 mm too far towards the feet
    spacing = (3.0, 3.0, 3.0)
    parts = scores.surface_parts(block, None, spacing)
    by_part = scores.surface_scores(found, block, spacing, parts=parts).parts
    assert by_part["diaphragm"].hd95_mm == pytest.approx(6.0)
    assert by_part["chest_wall"].assd_mm < 1.0
    assert "hilum" not in by_part


def test_parts_of_the_other_border_against_a_slow_oracle(scores: ModuleType) -> None:
    a, b = blob(8), blob(9)
    parts = np.random.default_rng(1).integers(0, 3, a.shape).astype(np.uint8)
    border_a, border_b = slow_border(a), slow_border(b)
    there, back = slow_directed(border_a, border_b), slow_directed(border_b, border_a)
    points = np.array(border_b) * SPACING
    part_of_b = np.array([parts[p] for p in border_b])
    found = scores.surface_scores(a, b, SPACING, parts=parts).parts
    for i, name in enumerate(scores.PARTS):
        # Where several voxels are nearest, any of their parts is right: bounds, not a value.
        sure, maybe = [], []
        for p, d in zip(border_a, there, strict=True):
            gaps = np.sqrt(((points - np.array(p) * SPACING) ** 2).sum(-1))
            nearest = set(part_of_b[gaps <= d + 1e-9])
            sure.append(nearest == {i})
            maybe.append(i in nearest)
        mine = back[part_of_b == i]
        least = mine.sum() + there[np.array(sure)].sum()
        most = mine.sum() + there[np.array(maybe)].sum()
        fewest, largest = len(mine) + sum(sure), len(mine) + sum(maybe)
        assert least / largest - 1e-9 <= found[name].assd_mm <= most / fewest + 1e-9
        assert len(mine) > 20


def test_slices_that_are_not_judged(scores: ModuleType) -> None:
    reference, found = np.zeros((12, 8, 8), bool), np.zeros((12, 8, 8), bool)
    reference[1:11, 2:6, 2:6] = True
    found[1:11, 2:6, 2:6] = True
    reference[6, :, 4:] = False  # half of it was not drawn in this slice
    judged = np.ones(12, bool)
    judged[6] = False
    assert scores.surface_scores(found, reference, SPACING).whole.assd_mm > 0
    apart = scores.surface_scores(found, reference, SPACING, judged_slices=judged).whole
    assert apart == scores.Surface(0.0, 0.0, 0.0, 1.0)


def test_largest_piece_of_each_label(scores: ModuleType) -> None:
    labels = np.zeros((3, 4, 9), np.uint8)
    labels[1, 1, :3] = 1
    labels[1, 1, 4] = 1
    labels[1, 3, 5:] = 2
    labels[2, 2, 8] = 2  # touches by an edge only
    kept = scores.largest_per_label(labels)
    assert [(kept == side).sum() for side in (1, 2)] == [3, 4]
    assert kept[1, 1, 4] == 0
    assert kept[2, 2, 8] == 0
    assert not scores.largest_per_label(np.zeros_like(labels)).any()


def test_box_holds_both_masks_and_a_margin(scores: ModuleType) -> None:
    a, b = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    a[8, 9, 1] = b[10, 9, 5] = True
    box = scores.common_box(a, b, 5.0, SPACING)
    assert box == (slice(6, 13), slice(5, 14), slice(0, 9))
    assert scores.common_box(a & ~a, a & ~a, 5.0, SPACING) == (slice(0, 20),) * 3
