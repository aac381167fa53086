"""Part "readers": lesions that people drew or marked. Never tune anything on these figures."""

from __future__ import annotations

import csv
from functools import partial

import numpy as np
from benchmark_main_job import data_folder
from lesions_cases import METHODS, lung_map
from scipy import ndimage
from segmentation_cases import Segmenters, labels_on, path_of
from segmentation_rows import Recorder, Row
from segmentation_scores import BoolArray, dice

import ctlung
from ctlung import LabelMap, Scan, Segmentation

DRAWN = ("medseg-rp1", "medseg-rp7")
MARKED = {"covid-ct-md-p001": None, "covid-ct-md-cap001": slice(49, 79)}
"""Slices whose marks count; ``None``: all."""
AREA_CM2 = 0.5
"""A slice counts as found from here on: fixed by the issue before any figure was seen."""
COMPONENT_VOXELS = 50


def run(recorder: Recorder, segmenters: Segmenters, methods: list[str], cases: list[str]) -> None:
    """Masks drawn by readers with both lung masks, marked slices with ctlung's own."""
    for name in (n for n in (*DRAWN, *MARKED) if not cases or n in cases):
        one = _One(name, segmenters)
        for lungs in ("own", "true") if name in DRAWN else ("own",):
            for method in methods:
                measure = one.drawn if name in DRAWN else one.marked
                recorder.make(f"readers-{name}-{lungs}-{method}", partial(measure, lungs, method))


class _One:
    """One scan and its segmentation."""

    def __init__(self, name: str, segmenters: Segmenters) -> None:
        self.name, self.segmenters = name, segmenters
        self._masks: tuple[Scan, Segmentation] | None = None

    def masks(self) -> tuple[Scan, Segmentation]:
        if self._masks is None:
            scan = ctlung.read_scan(path_of(self.name))
            self._masks = scan, self.segmenters.load("network", self.name)[0].segment(scan)
        return self._masks

    def drawn(self, lungs: str, method: str) -> Row:
        """Percentages and masks only: these scans have neither spacing nor true HU."""
        scan, own = self.masks()
        reference = self._reference(scan, "lesions") > 0
        where: LabelMap = own.lungs
        drawn = self._reference(scan, "lungs")
        if lungs == "true":
            where = lung_map(np.where(drawn > 0, 1, 0).astype(np.uint8), scan)
        found = METHODS[method](scan, where, own.anatomy) > 0
        hit, parts = components_hit(found, reference)
        return {
            **self._row(own, lungs, method),
            "kind": "drawn",
            "dice": dice(found, reference),
            "percent": 100.0 * np.count_nonzero(found) / np.count_nonzero(where.labels),
            "reference_percent": 100.0 * np.count_nonzero(reference) / np.count_nonzero(drawn),
            "components": parts,
            "components_hit": hit,
        }

    def marked(self, lungs: str, method: str) -> Row:
        """Slices with at least ``AREA_CM2`` of lesion against the marked ones."""
        scan, own = self.masks()
        found = METHODS[method](scan, own.lungs, own.anatomy) > 0
        _, dy, dx = scan.geometry.spacing_mm
        areas = found.sum(axis=(1, 2)) * dy * dx / 100.0
        marks = marks_of(self.name, len(areas))
        counted = np.zeros(len(areas), bool)
        counted[MARKED[self.name] or slice(None)] = True
        said = areas >= AREA_CM2
        sick, well = marks & counted, ~marks & counted
        return {
            **self._row(own, lungs, method),
            "kind": "marked",
            "slices_marked": int(sick.sum()),
            "slices_unmarked": int(well.sum()),
            "sensitivity": float(said[sick].mean()),
            "specificity": float((~said[well]).mean()) if well.any() else None,
        }

    def _reference(self, scan: Scan, what: str) -> np.ndarray:
        return labels_on(scan, data_folder() / "volumes" / f"{self.name}.{what}.nii.gz")

    def _row(self, own: Segmentation, lungs: str, method: str) -> Row:
        return {
            "part": "readers",
            "case": self.name,
            "lungs": lungs,
            "method": method,
            "weights": self.segmenters.weights_for("network", self.name),
            "weights_sha256": own.weights_sha256,
        }


def marks_of(name: str, slices: int) -> BoolArray:
    """Which slices the readers marked as infected, counted from the feet."""
    marks = np.zeros(slices, bool)
    path = data_folder() / "volumes" / f"{name}.slices.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            marks[int(line["slice_index_from_feet"])] = line["infected"] != "0"
    return marks


def components_hit(found: BoolArray, reference: BoolArray) -> tuple[int, int]:
    """Of the reference's components of 50 voxels and more: how many were touched, and all."""
    parts, n = ndimage.label(reference, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=n + 1)
    touched = np.bincount(parts[found].ravel(), minlength=n + 1) > 0
    big = sizes >= COMPONENT_VOXELS
    big[0] = False
    return int((big & touched).sum()), int(big.sum())
