"""``ctlung manifest``, ``batch`` and ``cohort`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.dicom_files import add_series
from support.small_trial import write_visit
from support.trial_table import table_of, two_arms
from typer.testing import CliRunner, Result

from ctlung.cli import app
from ctlung.trial.manifest import manifest_as_csv, read_manifest
from ctlung.trial.store import write_table
from ctlung.vocabulary import RESEARCH_USE


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    table, rows = table_of(two_arms(-4.0))
    folder = tmp_path / "results"
    folder.mkdir()
    write_table(table, folder)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(manifest_as_csv(rows), encoding="utf-8")
    return folder, manifest


def test_a_draft_of_a_manifest(tmp_path: Path) -> None:
    add_series(tmp_path / "scans", "a")
    done = run("manifest", tmp_path / "scans", "-o", tmp_path / "m.csv")
    assert done.exit_code == 0, done.output
    assert "1 scans of 1 patients" in done.output
    (row,) = read_manifest(tmp_path / "m.csv")
    assert row.path.is_relative_to(tmp_path / "scans")
    assert run("manifest", tmp_path / "scans", "-o", tmp_path / "m.csv").exit_code == 1
    assert run("manifest", tmp_path / "scans").stdout.startswith("patient,visit,path")
    assert run("manifest", tmp_path / "nowhere").exit_code == 1


def test_a_batch_with_a_bad_scan_ends_with_three(tmp_path: Path) -> None:
    write_visit(tmp_path / "scans", "A", 0, 20.0)
    (tmp_path / "m.csv").write_text(
        "patient,visit,path\nA,0,scans/A/visit0\nB,0,scans/B\n", encoding="utf-8"
    )
    quick = ("--segmenter", "threshold", "--finder", "rule", "--workers", 1)
    done = run("batch", tmp_path / "m.csv", "-o", tmp_path / "out", *quick)
    assert done.exit_code == 3, done.output
    assert "1 of 2 scans were measured" in done.output
    assert "B visit 0: " in done.output
    assert RESEARCH_USE in done.output
    assert (tmp_path / "out" / "results.parquet").is_file()


def test_what_a_trial_shows(results: tuple[Path, Path], tmp_path: Path) -> None:
    folder, manifest = results
    done = run("cohort", folder, "-m", manifest, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "MSC: compared: 12" in done.output
    assert "not an effect of treatment" in done.output
    assert RESEARCH_USE in done.output
    frame = pd.read_csv(tmp_path / "out" / "cohort.csv")
    assert (frame["what"] == "ANCOVA").sum() == 12
    again = run("cohort", folder, "-m", manifest, "-o", tmp_path / "out")
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_blind_then_locked_then_open(results: tuple[Path, Path], tmp_path: Path) -> None:
    folder, manifest = results
    hidden = run("cohort", folder, "-m", manifest, "-o", tmp_path / "a", "--blind")
    assert hidden.exit_code == 0, hidden.output
    assert "MSC" not in hidden.output
    refused = run("cohort", folder, "-m", manifest, "-o", tmp_path / "b")
    assert refused.exit_code == 1
    assert "hidden until" in refused.output
    assert "sha256" in run("cohort", folder, "--lock").output
    assert run("cohort", folder, "-m", manifest, "-o", tmp_path / "b").exit_code == 0


def test_the_size_of_a_planned_trial() -> None:
    done = run("cohort", "--power", "6.0,4.0")
    assert done.exit_code == 0
    assert done.output.startswith("37 patients per arm")
    assert run("cohort", "--power", "6").exit_code == 2


def test_wrong_usage(results: tuple[Path, Path]) -> None:
    assert run("cohort").exit_code == 2
    assert run("cohort", results[0]).exit_code == 2
    assert run("batch", "x", "-o", "y", "--device", "tpu").exit_code == 2
    assert run("batch", "scans", "-o", "y", "--cohort").exit_code == 2
