"""``batch``: every scan of a manifest measured, every patient's visits compared with the first."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ctlung.errors import ManifestError, OutputError
from ctlung.settings import Settings
from ctlung.trial.executor import locally, on_dask, workers_here
from ctlung.trial.jobs import PAIRS, SCANS, STATES, How, Job, Outcome, is_done, pair_job, scan_job
from ctlung.trial.manifest import ManifestRow, draft_manifest, read_manifest
from ctlung.trial.store import table_of, write_table
from ctlung.writing.folder import output_error

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str, float], None]


def batch(
    source: str | Path | Sequence[ManifestRow],
    out: str | Path,
    *,
    segmenter: str = "default",
    finder: str = "default",
    device: str = "auto",
    same_person: bool = False,
    settings: Settings | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure every scan, compare every visit with its patient's first, write one table.

    What is finished stays: the same call after an interruption goes on where it stopped and ends
    with the same table. A scan is measured anew if its files, the settings, the version or the
    weights have changed. One that cannot be measured becomes a row with its reason.

    Args:
        source: a manifest (CSV), a folder of DICOM studies, or rows of a manifest.
        out: folder of the results, made if it is not there: ``scans/`` and ``pairs/`` with a
            folder each, ``results.csv`` and ``results.parquet``.
        segmenter: name of the lung segmenter.
        finder: name of the lesion finder.
        device: where the networks run; several GPUs are shared out among the processes.
        same_person: the manifest is right about who is who, whatever the headers say.
        settings: limits.
        workers: processes; by default as many as cores and memory bear.
        dask: address of a Dask scheduler that is to do the work.
        progress: called with a word on how far it is and the finished fraction, 0 to 1.

    Returns:
        The table (``ctlung.trial.store.COLUMNS``).

    Raises:
        ManifestError: the manifest has faults, or there is no scan.
        OutputError: ``out`` cannot be written, or another batch is at work there.
    """
    rows = _rows(source, settings)
    how = How(segmenter, finder, device, same_person, settings or Settings())
    place = Path(out).absolute()
    say = progress or _silent
    with _alone(place):
        scans = [scan_job(row, place, how) for row in rows]
        pairs = [pair_job(first, later) for first, later in _visits(scans)]
        outcomes: dict[str, Outcome] = {}
        work = len(scans) + len(pairs)
        clock = _Clock(say, work)
        for jobs in (scans, _comparable(pairs, outcomes)):
            for outcome in _all(list(jobs), workers, dask, device, clock):
                outcomes[outcome.name] = outcome
        for job in pairs:
            if job.name not in outcomes:
                outcomes[job.name] = _without(job, outcomes)
        table = table_of(_in_order([*scans, *pairs]), outcomes)
        write_table(table, place)
    return table


def _rows(
    source: str | Path | Sequence[ManifestRow], settings: Settings | None
) -> list[ManifestRow]:
    if not isinstance(source, (str, Path)):
        rows = list(source)
    elif Path(source).is_file() and Path(source).suffix.lower() == ".csv":
        rows = list(read_manifest(source))
    else:
        rows = list(draft_manifest(source, settings)[0])
    if not rows:
        raise ManifestError("The manifest names no scan.")
    return sorted(rows, key=lambda r: (r.patient, r.visit))


def _visits(scans: Sequence[Job]) -> Iterator[tuple[Job, Job]]:
    """Each later visit with its patient's first."""
    first: dict[str, Job] = {}
    for job in scans:
        start = first.setdefault(job.row.patient, job)
        if start is not job:
            yield start, job


def _comparable(pairs: Sequence[Job], outcomes: dict[str, Outcome]) -> Iterator[Job]:
    """Pairs of which both scans were measured; asked when the scans are done."""
    for job in pairs:
        assert job.against is not None
        both = (job.against.name, job.row.name)
        if all(name in outcomes and outcomes[name].state == "done" for name in both):
            yield job


def _without(job: Job, outcomes: dict[str, Outcome]) -> Outcome:
    assert job.against is not None
    bad = [n for n in (job.against.name, job.row.name) if outcomes[n].state != "done"]
    sentence = f"There is no result of {' and '.join(bad)} to compare."
    return Outcome(job.name, job.fingerprint, "refused", "no_scan", sentence)


def _all(
    jobs: Sequence[Job], workers: int | None, dask: str | None, device: str, clock: _Clock
) -> Iterator[Outcome]:
    left = []
    for job in jobs:
        before = is_done(job)
        if before is None:
            left.append(job)
        else:
            clock.skip()
            yield before
    if not left:
        return
    clock.start()
    done = on_dask(left, dask) if dask else locally(left, workers_here(workers), device)
    for outcome in done:
        clock.tick()
        yield outcome


class _Clock:
    """Says how far a batch is, how fast it goes and how long it will take."""

    def __init__(self, say: Progress, total: int) -> None:
        self._say, self._total = say, total
        self._seen = self._worked = 0
        self._since: float | None = None

    def start(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
        self._tell()

    def skip(self) -> None:
        self._seen += 1

    def tick(self) -> None:
        self._seen += 1
        self._worked += 1
        self._tell()

    def _tell(self) -> None:
        word = f"{self._seen} of {self._total}"
        if self._worked and self._since is not None:
            each = (time.monotonic() - self._since) / self._worked
            left = max(0, self._total - self._seen) * each
            word += f", {60 / each:.1f} a minute, {left / 60:.0f} min left"
        self._say(word, min(1.0, self._seen / max(1, self._total)))


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    return sorted(jobs, key=lambda j: (j.row.patient, j.row.visit, j.against is not None))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder, so that no second batch works there; clear away what a killed one left.

    Raises:
        OutputError: another batch is at work, or the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    try:
        for name in (SCANS, PAIRS, STATES):
            (out / name).mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(timeout=2)
    except Timeout:
        raise OutputError(
            f"Another batch is at work in {out}; wait for it, or name another folder.", code="busy"
        ) from None
    except OSError as error:
        raise output_error(error, out) from error
    try:
        for name in (SCANS, PAIRS):
            for left in (out / name).glob(".ctlung-*"):
                shutil.rmtree(left, ignore_errors=True)
        for part in (out / STATES).glob(".*"):
            os.unlink(part)
        yield
    finally:
        lock.release()


def _silent(word: str, fraction: float) -> None:
    """Say nothing."""
