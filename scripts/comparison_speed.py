"""Part "speed": seconds and memory of ``ctlung compare``, two series of 300 slices of 512 x 512.

Each run in a process of its own on two threads, model loading and writing included. The follow-up
is the same patient after a breath.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from comparison_pairs import breath_of
from segmentation_cases import BY_NAME, load_drawn
from segmentation_cost import SOURCE, launched, write_scan
from segmentation_rows import Recorder, Row

from ctlung.simulation.breathing import breathe

SLICES = 300
THREADS = 2
LIFT_MM = 15.0
GOALS_S = {"with intervals": 60, "without intervals": 95, "DICOM": 135}


def run(recorder: Recorder) -> None:
    """From DICOM, from finished folders with intervals, and without."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write(place)
        dicom = [str(place / visit / "dicom") for visit in ("first", "second")]
        for what in ("without intervals", "with intervals"):
            finished = [place / what / visit for visit in ("first", "second")]
            for source, out in zip(dicom, finished, strict=True):
                more = ["--uncertainty"] if what == "with intervals" else []
                launched(["-m", "ctlung", "segment", source, "-o", str(out), *more], THREADS)
            sources = [str(f) for f in finished]
            recorder.make(f"speed-compare-{what.split()[0]}", lambda s=sources, w=what: _row(s, w))
        recorder.make("speed-compare-dicom", lambda: _row(dicom, "DICOM"))


def _row(sources: list[str], what: str) -> Row:
    with tempfile.TemporaryDirectory() as out:
        command = ["-m", "ctlung", "compare", *sources, "-o", f"{out}/out"]
        figures = launched(command, THREADS)
    facts = {"what": what, "slices": SLICES, "threads": THREADS, "goal_s": GOALS_S[what]}
    return {"part": "speed-compare", "case": SOURCE, **facts, **figures}


def _write(place: Path) -> None:
    drawn = load_drawn(BY_NAME[SOURCE])
    write_scan(place / "first", SLICES)
    breath = breath_of(drawn, LIFT_MM)
    hu, _, _ = breathe(drawn.scan.hu.astype(np.float32), drawn.lungs, drawn.scan.geometry, breath)
    rng = np.random.default_rng(1)
    noisy = hu + rng.normal(0.0, 8.0, hu.shape)
    scan = replace(drawn.scan, hu=np.clip(np.rint(noisy), -1024, 3071).astype(np.int16))
    write_scan(place / "second", SLICES, scan, "20200111")
