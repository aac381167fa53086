"""A result as DICOM lies on the source's own slices, however these were stored."""

from __future__ import annotations

import dataclasses
import errno
import zipfile
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from support.dicom_files import (
    AXIAL,
    Store,
    phantom,
    plane_tags,
    stored_plane,
    uid,
    write_enhanced,
    write_series,
)
from support.marked import marked, placed, truth
from support.small_result import KEY, empty_result, small_result

import ctlung
from ctlung import GeometryMismatch, InputError, Key, OutputError, exchange
from ctlung.reading.masks import read_masks
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.writing.dicom_codes import SEG_FILE, SR_FILE

WAYS = "ImageOrientationPatient"
HU = phantom((7, 11, 9))
"""99 pixels a slice: frames of a segmentation do not end on a byte."""


def _written(source: Path, out: Path, **how: Any) -> tuple[ScanResult, Path, Path]:
    result = marked(ctlung.read_scan(source))
    seg, sr = ctlung.write_dicom(result, source, out, key=KEY, **how)
    return result, seg, sr


def _by_pydicom(result: ScanResult, seg: Path) -> None:
    found, expected = placed(seg, result.scan.geometry), truth(result)
    assert list(found) == list(expected)
    for label, mask in expected.items():
        np.testing.assert_array_equal(found[label], mask, err_msg=label)


def _by_highdicom(result: ScanResult, seg: Path, store: Store) -> None:
    """Asked by source slice, in the source's own rows and columns."""
    image = hd.seg.segread(seg)
    slices = [uid(store.study, store.series, k) for k in range(HU.shape[0])]
    pixels = image.get_pixels_by_source_instance(
        slices, ignore_spatial_locations=False, assert_missing_frames_are_empty=True
    )
    for s, mask in enumerate(truth(result).values()):
        for k in range(len(slices)):
            np.testing.assert_array_equal(pixels[k, :, :, s] > 0, stored_plane(store, mask[k]))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("turn", sorted(AXIAL))
def test_eight_orientations_in_three_orders(
    tmp_path: Path, turn: tuple[bool, bool, bool], order: str
) -> None:
    store = Store(*turn)
    write_series(tmp_path / "in", HU, store, order=order)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)
    _by_highdicom(result, seg, store)


@pytest.mark.parametrize("turn", sorted(AXIAL))
def test_simpleitk_reads_the_frames(tmp_path: Path, turn: tuple[bool, bool, bool]) -> None:
    """GDCM, below it, knows nothing of segments: it gives the frames as they follow each other.

    (It loses the last bits of a file whose frames together do not end on a byte.)
    """
    store = Store(*turn)
    write_series(tmp_path / "in", phantom((7, 12, 10)), store)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(seg))) > 0
    normal = np.cross(*np.split(np.array(plane_tags(store, 0, (7, 12, 10))[WAYS]), 2))
    order = -1 if normal[2] > 0 else 1
    expected = [
        stored_plane(store, plane)
        for mask in truth(result).values()
        for plane in mask[::order]
        if plane.any()
    ]
    np.testing.assert_array_equal(frames, np.stack(expected))


@pytest.mark.parametrize("turn", sorted(AXIAL))
def test_each_frame_repeats_its_source(tmp_path: Path, turn: tuple[bool, bool, bool]) -> None:
    """Rows, columns, orientation, spacing and position are those of the slice it refers to."""
    write_series(tmp_path / "in", HU, Store(*turn), order="shuffled")
    _, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    slices = {str(d.SOPInstanceUID): d for d in map(dcmread, (tmp_path / "in").iterdir())}
    image, seen = dcmread(seg), set()
    shared = image.SharedFunctionalGroupsSequence[0]
    for frame in image.PerFrameFunctionalGroupsSequence:
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        own = slices[str(item.ReferencedSOPInstanceUID)]
        seen.add(own.SOPInstanceUID)
        assert item.SpatialLocationsPreserved == "YES"
        assert (image.Rows, image.Columns) == (own.Rows, own.Columns)
        assert frame.PlanePositionSequence[0].ImagePositionPatient == own.ImagePositionPatient
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        assert orientation == own.ImageOrientationPatient
        assert shared.PixelMeasuresSequence[0].PixelSpacing == own.PixelSpacing
    assert seen == set(slices)
    assert image.FrameOfReferenceUID == own.FrameOfReferenceUID
    referred = image.ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == own.SeriesInstanceUID
    named = {str(i.ReferencedSOPInstanceUID) for i in referred.ReferencedInstanceSequence}
    assert named == set(slices)


@pytest.mark.parametrize("position", ["FFS", "HFP", "FFP", "HFDL", "FFDR"])
def test_patients_lying_otherwise(tmp_path: Path, position: str) -> None:
    prone, side = position.endswith("P"), position.endswith(("L", "R"))
    store = Store(side, prone, prone or side, tags={"PatientPosition": position})
    write_series(tmp_path / "in", HU, store)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)
    _by_highdicom(result, seg, store)


@pytest.mark.parametrize(
    "store",
    [
        Store(tilt_degrees=14.0),
        Store(True, False, True, tilt_degrees=-11.0),
        Store(shear=0.25),
        Store(False, True, False, positions=(0.0, 2.5, 5.0, 9.0, 11.5, 14.0, 20.0)),
        Store(spacing=(1.0, 0.123456789, 0.9876543219), origin=(-100.1234567, 33.3333333, -7.0)),
    ],
    ids=["tilted", "tilted, turned", "sheared", "uneven", "long decimals"],
)
def test_stacks_that_are_no_boxes(tmp_path: Path, store: Store) -> None:
    write_series(tmp_path / "in", HU, store)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)
    _by_highdicom(result, seg, store)


@pytest.mark.parametrize("syntax", ["implicit", "big_endian", "deflated", "jpeg_ls"])
def test_encodings_of_the_source(tmp_path: Path, syntax: str) -> None:
    store = Store(syntax=syntax)
    write_series(tmp_path / "in", HU, store)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("turn", [(False, False, False), (True, True, False)])
def test_enhanced_multi_frame(tmp_path: Path, turn: tuple[bool, bool, bool], legacy: bool) -> None:
    store, frames = Store(*turn), [3, 0, 6, 2, 5, 1, 4]
    source = write_enhanced(tmp_path / "one.dcm", HU, store, frames=frames, legacy=legacy)
    result, seg, _ = _written(source, tmp_path / "out")
    _by_pydicom(result, seg)
    original, image = dcmread(source), dcmread(seg)
    for frame in image.PerFrameFunctionalGroupsSequence:
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert item.ReferencedSOPClassUID == original.SOPClassUID
        assert item.ReferencedSOPInstanceUID == original.SOPInstanceUID
        own = original.PerFrameFunctionalGroupsSequence[int(item.ReferencedFrameNumber) - 1]
        position = own.PlanePositionSequence[0].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == position
    (instance,) = image.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert len(image.SourceImageSequence) == 1
    pixels = hd.seg.segread(seg).get_pixels_by_source_frame(
        original.SOPInstanceUID,
        list(range(1, len(frames) + 1)),
        assert_missing_frames_are_empty=True,
    )
    for s, mask in enumerate(truth(result).values()):
        for f, k in enumerate(frames):
            np.testing.assert_array_equal(pixels[f, :, :, s] > 0, stored_plane(store, mask[k]))


def test_one_scan_in_two_multi_frame_objects(tmp_path: Path) -> None:
    for part, frames in enumerate(([0, 2, 4, 6], [1, 3, 5])):
        store = Store(tags={"SOPInstanceUID": uid("part", part)})
        write_enhanced(tmp_path / "in" / f"{part}.dcm", HU, store, frames=frames)
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)
    items = dcmread(seg).ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {i.ReferencedSOPInstanceUID for i in items} == {uid("part", 0), uid("part", 1)}


def test_a_zip_and_a_folder_with_other_things(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", HU, Store(False, True, True))
    write_series(tmp_path / "in" / "other", HU, Store(series="other"))
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    (tmp_path / "in" / "cut.dcm").write_bytes(paths[0].read_bytes()[:400])
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    result = marked(ctlung.read_scan(tmp_path / "scan.zip"))
    seg, _ = ctlung.write_dicom(result, tmp_path / "scan.zip", tmp_path / "a", key=KEY)
    same, _ = ctlung.write_dicom(result, tmp_path / "in", tmp_path / "b", key=KEY)
    _by_pydicom(result, seg)
    assert seg.read_bytes() == same.read_bytes()


def test_ctlung_reads_its_own_segmentation(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU, Store(True, False, True))
    result, seg, _ = _written(tmp_path / "in", tmp_path / "out")
    lobes = read_masks(seg, result.scan, Settings()).labels
    assert result.lobes is not None
    np.testing.assert_array_equal(lobes.labels, result.lobes.labels)
    plain = dataclasses.replace(result, lobes=None)
    seg, _ = ctlung.write_dicom(plain, tmp_path / "in", tmp_path / "plain")
    lungs = read_masks(seg, result.scan, Settings()).labels
    np.testing.assert_array_equal(lungs.labels, result.lungs.labels)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU)
    result, seg, sr = _written(tmp_path / "in", tmp_path / "a")
    _, again, same = _written(tmp_path / "in", tmp_path / "b")
    assert seg.read_bytes() == again.read_bytes()
    assert sr.read_bytes() == same.read_bytes()
    other, told = ctlung.write_dicom(
        marked(result.scan, seed=4), tmp_path / "in", tmp_path / "c", key=KEY
    )
    uids = {dcmread(p).SOPInstanceUID for p in (seg, sr, other, told)}
    assert len(uids) == 4
    assert len({dcmread(p).SeriesInstanceUID for p in (seg, sr, other, told)}) == 4


def test_no_date_of_now(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU)
    _, *paths = _written(tmp_path / "in", tmp_path / "out")
    for path in paths:
        dates = [e for e in dcmread(path).iterall() if e.VR in ("DA", "DT")]
        days = {str(e.value)[:8] for e in dates if e.keyword != "PatientBirthDate" and e.value}
        assert days == {"20200401"}


def test_a_result_from_its_folder(tmp_path: Path) -> None:
    """What was written at once and what is written later are the same."""
    write_series(tmp_path / "in", HU, Store(spacing=(2.5, 7.0, 8.0)), order="shuffled")
    result, _, _ = _written(tmp_path / "in", tmp_path / "at_once")
    ctlung.write_result(result, tmp_path / "finished")
    later = ctlung.read_result(tmp_path / "finished")
    for path in ctlung.write_dicom(later, tmp_path / "in", tmp_path / "finished", key=KEY):
        assert path.read_bytes() == (tmp_path / "at_once" / path.name).read_bytes()
    with pytest.raises(InputError, match="keyed hashes, and the key given is not the one"):
        ctlung.write_dicom(later, tmp_path / "in", tmp_path / "x")
    with pytest.raises(InputError, match="the key given is not the one"):
        ctlung.write_dicom(later, tmp_path / "in", tmp_path / "x", key=Key(b"k" * 16))


def test_a_folder_with_identifiers_in_clear_needs_no_key(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU, Store(spacing=(2.5, 7.0, 8.0)))
    result = marked(ctlung.read_scan(tmp_path / "in"), key=None)
    ids = result.scan.source.identifiers
    told = dataclasses.replace(
        result.report.provenance, identifiers={"sop_uids": list(ids.sop_uids)}
    )
    report = dataclasses.replace(result.report, provenance=told)
    ctlung.write_result(dataclasses.replace(result, report=report), tmp_path / "finished")
    later = ctlung.read_result(tmp_path / "finished")
    seg, _ = ctlung.write_dicom(later, tmp_path / "in", tmp_path / "out")
    _by_pydicom(result, seg)


def test_a_result_that_forgot_its_slices_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU, Store(spacing=(2.5, 7.0, 8.0)))
    result = marked(ctlung.read_scan(tmp_path / "in"), key=None)
    ctlung.write_result(result, tmp_path / "finished")
    later = ctlung.read_result(tmp_path / "finished")
    with pytest.raises(InputError, match="does not say which slices it was measured from"):
        ctlung.write_dicom(later, tmp_path / "in", tmp_path / "out", key=KEY)
    assert not (tmp_path / "out").exists()


def test_what_is_no_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not measured from DICOM \(but from: array\)"):
        ctlung.write_dicom(small_result(), tmp_path, tmp_path / "out")
    (tmp_path / "scan.nii.gz").write_bytes(b"whatever")
    with pytest.raises(InputError, match=r"scan\.nii\.gz is no DICOM"):
        ctlung.write_dicom(small_result(), tmp_path / "scan.nii.gz", tmp_path / "out")


def test_the_wrong_source_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU)
    write_series(tmp_path / "other", HU, Store(series="other"))
    result = marked(ctlung.read_scan(tmp_path / "in"))
    with pytest.raises(InputError, match="7 of the 7 slices of this result are not in"):
        ctlung.write_dicom(result, tmp_path / "other", tmp_path / "out")
    (tmp_path / "in" / "003.dcm").unlink()
    with pytest.raises(InputError, match="1 of the 7 slices"):
        ctlung.write_dicom(result, tmp_path / "in", tmp_path / "out")
    with pytest.raises(ctlung.UnreadableFile, match="There is nothing at"):
        ctlung.write_dicom(result, tmp_path / "nowhere", tmp_path / "out")


def test_headers_that_changed_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU)
    result = marked(ctlung.read_scan(tmp_path / "in"))
    write_series(tmp_path / "in", HU, Store(origin=(-30.0, -20.0, 100.0)))
    with pytest.raises(GeometryMismatch, match="do not lie where they lay"):
        ctlung.write_dicom(result, tmp_path / "in", tmp_path / "out")


def test_a_result_without_lungs_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "in", phantom((2, 8, 9)), Store(spacing=(2.0, 3.0, 3.0)))
    scan = ctlung.read_scan(tmp_path / "in")
    nothing = empty_result()
    result = dataclasses.replace(
        marked(scan),
        lungs=dataclasses.replace(nothing.lungs, geometry=scan.geometry),
        lesions=dataclasses.replace(nothing.lesions, geometry=scan.geometry),
        lobes=None,
    )
    with pytest.raises(InputError, match="There is no lung in this result"):
        ctlung.write_dicom(result, tmp_path / "in", tmp_path / "out")


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU)
    _, seg, sr = _written(tmp_path / "in", tmp_path / "out")
    sr.unlink()
    seg.write_bytes(b"mine")
    with pytest.raises(OutputError, match=f"holds {SEG_FILE} already"):
        _written(tmp_path / "in", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [SEG_FILE]
    assert seg.read_bytes() == b"mine"
    result, *_ = _written(tmp_path / "in", tmp_path / "out", force=True)
    _by_pydicom(result, seg)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([SEG_FILE, SR_FILE])
    with pytest.raises(OutputError, match="is a file, not a folder"):
        _written(tmp_path / "in", seg)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "in", HU)
    true_save = exchange.save

    def save(dataset: Any, path: Path) -> None:
        if dataset.Modality == "SR":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "no space")
        true_save(dataset, path)

    monkeypatch.setattr(exchange, "save", save)
    with pytest.raises(OutputError, match="full; nothing was left there"):
        _written(tmp_path / "in", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_two_visits_share_what_is_tracked(tmp_path: Path) -> None:
    tracked: dict[str, list[set[str]]] = {"key": [], "none": []}
    for visit in ("one", "two"):
        source = tmp_path / visit
        write_series(source, HU, Store(study=visit))
        result = marked(ctlung.read_scan(source))
        for name, key in (("key", KEY), ("none", None)):
            seg, sr = ctlung.write_dicom(result, source, tmp_path / f"{visit}-{name}", key=key)
            own = {str(s.TrackingUID) for s in dcmread(seg).SegmentSequence}
            report = hd.sr.srread(sr).content
            groups = report.get_volumetric_roi_measurement_groups()
            assert {str(g.tracking_uid) for g in groups} <= own
            tracked[name].append(own)
    assert tracked["key"][0] == tracked["key"][1]
    assert tracked["none"][0].isdisjoint(tracked["none"][1])
    assert tracked["none"][0].isdisjoint(tracked["key"][0])
