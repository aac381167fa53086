"""Set the factors of ctlung.uncertainty on lesions of the training family in T lungs.

    python scripts/calibrate_intervals.py --method network    one finder; prints its factors

Each host has lesions put in as the family draws a patient; found and measured end to end; a
factor is the smallest by which the unstretched interval must be stretched to cover the truth in
95 % of the cases (split conformal: rank ceil(0.95 (n + 1))). Hosts are the LCTSC patients with
lungs drawn by hand (lungs found by the weights of the fold that left them out, and in no part of
the lesion network's training) and the scans without drawn lungs, for which the threshold
segmenter's lungs are the truth of the lesions alone. Rows are kept in benchmark_output.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from lesions_cases import Truth
from lesions_intervals import LESION_MEASURES, judged, measure, stretch
from segmentation_cases import TRAINED_ON, Segmenters, path_of
from segmentation_lesions import host_of
from segmentation_rows import ROWS, Recorder, Row
from train_lungs_data import FOUND

import ctlung
from ctlung import Scan
from ctlung.measurement.headline_values import HEADLINE
from ctlung.simulation import family_train
from ctlung.vocabulary import LUNG_LABELS

COVER = 0.95
FIRST_STREAM = 700_000
DRAWS = {True: 3, False: 1}
"""Of hosts with drawn lungs, and of those without."""
OUTPUT = REPOSITORY / "docs" / "benchmarks" / "interval_factors.json"


def hosts() -> list[str]:
    return [*TRAINED_ON, *FOUND]


def lungs_and_scan(name: str) -> tuple[np.ndarray, Scan]:
    """Drawn lungs, or the threshold segmenter's."""
    if name in TRAINED_ON:
        drawn = host_of(name)
        return drawn.lungs, drawn.scan
    scan = ctlung.read_scan(path_of(name))
    found = ctlung.segment_lungs(scan, "threshold").lungs
    assert dict(found.names) == dict(LUNG_LABELS)
    return np.asarray(found.labels), scan


def run(recorder: Recorder, segmenters: Segmenters, method: str, chosen: list[str]) -> None:
    for name in (n for n in hosts() if not chosen or n in chosen):
        room: tuple[np.ndarray, Scan] | None = None
        for draw in range(-1, DRAWS[name in TRAINED_ON]):
            row = f"calibrate-{name}-{draw:+d}-{method}"
            if recorder.missing_only and (ROWS / f"{row}.json").is_file():
                continue
            room = room or lungs_and_scan(name)
            lungs, clean = room

            def one(name: str = name, draw: int = draw, lungs=lungs, clean=clean) -> Row:  # type: ignore[no-untyped-def]
                truth, scan = put_in(name, draw, lungs, clean)
                masks = segmenters.load("network", name)[0].segment(scan)
                return {
                    "part": "calibrate",
                    "case": name,
                    "draw": draw,
                    "method": method,
                    "drawn": name in TRAINED_ON,
                    **measure(scan, masks, truth, method),
                }

            recorder.make(row, one, always=True)


def put_in(name: str, draw: int, lungs: np.ndarray, clean: Scan) -> tuple[Truth, Scan]:
    """Draw -1 is the scan as it is."""
    hu = clean.hu.astype(np.float32)
    if draw < 0:
        return Truth(np.zeros_like(lungs), hu, lungs), clean
    rng = family_train.stream(FIRST_STREAM + hosts().index(name) * 100 + draw)
    put = family_train.insert(hu, lungs, clean.geometry, rng)
    whole = np.clip(np.rint(put.hu), -1024, 3071).astype(np.int16)
    return Truth(put.lesions, put.hu, put.lungs), replace(clean, hu=whole)


def factors(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Factor and number of cases by measure; lungs' own measures from drawn lungs alone."""
    found = {}
    for name in HEADLINE:
        ratios = []
        for row in rows:
            if name not in LESION_MEASURES and not row["drawn"]:
                continue
            one = row["measures"][name] | {
                "lesion_ml": row["measures"]["lesion_volume_ml"]["truth"]
            }
            if judged(name, one):
                ratios.append(stretch(one))
        n = len(ratios)
        rank = min(n, math.ceil(COVER * (n + 1)))
        found[name] = {"factor": round(sorted(ratios)[rank - 1], 2), "cases": n}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="rule", choices=("rule", "network"))
    parser.add_argument("--cases", nargs="*", default=[])
    parser.add_argument("--missing", action="store_true", help="leave rows that are there")
    parser.add_argument("--folds", type=Path, default=REPOSITORY / "checkpoints" / "lungs")
    options = parser.parse_args()
    segmenters = Segmenters("cpu", options.folds, None)
    recorder = Recorder("calibrate_intervals", segmenters.weights_state(), options.missing)
    run(recorder, segmenters, options.method, options.cases)
    rows = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(ROWS.glob(f"calibrate-*-{options.method}.json"))
    ]
    print(json.dumps(factors(rows), indent=1))


if __name__ == "__main__":
    main()
