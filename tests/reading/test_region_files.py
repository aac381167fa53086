"""Regions of any kind of file on the scan's grid, under their names, overlaps in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import Store, phantom, write_series
from support.mask_files import DISEASE, LEFT_LUNG, Roi, Segment, write_rtstruct, write_seg
from support.nifti_files import ALL_ORDERS, store, turned_geometry, write_itk, write_nifti

from ctlung.errors import GeometryMismatch, InputError, UnreadableFile
from ctlung.geometry import Geometry
from ctlung.reading.regions import LAYERS_AT_MOST, read_regions
from ctlung.reading.scan import read_scan
from ctlung.settings import Settings
from ctlung.volume import LabelMap, Scan

SHAPE = (5, 12, 10)
GRID = turned_geometry(SHAPE)
SCAN = Scan(np.zeros(SHAPE, np.int16), GRID)
Array = np.ndarray[Any, Any]


def _labels(*numbers: int, kind: Any = np.uint8) -> Array:
    rng = np.random.default_rng(3)
    return rng.choice(np.array([0, *numbers], kind), SHAPE)


def _write(path: Path, labels: Array, grid: Geometry = GRID) -> Path:
    write = write_itk if path.suffix in (".nrrd", ".mha") else write_nifti
    return write(path, *store(labels, grid))


def _found(maps: tuple[LabelMap, ...]) -> dict[str, Array]:
    """Region name to mask; no two of one label map share a voxel, for it has one label each."""
    found = {}
    for labels in maps:
        for number, name in labels.names.items():
            assert name not in found
            found[name] = labels.labels == number
    return found


def _same(maps: tuple[LabelMap, ...], expected: dict[str, Array]) -> None:
    found = _found(maps)
    assert list(found) == list(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


# label maps


@pytest.mark.parametrize("turn", ALL_ORDERS)
def test_any_storage_order_is_the_same(turn: Any, tmp_path: Path) -> None:
    labels = _labels(3, 7)
    maps = read_regions(write_nifti(tmp_path / "m.nii", *store(labels, GRID, *turn)), SCAN)
    _same(maps, {"label_3": labels == 3, "label_7": labels == 7})
    assert len(maps) == 1
    assert maps[0].geometry is GRID


@pytest.mark.parametrize("name", ["m.nrrd", "m.mha", "m.nii.gz"])
def test_formats_and_large_numbers(name: str, tmp_path: Path) -> None:
    labels = _labels(1, 300, 40_000, kind=np.uint16)
    maps = read_regions(str(_write(tmp_path / name, labels)), SCAN)
    _same(maps, {f"label_{n}": labels == n for n in (1, 300, 40_000)})


def test_names_of_a_slicer_file(tmp_path: Path) -> None:
    labels = _labels(1, 2, 5)
    path = _write(tmp_path / "s.seg.nrrd", labels)
    head, _, body = path.read_bytes().partition(b"\n\n")
    named = {1: "Tumour", 2: "肿瘤", 9: "nothing drawn"}
    lines = [
        f"Segment{i}_LabelValue:={n}\nSegment{i}_Name:={s}"
        for i, (n, s) in enumerate(named.items())
    ]
    path.write_bytes(head + b"\n" + "\n".join(lines).encode() + b"\n\n" + body)
    expected = {"Tumour": labels == 1, "label_2": labels == 2, "label_5": labels == 5}
    _same(read_regions(path, SCAN), {**expected, "nothing drawn": labels == 9})


def test_a_box_of_the_scan_is_put_in_its_place(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:9, 3:7] = 4
    box = (slice(1, 4), slice(2, 9), slice(3, 7))
    path = _write(tmp_path / "m.nii", np.ascontiguousarray(labels[box]), GRID.crop(box))
    _same(read_regions(path, SCAN), {"label_4": labels == 4})


def test_another_grid_is_refused(tmp_path: Path) -> None:
    other = Geometry.from_spacing(SHAPE, (2.0, 1.0, 1.0))
    with pytest.raises(GeometryMismatch, match=r"m\.nii does not lie on the grid of the scan: "):
        read_regions(_write(tmp_path / "m.nii", _labels(1), other), SCAN)


def test_nothing_in_it(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.nii", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"There is no region in m\.nii: nothing is drawn") as e:
        read_regions(path, SCAN)
    assert e.value.code == "given_regions"


def test_more_regions_than_are_taken(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.nii", _labels(1, 2, 3))
    assert len(_found(read_regions(path, SCAN, Settings(max_regions=3)))) == 3
    with pytest.raises(InputError, match=r"m\.nii holds more than 2 regions \(limit max_regions"):
        read_regions(path, SCAN, Settings(max_regions=2))
    many = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    with pytest.raises(InputError, match=r"holds more than 255 regions"):
        read_regions(_write(tmp_path / "n.nii", many), SCAN, Settings(max_regions=1000))


def test_a_scan_is_no_label_map(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.nii is not a label map"):
        read_regions(_write(tmp_path / "m.nii", _labels(-1000, 40, kind=np.int16)), SCAN)


def test_a_folder_holds_one_region_a_file(tmp_path: Path) -> None:
    gtv, ptv = _labels(1), _labels(0, 5)
    assert (gtv.astype(bool) & ptv.astype(bool)).any()
    _write(tmp_path / "GTV.nii.gz", gtv)
    _write(tmp_path / "PTV.mha", ptv)
    maps = read_regions(tmp_path, SCAN)
    _same(maps, {"GTV": gtv > 0, "PTV": ptv > 0})
    assert len(maps) == 2
    (tmp_path / "PTV.mha").unlink()
    _same(read_regions(tmp_path, SCAN), {"label_1": gtv > 0})


def test_a_folder_without_a_mask(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no mask")
    with pytest.raises(UnreadableFile, match="holds no mask"):
        read_regions(tmp_path, SCAN)
    with pytest.raises(UnreadableFile, match="There is nothing at"):
        read_regions(tmp_path / "gone", SCAN)


# DICOM segmentations


def _dicom(folder: Path, stored: Store | None = None) -> Scan:
    write_series(folder / "ct", phantom(SHAPE), stored)
    return read_scan(folder / "ct")


def _boxes() -> dict[str, Array]:
    """Two that overlap, one apart from both, and an empty one."""
    boxes = {name: np.zeros(SHAPE, bool) for name in ("Tumour", "Around it", "Apart", "Empty")}
    boxes["Tumour"][1:3, 3:6, 2:5] = True
    boxes["Around it"][1:4, 2:8, 1:7] = True
    boxes["Apart"][4, 9:12, 7:10] = True
    return boxes


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize("stored", [Store(), Store(transposed=True, flip_x=True)])
def test_segments_in_full(kind: str, stored: Store, tmp_path: Path) -> None:
    scan, boxes = _dicom(tmp_path, stored), _boxes()
    segments = [Segment(mask, name) for name, mask in boxes.items()]
    # Codes say nothing here: disease is a region as anything else, and labels may contradict them.
    segments[0] = replace(segments[0], category=DISEASE)
    segments[1] = replace(segments[1], kind=LEFT_LUNG)
    if kind == "FRACTIONAL":
        segments = [replace(s, values=s.values * np.uint8(255)) for s in segments]
    maps = read_regions(write_seg(tmp_path / "s.dcm", segments, stored, kind=kind), scan)
    names = ("Tumour", "Apart", "Empty", "Around it")
    _same(maps, {name: boxes[name] for name in names})
    assert [len(m.names) for m in maps] == [3, 1]


def test_a_label_map_segmentation(tmp_path: Path) -> None:
    scan, labels = _dicom(tmp_path), _labels(1, 2, 6)
    segments = [Segment(labels == n, f"part {n}", number=n) for n in (1, 2, 6)]
    segments.append(Segment(labels == 9, "", number=9))
    maps = read_regions(write_seg(tmp_path / "s.dcm", segments, kind="LABELMAP"), scan)
    _same(maps, {**{f"part {n}": labels == n for n in (1, 2, 6)}, "label_9": labels == 9})


def test_a_segmentation_of_another_series(tmp_path: Path) -> None:
    scan = _dicom(tmp_path)
    path = write_seg(tmp_path / "s.dcm", [Segment(_labels(1) > 0, "spot")], series="1.2.3")
    with pytest.raises(InputError, match=r"s\.dcm was drawn on another series"):
        read_regions(path, scan)


def test_an_empty_and_a_damaged_segmentation(tmp_path: Path) -> None:
    scan = _dicom(tmp_path)
    nothing = [Segment(np.zeros(SHAPE, bool), "spot")]
    path = write_seg(tmp_path / "s.dcm", nothing, empty_frames=True)
    with pytest.raises(InputError, match=r"There is no region in s\.dcm"):
        read_regions(path, scan)
    drawn = [Segment(_labels(1) > 0, "spot")]
    path = write_seg(tmp_path / "t.dcm", drawn, tags={"Rows": 4000, "Columns": 4000})
    with pytest.raises(UnreadableFile, match=r"t\.dcm is damaged"):
        read_regions(path, scan)


def test_as_many_in_one_place_as_can_be_told_apart(tmp_path: Path) -> None:
    scan = _dicom(tmp_path)
    segments = [Segment(_labels(1) > 0, f"s{n}") for n in range(LAYERS_AT_MOST + 1)]
    maps = read_regions(write_seg(tmp_path / "s.dcm", segments[:-1]), scan)
    assert len(maps) == len(_found(maps)) == LAYERS_AT_MOST
    with pytest.raises(
        InputError, match=r"'s16' in t\.dcm overlaps .* more than 16 regions in one"
    ):
        read_regions(write_seg(tmp_path / "t.dcm", segments), scan)


# structure sets


def _square(scan: Scan, k: int, y0: float, y1: float, x0: float, x1: float) -> Array:
    corners = [(k, y0, x0), (k, y0, x1), (k, y1, x1), (k, y1, x0)]
    return scan.geometry.to_mm(np.array(corners, float))


def test_structures_in_full(tmp_path: Path) -> None:
    scan, boxes = _dicom(tmp_path), _boxes()
    rois = [
        Roi("Tumour", [_square(scan, k, 2.5, 5.5, 1.5, 4.5) for k in (1, 2)]),
        Roi("Around it", [_square(scan, k, 1.5, 7.5, 0.5, 6.5) for k in (1, 2, 3)]),
        Roi("isocentre", [scan.geometry.to_mm(np.array([[2.0, 3.0, 3.0]]))], "POINT"),
        Roi("Apart", [_square(scan, 4, 8.5, 11.5, 6.5, 9.5)]),
        Roi("nothing"),
    ]
    maps = read_regions(write_rtstruct(tmp_path / "rt.dcm", rois), scan)
    _same(maps, {name: boxes[name] for name in ("Tumour", "Apart", "Around it")})


def test_structures_of_one_name_are_two_regions(tmp_path: Path) -> None:
    scan = _dicom(tmp_path)
    rois = [Roi("spot", [_square(scan, k, 1.5, 4.5, 1.5, 4.5)]) for k in (1, 3)]
    (labels,) = read_regions(write_rtstruct(tmp_path / "rt.dcm", rois), scan)
    assert dict(labels.names) == {1: "spot", 2: "spot"}
    assert [int(np.count_nonzero(labels.labels[k] == n)) for k, n in ((1, 1), (3, 2))] == [9, 9]


def test_structures_of_other_slices_and_none_at_all(tmp_path: Path) -> None:
    scan = _dicom(tmp_path)
    rois = [Roi("spot", [_square(scan, 1.5, 1.5, 4.5, 1.5, 4.5)])]
    with pytest.raises(GeometryMismatch, match=r"1 of 1 contours of 'spot' in rt\.dcm lie in no"):
        read_regions(write_rtstruct(tmp_path / "rt.dcm", rois), scan)
    with pytest.raises(InputError, match=r"There is no region in none\.dcm"):
        read_regions(write_rtstruct(tmp_path / "none.dcm", [Roi("nothing")]), scan)


def test_a_real_structure_set_is_its_rasterised_mask(data_dir: Path) -> None:
    scan = read_scan(data_dir / "dicom" / "lung1-001")
    drawn = data_dir / "dicom" / "lung1-001-structures"
    found = _found(read_regions(drawn / "rtstruct.dcm", scan))
    (raster,) = _found(read_regions(drawn / "gtv.nii.gz", scan)).values()
    tumour = found["GTV-1"]
    assert raster.any()
    assert np.count_nonzero(tumour ^ raster) < 0.02 * np.count_nonzero(raster)
    assert len(found) > 2
