"""Processes that die take no other job with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.odd_jobs import by_name

from ctlung.errors import InputError
from ctlung.trial.executor import locally, on_dask, workers_here
from ctlung.trial.jobs import How, Job, is_done
from ctlung.trial.manifest import ManifestRow


def _jobs(out: Path, *names: str) -> list[Job]:
    return [Job(ManifestRow(n, 0, out), out, How(), f"print of {n}") for n in names]


def test_each_job_ends_once_whoever_dies(tmp_path: Path) -> None:
    names = ["a", "linger1", "die1", "b", "linger2", "die2", "hoard", "c"]
    jobs = _jobs(tmp_path, *names)
    found = list(locally(jobs, 2, do=by_name))
    assert sorted(o.name for o in found) == sorted(j.name for j in jobs)
    states = {o.name.removesuffix("-visit0"): (o.state, o.code) for o in found}
    assert states["die1"] == states["die2"] == ("failed", "crashed")
    assert states["hoard"] == ("failed", "out_of_memory")
    good = [n for n in names if not n.startswith(("die", "hoard"))]
    assert all(states[n] == ("done", "") for n in good)


def test_what_crashed_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    (job,) = _jobs(tmp_path, "die")
    list(locally([job], 1, do=by_name))
    assert (tmp_path / "states" / f"{job.name}.json").is_file()
    assert is_done(job) is None


def test_half_a_state_is_no_state(tmp_path: Path) -> None:
    (job,) = _jobs(tmp_path, "a")
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / f"{job.name}.json").write_text('{"name": "a-vi', encoding="utf-8")
    assert is_done(job) is None


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_here(3) == 3
    monkeypatch.setattr("ctlung.trial.executor.free_memory", lambda: 1e9)
    assert workers_here() == 1


def test_nobody_answers_at_the_address(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No Dask scheduler answers"):
        list(on_dask(_jobs(tmp_path, "a"), "not an address"))
