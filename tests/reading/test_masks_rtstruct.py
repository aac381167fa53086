"""DICOM structure sets: contours filled on the scan's slices by the even-odd rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import Store, phantom, write_series
from support.mask_files import Roi, write_rtstruct

from ctlung.errors import GeometryMismatch, InputError
from ctlung.reading.masks import read_masks
from ctlung.reading.rtstruct import even_odd
from ctlung.reading.scan import read_scan
from ctlung.volume import Scan

SHAPE = (7, 40, 50)
Array = np.ndarray[Any, Any]


def _scan(folder: Path, store: Store | None = None) -> Scan:
    write_series(folder / "ct", phantom(SHAPE), store)
    return read_scan(folder / "ct")


def _square(y0: float, y1: float, x0: float, x1: float) -> Array:
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def _in(scan: Scan, k: int, corners: Array) -> Array:
    """LPS mm of (row, column) corners in slice ``k``."""
    index = np.column_stack([np.full(len(corners), float(k)), corners])
    return scan.geometry.to_mm(index)


RIGHT, LEFT = _square(9.5, 29.5, 4.5, 19.5), _square(9.5, 29.5, 29.5, 44.5)


def _drawn(scan: Scan) -> list[Roi]:
    return [
        Roi("Heart", [_in(scan, 3, _square(1, 5, 1, 5))]),
        Roi("Lung_L", [_in(scan, k, LEFT) for k in range(1, 6)]),
        Roi("Lung_R", [_in(scan, k, RIGHT) for k in range(1, 6)]),
        Roi("isocentre", [_in(scan, 3, np.array([[3.0, 3.0]]))], "POINT"),
    ]


def _expected() -> Array:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:6, 10:30, 5:20], labels[1:6, 10:30, 30:45] = 1, 2
    return labels


@pytest.mark.parametrize(
    "store", [Store(), Store(flip_x=True), Store(transposed=True, flip_y=True), Store(shear=0.15)]
)
def test_contours_are_filled_where_they_lie(store: Store, tmp_path: Path) -> None:
    scan = _scan(tmp_path, store)
    masks = read_masks(write_rtstruct(tmp_path / "rt.dcm", _drawn(scan)), scan)
    np.testing.assert_array_equal(masks.labels.labels, _expected())
    assert masks.recognised == "'Lung_R' as right lung, 'Lung_L' as left lung"


def test_holes_keyholes_islands_and_contours_that_come_twice(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    hole = _square(14.5, 19.5, 9.5, 14.5)
    moved = hole[::-1] + np.array([0, 25])
    keyhole = np.concatenate([LEFT, LEFT[:1], moved, moved[:1]])
    island = _square(15.5, 17.5, 10.5, 12.5)
    right = [_in(scan, 2, c) for c in (RIGHT, hole, island, RIGHT)]
    path = write_rtstruct(
        tmp_path / "rt.dcm", [Roi("Lung-Right", right), Roi("Lung-Left", [_in(scan, 2, keyhole)])]
    )
    expected = np.zeros(SHAPE, np.uint8)
    expected[2, 10:30, 5:20], expected[2, 10:30, 30:45] = 1, 2
    expected[2, 15:20, 10:15] = expected[2, 15:20, 35:40] = 0
    expected[2, 16:18, 11:13] = 1
    np.testing.assert_array_equal(read_masks(path, scan).labels.labels, expected)


def test_neighbours_share_no_pixel(tmp_path: Path) -> None:
    """Edges through pixel centres: each belongs to one of the two."""
    scan = _scan(tmp_path)
    rois = [
        Roi("Lung R", [_in(scan, 2, _square(5, 20, 5, 20))]),
        Roi("Lung L", [_in(scan, 2, _square(5, 20, 20, 35))]),
    ]
    labels = read_masks(write_rtstruct(tmp_path / "rt.dcm", rois), scan).labels.labels
    assert (labels == 1).sum() == (labels == 2).sum() == 15 * 15


def test_even_odd_is_a_disc_where_the_contour_is_one() -> None:
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.column_stack([31.3 + 20 * np.sin(angle), 30.2 + 20 * np.cos(angle)])
    y, x = np.mgrid[:64, :64]
    inside = (y - 31.3) ** 2 + (x - 30.2) ** 2 < 20**2
    assert np.count_nonzero(even_odd([circle], (64, 64)) != inside) <= 2


def test_even_odd_beyond_the_picture_is_cut() -> None:
    found = even_odd([_square(-10.5, 3.5, -7.5, 100.0)], (6, 8))
    assert found[:4].all()
    assert not found[4:].any()


def test_contours_of_other_slices(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_rtstruct(
        tmp_path / "rt.dcm",
        [Roi("lungs", [_in(scan, k, RIGHT) + np.array([0, 0, 1.2]) for k in range(1, 5)])],
    )
    with pytest.raises(GeometryMismatch, match=r"4 of 4 contours of 'lungs' in rt\.dcm lie in no"):
        read_masks(path, scan)


def test_contours_across_the_slices(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    sagittal = scan.geometry.to_mm(np.array([[1, 5, 9], [1, 25, 9], [5, 25, 9], [5, 5, 9.0]]))
    path = write_rtstruct(tmp_path / "rt.dcm", [Roi("lungs", [sagittal])])
    with pytest.raises(GeometryMismatch, match="1 of 1 contours of 'lungs'"):
        read_masks(path, scan)


def test_a_contour_rounded_to_a_tenth_of_a_millimetre_finds_its_slice(tmp_path: Path) -> None:
    scan = _scan(tmp_path, Store(spacing=(1.333, 0.7, 0.8)))
    rois = [Roi("lungs", [np.round(_in(scan, k, RIGHT), 1) for k in range(1, 6)])]
    labels = read_masks(write_rtstruct(tmp_path / "rt.dcm", rois), scan).labels.labels
    assert [bool(plane.any()) for plane in labels] == [False, *[True] * 5, False]


def test_of_another_series(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", _drawn(scan), series="1.2.3")
    with pytest.raises(InputError, match=r"rt\.dcm was drawn on another series") as caught:
        read_masks(path, scan)
    assert "1.2.3" not in str(caught.value)
    silent = write_rtstruct(tmp_path / "silent.dcm", _drawn(scan), series=None)
    np.testing.assert_array_equal(read_masks(silent, scan).labels.labels, _expected())


def test_no_lung_and_an_empty_one(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_rtstruct(tmp_path / "rt.dcm", [_drawn(scan)[0], Roi("Lung_L")])
    with pytest.raises(InputError, match=r"None of the structures in rt\.dcm.*It holds 'Heart'"):
        read_masks(path, scan)


@pytest.mark.data
def test_a_real_structure_set_is_its_rasterised_mask(data_dir: Path) -> None:
    scan = read_scan(data_dir / "dicom" / "lung1-001")
    folder = data_dir / "dicom" / "lung1-001-structures"
    drawn = read_masks(folder / "rtstruct.dcm", scan)
    filled = read_masks(folder / "lungs.nii.gz", scan)
    assert drawn.recognised == "'Lung R' as right lung, 'Lung L' as left lung"
    for side in (1, 2):
        a, b = drawn.labels.labels == side, filled.labels.labels == side
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.99
