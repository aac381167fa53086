"""Label maps that belong to a scan: any storage order, one place, known numbers and names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import Store, phantom, write_series
from support.nifti_files import ALL_ORDERS, PLAIN, store, turned_geometry, write_itk, write_nifti

from ctlung.errors import GeometryMismatch, InputError, UnreadableFile
from ctlung.geometry import Geometry
from ctlung.reading.masks import read_masks
from ctlung.reading.scan import read_scan
from ctlung.volume import Scan

SHAPE = (5, 6, 7)
GRID = turned_geometry(SHAPE)
SCAN = Scan(np.zeros(SHAPE, np.int16), GRID)


def _labels(*numbers: int) -> np.ndarray[Any, Any]:
    """Every voxel another way round: no flip leaves it as it is."""
    rng = np.random.default_rng(3)
    return rng.choice(np.array([0, *numbers], np.uint8), SHAPE).astype(np.uint8)


def _write(path: Path, labels: np.ndarray[Any, Any], grid: Geometry = GRID) -> Path:
    write = write_itk if path.suffix in (".nrrd", ".mha") else write_nifti
    return write(path, *store(labels, grid))


@pytest.mark.parametrize("turn", ALL_ORDERS)
def test_any_storage_order_is_the_same_mask(turn: Any, tmp_path: Path) -> None:
    labels = _labels(1, 2)
    path = write_nifti(tmp_path / "m.nii", *store(labels, GRID, *turn))
    masks = read_masks(path, SCAN)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.labels.geometry is GRID
    assert masks.file == "m.nii"
    assert masks.recognised == "label 1 as right lung, 2 as left lung"


@pytest.mark.parametrize("name", ["m.nrrd", "m.mha", "m.nii.gz"])
def test_formats(name: str, tmp_path: Path) -> None:
    labels = _labels(1, 2, 3, 4, 5)
    masks = read_masks(str(_write(tmp_path / name, labels)), SCAN)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.labels.names[4] == "rml"


@pytest.mark.parametrize(
    ("values", "dtype"), [(255, np.uint8), (1, np.int16), (1, np.float32), (7, np.float64)]
)
def test_one_label_of_any_number_and_type(values: int, dtype: Any, tmp_path: Path) -> None:
    drawn = _labels(1)
    path = _write(tmp_path / "m.nii", drawn.astype(dtype) * values)
    masks = read_masks(path, SCAN)
    np.testing.assert_array_equal(masks.labels.labels, drawn)
    assert dict(masks.labels.names) == {1: "lungs"}
    assert masks.recognised == f"its only label, {values}, as both lungs"


def test_a_scale_in_the_header_is_applied(tmp_path: Path) -> None:
    drawn = _labels(1, 2)
    path = _write(tmp_path / "m.nii", drawn * 2)
    write_nifti(path, *store(drawn * 2, GRID), scl_slope=0.5, scl_inter=0.0)
    np.testing.assert_array_equal(read_masks(path, SCAN).labels.labels, drawn)


def test_a_box_of_the_scan_is_put_in_its_place(tmp_path: Path) -> None:
    labels = _labels(1, 2)
    box = (slice(1, 4), slice(2, 6), slice(0, 5))
    path = _write(tmp_path / "m.nii", labels[box], GRID.crop(box))
    expected = np.zeros_like(labels)
    expected[box] = labels[box]
    np.testing.assert_array_equal(read_masks(path, SCAN).labels.labels, expected)


def test_a_larger_box_is_cut_only_where_it_is_empty(tmp_path: Path) -> None:
    box = (slice(1, 4), slice(2, 6), slice(0, 5))
    scan = Scan(np.zeros((3, 4, 5), np.int16), GRID.crop(box))
    labels = np.zeros(SHAPE, np.uint8)
    labels[box] = _labels(1, 2)[box]
    path = _write(tmp_path / "m.nii", labels)
    np.testing.assert_array_equal(read_masks(path, scan).labels.labels, labels[box])
    labels[0, 0, 0] = 1
    with pytest.raises(GeometryMismatch, match=r"m\.nii reaches beyond the scan"):
        read_masks(_write(path, labels), scan)


def _moved(mm: float) -> Geometry:
    matrix = GRID.matrix.copy()
    matrix[0, 3] += mm
    return Geometry.from_affine(SHAPE, matrix)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (_moved(3.0), r"m\.nii does not lie on the grid of the scan: a corner of it lies 3\.0 mm"),
        (_moved(0.3), r"a corner of it lies 0\.3 mm from that of the scan\. Draw or save"),
        (
            Geometry.from_affine(SHAPE, GRID.matrix @ np.diag([2.0, 1, 1, 1])),
            r"its voxels measure 5 x 0\.75 x 0\.625 mm, those of the scan 2\.5 x 0\.75 x 0\.625 mm",
        ),
        (turned_geometry((4, 6, 7), 9.0), r"it has 4 x 6 x 7 voxels \(z, y, x\), the scan 5 x 6"),
    ],
)
def test_another_grid_is_refused_and_says_what_differs(
    grid: Geometry, words: str, tmp_path: Path
) -> None:
    path = _write(tmp_path / "m.nii", np.ones(grid.shape, np.uint8), grid)
    with pytest.raises(GeometryMismatch, match=words):
        read_masks(path, SCAN)


def test_a_grid_within_a_twentieth_of_a_millimetre_is_the_same(tmp_path: Path) -> None:
    labels = _labels(1, 2)
    masks = read_masks(_write(tmp_path / "m.nii", labels, _moved(0.04)), SCAN)
    np.testing.assert_array_equal(masks.labels.labels, labels)


def test_an_empty_mask(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.nii", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"There is no lung in m\.nii: every voxel is background"):
        read_masks(path, SCAN)


@pytest.mark.parametrize("values", [0.37, -1.0, 70_000.0, np.nan])
def test_what_is_no_label_map(values: float, tmp_path: Path) -> None:
    drawn = _labels(1).astype(np.float32) * np.float32(values)
    path = _write(tmp_path / "m.nii", drawn)
    with pytest.raises(InputError, match=r"m\.nii is not a label map: its voxels are not whole"):
        read_masks(path, SCAN)


def test_labels_that_nobody_knows(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.nii", _labels(1, 2, 7))
    with pytest.raises(InputError, match=r"holds the labels 1, 2, 7, and which of them are lungs"):
        read_masks(path, SCAN)


# 3D Slicer keeps names in the header


def _slicer(path: Path, labels: np.ndarray[Any, Any], names: dict[int, str]) -> Path:
    _write(path, labels)
    head, _, body = path.read_bytes().partition(b"\n\n")
    lines = [
        f"Segment{i}_LabelValue:={value}\nSegment{i}_Name:={name}"
        for i, (value, name) in enumerate(names.items())
    ]
    path.write_bytes(head + b"\n" + "\n".join(lines).encode() + b"\n\n" + body)
    return path


def test_names_go_before_numbers(tmp_path: Path) -> None:
    labels = _labels(1, 2, 3)
    names = {1: "left lung", 2: "right lung", 3: "tumour"}
    masks = read_masks(_slicer(tmp_path / "s.seg.nrrd", labels, names), SCAN)
    expected = np.array([0, 2, 1, 0], np.uint8)[labels]
    np.testing.assert_array_equal(masks.labels.labels, expected)
    assert masks.recognised == "'right lung' as right lung, 'left lung' as left lung"


def test_names_that_name_nothing_leave_it_to_the_numbers(tmp_path: Path) -> None:
    path = _slicer(tmp_path / "s.nrrd", _labels(1, 2), {1: "Segment_1", 2: "Segment_2"})
    assert read_masks(path, SCAN).recognised == "label 1 as right lung, 2 as left lung"


def test_names_of_something_else_are_believed(tmp_path: Path) -> None:
    path = _slicer(tmp_path / "s.nrrd", _labels(1, 2), {1: "tumour", 2: "oedema"})
    with pytest.raises(InputError, match=r"is a lung by its name\. It holds 'tumour', 'oedema'"):
        read_masks(path, SCAN)


# folders


def test_a_folder_with_one_mask(tmp_path: Path) -> None:
    labels = _labels(1, 2)
    _write(tmp_path / "m.nii.gz", labels)
    (tmp_path / "notes.txt").write_text("drawn on a Tuesday", encoding="utf-8")
    masks = read_masks(tmp_path, SCAN)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.file == "m.nii.gz"


def test_a_folder_with_a_file_for_each_lobe(tmp_path: Path) -> None:
    labels = _labels(1, 2, 3, 4, 5)
    names = ("upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "middle_lobe_right")
    for number, name in enumerate((*names, "lower_lobe_right"), start=1):
        _write(tmp_path / f"lung_{name}.nii.gz", (labels == number).astype(np.uint8))
    _write(tmp_path / "liver.nii.gz", np.ones(SHAPE, np.uint8))
    masks = read_masks(tmp_path, SCAN)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.labels.names[3] == "rul"
    assert masks.recognised.startswith("'lung_upper_lobe_right' as right upper lobe")


def test_a_folder_with_overlapping_lungs(tmp_path: Path) -> None:
    drawn = _labels(1)
    _write(tmp_path / "lung_left.nii", drawn)
    _write(tmp_path / "lung_right.nii", drawn)
    with pytest.raises(InputError, match=r"overlap: 100 % of one of them lie in another \(limit 5"):
        read_masks(tmp_path, SCAN)


def test_a_folder_with_masks_of_one_name(tmp_path: Path) -> None:
    _write(tmp_path / "lungs.nii", _labels(1))
    _write(tmp_path / "Lungs_auto.nii", _labels(1))
    with pytest.raises(InputError, match="2 files by the name of both lungs: 'Lungs_auto' and"):
        read_masks(tmp_path, SCAN)


def test_a_folder_or_file_without_a_mask(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom())
    with pytest.raises(UnreadableFile, match=r"ct holds no mask\. Give a label map") as caught:
        read_masks(tmp_path / "ct", SCAN)
    assert caught.value.code == "no_mask"
    with pytest.raises(UnreadableFile, match=r"000\.dcm holds no mask\. Give a label map"):
        read_masks(tmp_path / "ct" / "000.dcm", SCAN)
    with pytest.raises(UnreadableFile, match="There is nothing at"):
        read_masks(tmp_path / "nowhere", SCAN)


def test_a_label_map_of_a_dicom_series(tmp_path: Path) -> None:
    """Written on the canonical grid, as converters do, and read for the series itself."""
    write_series(tmp_path / "ct", phantom(), Store(flip_y=True))
    scan = read_scan(tmp_path / "ct")
    labels = np.random.default_rng(1).integers(0, 3, scan.hu.shape).astype(np.uint8)
    stored = store(labels, scan.geometry, PLAIN[0], (False, True, False))
    masks = read_masks(write_nifti(tmp_path / "m.nii", *stored), scan)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    other = replace(scan, geometry=Geometry.from_spacing(scan.hu.shape, (2.5, 0.7, 0.8)))
    with pytest.raises(GeometryMismatch, match="does not lie on the grid of the scan"):
        read_masks(tmp_path / "m.nii", other)
