"""The tables of docs/benchmarks/lesions.md, made from all rows that were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import lesions_interval_tables
import numpy as np
from lesions_variants import MEASURES, VARIANTS
from segmentation_rows import Row, rows_of
from segmentation_tables import cell, table, verdict, with_origins

BINS_ML = ((0.1, 1.0), (1.0, 5.0), (5.0, 20.0), (20.0, 100.0), (100.0, 1e6))
GOAL_DICE = {"ground_glass": 0.80, "consolidation": 0.85}
GOAL_FROM_ML, GOAL_BIAS_PERCENT, GOAL_HU = 5.0, 5.0, 15.0
GOAL_HEALTHY_PERCENT = 1.0
GOAL_RECOVERED = {5: 30.0, 20: 15.0}
GOAL_SECONDS, GOAL_INTERVAL_SECONDS = 8.0, 15.0


def page() -> list[str]:
    """The whole page below its title."""
    sections = (
        ("Lesions of the test family put into lungs drawn by hand", "inserted", inserted),
        ("Intervals", "intervals", lesions_interval_tables.intervals),
        ("Healthy lungs", "healthy", healthy),
        ("One ground-glass lesion put into a healthy lung", "recovered", recovered),
        ("Lesions that readers drew or marked", "readers", readers),
        ("The same scan with another kernel, dose or thickness", "variants", variants),
        ("Measures against the analytic answer", "phantoms", phantoms),
        ("Time", "speed", speed),
    )
    lines: list[str] = []
    for title, part, body in sections:
        lines += with_origins(title, rows_of(part), body)
    return lines


def inserted(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    with_lesions = [r for r in rows if r["draw"] >= 0]
    for lungs, method in _pairs(with_lesions):
        chosen = _of(with_lesions, lungs, method)
        lines += [f"### {method}, {lungs} lungs", "", *_by_kind(chosen), "", *_goals(chosen), ""]
    lines += [
        "Dice: found of either kind against the lesion; same kind: found of its own kind only. "
        "Found voxels belong to the nearest lesion within 10 mm. Bias and HU error: mean over "
        "lesions, then over all their ml together. HU error: the found lesion's mean less the "
        "truth's, which is read before rounding in the true mask; of either kind, then of its own: "
        "a consolidation amid ground-glass has ground-glass within 10 mm.",
        "",
        *_patients(rows),
    ]
    return lines


def _pairs(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return sorted(
        {(r["lungs"], r["method"]) for r in rows},
        key=lambda p: (p[1] != "network", p[1] != "rule", *p),
    )


def _of(rows: Iterable[Row], lungs: str, method: str) -> list[Row]:
    return [r for r in rows if r["lungs"] == lungs and r["method"] == method]


def _lesions(rows: Iterable[Row], kind: str, low: float, high: float) -> list[Row]:
    every = (lesion for r in rows for lesion in r["lesions"])
    return [one for one in every if one["kind"] == kind and low <= one["ml"] < high]


def _by_kind(rows: list[Row]) -> list[str]:
    heads = ["kind", "ml", "lesions", "missed", "Dice", "same kind", "bias %", "pooled bias %"]
    heads += ["same kind, pooled %", "HU error", "mean of its size", "same kind, size"]
    lines = []
    for kind in GOAL_DICE:
        for low, high in (*BINS_ML, (GOAL_FROM_ML, 1e6)):
            some = _lesions(rows, kind, low, high)
            if some:
                lines.append([kind, _range(low, high), str(len(some)), *_summary(some)])
        for words, where in (
            ("5 and more, at the pleura", lambda one: one["touches_pleura"]),
            ("5 and more, inside", lambda one: not one["touches_pleura"]),
            ("5 and more, lower half", lambda one: one["lower"]),
            ("5 and more, upper half", lambda one: not one["lower"]),
        ):
            some = [one for one in _lesions(rows, kind, GOAL_FROM_ML, 1e6) if where(one)]
            if some:
                lines.append([kind, words, str(len(some)), *_summary(some)])
    return table(heads, lines)


def _range(low: float, high: float) -> str:
    return f"{low:g} and more" if high >= 1e6 else f"{low:g} to {high:g}"


def _summary(some: Sequence[Row]) -> list[str]:
    missed = sum(one["found_ml"] == 0 for one in some)
    return [
        str(missed),
        cell(_mean(one["dice"] for one in some)),
        cell(_mean(one["dice_same"] for one in some)),
        cell(_mean(_bias(one) for one in some), 1, True),
        cell(_pooled(some, "found_ml"), 1, True),
        cell(_pooled(some, "found_same_ml"), 1, True),
        cell(_mean(_hu_errors(some)), 1, True),
        cell(_mean(abs(e) for e in _hu_errors(some)), 1),
        cell(_mean(abs(e) for e in _hu_errors(some, "found_same_hu")), 1),
    ]


def _bias(one: Row) -> float:
    return float(100.0 * (one["found_ml"] / one["ml"] - 1.0))


def _pooled(some: Sequence[Row], what: str) -> float:
    return float(100.0 * (sum(o[what] for o in some) / sum(o["ml"] for o in some) - 1.0))


def _hu_errors(some: Iterable[Row], what: str = "found_hu") -> list[float]:
    return [o[what] - o["truth_hu"] for o in some if o[what] is not None]


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return float(np.mean(listed)) if listed else None


def _goals(rows: list[Row]) -> list[str]:
    lines = []
    for kind, goal in GOAL_DICE.items():
        some = _lesions(rows, kind, GOAL_FROM_ML, 1e6)
        if not some:
            continue
        overlap, same = (_mean(o[k] for o in some) or 0.0 for k in ("dice", "dice_same"))
        bias = _pooled(some, "found_ml")
        own_bias = _pooled(some, "found_same_ml")
        error = _mean(abs(e) for e in _hu_errors(some)) or 0.0
        own = _mean(abs(e) for e in _hu_errors(some, "found_same_hu")) or 0.0
        lines += [
            f"- {kind} of 5 ml and more: mean Dice {overlap:.3f} ({same:.3f} of its own kind), "
            f"goal {goal}: {verdict(overlap >= goal)} (own kind: {verdict(same >= goal)})",
            f"- pooled volume bias {bias:+.1f} %, goal within {GOAL_BIAS_PERCENT:g}: "
            f"{verdict(abs(bias) < GOAL_BIAS_PERCENT)} (own kind {own_bias:+.1f} %: "
            f"{verdict(abs(own_bias) < GOAL_BIAS_PERCENT)}); mean size of the HU error "
            f"{error:.1f}, goal under {GOAL_HU:g}: {verdict(error < GOAL_HU)} (own kind {own:.1f}: "
            f"{verdict(own < GOAL_HU)})",
        ]
    return lines


def _patients(rows: list[Row]) -> list[str]:
    heads = ["patient, draw", "lungs", "method", "Dice", "true ml", "found ml", "elsewhere ml"]
    heads += ["true HU", "found HU", "true % of lung"]
    lines = []
    for r in sorted(rows, key=lambda r: (r["case"], r["draw"], r["lungs"], r["method"])):
        draw = "no lesion put in" if r["draw"] < 0 else f"{r['draw']}"
        lines.append(
            [
                f"{r['case']}, {draw}",
                f"{r['lungs']} ({r['weights']})" if r["lungs"] == "own" else "true",
                r["method"],
                cell(r["dice"] if r["draw"] >= 0 else None),
                cell(r["truth_ml"], 0),
                cell(r["found_ml"], 0),
                cell(r["elsewhere_ml"], 0),
                cell(r["truth_hu"], 0),
                cell(r["found_hu"], 0),
                cell(100.0 * r["truth_ml"] / r["lung_ml"], 1),
            ]
        )
    return table(heads, lines, 3)


def healthy(rows: list[Row]) -> list[str]:
    heads = ["scan", "lungs", "method", "% of lung", "ml", "consolidation ml", "lung ml"]
    lines = [
        [
            r["case"],
            r["lungs"],
            r["method"],
            cell(r["percent"], 2),
            cell(r["found_ml"], 1),
            cell(r["found_consolidation_ml"], 1),
            cell(r["lung_ml"], 0),
        ]
        for r in sorted(rows, key=lambda r: (r["case"], r["lungs"], r["method"]))
    ]
    worst = {
        method: max(r["percent"] for r in rows if r["method"] == method)
        for method in sorted({r["method"] for r in rows})
    }
    return [
        *table(heads, lines, 3),
        "",
        *(
            f"- {method}: worst {value:.2f} %, goal under {GOAL_HEALTHY_PERCENT:g} % in each: "
            f"{verdict(value < GOAL_HEALTHY_PERCENT)}"
            for method, value in worst.items()
        ),
        "",
        "Nodules left out: scripts/nodules.csv, listed by eye before the first run.",
    ]


def recovered(rows: list[Row]) -> list[str]:
    heads = ["lungs", "method", "ml", "lesions", "missed", "within goal", "mean volume error %"]
    heads += ["mean size of it %", "worst %", "Dice", "HU error"]
    lines, goals = [], []
    keys = sorted({(r["lungs"], r["method"], r["size_ml"]) for r in rows})
    for lungs, method, size in keys:
        some = [r for r in rows if (r["lungs"], r["method"], r["size_ml"]) == (lungs, method, size)]
        # The wanted volume is reached to a voxel; the error is of what was really put in.
        errors = [100.0 * (r["found_ml"] / r["truth_ml"] - 1.0) for r in some]
        limit = GOAL_RECOVERED[size]
        good = sum(abs(e) <= limit for e in errors)
        lines.append(
            [
                lungs,
                method,
                f"{size}",
                f"{len(some)}",
                f"{sum(r['found_ml'] == 0 for r in some)}",
                f"{good}",
                cell(_mean(errors), 1, True),
                cell(_mean(abs(e) for e in errors), 1),
                cell(max(errors, key=abs), 1, True),
                cell(_mean(r["dice"] for r in some)),
                cell(_mean(_hu_errors(some)), 1, True),
            ]
        )
        goals.append(
            f"- {method}, {lungs} lungs: {good} of {len(some)} of {size} ml within {limit:g} %: "
            f"{verdict(good == len(some))}"
        )
    return [*table(heads, lines), "", *goals]


def readers(rows: list[Row]) -> list[str]:
    drawn = [r for r in rows if r["kind"] == "drawn"]
    marked = [r for r in rows if r["kind"] == "marked"]
    heads = ["scan", "lungs", "method", "Dice", "found %", "drawn %", "components hit"]
    lines = [
        [
            r["case"],
            r["lungs"],
            r["method"],
            cell(r["dice"]),
            cell(r["percent"], 2),
            cell(r["reference_percent"], 2),
            f"{r['components_hit']} of {r['components']}",
        ]
        for r in sorted(drawn, key=lambda r: (r["case"], r["lungs"], r["method"]))
    ]
    others = [
        [
            r["case"],
            r["method"],
            f"{r['slices_marked']}",
            f"{r['slices_unmarked']}",
            cell(r["sensitivity"]),
            cell(r["specificity"]),
        ]
        for r in sorted(marked, key=lambda r: (r["case"], r["method"]))
    ]
    other_heads = ["scan", "method", "marked slices", "unmarked", "sensitivity", "specificity"]
    return [
        *table(heads, lines, 3),
        "",
        "Goals: rp1 14 to 18 %; rp7 0.3 to 1.5 % with 70 % of its components of 50 voxels and "
        "more hit. Two readers agree with a Dice of about 0.70 (Bartoli 2022).",
        "",
        *table(other_heads, others),
        "",
        "A slice counts as found from 0.5 cm2 of lesion. Goal on p001: both 0.85 or more. On "
        "cap001 only the marked slices 49 to 78 count.",
    ]


def variants(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    order = list(VARIANTS)
    for case in sorted({r["case"] for r in rows}):
        for method in sorted({r["method"] for r in rows}):
            some = [r for r in rows if r["case"] == case and r["method"] == method]
            some.sort(key=lambda r: order.index(r["variant"]))
            lines += [
                f"### {case}, {method}",
                "",
                *table(
                    ["variant", *MEASURES],
                    [[r["variant"], *(cell(r[m], 2) for m in MEASURES)] for r in some],
                    1,
                ),
                "",
            ]
    return lines[:-1]


def phantoms(rows: list[Row]) -> list[str]:
    names = list(rows[0]["measures"])
    lines, outside, asked = [], 0, 0
    for r in sorted(rows, key=lambda r: (r["spacing_mm"], r["turn_degrees"])):
        cells = []
        for name in names:
            one = r["measures"][name]
            error = None if one["found"] is None else one["found"] - one["true"]
            good = error is not None and abs(error) <= one["limit"]
            asked, outside = asked + 1, outside + (not good)
            relative = error is not None and not name.endswith("_hu")
            shown = 100 * error / one["true"] if relative else error
            cells.append(cell(shown, 2, True) + ("" if good else " **outside**"))
        spacing = " x ".join(f"{s:g}" for s in r["spacing_mm"])
        turned = "turned" if any(r["turn_degrees"]) else "straight"
        lines.append([spacing, turned, cell(r["samples"], 1), *cells])
    heads = [n + (" error HU" if n.endswith("_hu") else " error %") for n in names]
    return [
        *table(["spacing mm", "ellipsoids", "samples across the lesion", *heads], lines),
        "",
        f"- {asked - outside} of {asked} within their limit (0.5 % and 1 HU; where the lesion "
        "spans fewer than 20 samples on an axis, three SD of sampling alone, if that is more): "
        f"{verdict(outside == 0)}",
    ]


def speed(rows: list[Row]) -> list[str]:
    heads = [
        "method",
        "threads",
        "finding s",
        "measuring s",
        "together s",
        "intervals s",
        "same twice",
    ]
    lines = [
        [
            r["method"],
            f"{r['threads']}",
            cell(r["finding_s"], 1),
            cell(r["measuring_s"], 1),
            cell(r["finding_s"] + r["measuring_s"], 1),
            cell(r["intervals_s"], 1),
            "yes" if r["same_twice"] else "**NO**",
        ]
        for r in sorted(rows, key=lambda r: (r["method"], r["threads"]))
    ]
    two = [r for r in rows if r["threads"] == 2 and r["method"] == "network"]
    goals = [
        f"- {what} on two threads: {s:.1f} s, goal under {goal:g}: {verdict(s < goal)}"
        for r in two
        for what, s, goal in (
            ("finding and measuring", r["finding_s"] + r["measuring_s"], GOAL_SECONDS),
            ("intervals", r["intervals_s"], GOAL_INTERVAL_SECONDS),
        )
    ]
    return [*table(heads, lines, 1), "", *goals]


Section = Callable[[list[Row]], list[str]]
