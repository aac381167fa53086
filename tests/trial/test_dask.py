"""The same work on a Dask scheduler and two workers, real processes on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_trial import write_visit

from ctlung.trial.batch import batch
from ctlung.trial.manifest import ManifestRow

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def cluster() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["dask_worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for command in (scheduler, worker, worker)
    ]
    yield address
    for process in reversed(started):
        process.terminate()
    for process in started:
        process.wait(timeout=30)


def test_two_workers_make_the_table_that_one_process_makes(cluster: str, tmp_path: Path) -> None:
    rows = [
        ManifestRow(name, 0, write_visit(tmp_path / "scans", name, 0, 20.0)) for name in ("A", "B")
    ]
    rows.append(ManifestRow("C", 0, tmp_path / "nowhere"))
    quick = {"segmenter": "threshold", "finder": "rule"}
    there = batch(rows, tmp_path / "there", dask=cluster, **quick)
    batch(rows, tmp_path / "here", workers=1, **quick)
    assert list(there[there["kind"] == "outcome"]["reason"]) == ["done", "done", "refused"]
    for file in ("results.csv", "results.parquet"):
        assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "here" / file).read_bytes()
