"""Part "speed": seconds and memory of finding and measuring lesions, 300 slices of 512 x 512.

In a process of its own with a fixed number of threads, on the scan that the segmentation
benchmark times, with the threshold segmenter's lungs (the finder does not care whose they are).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from segmentation_cost import write_scan
from segmentation_rows import Recorder, Row

SLICES = 300
THREADS = (1, 2)
RUNS = 2


def run(recorder: Recorder, methods: list[str]) -> None:
    """Each method with one thread and with two; the better of two runs counts."""
    with tempfile.TemporaryDirectory() as folder:
        write_scan(Path(folder), SLICES)
        for method in methods:
            for threads in THREADS:
                name = f"speed-{threads}-{method}"
                recorder.make(name, partial(_row, Path(folder), method, threads))


def _row(folder: Path, method: str, threads: int) -> Row:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, str(folder), method]
    said = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    figures: Row = json.loads(said.stdout.strip().splitlines()[-1])
    return {
        "part": "speed",
        "case": f"{SLICES} slices",
        "method": method,
        "threads": threads,
        **figures,
    }


def main(folder: Path, method: str) -> None:
    """Time one method and print its figures as JSON."""
    from lesions_cases import METHODS
    from lesions_intervals import finder_of

    import ctlung
    from ctlung.uncertainty import with_intervals
    from ctlung.vocabulary import LESION_LABELS

    matrix = json.loads((folder / "affine.json").read_text(encoding="utf-8"))
    hu = np.load(folder / "scan.npy")
    scan = ctlung.Scan(hu, ctlung.Geometry.from_affine(hu.shape, matrix))
    masks = ctlung.load_segmenter("threshold").segment(scan)
    finding, measuring, digests = [], [], set()
    for _ in range(RUNS):
        start = time.perf_counter()
        found = METHODS[method](scan, masks.lungs, masks.anatomy)
        middle = time.perf_counter()
        lesions = ctlung.LabelMap(found, scan.geometry, LESION_LABELS)
        report = ctlung.analyze(scan, masks.lungs, lesions, masks.notices)
        finding.append(middle - start)
        measuring.append(time.perf_counter() - middle)
        digests.add(hash((found.tobytes(), report.measurements)))
    intervals = None
    if method != "bands":
        finder = finder_of(method)
        start = time.perf_counter()
        with_intervals(report, scan, masks.lungs, lesions, masks.anatomy, finder, ctlung.Settings())
        intervals = round(time.perf_counter() - start, 2)
    print(
        json.dumps(
            {
                "finding_s": round(min(finding), 2),
                "measuring_s": round(min(measuring), 2),
                "intervals_s": intervals,
                "same_twice": len(digests) == 1,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
