"""The phantom that the repository ships, and the script that makes it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

REPOSITORY = Path(__file__).parents[2]
SAMPLES = REPOSITORY / "sample_scans"
SCRIPT = REPOSITORY / "scripts" / "make_samples.py"


@pytest.fixture(scope="module")
def visits() -> dict[str, Any]:
    truth = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = truth["visits"]
    return found


def test_under_eight_megabytes() -> None:
    assert sum(f.stat().st_size for f in SAMPLES.rglob("*") if f.is_file()) < 8_000_000


@pytest.mark.parametrize("visit", ["baseline", "followup"])
def test_headers_name_nobody(visit: str, visits: dict[str, Any]) -> None:
    files = sorted((SAMPLES / visit).glob("*.dcm"))
    assert len(files) > 100
    for path in (files[0], files[-1]):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.PatientID == "CTLUNG-PHANTOM"
        assert str(header.PatientName) == ""
        assert header.StudyDate == visits[visit]["date"]
        assert header.file_meta.TransferSyntaxUID.is_compressed


def test_one_person_two_studies() -> None:
    first, second = (
        pydicom.dcmread(SAMPLES / v / "0001.dcm", stop_before_pixels=True)
        for v in ("baseline", "followup")
    )
    assert first.PatientID == second.PatientID
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.StudyDate < "20200212" < second.StudyDate


def test_known_answers_hang_together(visits: dict[str, Any]) -> None:
    for v in visits.values():
        sides = v["lung_volume_right_ml"] + v["lung_volume_left_ml"]
        assert sides == pytest.approx(v["lung_volume_ml"], abs=0.01)
        kinds = v["ground_glass_volume_ml"] + v["consolidation_volume_ml"]
        assert kinds == pytest.approx(v["lesion_volume_ml"], abs=0.01)
        percent = 100 * v["lesion_volume_ml"] / v["lung_volume_ml"]
        assert percent == pytest.approx(v["lesion_percent"], abs=0.001)
        low, high = v["ct_number_ground_glass_hu"], v["ct_number_consolidation_hu"]
        assert low < v["ct_number_lesion_hu"] < high
    assert visits["followup"]["lesion_volume_ml"] < 0.5 * visits["baseline"]["lesion_volume_ml"]
    assert visits["followup"]["lung_volume_ml"] < visits["baseline"]["lung_volume_ml"]


def test_air_muscle_and_lung_in_the_stored_pixels() -> None:
    slice_ = pydicom.dcmread(SAMPLES / "baseline" / "0080.dcm")
    hu = slice_.pixel_array.astype(int) + int(slice_.RescaleIntercept)
    assert (hu[:5] == -1000).all()
    soft = hu[(hu > 0) & (hu < 120)]
    assert np.median(soft) == pytest.approx(48, abs=10)
    assert ((hu > -950) & (hu < -800)).sum() > 5000


@pytest.mark.long
def test_the_script_makes_these_very_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, env=dict(os.environ))
    for path in SAMPLES.rglob("*"):
        if path.is_file():
            again = tmp_path / path.relative_to(SAMPLES)
            assert _sha(again) == _sha(path), path.name


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
