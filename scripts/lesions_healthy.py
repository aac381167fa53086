"""Part "healthy": what is found where nothing is, and what of a small lesion put in there.

Nodules and the like are left out of lung and lesion, by centre and radius in scripts/nodules.csv,
which was made by eye before the first run. `lidc-idri-0002 0003 1011` are training patients that
no fold left out, so their lungs here are the threshold segmenter's, which learns nothing.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import lesions_intervals
import numpy as np
from benchmark_main_job import REPOSITORY
from lesions_cases import METHODS, Truth, judge
from segmentation_cases import Segmenters, path_of
from segmentation_rows import Recorder, Row
from segmentation_scores import BoolArray, LabelArray, millilitres

import ctlung
from ctlung import LabelMap, Scan, Segmentation
from ctlung.simulation import family_test
from ctlung.simulation.family_test_parameters import PARAMETERS
from ctlung.simulation.insertion import LesionPlan
from ctlung.vocabulary import LUNG_LABELS

SEEN_BY_NO_WEIGHTS = ("lidc-idri-0001", "covid-ct-md-normal001")
HEALTHY = (*SEEN_BY_NO_WEIGHTS, "lidc-idri-0002", "lidc-idri-0003", "lidc-idri-1011")
NODULES = REPOSITORY / "scripts" / "nodules.csv"
SIZES_ML = (5, 20)
PATIENT = 99
"""In the place of a size: a whole patient as the test family draws one."""
FIRST_STREAM = 300_000


def run(
    recorder: Recorder,
    segmenters: Segmenters,
    methods: list[str],
    cases: list[str],
    draws: int,
    parts: tuple[str, ...] = ("healthy",),
) -> None:
    """Each scan as it is, then with one ground-glass lesion of each size and draw.

    ``parts`` are "healthy" (what is found) and "intervals" (do they hold the truth, there and with
    diseased patients as the test family draws them).
    """
    for name in (n for n in HEALTHY if not cases or n in cases):
        one = _One(name, segmenters)
        for lungs in ("network", "threshold") if name in SEEN_BY_NO_WEIGHTS else ("threshold",):
            if "intervals" in parts:
                for size in (0, *SIZES_ML, PATIENT):
                    for draw in range(draws if size else 1):
                        row = f"intervals-{name}-{lungs}-{size:02d}-{draw}-network"
                        recorder.make(row, partial(one.intervals, lungs, size, draw))
            for method in methods if "healthy" in parts else ():
                row = f"healthy-{name}-{lungs}-{method}"
                recorder.make(row, partial(one.measure, lungs, method))
                for ml in SIZES_ML:
                    for draw in range(draws):
                        row = f"recovered-{name}-{lungs}-{ml:02d}-{draw}-{method}"
                        recorder.make(row, partial(one.recover, lungs, method, ml, draw))


def nodules_of(name: str, scan: Scan, lists: tuple[Path, ...] = (NODULES,)) -> BoolArray:
    """Voxels inside the spheres that the lists name for a scan."""
    where = np.zeros(scan.geometry.shape, bool)
    grid = np.ogrid[tuple(slice(0, n) for n in where.shape)]
    lines: list[dict[str, str]] = []
    for path in lists:
        with path.open(encoding="utf-8", newline="") as file:
            lines += [line for line in csv.DictReader(file) if line["scan"] == name]
    for line in lines:
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

    def intervals(self, lungs: str, ml: int, draw: int) -> Row:
        """Nodules are no lung here, neither in the truth nor in what is measured."""
        masks = self.segmentation(lungs)
        if ml:
            truth, scan = self._with_lesion(ml, draw)
        else:
            scan, hu = self.scan, self.scan.hu.astype(np.float32)
            truth = Truth(np.zeros(hu.shape, np.uint8), hu, self._room())
        off = np.where(self.nodules, 0, masks.lungs.labels).astype(np.uint8)
        masks = replace(masks, lungs=LabelMap(off, scan.geometry, LUNG_LABELS))
        row = self._row("intervals", lungs, "network") | {"size_ml": ml, "draw": draw}
        return row | lesions_intervals.measure(scan, masks, truth, "network")

    def _room(self) -> LabelArray:
        """Where lesions may lie: the threshold segmenter's lungs, off nodules."""
        found = self.segmentation("threshold").lungs.labels
        return np.where(self.nodules, 0, found).astype(np.uint8)

    def _with_lesion(self, ml: int, draw: int) -> tuple[Truth, Scan]:
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
            put = family_test.insert(
                self.scan.hu.astype(np.float32),
                self._room(),
                self.scan.geometry,
                rng,
                None if ml == PATIENT else [plan],
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
