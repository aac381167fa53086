"""A manifest is read with every fault named, and drafted from headers without a name of anyone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.dicom_files import add_series, phantom

from ctlung.errors import ManifestError
from ctlung.trial.manifest import (
    ManifestRow,
    draft_manifest,
    manifest_as_csv,
    read_manifest,
)


def _read(tmp_path: Path, text: str) -> tuple[ManifestRow, ...]:
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return read_manifest(path)


def test_rows_in_the_order_of_patients_and_visits(tmp_path: Path) -> None:
    rows = _read(
        tmp_path,
        "patient,visit,path,arm,infusion\nB,1,b1,MSC,2020-02-12\nA,10,a10,control,\n"
        "A,2,a2,control,\nB,0,b0,MSC,2020-02-12\n",
    )
    assert [(r.patient, r.visit) for r in rows] == [("A", 2), ("A", 10), ("B", 0), ("B", 1)]
    assert rows[2].path == tmp_path / "b0"
    assert rows[2].infusion == date(2020, 2, 12)
    assert rows[0].name == "A-visit2"


@pytest.mark.parametrize("mark", [";", "\t"])
def test_what_spreadsheets_write(tmp_path: Path, mark: str) -> None:
    text = "\ufeff" + "patient,visit,path\r\nA,0,scans\r\n".replace(",", mark)
    (row,) = _read(tmp_path, text)
    assert (row.patient, row.visit, row.path) == ("A", 0, tmp_path / "scans")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A B,0,x,,", "'A B' is no name"),
        ("../etc,0,x,,", "no name of a patient"),
        (",0,x,,", "no name of a patient"),
        ("A,first,x,,", "'first' is no visit"),
        ("A,-1,x,,", "no visit"),
        ("A,0,,,", "has no path"),
        ("A,0,x,12.02.2020,", "write it as 2020-02-12"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ManifestError, match="faults") as error:
        _read(tmp_path, f"patient,visit,path,date,arm\nZ,0,z,,\n{line}\n")
    assert f"line 3: {words}" in str(error.value) or words in str(error.value)
    assert "line 3" in str(error.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as error:
        _read(tmp_path, "patient,visit,path,weight\n!,0,x,1\nA,x,y,2\n")
    for words in ("line 2", "line 3", "no column 'weight'"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("A,0,x,MSC,,\nA,0,y,MSC,,", "visit 0 more than once"),
        ("A,0,x,MSC,,\nA,1,y,control,,", "more than one arm"),
        ("A,0,x,,,2020-03-01\nA,1,y,,,2020-02-01", "do not follow the visits' order"),
        ("A,0,x,,2020-02-01,\nA,1,y,,2020-02-02,", "more than one infusion"),
        ("A,0,x,,,\na,1,y,,,", "capitals"),
    ],
)
def test_contradictions(tmp_path: Path, lines: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        _read(tmp_path, f"patient,visit,path,arm,infusion,date\n{lines}\n")


def test_what_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no column patient and no column visit"):
        _read(tmp_path, "who,path\nA,x\n")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "binary.csv")


def test_written_and_read_again(tmp_path: Path) -> None:
    row = ManifestRow("A", 0, tmp_path / "in, side", date(2020, 2, 1), "MSC", "1.2.3")
    path = tmp_path / "m.csv"
    path.write_text(manifest_as_csv([row], tmp_path), encoding="utf-8")
    assert 'A,0,"in, side",2020-02-01,MSC,1.2.3,,' in path.read_text(encoding="utf-8")
    assert read_manifest(path) == (row,)


def test_a_draft_has_visits_by_date_and_nobodys_name(tmp_path: Path) -> None:
    for name, day in (("late", "20200220"), ("early", "20200210")):
        add_series(tmp_path / name, "s", study=day, PatientID="SECRET", StudyDate=day,
                   AcquisitionDate=day)  # fmt: skip
    add_series(tmp_path / "other", "s", phantom(), PatientID="ANOTHER")
    rows, left_out = draft_manifest(tmp_path)
    assert left_out == ()
    text = manifest_as_csv(rows, tmp_path)
    assert "SECRET" not in text
    assert [(r.patient, r.visit, r.path.relative_to(tmp_path).parts[0]) for r in rows] == [
        ("P001", 0, "early"),
        ("P001", 1, "late"),
        ("P002", 0, "other"),
    ]
    assert rows[0].date == date(2020, 2, 10)
    assert rows[0].series == ""


def test_visits_in_one_folder_are_told_by_their_series(tmp_path: Path) -> None:
    uids = [
        add_series(tmp_path, f"s{day}", study=day, StudyDate=day, AcquisitionDate=day)
        for day in ("20200210", "20200220")
    ]
    for file in list(tmp_path.rglob("*")):
        if file.is_file():
            file.rename(tmp_path / f"{file.parent.name}-{file.name}")
    rows, _ = draft_manifest(tmp_path)
    assert [r.series for r in rows] == uids
    assert {r.path for r in rows} == {tmp_path}


def test_a_folder_without_a_scan(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(ManifestError, match="No scan"):
        draft_manifest(tmp_path)
