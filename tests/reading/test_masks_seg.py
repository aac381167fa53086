"""DICOM segmentations: every kind, frames by their place, segments by code and label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from support.dicom_files import AXIAL, Store, phantom, write_series
from support.mask_files import (
    ANATOMY,
    DISEASE,
    LEFT,
    LEFT_LUNG,
    LUNG,
    RIGHT,
    RIGHT_LUNG,
    Segment,
    write_seg,
)

from ctlung.errors import GeometryMismatch, InputError, UnreadableFile
from ctlung.geometry import Geometry
from ctlung.reading.masks import read_masks
from ctlung.reading.scan import read_scan
from ctlung.volume import Scan

SHAPE = (7, 12, 10)
Array = np.ndarray[Any, Any]


def _scan(folder: Path, store: Store | None = None) -> Scan:
    write_series(folder / "ct", phantom(SHAPE), store)
    return read_scan(folder / "ct")


def _labels(top: int = 2) -> Array:
    """Random labels; some slices are empty, as sparse segmentations leave them out."""
    labels = np.random.default_rng(5).integers(0, top + 1, SHAPE).astype(np.uint8)
    labels[[0, 4]] = 0
    return labels


def _both(labels: Array) -> list[Segment]:
    return [Segment(labels == 1, "Right lung"), Segment(labels == 2, "Left lung")]


@pytest.mark.parametrize("turn", sorted(AXIAL))
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_every_kind_in_every_orientation(
    kind: str, turn: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    store = Store(transposed=turn[0], flip_y=turn[1], flip_x=turn[2])
    scan, labels = _scan(tmp_path, store), _labels()
    segments = _both(labels)
    if kind == "FRACTIONAL":
        segments = [replace(s, values=s.values * np.uint8(255)) for s in segments]
    path = write_seg(tmp_path / "seg.dcm", segments, store, kind=kind)
    masks = read_masks(path, scan)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.labels.geometry is scan.geometry
    assert masks.recognised == "'Right lung' as right lung, 'Left lung' as left lung"


@pytest.mark.parametrize(
    "store",
    [
        Store(positions=(0.0, 2.5, 5.0, 8.0, 10.0, 12.5, 16.0)),
        Store(tilt_degrees=12.0, shear=0.2),
        Store(shear=0.15, positions=(0.0, 2.5, 5.0, 8.0, 10.0, 12.5, 16.0)),
    ],
    ids=["uneven", "tilted", "uneven and sheared"],
)
def test_frames_of_uneven_and_tilted_stacks(store: Store, tmp_path: Path) -> None:
    scan, labels = _scan(tmp_path, store), _labels()
    path = write_seg(tmp_path / "seg.dcm", _both(labels), store)
    np.testing.assert_array_equal(read_masks(path, scan).labels.labels, labels)


def test_fractional_from_half_of_the_highest_on(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    values = np.random.default_rng(2).integers(0, 101, SHAPE).astype(np.uint8)
    path = write_seg(
        tmp_path / "seg.dcm", [Segment(values, "Lungs")], kind="FRACTIONAL", highest=100
    )
    masks = read_masks(path, scan)
    np.testing.assert_array_equal(masks.labels.labels, values >= 50)
    assert dict(masks.labels.names) == {1: "lungs"}


def test_a_part_of_the_slice_is_put_in_its_place(tmp_path: Path) -> None:
    store = Store(transposed=True, flip_x=True)
    scan, labels = _scan(tmp_path, store), _labels()
    labels[:, :, :3] = 0
    labels[:, :4] = 0
    crop = (slice(0, 7), slice(4, 12))
    path = write_seg(tmp_path / "seg.dcm", _both(labels), store, crop=crop)
    np.testing.assert_array_equal(read_masks(path, scan).labels.labels, labels)


def test_lobes_by_code_and_side(tmp_path: Path) -> None:
    scan, labels = _scan(tmp_path), _labels(5)
    codes = {
        1: ("45653009", LEFT),
        2: ("90572001", LEFT),
        3: ("45653009", RIGHT),
        4: ("72481006", None),
        5: ("90572001", RIGHT),
    }
    segments = [
        Segment(labels == n, f"segment {n}", kind, side) for n, (kind, side) in codes.items()
    ]
    path = write_seg(tmp_path / "seg.dcm", [*segments, Segment(labels > 0, kind=LUNG)])
    masks = read_masks(path, scan)
    np.testing.assert_array_equal(masks.labels.labels, labels)
    assert masks.labels.names[5] == "rll"


def test_a_label_tells_the_side_that_a_code_leaves_open(tmp_path: Path) -> None:
    scan, labels = _scan(tmp_path), _labels()
    segments = [
        Segment(labels == 2, "Lung Left", LUNG, number=4),
        Segment(labels == 1, "segment", LUNG, RIGHT, number=9),
    ]
    masks = read_masks(write_seg(tmp_path / "seg.dcm", segments), scan)
    np.testing.assert_array_equal(masks.labels.labels, labels)


def test_disease_of_a_lung_is_no_lung(tmp_path: Path) -> None:
    scan, labels = _scan(tmp_path), _labels()
    segments = [
        Segment(labels == 1, "Right lung", RIGHT_LUNG),
        Segment(labels == 2, "Left lung", LEFT_LUNG, category=ANATOMY),
        Segment(labels == 2, "Left lung", LEFT_LUNG, category=DISEASE),
    ]
    path = write_seg(tmp_path / "seg.dcm", segments)
    np.testing.assert_array_equal(read_masks(path, scan).labels.labels, labels)


def test_code_and_label_that_contradict_each_other(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", [Segment(_labels() > 0, "left lung", RIGHT_LUNG)])
    with pytest.raises(InputError, match=r"is the right lung by its code and the left lung by its"):
        read_masks(path, scan)


def test_a_voxel_in_two_segments_goes_to_the_first(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    right, left = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    right[:, :, :5], left[:, :, 5:] = True, True
    left[3, 3:6, 4] = True
    masks = read_masks(
        write_seg(tmp_path / "s.dcm", [Segment(right, "Lung R"), Segment(left, "Lung L")]), scan
    )
    assert (masks.labels.labels[3, 3:6, 4] == 1).all()
    left[:, :, 4] = True
    path = write_seg(tmp_path / "t.dcm", [Segment(right, "Lung R"), Segment(left, "Lung L")])
    with pytest.raises(InputError, match=r"overlap: 17 % of one of them lie in another"):
        read_masks(path, scan)


def test_of_another_series(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", _both(_labels()), series="1.2.3")
    with pytest.raises(InputError, match=r"s\.dcm was drawn on another series") as caught:
        read_masks(path, scan)
    assert "1.2.3" not in str(caught.value)
    assert scan.source.identifiers.series_uid not in str(caught.value)
    silent = write_seg(tmp_path / "t.dcm", _both(_labels()), series=None)
    assert read_masks(silent, scan).labels.labels.any()


def test_a_scan_without_uids_takes_what_lies_on_it(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    bare = Scan(scan.hu, scan.geometry)
    path = write_seg(tmp_path / "s.dcm", _both(_labels()), series="1.2.3")
    np.testing.assert_array_equal(read_masks(path, bare).labels.labels, _labels())


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((-30.0, -40.0, 101.0), r"A frame of s\.dcm lies 1\.00 mm from the nearest slice"),
        ((-30.3, -40.0, 102.5), r"The pixels of s\.dcm .* or lie beside them"),
        ((-38.0, -40.0, 102.5), r"s\.dcm reaches beyond the scan"),
    ],
)
def test_frames_that_lie_elsewhere(
    place: tuple[float, float, float], words: str, tmp_path: Path
) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", _both(_labels()), positions={1: place})
    with pytest.raises(GeometryMismatch, match=words):
        read_masks(path, scan)


def test_pixels_of_another_size(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", _both(_labels()), Store(spacing=(2.5, 1.0, 1.0)))
    with pytest.raises(GeometryMismatch, match=r"The pixels of s\.dcm \(1 x 1 mm, 12 x 10\)"):
        read_masks(path, scan)


def test_no_lung_in_it_and_nothing_in_it(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", [Segment(_labels() > 0, "Heart")])
    with pytest.raises(InputError, match=r"None of the segments in s\.dcm is a lung.*'Heart'"):
        read_masks(path, scan)
    nothing = [Segment(np.zeros(SHAPE, bool), "Lungs")]
    path = write_seg(tmp_path / "t.dcm", nothing, empty_frames=True)
    with pytest.raises(InputError, match="All segments in it are empty"):
        read_masks(path, scan)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelData": b"\0\0"}, "its pixel data are cut short"),
        ({"NumberOfFrames": 3}, "it claims 3 frames but describes"),
        ({"Rows": 60_000}, "it claims 60000 rows"),
        ({"SegmentSequence": []}, "it describes no segments"),
    ],
)
def test_damaged_files(tags: dict[str, Any], words: str, tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    path = write_seg(tmp_path / "s.dcm", _both(_labels()), tags=tags)
    with pytest.raises(UnreadableFile, match=words):
        read_masks(path, scan)


def test_two_masks_in_a_folder(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    write_seg(tmp_path / "m" / "a.dcm", _both(_labels()))
    assert read_masks(tmp_path / "m", scan).file == "a.dcm"
    write_seg(tmp_path / "m" / "b.dcm", _both(_labels()))
    with pytest.raises(InputError, match=r"m holds 2 masks \(a\.dcm, b\.dcm\)\. Name the one"):
        read_masks(tmp_path / "m", scan)


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["binary", "binary_fractional", "true_fractional", "binary_single_frame"]
)
def test_real_files_read_as_pydicom_reads_them(name: str, data_dir: Path, tmp_path: Path) -> None:
    """Their only segment is "first segment"; renamed, it is placed by its frames' positions."""
    real = data_dir / "odd" / "seg-highdicom" / f"seg_image_ct_{name}.dcm"
    dataset = dcmread(real)
    frames = np.atleast_3d(dataset.pixel_array.T).T
    scan = _under(dataset, frames.shape)
    with pytest.raises(InputError, match=r"is a lung by its name\. It holds 'first segment'"):
        read_masks(real, scan)
    dataset.SegmentSequence[0].SegmentLabel = "Lungs"
    dataset.save_as(tmp_path / "renamed.dcm")
    found = read_masks(tmp_path / "renamed.dcm", scan).labels.labels
    least = dataset.get("MaximumFractionalValue", 1) / 2
    np.testing.assert_array_equal(found, frames >= least)


def _under(dataset: Any, shape: tuple[int, ...]) -> Scan:
    """An empty scan on the frames of a segmentation, which lie feet first."""
    places = [
        [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    step = places[1][2] - places[0][2] if len(places) > 1 else 1.0
    spacing = (step, *(float(v) for v in measures.PixelSpacing))
    return Scan(np.zeros(shape, np.int16), Geometry.from_spacing(shape, spacing, places[0]))
