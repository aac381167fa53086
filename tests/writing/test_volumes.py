"""Masks go back on the grid they came from; the bytes depend on nothing but the volume."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from support.dicom_files import Store, phantom, write_series
from support.nifti_files import (
    ALL_ORDERS,
    RAS_LPS,
    small_hu,
    store,
    turned_geometry,
    write_itk,
    write_nifti,
)

from ctlung.geometry import Geometry
from ctlung.reading.images import read_image
from ctlung.reading.scan import read_scan
from ctlung.volume import LabelMap, Scan
from ctlung.writing.volumes import SCAN_MARGIN_MM, lung_box, write_labels, write_scan_box

NAMES = {1: "right_lung", 2: "left_lung"}
Array = np.ndarray[Any, Any]


def _labels(scan: Scan, seed: int = 5) -> LabelMap:
    """Labels that tell every axis and direction apart."""
    rng = np.random.default_rng(seed)
    return LabelMap(rng.integers(0, 3, scan.hu.shape).astype(np.uint8), scan.geometry, NAMES)


def _box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> Array:
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(*r) for r in ranges)] = 1
    return labels


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_mask_lies_on_the_file_in_all_48_orders(tmp_path: Path, suffix: str) -> None:
    geometry = turned_geometry()
    for order, flips in ALL_ORDERS:
        stored, affine = store(small_hu(), geometry, order, flips)
        path = write_nifti(tmp_path / f"scan{suffix}", stored, affine)
        scan = read_image(path)
        labels = _labels(scan)
        write_labels(labels, scan.source.stored, tmp_path / "lungs.nii.gz")
        mask, original = nib.load(tmp_path / "lungs.nii.gz"), nib.load(path)
        assert mask.shape == original.shape
        np.testing.assert_allclose(mask.affine, original.affine, atol=1e-4)
        expected, _ = store(labels.labels, geometry, order, flips)
        np.testing.assert_array_equal(np.asarray(mask.dataobj), expected)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_an_itk_mask_lies_on_the_file_in_all_48_orders(tmp_path: Path, suffix: str) -> None:
    geometry = turned_geometry()
    for order, flips in ALL_ORDERS:
        path = write_itk(tmp_path / f"scan{suffix}", *store(small_hu(), geometry, order, flips))
        scan = read_image(path)
        labels = _labels(scan)
        write_labels(labels, scan.source.stored, tmp_path / "lungs.nii.gz")
        mask, original = sitk.ReadImage(str(tmp_path / "lungs.nii.gz")), sitk.ReadImage(str(path))
        assert mask.GetSize() == original.GetSize()
        np.testing.assert_allclose(mask.GetSpacing(), original.GetSpacing(), atol=1e-4)
        np.testing.assert_allclose(mask.GetDirection(), original.GetDirection(), atol=1e-4)
        np.testing.assert_allclose(mask.GetOrigin(), original.GetOrigin(), atol=1e-3)
        expected, _ = store(labels.labels, geometry, order, flips)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask).T, expected)


def test_a_dicom_mask_lies_on_the_sorted_stack(tmp_path: Path) -> None:
    hu = phantom()
    write_series(tmp_path / "in", hu, Store(transposed=True, flip_y=True), order="shuffled")
    scan = read_scan(tmp_path / "in")
    labels = _labels(scan)
    write_labels(labels, scan.source.stored, tmp_path / "lungs.nii.gz")
    mask = nib.load(tmp_path / "lungs.nii.gz")
    assert mask.shape == hu.shape[::-1]
    np.testing.assert_array_equal(np.asarray(mask.dataobj), labels.labels.T)
    for index in ((0, 0, 0), (3, 5, 2), tuple(n - 1 for n in hu.shape)):
        lps = scan.geometry.to_mm(index)
        ras = mask.affine @ [*index[::-1], 1.0]
        np.testing.assert_allclose(ras[:3], lps * [-1, -1, 1], atol=1e-4)


def test_a_tilted_stack_keeps_its_shear(tmp_path: Path) -> None:
    matrix = Geometry.from_spacing((4, 5, 6), (3.0, 0.8, 0.7)).matrix.copy()
    matrix[1, 0] = 0.97
    geometry = Geometry.from_affine((4, 5, 6), matrix)
    write_labels(
        LabelMap(_box((4, 5, 6), (1, 3), (1, 4), (2, 5)), geometry, NAMES),
        None,
        tmp_path / "lungs.nii.gz",
    )
    mask = nib.load(tmp_path / "lungs.nii.gz")
    expected = RAS_LPS @ matrix[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(mask.affine, expected, atol=1e-5)
    assert mask.header["sform_code"] == 1
    assert mask.header["qform_code"] == 0


def test_a_sheared_nifti_keeps_its_affine(tmp_path: Path) -> None:
    matrix = Geometry.from_spacing((5, 6, 7), (3.0, 0.8, 0.7), (-20, -30, 100)).matrix.copy()
    matrix[1, 0] = -0.8
    geometry = Geometry.from_affine((5, 6, 7), matrix)
    path = write_nifti(tmp_path / "scan.nii", *store(small_hu(), geometry))
    scan = read_image(path)
    write_labels(_labels(scan), scan.source.stored, tmp_path / "lungs.nii.gz")
    np.testing.assert_allclose(
        nib.load(tmp_path / "lungs.nii.gz").affine, nib.load(path).affine, atol=1e-4
    )


def test_straight_grids_state_both_forms(tmp_path: Path) -> None:
    geometry = turned_geometry()
    write_labels(
        LabelMap(np.zeros((5, 6, 7), np.uint8), geometry, NAMES), None, tmp_path / "m.nii.gz"
    )
    mask = nib.load(tmp_path / "m.nii.gz")
    assert (mask.header["sform_code"], mask.header["qform_code"]) == (1, 1)
    np.testing.assert_allclose(mask.get_qform(), mask.get_sform(), atol=1e-4)
    assert mask.header.get_xyzt_units()[0] == "mm"


def test_masks_are_bytes_and_scans_are_hounsfield_units(tmp_path: Path) -> None:
    hu = np.random.default_rng(2).integers(-1024, 3072, (6, 30, 40)).astype(np.int16)
    scan = Scan(hu, Geometry.from_spacing(hu.shape, (10.0, 3.0, 3.0), (-60.0, -45.0, 7.0)))
    lungs = LabelMap(_box(hu.shape, (2, 4), (12, 16), (15, 20)), scan.geometry, NAMES)
    write_labels(lungs, None, tmp_path / "lungs.nii.gz")
    write_scan_box(scan, lungs, tmp_path / "scan.nii.gz")
    mask, kept = nib.load(tmp_path / "lungs.nii.gz"), nib.load(tmp_path / "scan.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert kept.get_data_dtype() == np.int16
    # 20 mm: two slices, seven rows, seven columns.
    np.testing.assert_array_equal(np.asarray(kept.dataobj).T, hu[0:6, 5:23, 8:27])
    shift = np.linalg.inv(mask.affine) @ kept.affine
    np.testing.assert_allclose(shift[:3, 3], [8, 5, 0], atol=1e-4)


def test_the_box_of_a_flipped_file_lies_where_the_file_says(tmp_path: Path) -> None:
    shape = (20, 30, 40)
    hu = np.random.default_rng(3).integers(-1000, 900, shape).astype(np.int16)
    geometry = Geometry.from_spacing(shape, (4.0, 3.0, 2.5), (-50.0, -40.0, 10.0))
    for order, flips in ALL_ORDERS[::5]:
        stored, affine = store(hu, geometry, order, flips)
        path = write_nifti(tmp_path / "scan.nii", stored, affine)
        scan = read_image(path)
        lungs = LabelMap(_box(shape, (9, 11), (12, 15), (18, 21)), scan.geometry, NAMES)
        write_scan_box(scan, lungs, tmp_path / "box.nii.gz")
        kept, original = nib.load(tmp_path / "box.nii.gz"), nib.load(path)
        start = np.rint((np.linalg.inv(original.affine) @ kept.affine)[:3, 3]).astype(int)
        part = tuple(slice(a, a + n) for a, n in zip(start, kept.shape, strict=True))
        np.testing.assert_array_equal(np.asarray(kept.dataobj), stored[part])
        assert kept.shape != original.shape


def test_the_box_stays_inside_the_scan() -> None:
    geometry = Geometry.from_spacing((6, 8, 9), (5.0, 2.0, 2.0))
    whole = LabelMap(np.ones((6, 8, 9), np.uint8), geometry, NAMES)
    assert lung_box(whole, SCAN_MARGIN_MM) == (slice(0, 6), slice(0, 8), slice(0, 9))
    assert lung_box(LabelMap(np.zeros((6, 8, 9), np.uint8), geometry, NAMES), 5.0) is None


def test_a_scan_without_lungs_is_kept_whole(tmp_path: Path) -> None:
    hu = small_hu()
    scan = Scan(hu, turned_geometry())
    nothing = LabelMap(np.zeros(hu.shape, np.uint8), scan.geometry, NAMES)
    write_scan_box(scan, nothing, tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "scan.nii.gz").dataobj).T, hu)


def test_the_bytes_hold_no_name_and_no_time(tmp_path: Path) -> None:
    labels = LabelMap(_box((5, 6, 7), (1, 3), (1, 4), (2, 5)), turned_geometry(), NAMES)
    (tmp_path / "other").mkdir()
    write_labels(labels, None, tmp_path / "one.nii.gz")
    write_labels(labels, None, tmp_path / "other" / "two.nii.gz")
    one = (tmp_path / "one.nii.gz").read_bytes()
    assert one == (tmp_path / "other" / "two.nii.gz").read_bytes()
    assert one[3:8] == b"\0" * 5  # no name, no time
    assert b"one" not in one
    assert len(gzip.decompress(one)) == 352 + 5 * 6 * 7


def test_two_tools_read_the_same(tmp_path: Path) -> None:
    labels = LabelMap(_box((5, 6, 7), (1, 3), (1, 4), (2, 5)), turned_geometry(), NAMES)
    write_labels(labels, None, tmp_path / "m.nii.gz")
    by_itk = sitk.ReadImage(str(tmp_path / "m.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_itk), labels.labels)
    np.testing.assert_allclose(by_itk.GetOrigin(), turned_geometry().to_mm((0, 0, 0)), atol=1e-3)
