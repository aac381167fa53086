"""Intervals of the headline measures against the truth of lesions that were put in.

Used twice: by ``calibrate_intervals.py`` with lesions of the training family, and by the part
"intervals" of the benchmark with those of the test family, never the other way round.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from lesions_cases import Truth, learned, lung_map
from segmentation_rows import Row

import ctlung
from ctlung import LabelMap, Scan, Segmentation
from ctlung.measurement.headline_values import HEADLINE, headline_values
from ctlung.settings import Settings
from ctlung.uncertainty import with_intervals
from ctlung.vocabulary import LESION_LABELS

LESION_MEASURES = tuple(m for m in HEADLINE if not m.startswith("lung_"))
SMALL_LESION_ML = 1.0
"""Below it ctlung warns that a CT number is uncertain, and none is judged here."""


def finder_of(method: str) -> ctlung.LesionFinder:
    """By its name in the benchmark."""
    return learned() if method == "network" else ctlung.load_finder(method)


def measure(scan: Scan, masks: Segmentation, truth: Truth, method: str) -> Row:
    """Truth, value and interval of each headline measure of both lungs; what was withheld."""
    settings, finder = Settings(), finder_of(method)
    lesions = ctlung.find_lesions(scan, masks.lungs, masks.anatomy, finder=finder)
    notices = ctlung.check_result(scan, masks, settings, by_density=finder.by_density)
    report = ctlung.analyze(scan, masks.lungs, lesions, notices, settings=settings)
    start = time.perf_counter()
    report = with_intervals(report, scan, masks.lungs, lesions, masks.anatomy, finder, settings)
    seconds = time.perf_counter() - start
    parts = {u.measure: u for u in report.uncertainty if u.region == "lungs"}
    right = true_values(scan, truth)
    rows = {}
    for name in HEADLINE:
        found = report[name]
        row: Row = {"truth": right[name], "value": found.value, "reason": found.reason}
        if name in parts:
            u = parts[name]
            row |= {"low": u.low, "high": u.high, "factor": u.factor}
        rows[name] = row
    return {"measures": rows, "intervals_s": round(seconds, 2)}


def true_values(scan: Scan, truth: Truth) -> dict[str, float | None]:
    """The same measures on the true masks, HU as they were before noise and rounding."""
    hu = np.clip(np.rint(truth.hu), -1024, 3071).astype(np.int16)
    lesions = LabelMap(truth.labels.astype(np.uint8), scan.geometry, LESION_LABELS)
    values = headline_values(replace(scan, hu=hu), lung_map(truth.lungs, scan), lesions, Settings())
    return {name: values[name, "lungs"] for name in HEADLINE}


def judged(name: str, row: Row) -> bool:
    """Whether there is an interval and a truth to hold it against."""
    there = row.get("low") is not None and row["truth"] is not None
    enough = min(row["lesion_ml"], row["found_ml"] or 0.0) >= SMALL_LESION_ML
    return there and (name != "ct_number_lesion_hu" or enough)


def covered(row: Row) -> bool:
    """Whether the truth lies in the interval."""
    return bool(row["low"] <= row["truth"] <= row["high"])


def stretch(row: Row) -> float:
    """By how much the unstretched interval must be stretched to reach the truth."""
    value, truth = row["value"], row["truth"]
    arm = row["high"] - value if truth > value else value - row["low"]
    return abs(truth - value) / max(arm / row["factor"], 1e-12)
