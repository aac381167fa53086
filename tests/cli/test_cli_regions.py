"""``ctlung segment --regions``: from the file to the tables, and what it cannot use."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.chest import Blob, chest
from support.dicom_files import Store, write_series
from support.mask_files import Roi, Segment, write_rtstruct, write_seg
from support.nifti_files import store, write_nifti
from typer.testing import CliRunner, Result

from ctlung import api
from ctlung.cli import app
from ctlung.vocabulary import MEASURES, REGIONS

WHO = Store(spacing=(8.0, 4.0, 4.4), origin=(-173.8, -126.0, 4.0), patient="SECRETPATIENT")
GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
OPTIONS: dict[str, Any] = {"spacing": (8.0, 4.0, 4.4), "blobs": (GLASS,)}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in") / "series"
    write_series(folder, chest(**OPTIONS).scan.hu, WHO)
    return folder


@pytest.fixture(autouse=True)
def _key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(b"a key of the tests, no secret")
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(path))


def _segment(series: Path, out: Path, regions: Path, *more: str) -> Result:
    arguments = ("segment", series, "-o", out, "--segmenter", "threshold", "--regions", regions)
    result = CliRunner().invoke(app, [str(a) for a in (*arguments, *more)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _lungs() -> np.ndarray[Any, Any]:
    return chest(**OPTIONS).lungs


def _drawn() -> dict[str, np.ndarray[Any, Any]]:
    """The lesion's box, a larger one that goes beyond the lung, and one in the heart."""
    shape = _lungs().shape
    masks = {name: np.zeros(shape, bool) for name in ("GTV-1", "PTV", "Herz")}
    masks["GTV-1"][13:20, 32:43, 15:25] = True
    masks["PTV"][11:22, 28:48, 4:30] = True
    masks["Herz"][12:14, 28:30, 40:42] = True
    return masks


def _tables(out: Path) -> tuple[dict[str, Any], dict[tuple[str, str], dict[str, str]]]:
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        rows = {(row["region"], row["measure"]): row for row in csv.DictReader(stream)}
    return report, rows


def test_regions_of_a_segmentation_in_every_table(series: Path, tmp_path: Path) -> None:
    masks = _drawn()
    path = write_seg(tmp_path / "s.dcm", [Segment(m, name) for name, m in masks.items()], WHO)
    result = _segment(series, tmp_path / "out", path)
    assert result.exit_code == 0, result.stderr
    report, rows = _tables(tmp_path / "out")
    names = ["user_gtv_1", "user_herz", "user_ptv"]
    found = list(dict.fromkeys(m["region"] for m in report["measurements"]))
    assert found == [*REGIONS, *names]
    assert set(rows) == {(region, measure) for region in found for measure in MEASURES}
    lungs = _written(tmp_path / "out")
    voxel = 8.0 * 4.0 * 4.4 / 1000
    for name, title in (("user_gtv_1", "GTV-1"), ("user_ptv", "PTV")):
        inside = np.count_nonzero(masks[title] & (lungs > 0))
        assert inside > 100
        volume = float(rows[name, "lung_volume_ml"]["value"])
        assert volume == pytest.approx(inside * voxel, rel=1e-6)
    assert rows["user_herz", "lung_volume_ml"]["reason"] == "no_lung"
    share = float(rows["user_gtv_1", "lesion_percent"]["value"])
    assert share > 2 * float(rows["right_lung", "lesion_percent"]["value"])
    told = [n for n in report["notices"] if n["code"] == "given_regions"]
    assert [n["effect"] for n in told] == ["note", "warn"]
    assert "user_gtv_1 ('GTV-1'), user_herz ('Herz'), user_ptv ('PTV')" in told[0]["sentence"]
    outside = np.count_nonzero(masks["PTV"] & (lungs == 0)) * voxel
    assert told[1]["measured"] == pytest.approx(outside)
    assert f"{outside:.1f} ml" in told[1]["sentence"]
    assert str(tmp_path) not in (tmp_path / "out" / "report.json").read_text(encoding="utf-8")


def test_the_same_regions_from_every_kind_of_file(series: Path, tmp_path: Path) -> None:
    mask = _drawn()["GTV-1"]
    geometry = api.read_scan(series).geometry
    square = [(31.5, 14.5), (31.5, 24.5), (42.5, 24.5), (42.5, 14.5)]
    contours = [
        geometry.to_mm(np.array([(k, y, x) for y, x in square], float)) for k in range(13, 20)
    ]
    files = [
        write_nifti(tmp_path / "m.nii.gz", *store(mask.astype(np.uint8) * 7, geometry)),
        write_seg(tmp_path / "s.dcm", [Segment(mask, "GTV-1")], WHO),
        write_rtstruct(tmp_path / "r.dcm", [Roi("gtv 1", contours)], WHO),
    ]
    found = []
    for path in files:
        result = _segment(series, tmp_path / f"out-{path.stem}", path, "--json")
        assert result.exit_code == 0, result.stderr
        report = json.loads(result.stdout)
        name = "user_label_7" if path.name == "m.nii.gz" else "user_gtv_1"
        rows = [m for m in report["measurements"] if m["region"] == name]
        found.append([(m["measure"], m["value"], m["reason"]) for m in rows])
    assert found[0]
    assert found[0] == found[1] == found[2]


def test_two_runs_write_the_same_bytes(series: Path, tmp_path: Path) -> None:
    path = write_seg(tmp_path / "s.dcm", [Segment(_drawn()["PTV"], "PTV")], WHO)
    for out in ("a", "b"):
        assert _segment(series, tmp_path / out, path).exit_code == 0
    for name in ("report.json", "measurements.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_regions_that_cannot_be_used(series: Path, tmp_path: Path) -> None:
    shape = _lungs().shape
    geometry = api.read_scan(series).geometry
    nothing = np.zeros(shape, np.uint8)
    cases = {
        tmp_path / "gone.nii": "There is nothing at",
        write_nifti(tmp_path / "small.nii", np.ones((5, 6, 7), np.uint8), np.eye(4)): (
            "small.nii does not lie on the grid of the scan"
        ),
        write_nifti(tmp_path / "empty.nii", *store(nothing, geometry)): (
            "There is no region in empty.nii"
        ),
        write_nifti(tmp_path / "half.nii", *store(nothing + np.float32(0.5), geometry)): (
            "half.nii is not a label map"
        ),
        write_seg(tmp_path / "s.dcm", [Segment(nothing + 1, "spot")], WHO, series="1.2.3"): (
            "s.dcm was drawn on another series"
        ),
    }
    for path, words in cases.items():
        result = _segment(series, tmp_path / "out", path)
        assert (result.exit_code, result.stdout) == (1, ""), path
        assert result.stderr.startswith("ctlung: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def _written(out: Path) -> np.ndarray[Any, Any]:
    """The lungs of a result on the sorted slice stack, ``[z, y, x]``."""
    return np.asarray(nib.load(out / "lungs.nii.gz").dataobj).T
