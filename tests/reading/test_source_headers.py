"""Headers are read again and cleaned; what cannot be told again is refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from support.dicom_files import Store, phantom, uid, write_enhanced, write_series
from support.marked import marked, placed, truth

import ctlung
from ctlung import InputError
from ctlung.reading.source_headers import SourceHeaders, read_source_headers

HU = phantom((4, 8, 10))


def _series(folder: Path, **tags: Any) -> None:
    """A series with tags that pydicom would refuse to be given."""
    with config.disable_value_validation():
        write_series(folder, HU, Store(tags=tags))


def _read(folder: Path, **tags: Any) -> SourceHeaders:
    _series(folder, **tags)
    scan = ctlung.read_scan(folder)
    return read_source_headers(folder, scan.source.identifiers.sop_uids, scan.geometry)


def _written(folder: Path) -> list[Dataset]:
    result = marked(ctlung.read_scan(folder))
    paths = ctlung.write_dicom(result, folder, folder.with_name("out"))
    found, expected = placed(paths[0], result.scan.geometry), truth(result)
    assert all((found[label] == mask).all() for label, mask in expected.items())
    return [dcmread(path) for path in paths]


def test_what_is_told_of_the_source(tmp_path: Path) -> None:
    headers = _read(
        tmp_path / "in",
        StudyID="77",
        AccessionNumber="A 12",
        StudyTime="081530.25",
        StudyDescription="Chest",
        ReferringPhysicianName="House^Gregory",
        SeriesNumber=4,
        AcquisitionTime="081612",
    )
    assert dict(headers.patient_and_study) == {
        "PatientName": "Doe^patient",
        "PatientID": "patient",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyDate": "20200401",
        "StudyTime": "081530.25",
        "StudyID": "77",
        "StudyDescription": "Chest",
        "AccessionNumber": "A 12",
        "ReferringPhysicianName": "House^Gregory",
    }
    assert (headers.study_uid, headers.series_uid) == (
        uid("patient", "study"),
        uid("patient", "study", "series"),
    )
    assert headers.frame_of_reference_uid == uid("patient", "study", "frame")
    assert (headers.series_number, headers.date, headers.time) == (4, "20200401", "081612")
    assert (headers.rows, headers.columns, headers.thickness) == (8, 10, 2.5)
    assert [s.sop_uid for s in headers.slices] == [uid("study", "series", k) for k in range(4)]
    assert {s.frame for s in headers.slices} == {None}
    assert [s.position for s in headers.slices] == [(-30.0, -40.0, 100 + 2.5 * k) for k in range(4)]
    assert not headers.lossy


def test_nothing_in_the_clear_in_its_repr(tmp_path: Path) -> None:
    text = repr(_read(tmp_path / "in", PatientID="SECRET"))
    assert "SECRET" not in text
    assert "Doe" not in text
    assert uid("study", "series", 0) not in text


def test_frames_are_counted_from_one(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "in" / "one.dcm", HU, frames=[2, 0, 3, 1])
    scan = ctlung.read_scan(path)
    headers = read_source_headers(path, scan.source.identifiers.sop_uids, scan.geometry)
    assert [s.frame for s in headers.slices] == [2, 4, 1, 3]


def test_reading_stops_where_all_is_found(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU)
    scan = ctlung.read_scan(tmp_path / "a")
    write_series(tmp_path / "a" / "copies", HU)
    headers = read_source_headers(tmp_path, scan.source.identifiers.sop_uids, scan.geometry)
    assert len(headers.slices) == 4


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"PatientName": "<script>alert(1)</script>"},
            {"PatientName": "<script>alert(1)</script>"},
        ),
        ({"PatientName": "Do\x07e^\tA\x1b"}, {"PatientName": "Do e^ A"}),
        ({"PatientName": "A^" + "b" * 90}, {"PatientName": "A^" + "b" * 62}),
        ({"PatientName": "A^B^C^D^E^F^G"}, {"PatientName": "A^B^C^D^E"}),
        ({"StudyDescription": "x" * 200}, {"StudyDescription": "x" * 64}),
        ({"StudyID": "1" * 17}, {"StudyID": None}),
        ({"AccessionNumber": "1" * 40}, {"AccessionNumber": None}),
        ({"PatientSex": "female"}, {"PatientSex": None}),
        ({"PatientSex": "f"}, {"PatientSex": "F"}),
        ({"PatientBirthDate": "19701399"}, {"PatientBirthDate": None}),
        ({"StudyTime": "25:61"}, {"StudyTime": None}),
        ({"StudyDate": "yesterday"}, {"StudyDate": None}),
    ],
)
def test_texts_that_dicom_would_not_take(
    tmp_path: Path, tags: dict[str, Any], expected: dict[str, str | None]
) -> None:
    headers = _read(tmp_path / "in", **tags)
    for keyword, text in expected.items():
        assert headers.patient_and_study.get(keyword) == text
    for dataset in _written(tmp_path / "in"):
        for keyword, text in expected.items():
            assert str(dataset.get(keyword) or "") == (text or "")


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_names_in_other_character_sets(tmp_path: Path, charset: Any, name: str) -> None:
    _series(tmp_path / "in", SpecificCharacterSet=charset, PatientName=name)
    for dataset in _written(tmp_path / "in"):
        assert str(dataset.PatientName) == name
        assert dataset.SpecificCharacterSet == "ISO_IR 192"


def test_a_character_set_that_nobody_knows(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU, Store(tags={"PatientName": "Doe^Jane"}))
    for path in (tmp_path / "in").iterdir():
        dataset = dcmread(path)
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.save_as(path)
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"KLINGON 1 "))
    for dataset in _written(tmp_path / "in"):
        assert str(dataset.PatientName) in ("Doe^Jane", "")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    write_series(tmp_path / "in", HU, Store(tags={"SpecificCharacterSet": "ISO_IR 192"}))
    for path in (tmp_path / "in").iterdir():
        path.write_bytes(path.read_bytes().replace(b"Doe^patient", b"D\xff\xfe^pa\xc3ient"))
    for dataset in _written(tmp_path / "in"):
        assert "^pa" in str(dataset.PatientName)


def test_headers_that_say_next_to_nothing(tmp_path: Path) -> None:
    silent = dict.fromkeys(
        (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "AcquisitionDate",
            "FrameOfReferenceUID",
            "SliceThickness",
        )
    )
    headers = _read(tmp_path / "in", **silent)
    assert dict(headers.patient_and_study) == {}
    assert (headers.frame_of_reference_uid, headers.date, headers.series_number) == (None, "", 0)
    assert headers.thickness == 2.5
    seg, sr = _written(tmp_path / "in")
    assert seg.FrameOfReferenceUID
    assert (seg.PatientID, seg.ContentDate, sr.ContentDate) == ("", "19000101", "19000101")


def test_how_the_source_was_made_anonymous_is_kept(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "113100", "DCM"
    item.CodeMeaning = "Basic Application Confidentiality Profile"
    tags = {
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethodCodeSequence": Items([item]),
    }
    write_series(tmp_path / "in", HU, Store(tags=tags))
    for dataset in _written(tmp_path / "in"):
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.DeidentificationMethod == "Basic Application Confidentiality Profile"


def test_loss_in_the_source_is_told(tmp_path: Path) -> None:
    tags = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 12.5,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    write_series(tmp_path / "in", HU, Store(tags=tags))
    seg, _ = _written(tmp_path / "in")
    assert seg.LossyImageCompression == "01"
    assert float(seg.LossyImageCompressionRatio) == 12.5
    assert seg.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize("number", [0, -3, 2**31 - 1])
def test_odd_series_numbers(tmp_path: Path, number: int) -> None:
    write_series(tmp_path / "in", HU, Store(tags={"SeriesNumber": number}))
    seg, sr = _written(tmp_path / "in")
    assert 0 < int(seg.SeriesNumber) < int(sr.SeriesNumber) < 2**31


@pytest.mark.parametrize("wrong", ["1.2.abc", "1.02.3", "1..2", "1." * 40 + "1", "2.25.1.\x07"])
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_wrong_uids_are_refused(tmp_path: Path, keyword: str, wrong: str) -> None:
    with pytest.raises(InputError, match="is no valid UID, so no DICOM object can refer to it"):
        _read(tmp_path / "in", **{keyword: wrong})


def test_a_wrong_frame_of_reference_is_replaced(tmp_path: Path) -> None:
    assert _read(tmp_path / "in", FrameOfReferenceUID="none").frame_of_reference_uid is None


def test_a_patient_id_that_is_too_long_is_refused(tmp_path: Path) -> None:
    _series(tmp_path / "in", PatientID="7" * 65)
    result = marked(ctlung.read_scan(tmp_path / "in"))
    with pytest.raises(InputError, match="longer than the 64 characters"):
        ctlung.write_dicom(result, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_slices_that_share_a_uid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Several slices of this scan share one SOP Instance UID"):
        _read(tmp_path / "in", SOPInstanceUID="1.2.3")
