"""One piece of a trial's work: measure a scan, or compare two finished ones.

A job knows everything that its result depends on; its fingerprint says so. Whoever runs it writes
the result's folder first and then, in one step, a small file that says how it ended: a run that is
killed between the two does the job again and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ctlung import api, two_scans
from ctlung.errors import CtlungError
from ctlung.notices import Notice
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.trial.manifest import ManifestRow
from ctlung.version import __version__
from ctlung.weights import LESION_MODEL, LUNG_MODEL, models_folder

SCANS, PAIRS, STATES = "scans", "pairs", "states"
AGAIN = frozenset({"crashed", "out_of_memory", "unexpected", "disk_full", "output_forbidden"})
"""How a job may fail for reasons that are not its input's: it is tried again by the next run."""

State = Literal["done", "refused", "failed"]


@dataclass(frozen=True)
class How:
    """What all jobs of a batch share."""

    segmenter: str = "default"
    finder: str = "default"
    device: str = "auto"
    same_person: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Job:
    """A scan to measure, or, with ``against``, two to compare."""

    row: ManifestRow
    out: Path
    how: How
    fingerprint: str
    against: ManifestRow | None = None

    @property
    def name(self) -> str:
        """Of its folder and of its state."""
        if self.against is None:
            return self.row.name
        return f"{self.row.name}-against-visit{self.against.visit}"

    @property
    def folder(self) -> Path:
        """Where its result lies."""
        return self.out / (SCANS if self.against is None else PAIRS) / self.name


@dataclass(frozen=True)
class Outcome:
    """How a job ended; ``code`` and ``sentence`` where it did not end well."""

    name: str
    fingerprint: str
    state: State
    code: str = ""
    sentence: str = ""


def scan_job(row: ManifestRow, out: Path, how: How) -> Job:
    """The job of one row of the manifest."""
    facts = {
        **_common(how),
        "series": row.series,
        "date": str(row.date or ""),
        "files": _files(row.path),
    }
    return Job(row, out, how, _digest(facts))


def pair_job(first: Job, second: Job) -> Job:
    """The job that compares what two scan jobs make."""
    a, b = first.row, second.row
    days = [str(b.infusion or a.infusion or ""), str(b.onset or a.onset or "")]
    facts = {
        **_common(second.how),
        "scans": [first.fingerprint, second.fingerprint],
        "same_person": second.how.same_person,
        "days": days,
    }
    return Job(second.row, second.out, second.how, _digest(facts), against=first.row)


def is_done(job: Job) -> Outcome | None:
    """How the very same job ended before, if it need not be done again."""
    path = _state_path(job)
    try:
        found = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if found.fingerprint != job.fingerprint or found.code in AGAIN:
        return None
    report = "report.json" if job.against is None else "comparison.json"
    if found.state == "done" and not (job.folder / report).is_file():
        return None
    return found


def run(job: Job) -> Outcome:
    """Do a job in this process; whatever is wrong with its input becomes its outcome.

    Raises:
        OSError: not even the outcome could be written, for the disk is full or away.
    """
    try:
        if job.against is None:
            _measure(job)
        else:
            _compare(job)
        outcome = Outcome(job.name, job.fingerprint, "done")
    except CtlungError as error:
        state: State = "failed" if error.code in AGAIN else "refused"
        outcome = Outcome(job.name, job.fingerprint, state, error.code, str(error))
    except MemoryError:
        outcome = failed(job, "out_of_memory", "The memory was not enough for this scan.")
    except Exception as error:  # one bad scan must never stop the others
        sentence = f"An error that ctlung does not know: {type(error).__name__}: {error}"
        outcome = failed(job, "unexpected", sentence[:500])
    if outcome.state != "done":
        shutil.rmtree(job.folder, ignore_errors=True)  # of an earlier input or setting
    keep(job, outcome)
    return outcome


def failed(job: Job, code: str, sentence: str) -> Outcome:
    """The outcome of a job that its own process could not tell of."""
    return Outcome(job.name, job.fingerprint, "failed", code, sentence)


def keep(job: Job, outcome: Outcome) -> None:
    """Write how a job ended, whole or not at all."""
    path = _state_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(vars(outcome), sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _state_path(job: Job) -> Path:
    return job.out / STATES / f"{job.name}.json"


@lru_cache(maxsize=2)
def _models(segmenter: str, finder: str, device: str) -> tuple[Any, Any]:
    """Loaded once per process."""
    return api.load_segmenter(segmenter, device), api.load_finder(finder, device)


def _measure(job: Job) -> None:
    row, how = job.row, job.how
    segmenter, finder = _models(how.segmenter, how.finder, how.device)
    result = api.segment(
        row.path,
        series=row.series or None,
        segmenter=segmenter,
        finder=finder,
        uncertainty=True,
        settings=how.settings,
        key=api.load_key(),
    )
    api.write_result(_dated(result, row), job.folder, force=True)


def _dated(result: ScanResult, row: ManifestRow) -> ScanResult:
    """The result with the manifest's day, where the header has none; a notice where they differ."""
    if row.date is None:
        return result
    report, provenance = result.report, result.report.provenance
    said, mine = provenance.acquisition.get("acquisition_date"), row.date.strftime("%Y%m%d")
    if said == mine:
        return result
    if said:
        sentence = f"The manifest says that the scan was taken on {mine}, its header {said}."
        report = replace(
            report, notices=(*report.notices, Notice("dates", "warn", sentence, said, mine))
        )
    else:
        acquisition = {**provenance.acquisition, "acquisition_date": mine}
        report = replace(report, provenance=replace(provenance, acquisition=acquisition))
    return replace(result, report=report)


def _compare(job: Job) -> None:
    assert job.against is not None
    first = job.out / SCANS / job.against.name
    second = job.out / SCANS / job.row.name
    found = two_scans.compare(
        first,
        second,
        same_person=job.how.same_person,
        infusion=job.row.infusion or job.against.infusion,
        onset=job.row.onset or job.against.onset,
        device=job.how.device,
        settings=job.how.settings,
    )
    two_scans.write_comparison(found, job.folder, force=True)


def _common(how: How) -> Mapping[str, Any]:
    cards = [_card(name) for name in (LUNG_MODEL, LESION_MODEL)]
    return {
        "version": __version__,
        "segmenter": how.segmenter,
        "finder": how.finder,
        "settings": how.settings.overrides(),
        "models": cards,
    }


@lru_cache(maxsize=4)
def _card(name: str) -> str:
    """The digest of a model's card, which holds that of its weights."""
    path = models_folder() / name / "card.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _files(path: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change of every file of an input."""
    inside = [path] if path.is_file() else path.rglob("*")
    files = sorted(p for p in inside if p.is_file())
    found = []
    for file in files:
        about = file.stat()
        name = file.name if file == path else file.relative_to(path).as_posix()
        found.append((name, about.st_size, about.st_mtime_ns))
    return found


def _digest(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
