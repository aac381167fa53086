"""``ctlung segment --dicom``."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import config
from support.dicom_files import Store, phantom, write_series
from support.marked import marked, placed, truth
from support.small_result import small_result
from typer.testing import CliRunner, Result

import ctlung
from ctlung import api
from ctlung.cli import app
from ctlung.writing.dicom_codes import SEG_FILE, SR_FILE

HU = phantom((7, 11, 9))


class _Command:
    """``ctlung segment`` whose measuring is done already."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"a key of the tests, no secret")
        monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path / "key"))
        small_result()  # is measured once, by the function that is replaced now
        monkeypatch.setattr(api, "segment", lambda source, **_: marked(ctlung.read_scan(source)))

    def __call__(self, *arguments: object) -> Result:
        quick = ("--segmenter", "threshold", "--finder", "rule", "--dicom")
        return CliRunner().invoke(app, ["segment", *map(str, arguments), *quick])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Command:
    return _Command(monkeypatch, tmp_path)


def test_the_command_writes_both(tmp_path: Path, command: _Command) -> None:
    write_series(tmp_path / "in", HU, Store(True, True, False))
    done = command(tmp_path / "in", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {SEG_FILE, SR_FILE, "report.json"} <= names
    result = marked(ctlung.read_scan(tmp_path / "in"))
    found = placed(tmp_path / "out" / SEG_FILE, result.scan.geometry)
    assert all((found[label] == mask).all() for label, mask in truth(result).items())


def test_the_command_refuses_what_is_no_dicom_at_once(tmp_path: Path, command: _Command) -> None:
    (tmp_path / "scan.nii").write_bytes(b"whatever")
    done = command(tmp_path / "scan.nii", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "scan.nii is no DICOM" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_keeps_the_result_where_dicom_is_refused(
    tmp_path: Path, command: _Command
) -> None:
    with config.disable_value_validation():
        write_series(tmp_path / "in", HU, Store(tags={"PatientID": "7" * 65}))
    done = command(tmp_path / "in", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("ctlung: The Patient ID of this scan is longer than")
    assert f"All else is written, in {tmp_path / 'out'}." in done.stderr
    assert (tmp_path / "out" / "report.json").is_file()
    assert not (tmp_path / "out" / SEG_FILE).exists()
