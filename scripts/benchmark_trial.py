"""Batch and cohort, measured: the figures of docs/benchmarks/trial.md.

    python scripts/benchmark_trial.py --write                all parts, then the page
    python scripts/benchmark_trial.py --parts tables         one part; prints the page
    python scripts/benchmark_trial.py --parts --write        no part: the page from old rows

Parts: ``trial`` a simulated trial of 12 and 13 patients, DICOM to result in one command; ``tables``
10,000 simulated tables without and with an effect; ``kills`` a batch killed at random moments;
``mixed`` a hundred scans, ten of them broken; ``dask`` two workers against one process.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial

import trial_parts
import trial_tables
from benchmark_main_job import REPOSITORY
from segmentation_rows import Recorder, rows_of

TABLE = REPOSITORY / "docs" / "benchmarks" / "trial.md"
PARTS = {
    "trial": trial_parts.simulated_trial,
    "tables": trial_tables.simulated_tables,
    "kills": trial_parts.kills,
    "mixed": trial_parts.mixed,
    "dask": trial_parts.dask,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    command = "python scripts/benchmark_trial.py " + shlex.join(sys.argv[1:])
    recorder = Recorder(command)
    for part in chosen.parts:
        recorder.make(f"cohort-{part}", partial(_row, part))
    lines = page()
    if chosen.write:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written: {TABLE.relative_to(REPOSITORY)}")
    else:
        print("\n".join(lines))
    if recorder.failures:
        print("\n".join(recorder.failures), file=sys.stderr)
        sys.exit(1)


def _row(part: str) -> dict[str, object]:
    return {"part": "cohort", "case": part, **PARTS[part]()}


def page() -> list[str]:
    """All tables, from the rows that were written."""
    rows = {r["case"]: r for r in rows_of("cohort")}
    lines = ["# Batch and cohort, measured", "", "Made by `python scripts/benchmark_trial.py`.", ""]
    for part, title in (
        ("trial", "A simulated trial of 12 and 13 patients"),
        ("tables", "10,000 simulated tables"),
        ("kills", "Killed and started again"),
        ("mixed", "A hundred scans, ten of them broken"),
        ("dask", "Two Dask workers against one process"),
    ):
        lines += trial_tables.section(title, rows.get(part))
    return lines


if __name__ == "__main__":
    main()
