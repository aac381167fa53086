"""Set the factors of ctlung.comparison.change on pairs of the training family in T lungs.

    python scripts/calibrate_changes.py            measures what is to be measured, prints factors
    python scripts/calibrate_changes.py --missing  leaves rows that are there

Each host is measured twice over, end to end: lesions of the training family, each with a fate of
its own, another breath, noise and kernel. A factor is the smallest by which the unstretched
interval of a change must be stretched to hold the true change in 90 % of the pairs (split
conformal: rank ceil(0.90 (n + 1)); of some 30 pairs a higher share would be the worst of all).
Hosts
are the LCTSC patients, whose lungs are found by the weights of the fold that left them out; what
the lesion network finds in them as they are counts neither way. Rows are kept in benchmark_output.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_main_job import REPOSITORY
from comparison_pairs import (
    JUDGED,
    REGION,
    Host,
    Plan,
    draw_protocols,
    judge_pair,
    judged_again,
    make_pair,
    measured,
)
from segmentation_cases import TRAINED_ON, Segmenters
from segmentation_rows import Recorder, Row, rows_of

from ctlung.comparison.change import FACTORS
from ctlung.simulation import family_train
from ctlung.simulation.followup import Fate

COVER = 0.90
FIRST_STREAM = 800_000
CHANGES: tuple[Fate, ...] = ("same", "grown", "shrunk", "cleared", "resolved", "new")


def plan_of(host: int, draw: int) -> Plan:
    """Even draws change nothing but breath, noise and kernel; odd ones give each lesion a fate."""
    seed = FIRST_STREAM + 100 * host + draw
    rng = family_train.stream(seed)
    lesions = [p for p in family_train.random_plans(rng, 5) if p.kind != "effusion"]
    fates: list[Fate] = []
    for lesion in lesions:
        fate = CHANGES[int(rng.integers(len(CHANGES)))] if draw % 2 else "same"
        if fate == "cleared" and lesion.kind != "consolidation":
            fate = "resolved"
        fates.append(fate)
    lift = float(np.clip(rng.normal(0, 9), -20, 25))
    return Plan(tuple(lesions), tuple(fates), lift, draw_protocols(rng), seed)


def factors(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Factor by measure, and which share of a change is not known; pairs behind each.

    The part that breath opens is neither stretched nor counted. ``factor`` is that of all pairs
    were nothing added for the change itself; ``unchanged`` that of pairs without a change.
    ``towards_0`` and ``away_from_0`` are the shares (``CHANGED``) that pairs with a change need
    beside the present factor; in the baseline's area they are factors (``WATERED_DOWN``).
    """
    found: dict[str, dict[str, Any]] = {}
    for name in JUDGED:
        cases = [c for c in (_case(row, name) for row in rows) if c is not None]
        whole = [max(c.near_miss, c.far_miss) / c.size for c in cases]
        quiet = [r for r, c in zip(whole, cases, strict=True) if not c.changed]
        figures: dict[str, Any] = {"pairs": len(cases), "factor": _rank(whole)}
        figures["unchanged"] = _rank(quiet)
        for arm in ("near_miss", "far_miss"):
            word = {"near_miss": "towards_0", "far_miss": "away_from_0"}[arm]
            if name == REGION:
                figures[word] = _rank([getattr(c, arm) / c.size for c in cases])
                continue
            shares = []
            for c in cases:
                if c.changed and c.delta:
                    left = getattr(c, arm) ** 2 - (FACTORS.get(name, 1.0) * c.size) ** 2
                    shares.append(math.sqrt(max(0.0, left)) / abs(c.delta))
            figures[word] = _rank(shares)
        found[name] = figures
    return found


@dataclass(frozen=True)
class _Case:
    """A change, what movements move it by, and how far the truth lies towards 0 and beyond."""

    changed: bool
    delta: float
    size: float
    near_miss: float
    far_miss: float


def _case(row: Row, name: str) -> _Case | None:
    one = judged_again(row)["measures"][name]
    if one["low"] is None or one["truth"] is None:
        return None
    delta, breath = one["delta"], one["breath"] or 0.0
    below = max(0.0, delta - max(0.0, breath) - one["truth"])
    above = max(0.0, one["truth"] - delta - max(0.0, -breath))
    near = delta - one["low"] - max(0.0, breath)
    if delta <= 0:
        below, above = above, below
        near = one["high"] - delta - max(0.0, -breath)
    size = one["size"] if name == REGION else None
    if size is None:
        size = near / FACTORS.get(name, 1.0)
    return _Case(bool(row["draw"] % 2), delta, max(size, 1e-9), below, above)


def _rank(ratios: list[float]) -> float | None:
    n = len(ratios)
    if not n:
        return None
    return round(sorted(ratios)[min(n, math.ceil(COVER * (n + 1))) - 1], 2)


def one_pair(draw: int, host: Host, segmenters: Segmenters) -> Row:
    """Make, measure and judge one pair."""
    plan = plan_of(TRAINED_ON.index(host.name), draw)
    pair, *scans = make_pair(host, plan, family_train.insert)
    results = measured(host, pair, (scans[0], scans[1]), segmenters)
    row = judge_pair(pair, *results)
    return {"part": "calibratechange", "case": host.name, "draw": draw, **row}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="*", default=list(TRAINED_ON))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--missing", action="store_true", help="leave rows that are there")
    parser.add_argument("--folds", type=Path, default=REPOSITORY / "checkpoints" / "lungs")
    options = parser.parse_args()
    segmenters = Segmenters("cpu", options.folds, None)
    recorder = Recorder("calibrate_changes", segmenters.weights_state(), options.missing)
    for name in options.cases:
        host = Host.load(name)
        for draw in range(options.draws):
            recorder.make(
                f"calibratechange-{name}-{draw}", partial(one_pair, draw, host, segmenters)
            )
    print(json.dumps(factors(rows_of("calibratechange")), indent=1))


if __name__ == "__main__":
    main()
