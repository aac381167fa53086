"""Lungs that somebody else has drawn: taken as they are, once they can be what they claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.chest import Chest, chest, dice

from ctlung.errors import GeometryMismatch, InputError
from ctlung.geometry import Geometry
from ctlung.reading.masks import read_masks
from ctlung.reading.scan import read_scan
from ctlung.segmentation.given import GivenLungs
from ctlung.segmentation.protocol import Segmenter
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.vocabulary import LOBE_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap

BOTH = {1: "lungs"}
Array = np.ndarray[Any, Any]


def _map(c: Chest, labels: Array, names: Any = LUNG_LABELS) -> LabelMap:
    return LabelMap(labels.astype(np.uint8), c.scan.geometry, names)


def _lobes(c: Chest) -> Array:
    """Lobes by height: not where fissures run, but on the right sides."""
    z = np.arange(c.lungs.shape[0])[:, None, None]
    out = np.zeros_like(c.lungs)
    right, left = c.lungs == 1, c.lungs == 2
    out[left] = np.broadcast_to(np.where(z > 30, 1, 2), out.shape)[left]
    out[right] = np.broadcast_to(np.where(z > 36, 3, np.where(z > 28, 4, 5)), out.shape)[right]
    return out


def test_it_is_a_segmenter() -> None:
    given = GivenLungs(chest().lung_map)
    assert isinstance(given, Segmenter)
    assert given.name == "given"
    with pytest.raises(AttributeError, match="cannot assign to field"):
        given.file = "another"  # type: ignore[misc]


def test_lungs_come_back_as_they_were_given_with_the_airways_found() -> None:
    c = chest()
    found = GivenLungs(c.lung_map, "drawn.nii", "label 1 as right lung").segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs)
    assert found.lungs.names == LUNG_LABELS
    assert found.lobes is None
    assert (found.segmenter, found.weights_sha256, found.device) == ("given", None, "cpu")
    by_threshold = ThresholdSegmenter().segment(c.scan)
    assert found.anatomy.airways is not None
    assert by_threshold.anatomy.airways is not None
    np.testing.assert_array_equal(found.anatomy.airways, by_threshold.anatomy.airways)
    assert found.anatomy.airways.any()


def test_the_notice_says_what_was_taken_and_whose_matter_it_is() -> None:
    c = chest()
    (notice,) = GivenLungs(c.lung_map, "drawn.nii", "label 1 as right lung").segment(c.scan).notices
    assert (notice.code, notice.effect) == ("given_lungs", "note")
    assert "given in a file; taken were label 1 as right lung." in notice.sentence
    assert "effusion, airways or tumour drawn as lung are measured as lung" in notice.sentence
    other = c.lungs.copy()
    other[tuple(np.argwhere(c.lungs)[5000])] = 0
    (another,) = GivenLungs(_map(c, other), "drawn.nii").segment(c.scan).notices
    assert another.sentence.split("sha256")[1] != notice.sentence.split("sha256")[1]


def test_lobes_are_kept_and_lungs_follow_from_them() -> None:
    c = chest()
    lobes = _lobes(c)
    found = GivenLungs(_map(c, lobes, LOBE_LABELS)).segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs)
    assert found.lobes is not None
    np.testing.assert_array_equal(found.lobes.labels, lobes)
    assert found.lobes.names == LOBE_LABELS
    without = np.where(lobes == 4, 3, lobes)
    (notice,) = GivenLungs(_map(c, without, LOBE_LABELS)).segment(c.scan).notices
    assert "There is no rml in them." in notice.sentence


def test_names_count_and_numbers_do_not() -> None:
    c = chest()
    exchanged = np.array([0, 20, 10], np.uint8)[c.lungs]
    names = {10: "left_lung", 20: "right_lung", 99: "unused"}
    found = GivenLungs(_map(c, exchanged, names)).segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs)


@pytest.mark.parametrize("mirrored", [False, True])
def test_one_label_is_told_apart_into_sides(mirrored: bool) -> None:
    c = chest(mirrored=mirrored)
    found = GivenLungs(_map(c, c.lungs > 0, BOTH)).segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs)
    assert [n.code for n in found.notices] == ["given_lungs"]
    assert "told apart into right and left by where they lie" in found.notices[0].sentence


def test_lungs_that_touch_are_cut_and_that_is_said() -> None:
    c = chest(lungs_touch=True)
    found = GivenLungs(_map(c, c.lungs > 0, BOTH)).segment(c.scan)
    assert [n.code for n in found.notices] == ["given_lungs", "lungs_touch"]
    np.testing.assert_array_equal(found.lungs.labels > 0, c.lungs > 0)
    for side in (1, 2):
        assert dice(found.lungs.labels == side, c.lungs == side) > 0.99


def test_specks_go_with_the_lung_that_is_near() -> None:
    c = chest()
    mask = c.lungs > 0
    x = np.flatnonzero(mask[20].any(axis=0))
    mask[3, 60, x[0] + 5] = mask[3, 60, x[-1] - 5] = True
    labels = GivenLungs(_map(c, mask, BOTH)).segment(c.scan).lungs.labels
    assert (labels[3, 60, x[0] + 5], labels[3, 60, x[-1] - 5]) == (1, 2)


def test_one_lung_alone_is_taken_and_said() -> None:
    c = chest()
    found = GivenLungs(_map(c, np.where(c.lungs == 1, 1, 0))).segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs == 1)
    note, warning = found.notices
    assert "There is no left lung in them." in note.sentence
    assert (warning.code, warning.effect) == ("given_lungs", "warn")
    assert "% of the aerated lung that the scan shows (limit 80 %)" in warning.sentence
    assert isinstance(warning.measured, float)
    assert 40 < warning.measured < 70


def test_padding_is_no_lung() -> None:
    c = chest()
    outside = np.zeros(c.lungs.shape, bool)
    outside[:, :, :40] = True
    found = GivenLungs(c.lung_map).segment(replace(c.scan, outside_fov=outside))
    np.testing.assert_array_equal(found.lungs.labels, np.where(outside, 0, c.lungs))


def test_one_slice() -> None:
    c = chest(z_mm=(128.0, 131.9))
    found = GivenLungs(_map(c, c.lungs > 0, BOTH)).segment(c.scan)
    np.testing.assert_array_equal(found.lungs.labels, c.lungs)


# refusals


@pytest.mark.parametrize("single", [False, True])
def test_sides_that_are_exchanged(single: bool) -> None:
    c = chest()
    labels = np.array([0, 2, 1], np.uint8)[c.lungs]
    if single:
        labels[labels == 2] = 0
    with pytest.raises(InputError, match="do not lie where their names say") as caught:
        GivenLungs(_map(c, labels), "drawn.nii").segment(c.scan)
    assert caught.value.code == "given_lungs"
    assert str(caught.value).startswith("The lungs in drawn.nii do not lie")


def test_lobes_that_are_the_lungs_and_airways_of_another_numbering() -> None:
    """3 left, 4 right, 5 trachea, as some collections have it, are no three right lobes."""
    c = chest()
    labels = np.array([0, 4, 3], np.uint8)[c.lungs]
    labels[c.lumen] = 5
    with pytest.raises(InputError, match="do not lie where their names say"):
        GivenLungs(_map(c, labels, LOBE_LABELS)).segment(c.scan)


def test_lungs_and_lesions_of_another_numbering_are_no_lobes() -> None:
    c = chest()
    labels = np.array([0, 2, 1], np.uint8)[c.lungs]
    labels[25:30][c.lungs[25:30] > 0] = 3
    with pytest.raises(InputError, match="do not lie where their names say"):
        GivenLungs(_map(c, labels, LOBE_LABELS)).segment(c.scan)


def test_nothing_in_it() -> None:
    c = chest()
    with pytest.raises(InputError, match="The lungs that were given are empty"):
        GivenLungs(_map(c, np.zeros_like(c.lungs))).segment(c.scan)


def test_names_that_are_no_lungs() -> None:
    c = chest()
    for names in ({1: "heart", 2: "liver"}, {1: "lungs", 2: "left_lung"}, {1: "rul", 2: "rul"}):
        with pytest.raises(InputError, match="Name them right_lung and left_lung, or lungs, or"):
            GivenLungs(_map(c, c.lungs, names)).segment(c.scan)


def test_another_grid() -> None:
    c = chest()
    moved = Geometry.from_spacing(c.lungs.shape, c.scan.geometry.spacing_mm, (9.0, 9.0, 9.0))
    with pytest.raises(GeometryMismatch, match="does not lie on the grid of the scan"):
        GivenLungs(LabelMap(c.lungs, moved, LUNG_LABELS)).segment(c.scan)


def test_lungs_of_another_scan_on_the_same_grid() -> None:
    c = chest()
    with pytest.raises(InputError, match=r"hold only \d+ % of the aerated lung .* another scan"):
        GivenLungs(_map(c, np.roll(c.lungs, 45, axis=1))).segment(c.scan)


def test_lungs_drawn_on_every_third_slice() -> None:
    c = chest()
    labels = c.lungs.copy()
    labels[1::3] = 0
    with pytest.raises(InputError, match=r"3\d % of the slices between .* right lung are empty"):
        GivenLungs(_map(c, labels), "drawn.nii").segment(c.scan)
    labels = c.lungs.copy()
    labels[30] = 0
    found = GivenLungs(_map(c, labels)).segment(c.scan)
    assert [(n.effect, n.regions) for n in found.notices[1:]] == [
        ("warn", ("right_lung",)),
        ("warn", ("left_lung",)),
    ]
    assert "leave 1 slice(s) between the first and last of the right" in found.notices[1].sentence


# real lungs


@pytest.mark.data
@pytest.mark.parametrize("name", ["cip-ct64", "lung1-003", "onkodicom-thorax"])
def test_real_lungs_joined_are_told_apart_again(name: str, data_dir: Path) -> None:
    path = next(data_dir.glob(f"*/{name}.lungs.nii.gz"))
    scan = read_scan(path.with_name(f"{name}.nii.gz"))
    drawn = read_masks(path, scan).labels.labels
    joined = LabelMap((drawn > 0).astype(np.uint8), scan.geometry, BOTH)
    found = GivenLungs(joined).segment(scan).lungs.labels
    for side in (1, 2):
        assert dice(found == side, drawn == side) > 0.995


@pytest.mark.data
def test_real_lungs_of_another_patient_are_refused(data_dir: Path) -> None:
    """Two patients whose files lie on grids of one size are told apart by the air."""
    path = next(data_dir.glob("*/lctsc-101.lungs.nii.gz"))
    scan = read_scan(path.with_name("lctsc-101.nii.gz"))
    drawn = read_masks(path, scan).labels.labels
    beside = LabelMap(np.roll(drawn, drawn.shape[1] // 3, axis=1), scan.geometry, BOTH)
    with pytest.raises(InputError, match="of the aerated lung that the scan shows"):
        GivenLungs(beside).segment(scan)
