"""Rows of the segmentation benchmark: one JSON file each, so that parts can be run apart."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark_main_job import OUTPUT, REPOSITORY, machine

from ctlung import CtlungError
from ctlung.version import __version__

Row = dict[str, Any]
FOLDER = OUTPUT / "segmentation"
ROWS = FOLDER / "rows"


def code_sha256() -> str:
    """Of all sources of the package: tells rows of one state of the code from another's."""
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "ctlung").rglob("*.py")):
        digest.update(path.relative_to(REPOSITORY).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@dataclass
class Recorder:
    """Writes rows with where they come from.

    Attributes:
        command: that is run.
        weights_state: sha256 over all weights at hand.
        missing_only: leave a row that was already made by this very code with these weights.
        failures: what could not be measured, in words.
    """

    command: str
    weights_state: str = ""
    missing_only: bool = False
    failures: list[str] = field(default_factory=list)
    _code: str = field(default_factory=code_sha256)

    def make(self, name: str, measure: Callable[[], Row], *, always: bool = False) -> Row | None:
        """Measure and write the row ``name``, unless it is there; say what went wrong."""
        path = ROWS / f"{name}.json"
        if self.missing_only and not always and path.is_file():
            there: Row = json.loads(path.read_text(encoding="utf-8"))
            if self._is_this(name, there["stamp"]):
                return there
        start = time.perf_counter()
        try:
            row = measure()
        except (CtlungError, FileNotFoundError) as error:
            self.failures.append(f"{name}: {type(error).__name__}: {error}")
            print(f"NOT MEASURED {self.failures[-1]}", file=sys.stderr, flush=True)
            return None
        row["name"] = name
        row["stamp"] = self._stamp()
        ROWS.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(row, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)
        print(f"{name} {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        return row

    def _is_this(self, name: str, stamp: Row) -> bool:
        learned = "-threshold" not in name and "-r231-" not in name
        same = not learned or stamp["weights_state"] == self.weights_state
        return bool(stamp["code_sha256"] == self._code and same)

    def _stamp(self) -> Row:
        return {
            "machine": described_machine(),
            "date": time.strftime("%Y-%m-%d"),
            "command": self.command,
            "ctlung": __version__,
            "code_sha256": self._code,
            "weights_state": self.weights_state,
            "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        }


def rows_of(part: str) -> list[Row]:
    """All rows of a part that were ever written, by name."""
    found = (json.loads(p.read_text(encoding="utf-8")) for p in sorted(ROWS.glob(f"{part}-*.json")))
    return [row for row in found if row["part"] == part]


def described_machine() -> str:
    """Architecture, cores, processor, GPU, versions."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return ", ".join([machine().replace("no GPU", gpu_name()), *sorted(names)])


def gpu_name() -> str:
    """The first CUDA GPU's name, or ``no GPU``."""
    if shutil.which("nvidia-smi") is None:
        return "no GPU"
    said = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    names = said.stdout.strip().splitlines() if said.returncode == 0 else []
    return names[0] if names else "no GPU"


def origins(rows: Iterable[Row]) -> list[str]:
    """Lines that say where the rows of a table come from; more than one state is told."""
    rows = list(rows)
    lines = []
    for key, words in (
        ("machine", "Machine"),
        ("date", "Date"),
        ("ctlung", "ctlung"),
        ("command", "Command"),
    ):
        values = sorted({str(row["stamp"][key]) for row in rows})
        shown = [f"`{v}`" for v in values] if key == "command" else values
        lines.append(f"- {words}: {'; '.join(shown)}")
    states = sorted({row["stamp"]["code_sha256"][:12] for row in rows})
    lines.append(
        f"- State of the code (sha256 of ctlung/): {', '.join(states)}"
        + ("" if len(states) < 2 else " - **rows of different states stand together**")
    )
    weights = sorted(
        {(row["weights"], row["weights_sha256"]) for row in rows if row.get("weights_sha256")}
    )
    lines += [f"- Weights {name}: sha256 {sha}" for name, sha in weights]
    return lines
