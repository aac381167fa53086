"""Part "healthy": what is found where nothing is, and what of a small lesion put in there.

Nodules and the like are left out of lung and lesion, by centre and radius in scripts/nodules.csv,
which was made by eye before the first run. `lidc-idri-0002 0003 1011` are training patients that
no fold left out, so their lungs here are the threshold segmenter's, which learns nothing.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from benchmark_main_job import REPOSITORY
from lesions_cases import METHODS, Truth, judge
from segmentation_cases import Segmenters, path_of
from segmentation_rows import Recorder, Row
from segmentation_scores import BoolArray, LabelArray, millilitres

import ctlung
from ctlung import Scan, Segmentation
from ctlung.simulation import family_test
from ctlung.simulation.family_test_parameters import PARAMETERS
from ctlung.simulation.insertion import LesionPlan

SEEN_BY_NO_WEIGHTS = ("lidc-idri-0001", "covid-ct-md-normal001")
HEALTHY = (*SEEN_BY_NO_WEIGHTS, "lidc-idri-0002", "lidc-idri-0003", "lidc-idri-1011")
NODULES = REPOSITORY / "scripts" / "nodules.csv"
SIZES_ML = (5, 20)
FIRST_STREAM = 300_000


def run(
    recorder: Recorder, segmenters: Segmenters, methods: list[str], cases: list[str], draws: int
) -> None:
    """Each scan as it is, then with one ground-glass lesion of each size and draw."""
    for name in (n for n in HEALTHY if not cases or n in cases):
        one = _One(name, segmenters)
        for lungs in ("network", "threshold") if name in SEEN_BY_NO_WEIGHTS else ("threshold",):
            for method in methods:
                row = f"healthy-{name}-{lungs}-{method}"
                recorder.make(row, partial(one.measure, lungs, method))
                for ml in SIZES_ML:
                    for draw in range(draws):
                        row = f"recovered-{name}-{lungs}-{ml:02d}-{draw}-{method}"
                        recorder.make(row, partial(one.recover, lungs, method, ml, draw))


def nodules_of(name: str, scan: Scan) -> BoolArray:
    """Voxels inside the spheres that nodules.csv lists for a scan."""
    where = np.zeros(scan.geometry.shape, bool)
    grid = np.ogrid[tuple(slice(0, n) for n in where.shape)]
    with NODULES.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["scan"] != name:
                continue
            centre = (int(line["slice"]), int(line["row"]), int(line["column"]))
            gap = sum(
                ((g - c) * s) ** 2
                for g, c, s in zip(grid, centre, scan.geometry.spacing_mm, strict=True)
            )
            where |= gap <= float(line["radius_mm"]) ** 2
    return where


@dataclass
class _One:
    """One healthy scan, segmented once by each segmenter."""

    name: str
    segmenters: Segmenters

    def __post_init__(self) -> None:
        self._segmented: dict[str, Segmentation] = {}
        self._put_in: dict[tuple[int, int], tuple[Truth, Scan]] = {}

    @cached_property
    def scan(self) -> Scan:
        return ctlung.read_scan(path_of(self.name))

    @cached_property
    def nodules(self) -> BoolArray:
        return nodules_of(self.name, self.scan)

    def segmentation(self, lungs: str) -> Segmentation:
        if lungs not in self._segmented:
            segmenter, _ = self.segmenters.load(lungs, self.name)
            self._segmented[lungs] = segmenter.segment(self.scan)
        return self._segmented[lungs]

    def measure(self, lungs: str, method: str) -> Row:
        masks = self.segmentation(lungs)
        found = METHODS[method](self.scan, masks.lungs, masks.anatomy)
        spacing = self.scan.geometry.spacing_mm
        kept = ~self.nodules
        lung_ml = millilitres((masks.lungs.labels > 0) & kept, spacing)
        row = self._row("healthy", lungs, method) | {"lung_ml": lung_ml}
        for kind, where in (("", found > 0), ("_consolidation", found == 2)):
            row[f"found{kind}_ml"] = millilitres(where & kept, spacing)
        return row | {"percent": 100.0 * row["found_ml"] / lung_ml}

    def recover(self, lungs: str, method: str, ml: int, draw: int) -> Row:
        """Lungs are those of the scan without the lesion: so small a one does not move them."""
        truth, scan = self._with_lesion(ml, draw)
        masks = self.segmentation(lungs)
        found: LabelArray = METHODS[method](scan, masks.lungs, masks.anatomy)
        judged = judge(found, scan, truth)
        lesions = judged.pop("lesions")
        whole = max(lesions, key=lambda lesion: float(lesion["ml"]))
        row = self._row("recovered", lungs, method) | {"size_ml": ml, "draw": draw}
        return row | judged | whole

    def _with_lesion(self, ml: int, draw: int) -> tuple[Truth, Scan]:
        """The lesion lies where the threshold segmenter has lung, off nodules."""
        if (ml, draw) not in self._put_in:
            at = HEALTHY.index(self.name) * 10_000 + ml * 100 + draw
            rng = family_test.stream(FIRST_STREAM + at)
            p = PARAMETERS
            plan = LesionPlan(
                "ground_glass",
                float(ml),
                float(rng.uniform(*p.ground_glass_rise_hu)),
                float(rng.uniform(*p.edge_mm)),
                bool(rng.random() < p.touching_pleura),
                lower=float(rng.uniform(*p.lower)),
            )
            room = np.where(self.nodules, 0, self.segmentation("threshold").lungs.labels)
            put = family_test.insert(
                self.scan.hu.astype(np.float32),
                room.astype(np.uint8),
                self.scan.geometry,
                rng,
                [plan],
            )
            hu = np.clip(np.rint(put.hu), -1024, 3071).astype(np.int16)
            self._put_in[ml, draw] = (
                Truth(put.lesions, put.hu, put.lungs),
                replace(self.scan, hu=hu),
            )
        return self._put_in[ml, draw]

    def _row(self, part: str, lungs: str, method: str) -> Row:
        masks = self.segmentation(lungs)
        return {
            "part": part,
            "case": self.name,
            "lungs": lungs,
            "method": method,
            "weights": self.segmenters.weights_for(lungs, self.name)
            if lungs == "network"
            else "none",
            "weights_sha256": masks.weights_sha256,
        }
