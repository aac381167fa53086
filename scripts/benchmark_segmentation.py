"""Lung segmenters, measured: the figures of docs/benchmarks/segmentation.md.

    python scripts/benchmark_segmentation.py --write           all parts, then the page
    python scripts/benchmark_segmentation.py --parts drawn     one part; prints the page
    python scripts/benchmark_segmentation.py --parts           no part: the page from old rows

Each row is kept in benchmark_output/segmentation/rows, so that parts can be run apart; the page
is made from all rows and says of each where it comes from. Real scans come from
CTLUNG_TEST_DATA, else ../shared/data. A T patient is segmented by the weights of the fold that
left it out (scripts/folds.json), every other scan by the shipped ones.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import segmentation_copies
import segmentation_cost
import segmentation_drawn
import segmentation_lesions
import segmentation_pneumonia
import segmentation_tables
from benchmark_main_job import REPOSITORY
from segmentation_cases import Segmenters
from segmentation_rows import Recorder

from ctlung.segmentation.load import SEGMENTERS

PARTS = ("drawn", "lesions", "pneumonia", "cost", "copies")
TABLE = REPOSITORY / "docs" / "benchmarks" / "segmentation.md"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--segmenters", nargs="+", choices=SEGMENTERS, default=["network", "threshold"]
    )
    parser.add_argument("--cases", nargs="*", default=[], help="only these scans")
    parser.add_argument(
        "--loads",
        nargs="+",
        type=int,
        help="lesions: percent of the lung",
        default=list(segmentation_lesions.LOADS_PERCENT),
    )
    parser.add_argument("--draws", type=int, default=1, help="lesions: times each load is drawn")
    parser.add_argument("--slices", nargs="+", type=int, default=list(segmentation_cost.SLICES))
    parser.add_argument("--threads", nargs="+", type=int, default=list(segmentation_cost.THREADS))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--model", type=Path, help="a model folder in place of the shipped one")
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
    # The threshold segmenter first: what others differ from must be there.
    names = sorted(chosen.segmenters, key=lambda name: name != "threshold")
    segmenters = Segmenters(chosen.device, chosen.folds, chosen.model)
    command = "python scripts/benchmark_segmentation.py " + shlex.join(sys.argv[1:])
    recorder = Recorder(command, segmenters.weights_state(), chosen.missing)
    if "drawn" in chosen.parts:
        segmentation_drawn.run(recorder, segmenters, names, chosen.cases)
    if "lesions" in chosen.parts:
        segmentation_lesions.run(
            recorder, segmenters, names, chosen.cases, chosen.loads, chosen.draws
        )
    if "pneumonia" in chosen.parts:
        segmentation_pneumonia.run(recorder, segmenters, names, chosen.cases)
    if "cost" in chosen.parts:
        segmentation_cost.run(recorder, names, chosen.slices, chosen.threads, chosen.model)
    if "copies" in chosen.parts:
        segmentation_copies.run(recorder, segmenters, names, chosen.cases)
    report(recorder, chosen.write)


def report(recorder: Recorder, write: bool) -> None:
    """Print or write the page; what could not be measured ends the run with exit code 1."""
    lines = [
        "# Lung segmenters, measured",
        "",
        "Made by `python scripts/benchmark_segmentation.py`; masks are judged as FIELD 4.6 says.",
        *segmentation_tables.page(),
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
