"""Set the factors of ctlung.uncertainty on lesions of the training family in T lungs.

    python scripts/calibrate_intervals.py            measures what is to be measured, prints factors
    python scripts/calibrate_intervals.py --missing  leaves rows that are there

Each host is measured with four patients as the family draws them, and with one ground-glass
lesion of 5 and of 20 ml, twice each, end to end. A factor is the smallest by which the unstretched
interval must be stretched to cover the truth in 92 % of the cases (split conformal: rank
ceil(0.92 (n + 1))). Hosts are the LCTSC patients: their lungs were drawn by hand and are found here
by the weights of the fold that left them out, and the lesion network has never seen them. They are
patients with tumours in shallow breath: what the finder itself finds in such a host as it is, and
5 mm around it, is no lung here, neither in the truth nor in what is measured. So the factors know
of borders and of lesions that are missed, and not of what is found in healthy lung, for which there
is a table of its own. Rows are kept in benchmark_output.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from lesions_cases import METHODS, Truth, lung_map
from lesions_intervals import LESION_MEASURES, judged, measure, stretch
from segmentation_cases import TRAINED_ON, Segmenters
from segmentation_lesions import host_of
from segmentation_rows import ROWS, Recorder, Row
from segmentation_scores import LabelArray

from ctlung import Anatomy, LabelMap, Scan
from ctlung.morphology import grow
from ctlung.simulation import family_train
from ctlung.simulation.insertion import LesionPlan
from ctlung.vocabulary import LUNG_LABELS

COVER = 0.92
"""Of 32 cases a higher share would be the worst case of all."""
FIRST_STREAM = 700_000
AROUND_MM = 5.0
PATIENTS, SINGLE_ML = (0, 1, 2, 3), {4: 5.0, 5: 20.0, 6: 5.0, 7: 20.0}


class Host:
    """One scan with what is its own taken out of the lungs."""

    def __init__(self, name: str, method: str) -> None:
        self.name, self.method = name, method
        drawn = host_of(name)
        self.scan = drawn.scan
        found = METHODS[method](self.scan, lung_map(drawn.lungs, self.scan), Anatomy()) > 0
        self.own = grow(found, AROUND_MM, self.scan.geometry.spacing_mm)
        self.room: LabelArray = np.where(self.own, 0, drawn.lungs).astype(np.uint8)

    def put_in(self, draw: int) -> tuple[Truth, Scan]:
        hu = self.scan.hu.astype(np.float32)
        rng = family_train.stream(FIRST_STREAM + TRAINED_ON.index(self.name) * 100 + draw)
        plans = None
        if draw in SINGLE_ML:
            rise, edge = float(rng.uniform(90, 380)), float(rng.uniform(0, 6))
            touches, lower = bool(rng.random() < 0.7), float(rng.uniform(0.2, 1.0))
            plans = [LesionPlan("ground_glass", SINGLE_ML[draw], rise, edge, touches, lower=lower)]
        put = family_train.insert(hu, self.room, self.scan.geometry, rng, plans)
        whole = np.clip(np.rint(put.hu), -1024, 3071).astype(np.int16)
        return Truth(put.lesions, put.hu, put.lungs), replace(self.scan, hu=whole)

    def measure(self, segmenters: Segmenters, draw: int) -> Row:
        truth, scan = self.put_in(draw)
        masks = segmenters.load("network", self.name)[0].segment(scan)
        off = np.where(self.own, 0, masks.lungs.labels).astype(np.uint8)
        masks = replace(masks, lungs=LabelMap(off, scan.geometry, LUNG_LABELS))
        return {
            "part": "calibrate",
            "case": self.name,
            "draw": draw,
            "method": self.method,
            **measure(scan, masks, truth, self.method),
        }


def factors(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Factor and number of cases by measure."""
    found = {}
    for name in LESION_MEASURES:
        ratios = []
        for row in rows:
            volume = row["measures"]["lesion_volume_ml"]
            one = row["measures"][name] | {
                "lesion_ml": volume["truth"],
                "found_ml": volume["value"],
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
    parser.add_argument("--method", default="network", choices=("rule", "network"))
    parser.add_argument("--cases", nargs="*", default=list(TRAINED_ON))
    parser.add_argument("--missing", action="store_true", help="leave rows that are there")
    parser.add_argument("--folds", type=Path, default=REPOSITORY / "checkpoints" / "lungs")
    options = parser.parse_args()
    segmenters = Segmenters("cpu", options.folds, None)
    recorder = Recorder("calibrate_intervals", segmenters.weights_state(), options.missing)
    for name in options.cases:
        rows = {d: f"calibrate-{name}-{d:+d}-{options.method}" for d in (*PATIENTS, *SINGLE_ML)}
        if options.missing and all((ROWS / f"{row}.json").is_file() for row in rows.values()):
            continue
        host = Host(name, options.method)
        for draw, row in rows.items():
            recorder.make(row, lambda h=host, d=draw: h.measure(segmenters, d))  # type: ignore[misc]
    done = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(ROWS.glob(f"calibrate-*-{options.method}.json"))
    ]
    print(json.dumps(factors(done), indent=1))


if __name__ == "__main__":
    main()
