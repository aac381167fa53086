"""Set the factors of ctlung.comparison.change on pairs of the training family in T lungs.

    python scripts/calibrate_changes.py            measures what is to be measured, prints factors
    python scripts/calibrate_changes.py --missing  leaves rows that are there

Each host is measured twice over, end to end: lesions of the training family, each with a fate of
its own, another breath, noise and kernel. A factor is the smallest by which the unstretched
interval of a change must be stretched to hold the true change in 90 % of the pairs (split
conformal: rank ceil(0.90 (n + 1)); of 29 pairs a higher share would be the worst of all). Hosts
are the LCTSC patients, whose lungs are found by the weights of the fold that left them out; what
the lesion network finds in them as they are counts neither way. Rows are kept in benchmark_output.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from comparison_pairs import JUDGED, Host, Plan, draw_protocols, judge_pair, make_pair, measured
from segmentation_cases import TRAINED_ON, Segmenters
from segmentation_rows import Recorder, Row, rows_of

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


def factors(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Factor and number of pairs by measure; the part that breath opens is not stretched.

    In the baseline's area towards 0 and away from it apart (``WATERED_DOWN``).
    """
    found = {}
    for name in JUDGED:
        arms: dict[str, list[float]] = {"": [], "_towards_0": [], "_away_from_0": []}
        for row in rows:
            one = row["measures"][name]
            if one["low"] is None or one["truth"] is None:
                continue
            delta, breath = one["delta"], one["breath"] or 0.0
            near = delta > 0 if name == JUDGED[-1] else True
            reach = (
                delta - max(0.0, breath) - one["low"]
                if near
                else one["high"] + min(0.0, breath) - delta
            ) / one["factor"]
            below = max(0.0, delta - max(0.0, breath) - one["truth"]) / max(reach, 1e-9)
            above = max(0.0, one["truth"] - delta + min(0.0, breath)) / max(reach, 1e-9)
            if name == JUDGED[-1]:
                arms["_towards_0"].append(below if delta > 0 else above)
                arms["_away_from_0"].append(above if delta > 0 else below)
            else:
                arms[""].append(max(below, above))
        for arm, ratios in arms.items():
            n = len(ratios)
            if n:
                rank = min(n, math.ceil(COVER * (n + 1)))
                found[name + arm] = {"factor": round(sorted(ratios)[rank - 1], 2), "pairs": n}
    return found


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
