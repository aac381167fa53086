"""``ctlung compare`` on finished folders."""

from __future__ import annotations

import csv
import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.small_result import KEY, small_result
from typer.testing import CliRunner, Result

import ctlung
from ctlung import api
from ctlung.change_records import CHANGE_COLUMNS
from ctlung.cli import app
from ctlung.errors import NotComparable
from ctlung.records import ScanResult, Uncertainty
from ctlung.vocabulary import RESEARCH_USE


@pytest.fixture(autouse=True)
def _key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(b"a key of the tests, no secret")
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(path))


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _visit(day: str, shrink: float = 1.0, **facts: Any) -> ScanResult:
    """The small result on another day, its lesions smaller."""
    base = small_result()
    assert base.report.provenance.key_fingerprint == KEY.fingerprint
    smaller = ("lesion_volume_ml", "lesion_percent")
    measurements = tuple(
        dataclasses.replace(
            m,
            value=m.value * shrink,
            low=0.9 * m.value * shrink,
            high=1.1 * m.value * shrink,
        )
        if m.measure in smaller and m.value is not None
        else m
        for m in base.report.measurements
    )
    sure = tuple(
        Uncertainty(m, "lungs", 0.0, 0.0, 1.0, (0, 0), (1e-3, 1e-3), (0, 0), (1e-3, 1e-3))
        for m in smaller
    )
    p = base.report.provenance
    acquisition = {**p.acquisition, "acquisition_date": day, **facts}
    report = dataclasses.replace(
        base.report,
        measurements=measurements,
        uncertainty=sure,
        provenance=dataclasses.replace(p, acquisition=acquisition),
    )
    return dataclasses.replace(base, report=report)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("visits")
    first = api.write_result(_visit("20200210"), place / "first")
    second = api.write_result(_visit("20200222", 0.5), place / "second")
    return first, second


def test_two_finished_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("compare", *folders, "-o", tmp_path / "out", "--infusion", "2020-02-12")
    assert done.exit_code == 0, done.output
    assert "more than noise" in done.output
    assert RESEARCH_USE in done.output
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["schema"] == "ctlung.comparison/1"
    assert (document["days"], document["days_since_infusion"]) == (12, [-2, 10])
    with (tmp_path / "out" / "changes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CHANGE_COLUMNS
    (row,) = (r for r in rows if (r["region"], r["measure"]) == ("lungs", "lesion_volume_ml"))
    value = small_result().report.value("lesion_volume_ml")
    assert value is not None
    assert float(row["delta"]) == pytest.approx(-0.5 * value)
    assert row["claimed"] == "True"
    (change,) = (
        c
        for c in document["changes"]
        if c["measure"] == "lesion_volume_ml" and c["region"] == "lungs"
    )
    assert change["delta"] == pytest.approx(-0.5 * value)
    assert change["claimed"] is True


def test_json_on_stdout_is_the_file(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("compare", *folders, "-o", tmp_path / "out", "--json")
    assert done.stdout == (tmp_path / "out" / "comparison.json").read_text(encoding="utf-8")


def test_twice_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run("compare", *folders, "-o", tmp_path / name)
    for file in ("comparison.json", "changes.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_one_scan_against_itself_changed_by_exactly_nothing(folders: tuple[Path, Path]) -> None:
    found = ctlung.compare(folders[0], folders[0])
    numbers = [c.delta for c in found.changes if c.delta is not None]
    assert len(numbers) > 100
    assert set(numbers) == {0.0}
    assert not any(c.claimed for c in found.changes)


def test_swapped_order_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("compare", folders[1], folders[0], "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "order of their dates" in done.output
    assert not (tmp_path / "out").exists()


def test_two_people_are_refused_unless_said_to_be_one(tmp_path: Path) -> None:
    first, other = _visit("20200210"), _visit("20200222", patient_hash="another")
    with pytest.raises(NotComparable, match="patient ID"):
        ctlung.compare(first, other)
    found = ctlung.compare(first, other, same_person=True)
    assert [n.code for n in found.notices] == ["same_person"]


def test_results_and_reports_compare_as_folders_do(folders: tuple[Path, Path]) -> None:
    a, b = _visit("20200210"), _visit("20200222", 0.5)
    first = ctlung.compare(*folders, onset=date(2020, 2, 1), voxelwise=False)
    second = ctlung.compare(a, b.report, onset=date(2020, 2, 1), voxelwise=False)
    assert first.changes == second.changes
    assert first.days_since_onset == second.days_since_onset == (9, 21)
    frame = first.to_frame()
    assert list(frame.columns) == list(CHANGE_COLUMNS)
    assert len(frame) == len(first.changes)
    with pytest.raises(KeyError, match="nonsense"):
        first["nonsense"]


def test_an_existing_folder_is_left_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x", encoding="utf-8")
    done = run("compare", *folders, "-o", tmp_path / "out", "--force")
    assert done.exit_code == 1
    assert (tmp_path / "out" / "mine.txt").exists()


@pytest.mark.parametrize(
    "wrong", [("--infusion", "12.2.2020"), ("--device", "tpu"), ("--onset", "2020-02-31")]
)
def test_wrong_usage(wrong: tuple[str, str], folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("compare", *folders, "-o", tmp_path / "out", *wrong).exit_code == 2


def test_a_missing_scan_is_a_sentence(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("compare", folders[0], tmp_path / "no", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "There is nothing at" in done.output


def test_three_visits_each_against_the_first_and_the_one_before(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    third = api.write_result(_visit("20200310", 0.25), tmp_path / "third")
    out = tmp_path / "out"
    done = run("compare", *folders, third, "-o", out, "--no-voxelwise")
    assert done.exit_code == 0, done.output
    assert {p.name for p in out.iterdir()} == {"2-against-1", "3-against-1", "3-against-2"}
    days = {
        p.name: json.loads((p / "comparison.json").read_text(encoding="utf-8"))["days"]
        for p in out.iterdir()
    }
    assert days == {"2-against-1": 12, "3-against-1": 29, "3-against-2": 17}
    assert "visit 3" in done.output
    assert done.output.count(RESEARCH_USE) == 1


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_one_visit_is_wrong_usage_and_so_is_json_of_three(
    folders: tuple[Path, Path], tmp_path: Path, extra: list[str]
) -> None:
    visits = (folders[0],) * (3 if extra else 1)
    done = run("compare", *visits, "-o", tmp_path / "out", *extra)
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()
