"""What a job's result depends on, and what it takes from the manifest."""

from __future__ import annotations

import dataclasses
import os
from datetime import date
from pathlib import Path

import pytest
from support.small_result import small_result

from ctlung.settings import Settings
from ctlung.trial import jobs
from ctlung.trial.jobs import How, Outcome, is_done, keep, pair_job, run, scan_job
from ctlung.trial.manifest import ManifestRow


def _scan(tmp_path: Path) -> ManifestRow:
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "a.dcm").write_bytes(b"12345")
    return ManifestRow("A", 0, tmp_path / "in")


def test_a_fingerprint_is_of_files_settings_and_row(tmp_path: Path) -> None:
    row, how = _scan(tmp_path), How()
    first = scan_job(row, tmp_path, how).fingerprint
    assert scan_job(row, tmp_path, how).fingerprint == first
    others = [
        scan_job(dataclasses.replace(row, series="1.2"), tmp_path, how),
        scan_job(dataclasses.replace(row, date=date(2020, 2, 1)), tmp_path, how),
        scan_job(row, tmp_path, How(finder="rule")),
        scan_job(row, tmp_path, How(settings=Settings(ground_glass_lower_hu=-700))),
    ]
    (tmp_path / "in" / "a.dcm").write_bytes(b"123456")
    others.append(scan_job(row, tmp_path, how))
    os.utime(tmp_path / "in" / "a.dcm", ns=(1, 1))
    others.append(scan_job(row, tmp_path, how))
    prints = {job.fingerprint for job in others}
    assert len(prints) == len(others)
    assert first not in prints
    # Where a network runs does not change what it says.
    assert scan_job(row, tmp_path, How(device="cpu")).fingerprint == others[-1].fingerprint


def test_a_pair_depends_on_both_scans_and_on_the_days(tmp_path: Path) -> None:
    row, how = _scan(tmp_path), How()
    a, b = scan_job(row, tmp_path, how), scan_job(dataclasses.replace(row, visit=1), tmp_path, how)
    first = pair_job(a, b)
    assert first.name == "A-visit1-against-visit0"
    later = dataclasses.replace(b, row=dataclasses.replace(b.row, onset=date(2020, 2, 1)))
    assert pair_job(a, later).fingerprint != first.fingerprint
    other = dataclasses.replace(a, fingerprint="another")
    assert pair_job(other, b).fingerprint != first.fingerprint


def test_done_needs_the_folder_and_a_refusal_does_not(tmp_path: Path) -> None:
    job = scan_job(_scan(tmp_path), tmp_path, How())
    keep(job, Outcome(job.name, job.fingerprint, "done"))
    assert is_done(job) is None
    refused = Outcome(job.name, job.fingerprint, "refused", "not_ct", "It is no CT.")
    keep(job, refused)
    assert is_done(job) == refused
    keep(job, Outcome(job.name, job.fingerprint, "failed", "crashed", "It died."))
    assert is_done(job) is None
    keep(job, Outcome(job.name, "another", "refused", "not_ct", "It is no CT."))
    assert is_done(job) is None


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (MemoryError(), "failed", "out_of_memory"),
        (RuntimeError("oops"), "failed", "unexpected"),
    ],
)
def test_whatever_happens_is_an_outcome(
    error: Exception, state: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: jobs.Job) -> None:
        raise error

    monkeypatch.setattr(jobs, "_measure", fail)
    job = scan_job(_scan(tmp_path), tmp_path, How())
    job.folder.mkdir(parents=True)
    found = run(job)
    assert (found.state, found.code) == (state, code)
    assert not job.folder.exists()
    assert is_done(job) is None


def test_the_manifests_day_stands_where_the_header_has_none() -> None:
    base = small_result()
    p = base.report.provenance
    for said, codes in ((None, 0), ("20200201", 0), ("20200301", 1)):
        acquisition = {**p.acquisition, "acquisition_date": said}
        report = dataclasses.replace(
            base.report, provenance=dataclasses.replace(p, acquisition=acquisition)
        )
        row = ManifestRow("A", 0, Path("x"), date(2020, 2, 1))
        found = jobs._dated(dataclasses.replace(base, report=report), row).report
        day = found.provenance.acquisition["acquisition_date"]
        assert day == ("20200201" if said is None else said)
        new = len(found.notices) - len(report.notices)
        assert new == codes
