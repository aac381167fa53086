"""The table of intervals in docs/benchmarks/lesions.md."""

from __future__ import annotations

from lesions_healthy import SEEN_BY_NO_WEIGHTS
from lesions_intervals import LESION_MEASURES, covered, judged
from segmentation_rows import Row
from segmentation_tables import cell, table

from ctlung.measurement.headline_values import HEADLINE
from ctlung.uncertainty import FACTORS

GOAL_PERCENT = (90.0, 98.0)
GOAL_SECONDS = 15.0


def intervals(rows: list[Row]) -> list[str]:
    """How often the truth lies inside, by measure; and how wide the intervals are."""
    lines: list[str] = []
    for method in sorted({r["method"] for r in rows}):
        chosen = [r for r in rows if r["method"] == method]
        heads = ["measure", "factor", "scans", "withheld", "truth inside %", "of unseen hosts %"]
        heads += ["median width", "median error"]
        body = [_line(name, chosen) for name in HEADLINE]
        lines += [f"### {method}", "", *table(heads, body), "", *_verdict(method, chosen), ""]
    lines += [
        "Of both lungs together, in healthy lungs: as they are, with one ground-glass lesion of 5 "
        "or 20 ml, with a patient as the test family draws one; nodules are no lung here. Factors "
        "of measures of lesions were set on the training family "
        "(`scripts/calibrate_intervals.py`), those of lungs are 1. The truth of lungs is the "
        "threshold segmenter's, so their lines say how the two segmenters agree. A CT number is "
        "judged from 1 ml of lesion, true and found. Width and error: in the unit of the measure. "
        f"Unseen hosts: {', '.join(SEEN_BY_NO_WEIGHTS)}; the others were hosts of the lesion "
        "network's training."
    ]
    return lines


def _cases(name: str, rows: list[Row]) -> list[Row]:
    every = (
        r["measures"][name]
        | {
            "lesion_ml": r["measures"]["lesion_volume_ml"]["truth"],
            "found_ml": r["measures"]["lesion_volume_ml"]["value"],
            "case": r["case"],
        }
        for r in rows
    )
    return [one for one in every if judged(name, one)]


def _line(name: str, rows: list[Row]) -> list[str]:
    cases = _cases(name, rows)
    unseen = [c for c in cases if c["case"] in SEEN_BY_NO_WEIGHTS]
    withheld = sum(r["measures"][name]["value"] is None for r in rows)
    widths = sorted(c["high"] - c["low"] for c in cases)
    errors = sorted(abs(c["value"] - c["truth"]) for c in cases)
    middle = len(cases) // 2
    return [
        f"`{name}`",
        f"{FACTORS[name]:g}",
        str(len(cases)),
        str(withheld),
        cell(_percent(cases), 0),
        cell(_percent(unseen), 0),
        cell(widths[middle] if cases else None, 2),
        cell(errors[middle] if cases else None, 2),
    ]


def _percent(cases: list[Row]) -> float | None:
    return 100.0 * sum(covered(c) for c in cases) / len(cases) if cases else None


def _verdict(method: str, rows: list[Row]) -> list[str]:
    every = [c for name in LESION_MEASURES for c in _cases(name, rows)]
    share = _percent(every)
    if share is None:
        return []
    low, high = GOAL_PERCENT
    said = "met" if low <= share <= high else "**MISSED**"
    slowest = max(r["intervals_s"] for r in rows)
    return [
        f"- {method}: all measures of lesions together {share:.0f} % (goal {low:g} to {high:g} %):"
        f" {said}",
        f"- slowest of these scans: {slowest:.1f} s for the intervals (other work beside it)",
    ]
