"""Lesion finders, measured: the figures of docs/benchmarks/lesions.md.

    python scripts/benchmark_lesions.py --write           all parts, then the page
    python scripts/benchmark_lesions.py --parts healthy   one part; prints the page
    python scripts/benchmark_lesions.py --parts           no part: the page from old rows

Rows are kept in benchmark_output beside those of the segmentation benchmark; the page is made
from all rows. Real scans come from CTLUNG_TEST_DATA, else ../shared/data. Lungs of a T patient
are found by the weights of the fold that left it out, of every other scan by the shipped ones.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import lesions_healthy
import lesions_inserted
import lesions_phantoms
import lesions_readers
import lesions_speed
import lesions_tables
import lesions_variants
from benchmark_main_job import REPOSITORY
from lesions_cases import METHODS
from segmentation_cases import Segmenters
from segmentation_rows import Recorder

PARTS = ("inserted", "intervals", "healthy", "readers", "variants", "phantoms", "speed")
TABLE = REPOSITORY / "docs" / "benchmarks" / "lesions.md"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    parser.add_argument("--cases", nargs="*", default=[], help="only these scans")
    parser.add_argument("--draws", type=int, default=3, help="times lesions are drawn")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--model", type=Path, help="lung weights in place of the shipped ones")
    parser.add_argument(
        "--folds",
        type=Path,
        default=REPOSITORY / "checkpoints" / "lungs",
        help="holds fold0-export and its like",
    )
    parser.add_argument(
        "--missing", action="store_true", help="leave rows that this very code has already made"
    )
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = options()
    segmenters = Segmenters(chosen.device, chosen.folds, chosen.model)
    command = "python scripts/benchmark_lesions.py " + shlex.join(sys.argv[1:])
    recorder = Recorder(command, segmenters.weights_state(), chosen.missing)
    methods, cases = chosen.methods, chosen.cases
    if "inserted" in chosen.parts:
        lesions_inserted.run(recorder, segmenters, methods, cases, chosen.draws)
    healthy = tuple(p for p in ("healthy", "intervals") if p in chosen.parts)
    if healthy:
        lesions_healthy.run(recorder, segmenters, methods, cases, chosen.draws, healthy)
    if "readers" in chosen.parts:
        lesions_readers.run(recorder, segmenters, methods, cases)
    if "variants" in chosen.parts:
        lesions_variants.run(recorder, segmenters, methods, cases)
    if "phantoms" in chosen.parts:
        lesions_phantoms.run(recorder)
    if "speed" in chosen.parts:
        lesions_speed.run(recorder, methods)
    report(recorder, chosen.write)


def report(recorder: Recorder, write: bool) -> None:
    """Print or write the page; what could not be measured ends the run with exit code 1."""
    lines = [
        "# Lesion finders, measured",
        "",
        "Made by `python scripts/benchmark_lesions.py`. `network` is what `ctlung segment` does; "
        "`rule` is `--finder rule`; `bands` counts every lung voxel between -750 and 100 HU.",
        *lesions_tables.page(),
    ]
    if write:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written: {TABLE.relative_to(REPOSITORY)}")
    else:
        print("\n".join(lines))
    if recorder.failures:
        print(f"\n{len(recorder.failures)} rows could not be measured:", file=sys.stderr)
        print("\n".join(recorder.failures), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
