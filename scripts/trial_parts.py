"""Parts of the trial benchmark that run batches: each makes its scans in a temporary folder."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_main_job import REPOSITORY
from segmentation_rows import Row
from trial_simulated import make_trial

from ctlung.trial.cohort_names import PRIMARY
from ctlung.trial.manifest import ManifestRow, manifest_as_csv, read_manifest
from ctlung.trial.statistics import ancova

N_KILLS = 20
N_SCANS, N_BROKEN = 100, 10
QUICK = ("--segmenter", "threshold", "--finder", "rule")
WORKERS = 2


def simulated_trial() -> Row:
    """One command from DICOM to result; what it found beside the truth."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_trial(place, (12, 13), 0.6)
        start = time.perf_counter()
        _ctlung("batch", place / "manifest.csv", "-o", place / "out", "--cohort",
                "--workers", WORKERS)  # fmt: skip
        seconds = time.perf_counter() - start
        found = pd.read_csv(place / "out" / "cohort" / "cohort.csv")
        truth = pd.read_csv(place / "truth.csv")
    figures: dict[str, object] = {"minutes, DICOM to result (goal 15)": round(seconds / 60, 1)}
    treated = (truth["arm"] == "MSC").to_numpy()
    for measure, name in zip(PRIMARY, ("percent", "hu"), strict=True):
        line = found[(found["section"] == "between") & (found["measure"] == measure)
                     & (found["what"] == "ANCOVA")].iloc[0]  # fmt: skip
        right = ancova(truth[f"{name}_followup"], truth[f"{name}_baseline"], treated).difference
        figures[f"{measure}: measured difference of the arms (95 %)"] = (
            f"{line['value']:.1f} ({line['low']:.1f} to {line['high']:.1f}), n = {line['n']:.0f}"
        )
        figures[f"{measure}: true difference"] = f"{right.value:.1f}"
    return {"figures": figures}


def kills() -> Row:
    """Kill a worker or the whole batch at random moments; the table must be the undisturbed one."""
    rng = random.Random(4)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_trial(place, (1, 1), 0.6)
        command = ("batch", place / "manifest.csv", *QUICK, "--workers", WORKERS)
        start = time.perf_counter()
        _ctlung(*command, "-o", place / "calm")
        whole_s = time.perf_counter() - start
        wanted = _digest(place / "calm" / "results.csv")
        same, half, workers = 0, 0, 0
        for number in range(N_KILLS):
            out = place / f"out{number}"
            process = _start(*command, "-o", out)
            time.sleep(rng.uniform(0.05, 0.95) * whole_s)
            if number % 2 and (children := _children(process.pid)):
                os.kill(rng.choice(children), signal.SIGKILL)
                workers += 1
                process.wait()
            else:
                process.kill()
                process.wait()
            time.sleep(1.0)
            half += _half_written(out)
            _ctlung(*command, "-o", out)
            left = list(out.rglob(".ctlung-*"))
            table = pd.read_csv(out / "results.csv", low_memory=False)
            twice = table[table["kind"] == "outcome"].duplicated(["patient", "visit", "against"])
            same += _digest(out / "results.csv") == wanted and not left and not twice.any()
            shutil.rmtree(out)
    return {
        "figures": {
            "scans, pairs": "4, 2",
            "an undisturbed run, s": round(whole_s, 1),
            "kills (of them of a worker)": f"{N_KILLS} ({workers})",
            "tables equal to the undisturbed one, byte for byte": f"{same} of {N_KILLS}",
            "half files left under a final name": half,
        }
    }


def mixed() -> Row:
    """A hundred copies of a small scan, ten of them broken."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_trial(place, (1, 0), 0.0)
        source = read_manifest(place / "manifest.csv")[0].path
        rows = []
        for number in range(N_SCANS):
            copy = place / "copies" / f"{number:03d}"
            shutil.copytree(source, copy)
            if number % (N_SCANS // N_BROKEN) == 5:
                _break(copy, number // (N_SCANS // N_BROKEN))
            rows.append(ManifestRow(f"C{number:03d}", 0, copy))
        (place / "m.csv").write_text(manifest_as_csv(rows), encoding="utf-8")
        start = time.perf_counter()
        process = _start("batch", place / "m.csv", "-o", place / "out", *QUICK,
                         "--workers", WORKERS)  # fmt: skip
        early, late = _memory(process, place / "out")
        seconds = time.perf_counter() - start
        table = pd.read_csv(place / "out" / "results.csv", low_memory=False)
    outcomes = table[table["kind"] == "outcome"]
    codes = outcomes[outcomes["reason"] != "done"].groupby(["reason", "name"]).size()
    listed = ", ".join(f"{n} x {name} ({state})" for (state, name), n in codes.items())
    return {
        "figures": {
            "results": int((outcomes["reason"] == "done").sum()),
            "named failures": listed,
            "exit code": process.returncode,
            "s": round(seconds),
            "most memory of all processes, first and second half, GB": f"{early:.2f}, {late:.2f}",
        }
    }


def dask() -> Row:
    """The same scans by one process and by two Dask workers, each on one core of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_trial(place, (3, 3), 0.6)
        seconds, digests = {}, {}
        for workers in (1, 2):
            with _cluster(workers) as address:
                out = place / f"out{workers}"
                warm = ("batch", place / "manifest.csv", *QUICK, "--dask", address)
                # Start-up is excluded: the workers have loaded everything once.
                _ctlung(*warm, "-o", place / f"warm{workers}")
                start = time.perf_counter()
                _ctlung(*warm, "-o", out)
                seconds[workers] = time.perf_counter() - start
                digests[workers] = _digest(out / "results.csv")
        _ctlung("batch", place / "manifest.csv", *QUICK, "-o", place / "local", "--workers", 1)
        digests[0] = _digest(place / "local" / "results.csv")
    return {
        "figures": {
            "scans, pairs": "12, 6",
            "one worker on one core, s": round(seconds[1], 1),
            "two workers on a core each, s": round(seconds[2], 1),
            "speed-up (goal 1.7)": round(seconds[1] / seconds[2], 2),
            "tables equal, byte for byte, to each other and to one process without Dask": len(
                set(digests.values())
            )
            == 1,
        }
    }


def _ctlung(*arguments: object) -> None:
    command = [sys.executable, "-m", "ctlung", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr[-500:] or done.stdout[-500:])


def _start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ctlung", *map(str, arguments)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=quiet, stderr=quiet)


def _children(pid: int) -> list[int]:
    """Processes that a process has started and that still work, deepest first."""
    import psutil

    try:
        found = psutil.Process(pid).children(recursive=True)
        return [p.pid for p in found if "spawn_main" in " ".join(p.cmdline())]
    except psutil.Error:
        return []


def _memory(process: subprocess.Popen[bytes], out: Path) -> tuple[float, float]:
    """Most memory (GB) of a process and its children, before and after half of the scans."""
    import psutil

    most = [0.0, 0.0]
    while process.poll() is None:
        done = len(list((out / "states").glob("*.json"))) if (out / "states").is_dir() else 0
        total = 0
        for p in [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]:
            try:
                total += p.memory_info().rss
            except psutil.Error:
                continue
        half = int(done > N_SCANS // 2)
        most[half] = max(most[half], total / 1e9)
        time.sleep(0.2)
    return most[0], most[1]


def _break(folder: Path, how: int) -> None:
    """Damage a copy in one of several ways."""
    files = sorted(folder.rglob("*.dcm")) or sorted(p for p in folder.rglob("*") if p.is_file())
    kind = how % 5
    if kind == 0:  # truncated
        for file in files:
            file.write_bytes(file.read_bytes()[:700])
    elif kind == 1:  # a decoder gets rubbish: compressed by its header, not by its bytes
        import pydicom
        from pydicom.encaps import encapsulate
        from pydicom.uid import JPEG2000Lossless

        for file in files:
            data = pydicom.dcmread(file)
            rubbish = b"\xff\x4f\xff\x51" + np.random.default_rng(how).bytes(3000)
            data.PixelData = encapsulate([rubbish])
            data["PixelData"].VR = "OB"
            data.file_meta.TransferSyntaxUID = JPEG2000Lossless
            data.save_as(file, enforce_file_format=True)
    elif kind == 2:  # a zip bomb
        for file in files:
            file.unlink()
        with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
            bomb.writestr("zeros.dcm", b"\0" * 400_000_000)
    elif kind == 3:  # not CT
        import pydicom

        for file in files:
            data = pydicom.dcmread(file)
            data.Modality, data.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
            data.save_as(file)
    else:  # empty
        for file in files:
            file.unlink()


def _half_written(out: Path) -> int:
    """Files under their final name that are not whole."""
    bad = 0
    for path in out.rglob("*.json"):
        if ".ctlung-" in path.as_posix() or path.name.startswith("."):
            continue
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            bad += 1
    return bad


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """A Dask scheduler and workers as processes on loopback, each worker on one core."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    cores = sorted(os.sched_getaffinity(0))
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    base = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    port = address.rsplit(":", 1)[1]
    started = [
        subprocess.Popen(
            [*base, "--host", "127.0.0.1", "--port", port, "--no-dashboard"],
            stdout=quiet, stderr=quiet, env=environment,
        )
    ]  # fmt: skip
    for number in range(workers):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
        command += ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        core = cores[number % len(cores)]
        worker = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment)
        os.sched_setaffinity(worker.pid, {core})
        started.append(worker)
    try:
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=20)
