"""The page of comparison rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from comparison_pairs import JUDGED, KINDS
from segmentation_rows import Row, origins, rows_of

FALSE_CLAIMS = (
    "lesion_volume_ml",
    "lesion_mass_percent",
    "lung_weight_g",
    "ct_number_baseline_region_hu",
)
"""What an unchanged lesion must not be claimed to have changed in."""
EXPLAINED = """Every pair is one host twice: the follow-up is the same image, deformed and given
new noise, so its vessels are exactly those of the baseline, which flatters every engine alike.
The breath is a closed formula, nobody's registration model. In one pair of three the follow-up's
slices are 1.5 times as far apart. A new or resolved lesion of the part on points is so many
percent of the whole lung. `claimed` means that the interval
leaves 0 out and the change is above its floor. Other engines: SimpleITK's B-spline
(correlation, LBFGS2, 20 mm mesh, two levels) and fast symmetric demons (three levels), one lung
at a time from ctlung's own affine start, one setting each: no contest of methods."""


def page() -> list[str]:
    """All tables, from all rows that were ever written."""
    return [
        "# Comparisons, measured",
        "",
        "Made by `python scripts/benchmark_comparison.py`.",
        *EXPLAINED.splitlines(),
        "",
        *_registration(),
        *_null(),
        *_points(),
        *_changes(),
        *_phases(),
        *_persons(),
        *_slices(),
        *_speed(),
    ]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _titled(title: str, rows: list[Row], body: list[str]) -> list[str]:
    if not rows:
        return [f"## {title}", "", "Not measured.", ""]
    return [f"## {title}", "", *origins(rows), "", *body, ""]


def _registration() -> list[str]:
    rows = rows_of("registration")
    body = []
    for engine in ("ctlung", "bspline", "demons"):
        mine = [r for r in rows if r["engine"] == engine]
        for lift in sorted({r["lift_mm"] for r in mine}):
            some = [r for r in mine if r["lift_mm"] == lift]
            body.append([engine, f"{lift:+.0f}", str(len(some)), *_errors(some)])
        if mine:
            body.append([engine, "all", str(len(mine)), *_errors(mine)])
    head = ("engine", "lift mm", "pairs", "before", "mean", "p95", "near pleura", "its p95",
            "in lesions", "folded %", "s")  # fmt: skip
    return _titled("Target registration error, mm (true masks)", rows, _table(head, body))


def _errors(rows: list[Row]) -> list[str]:
    keys = ("before_mm", "mean_mm", "p95_mm", "near_pleura_mm", "near_pleura_p95_mm",
            "in_lesions_mm")  # fmt: skip
    found = []
    for key in keys:
        values = [r[key] for r in rows if r[key] is not None]
        found.append(f"{np.mean(values):.2f}" if values else "–")
    return [
        *found,
        f"{np.mean([r['folded_percent'] for r in rows]):.3f}",
        f"{np.mean([r['seconds'] for r in rows]):.0f}",
    ]


def _answered(row: Row, measure: str) -> bool:
    return row["measures"][measure]["claimed"] is not None


def _null() -> list[str]:
    rows = rows_of("null")
    body = []
    for measure in JUDGED:
        given = [r["measures"][measure] for r in rows if _answered(r, measure)]
        false = [g for g in given if g["claimed"] and _wrong(measure, g)]
        body.append(
            [
                f"`{measure}`",
                f"{len(given)} of {len(rows)}",
                str(len(false)),
                f"{100 * len(false) / len(given):.1f}" if given else "–",
                _coverage(given),
                _mean_size(given),
            ]
        )
    head = ("measure", "answered", "false claims", "%", "truth in interval, %", "mean error")
    return _titled("Pairs without a change (other breath, noise, kernel)", rows, _table(head, body))


def _wrong(measure: str, row: Row) -> bool:
    """Unchanged lesions: any claim. What breath truly moves: a claim against the truth's sign."""
    if measure in FALSE_CLAIMS:
        return True
    return row["truth"] is None or row["truth"] * row["delta"] <= 0


def _coverage(rows: list[Row]) -> str:
    judged = [r for r in rows if r["truth"] is not None and r["low"] is not None]
    if not judged:
        return "–"
    inside = sum(r["low"] <= r["truth"] <= r["high"] for r in judged)
    return f"{100 * inside / len(judged):.0f}"


def _mean_size(rows: list[Row]) -> str:
    judged = [abs(r["delta"] - r["truth"]) for r in rows if r["truth"] is not None]
    return f"{np.mean(judged):.1f}" if judged else "–"


def _points() -> list[str]:
    rows = rows_of("points")
    body = []
    for points in (2, 5, 10):
        some = [r for r in rows if (2, 5, 10)[r["draw"] % 3] == points]
        given = [r["measures"]["lesion_percent"] for r in some]
        right = [g for g in given if g["claimed"] and (g["truth"] or 0) * g["delta"] > 0]
        body.append(
            [
                str(points),
                str(len(given)),
                str(len(right)),
                f"{100 * len(right) / len(given):.0f}" if given else "–",
                _coverage([g for g in given if g["delta"] is not None]),
                _mean_size([g for g in given if g["delta"] is not None]),
            ]
        )
    head = ("points of PO", "pairs", "claimed", "%", "truth in interval, %", "mean error")
    return _titled("True changes of the percent of lung", rows, _table(head, body))


def _changes() -> list[str]:
    rows = rows_of("changes")
    body = []
    for measure in JUDGED:
        given = [
            r["measures"][measure] for r in rows if r["measures"][measure]["delta"] is not None
        ]
        errors = [abs(g["delta"] - g["truth"]) for g in given if g["truth"] is not None]
        body.append(
            [
                f"`{measure}`",
                f"{len(given)} of {len(rows)}",
                f"{np.mean(errors):.1f}" if errors else "–",
                f"{np.percentile(errors, 90):.1f}" if errors else "–",
                _coverage(given),
            ]
        )
    lines = _table(("measure", "answered", "mean error", "p90", "truth in interval, %"), body)
    gaps = []
    for row in rows:
        for kind in KINDS if row["amounts"] else ():
            one = row["amounts"][kind]
            sure = one["ml"] - one["uncertain_ml"]
            miss = max(0.0, sure - one["truth_ml"], one["truth_ml"] - one["ml"])
            whole = row["lesion_ml"] + row["amounts"]["new"]["truth_ml"]
            gaps.append((kind, 100 * miss / max(whole, 1.0)))
    if gaps:
        lines += ["", "Transitions: how far the truth lies outside what is certain and what is "
                  "counted at most, in percent of all lesions of both scans:", ""]  # fmt: skip
        lines += _table(
            ("kind", "pairs", "mean", "p90", "within 10 %, %"),
            [
                [
                    k,
                    str(len(v)),
                    f"{np.mean(v):.1f}",
                    f"{np.percentile(v, 90):.1f}",
                    f"{100 * np.mean(np.array(v) <= 10):.0f}",
                ]
                for k in KINDS
                for v in [[g for kind, g in gaps if kind == k]]
            ],
        )
    return _titled("Lesions that grew, shrank, cleared, resolved or are new", rows, lines)


def _phases() -> list[str]:
    rows = rows_of("phases")
    qualities = [q for r in rows for q in r["quality"].values()]
    body = [
        [key, f"{np.mean(values):.3f}", f"{min(values):.3f}", f"{max(values):.3f}"]
        for key in ("dice", "surface_mm", "inverse_mm", "vessel_mm", "folded_percent")
        for values in [[q[key] for q in qualities]]
        if values
    ]
    mass = [abs(b / a - 1) * 100 for r in rows for a, b in [r["weights_g"]] if a and b]
    if mass:
        body.append(["change of lung weight, %", *(f"{f(mass):.1f}" for f in (np.mean, min, max))])
    return _titled(
        "Real breathing: ten phases of one 4D-CT, each against each later one",
        rows,
        _table(("what", "mean", "least", "most"), body),
    )


def _persons() -> list[str]:
    rows = rows_of("persons")
    body = []
    for kind, words in (("same", "one person, seen otherwise"), ("other", "two persons")):
        found = [(how, d) for r in rows if r["kind"] == kind for how, d in r["dice"].items()]
        hows = sorted({h if kind == "same" and "phase" not in h else "" for h, _ in found})
        for how in [None, *hows] if kind == "same" else [None]:
            some = [d for h, d in found if how is None or (h if "phase" not in h else "") == how]
            known = [d for d in some if d is not None]
            name = words if how is None else f"- {how or 'other phase of a 4D-CT'}"
            body.append(
                [
                    name,
                    str(len(some)),
                    str(len(some) - len(known)),
                    *(f"{f(known):.2f}" if known else "–" for f in (min, np.median, max)),
                ]
            )
    return _titled(
        "Bones above 200 HU of one person and of two, laid on one another rigidly (Dice)",
        rows,
        _table(("who", "pairs", "too little bone", "least", "median", "most"), body),
    )


def _slices() -> list[str]:
    rows = rows_of("slices")
    area, number = ("lesion_area_max_cm2", 1), ("ct_number_lesion_hu", 0)
    body = [
        [
            r["case"],
            _visits(r, *area),
            _slice_change(r, *area),
            _visits(r, *number),
            _slice_change(r, *number),
            ", ".join(r["codes"]),
        ]
        for r in rows
    ]
    head = ("patient", "area, cm2", "change", "CT number, HU", "change", "notices of the pair")
    return _titled("Single slices of ten patients at two dates", rows, _table(head, body))


def _visits(row: Row, measure: str, digits: int) -> str:
    words = []
    for visit in row["visits"]:
        value = visit.get(measure)
        known = "–" if value is None else f"{value:.{digits}f}"
        words.append(f"refused (`{visit['refused']}`)" if "refused" in visit else known)
    return " → ".join(words)


def _slice_change(row: Row, measure: str, digits: int) -> str:
    if "refused" in row:
        return f"refused (`{row['refused']}`)"
    change = row["changes"].get(measure)
    if change is None:
        return "–"
    if change["delta"] is None:
        return f"withheld (`{change['reason']}`)"
    low, high = (
        "?" if change[end] is None else f"{change[end]:+.{digits}f}" for end in ("low", "high")
    )
    claimed = ", claimed" if change["claimed"] else ""
    return f"{change['delta']:+.{digits}f} [{low}, {high}]{claimed}"


def _speed() -> list[str]:
    rows = rows_of("speed-compare")
    body = [
        [r["what"], str(r["goal_s"]), f"{r['wall_s']:.0f}", f"{r['cpu_s']:.0f}",
         f"{r['peak_mb'] / 1000:.1f}"]
        for r in sorted(rows, key=lambda r: r["goal_s"])
    ]  # fmt: skip
    head = ("`ctlung compare` from", "goal, s", "wall s", "CPU s", "peak GB")
    return _titled("Two scans of 300 slices of 512 x 512, two threads", rows, _table(head, body))
