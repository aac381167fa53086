"""Batches of small scans: one table, whatever happens on the way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.small_trial import write_trial, write_visit

from ctlung.errors import ManifestError, OutputError
from ctlung.trial.batch import batch
from ctlung.trial.manifest import ManifestRow, read_manifest
from ctlung.trial.store import COLUMNS, read_table

QUICK = {"segmenter": "threshold", "finder": "rule"}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trial(tmp_path_factory.mktemp("trial"), 2)


@pytest.fixture(scope="module")
def done(trial: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("out") / "results"
    return out, batch(trial, out, workers=2, **QUICK)


def _outcomes(table: pd.DataFrame) -> list[tuple[str, int, str, str]]:
    rows = table[table["kind"] == "outcome"].to_dict("records")
    return [
        (r["patient"], r["visit"], r["reason"], "" if pd.isna(r["name"]) else r["name"])
        for r in rows
    ]


def test_every_scan_and_every_pair_is_in_the_table(done: tuple[Path, pd.DataFrame]) -> None:
    out, table = done
    assert {r[2] for r in _outcomes(table)} == {"done"}
    assert len(_outcomes(table)) == 6
    changes = table[(table["kind"] == "change") & (table["region"] == "lungs")]
    shrunk = changes[changes["name"] == "lesion_volume_ml"].set_index("patient")
    assert (shrunk["value"] < 0).all()
    assert shrunk.loc["P01", "value"] < shrunk.loc["P02", "value"]
    assert shrunk.loc["P01", "against"] == 0
    assert (out / "scans" / "P01-visit0" / "overlay.png").is_file()
    assert (out / "pairs" / "P01-visit1-against-visit0" / "comparison.json").is_file()
    assert not list(out.rglob(".ctlung-*"))


def test_csv_and_parquet_say_the_same_as_the_table(done: tuple[Path, pd.DataFrame]) -> None:
    out, table = done
    assert list(table.columns) == list(COLUMNS)
    for file in ("results.csv", "results.parquet"):
        pd.testing.assert_frame_equal(read_table(out / file), table)
    assert "PHANTOM" not in (out / "results.csv").read_text(encoding="utf-8")
    assert "ID-P01" not in (out / "results.csv").read_text(encoding="utf-8")


def test_what_is_finished_is_not_done_again(trial: Path, done: tuple[Path, pd.DataFrame]) -> None:
    out, table = done
    report = out / "scans" / "P01-visit0" / "report.json"
    before = report.stat().st_mtime_ns, (out / "results.csv").read_bytes()
    again = batch(trial, out, workers=2, **QUICK)
    assert report.stat().st_mtime_ns == before[0]
    assert (out / "results.csv").read_bytes() == before[1]
    pd.testing.assert_frame_equal(again, table)


def test_a_lost_folder_is_made_again_to_the_same_table(
    trial: Path, done: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    (out / ".lock").unlink(missing_ok=True)
    shutil.rmtree(out / "scans" / "P02-visit1")
    (out / "states" / "P01-visit0.json").write_text("{", encoding="utf-8")
    (out / "scans" / ".ctlung-left-over").mkdir()
    batch(trial, out, workers=2, **QUICK)
    assert (out / "results.csv").read_bytes() == (done[0] / "results.csv").read_bytes()
    assert (out / "results.parquet").read_bytes() == (done[0] / "results.parquet").read_bytes()
    assert not (out / "scans" / ".ctlung-left-over").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes")
def test_a_full_disk_is_said_and_the_next_run_ends_as_if_it_had_not_been(
    trial: Path, done: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    """A limit of file sizes gives the errors of a full disk, in every process of the batch."""
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    shutil.rmtree(out / "scans" / "P02-visit1")
    (out / "results.csv").unlink()
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "from ctlung.cli import app; app()"
    )
    arguments = ["--segmenter", "threshold", "--finder", "rule", "--workers", "1"]
    said = subprocess.run(
        [sys.executable, "-c", limited, "batch", str(trial), "-o", str(out), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1, said.stderr
    assert "full" in said.stderr
    assert "Traceback" not in said.stderr
    assert not (out / "results.csv").exists()
    assert not list(out.rglob("P02-visit1/*"))
    batch(trial, out, workers=1, **QUICK)
    for name in ("results.csv", "results.parquet"):
        assert (out / name).read_bytes() == (done[0] / name).read_bytes()


def test_a_bad_scan_is_a_row_with_its_reason(tmp_path: Path) -> None:
    good = write_visit(tmp_path / "scans", "A", 0, 20.0)
    (tmp_path / "scans" / "B").mkdir()
    (tmp_path / "scans" / "B" / "note.txt").write_text("no scan", encoding="utf-8")
    rows = [
        ManifestRow("A", 0, good),
        ManifestRow("A", 1, tmp_path / "scans" / "B"),
        ManifestRow("B", 0, tmp_path / "nowhere"),
    ]
    table = batch(rows, tmp_path / "out", workers=2, **QUICK)
    assert _outcomes(table) == [
        ("A", 0, "done", ""),
        ("A", 1, "refused", "no_series"),
        ("A", 1, "refused", "no_scan"),
        ("B", 0, "refused", "not_found"),
    ]


def test_other_settings_measure_anew(trial: Path, tmp_path: Path) -> None:
    from ctlung.settings import Settings

    (row, *_) = read_manifest(trial)
    first = batch([row], tmp_path / "out", **QUICK)
    second = batch([row], tmp_path / "out", settings=Settings(ground_glass_lower_hu=-450), **QUICK)
    values = [
        float(t[(t["name"] == "lesion_volume_ml") & (t["region"] == "lungs")]["value"].iloc[0])
        for t in (first, second)
    ]
    assert values[0] != values[1]


def test_two_batches_do_not_work_in_one_folder(tmp_path: Path) -> None:
    from filelock import FileLock

    out = tmp_path / "out"
    out.mkdir()
    rows = [ManifestRow("A", 0, tmp_path)]
    with FileLock(out / ".lock"), pytest.raises(OutputError, match="Another batch"):
        batch(rows, out)


def test_a_manifest_without_rows(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="names no scan"):
        batch([], tmp_path / "out")
