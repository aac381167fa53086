"""Comparisons, measured: the figures of docs/benchmarks/comparison.md.

    python scripts/benchmark_comparison.py --write             all parts, then the page
    python scripts/benchmark_comparison.py --parts null        one part; prints the page
    python scripts/benchmark_comparison.py --parts --write     no part: the page from old rows

Rows are kept in benchmark_output beside those of the other benchmarks. Lesions are of the test
family; hosts are LCTSC patients, whose lungs are found by the weights of the fold that left them
out, and a LIDC and a RICORD patient, whose lungs nobody drew: what ctlung finds there in the scan
as it is stands for them. What the lesion network finds in a host as it is counts neither way.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import comparison_engines
import comparison_persons
import comparison_slices
import comparison_speed
import comparison_tables
import numpy as np
from benchmark_main_job import REPOSITORY, data_folder
from comparison_pairs import (
    Host,
    Plan,
    draw_protocols,
    judge_pair,
    make_pair,
    measured,
    spread,
    target_error,
    true_result,
)
from segmentation_cases import TRAINED_ON, Segmenters
from segmentation_rows import Recorder, Row

import ctlung
from ctlung.simulation import family_test
from ctlung.simulation.family_test_parameters import PARAMETERS
from ctlung.simulation.followup import FATES, Fate
from ctlung.simulation.insertion import LesionPlan
from ctlung.two_scans import align

PARTS = ("registration", "null", "changes", "points", "phases", "persons", "slices", "speed")
TABLE = REPOSITORY / "docs" / "benchmarks" / "comparison.md"
FINE = ("lidc-idri-0001", "ricord-1a-001012")
"""Hosts of four times the pixels: they take three to four times as long and get fewer pairs."""
HOSTS = (*TRAINED_ON, "lctsc-202", *FINE)
DRAWS = {"null": (38, 6), "changes": (5, 3), "points": (6, 3)}
"""Pairs of a host, of a fine host."""
COARSER = 1.5
"""How much further apart the follow-up's slices are in one pair of three."""
FIRST_STREAM = 400_000
LIFTS_MM = (-45.0, -20.0, 20.0, 45.0, 70.0)
POINTS = (2, 5, 10)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", nargs="*", default=[], help="only these hosts")
    parser.add_argument("--draws", type=int, nargs=2, default=(0, 38), help="null pairs: from, to")
    parser.add_argument("--folds", type=Path, default=REPOSITORY / "checkpoints" / "lungs")
    parser.add_argument("--missing", action="store_true", help="leave rows that are there")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    segmenters = Segmenters("cpu", chosen.folds, None)
    command = "python scripts/benchmark_comparison.py " + shlex.join(sys.argv[1:])
    recorder = Recorder(command, segmenters.weights_state(), chosen.missing)
    if "phases" in chosen.parts:
        _phases(recorder)
    if "persons" in chosen.parts:
        comparison_persons.measure(recorder)
    if "slices" in chosen.parts:
        comparison_slices.run(recorder)
    if "speed" in chosen.parts:
        comparison_speed.run(recorder)
    if set(chosen.parts) - {"phases", "persons", "slices", "speed"}:
        for name in (h for h in HOSTS if not chosen.cases or h in chosen.cases):
            host = Host.load(name)
            if "registration" in chosen.parts:
                _registration(recorder, host)
            for part, most in DRAWS.items():
                draws = range(most[name in FINE])
                if part == "null":
                    draws = draws[slice(*chosen.draws)]
                for draw in draws if part in chosen.parts else ():
                    work = partial(_pair, part, host, draw, segmenters)
                    recorder.make(f"{part}-{name}-{draw:02d}", work)
    lines = comparison_tables.page()
    if chosen.write:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written: {TABLE.relative_to(REPOSITORY)}")
    else:
        print("\n".join(lines))
    if recorder.failures:
        print("\n".join(recorder.failures), file=sys.stderr)
        sys.exit(1)


def _registration(recorder: Recorder, host: Host) -> None:
    """True masks: what the alignment alone is worth, beside two other engines."""
    for number in (1, 3) if host.name in FINE else range(len(LIFTS_MM)):
        lift = LIFTS_MM[number]
        plan = replace(_plan("registration", host, number), lift_mm=lift)
        pair, *scans = make_pair(host, plan, family_test.insert)
        visits = pair.baseline, pair.followup
        results = [true_result(v, s) for v, s in zip(visits, scans, strict=True)]
        for engine in ("ctlung", "bspline", "demons"):

            def work(
                engine: str = engine,
                results: list[ctlung.ScanResult] = results,
                pair: object = pair,
                lift: float = lift,
            ) -> Row:
                start = time.perf_counter()
                if engine == "ctlung":
                    alignment = align(*results)
                else:
                    alignment = comparison_engines.run(engine, *results)
                seconds = time.perf_counter() - start
                jacobians = [m.forward.jacobian() for m in alignment.sides.values()]
                folded = float(np.mean([(j <= 0).mean() for j in jacobians]))
                return {
                    "part": "registration",
                    "case": host.name,
                    "engine": engine,
                    "lift_mm": lift,
                    "seconds": round(seconds, 1),
                    "folded_percent": 100 * folded,
                    **target_error(alignment, pair, host.drawn),
                }

            recorder.make(f"registration-{host.name}-{number}-{engine}", work)


def _pair(part: str, host: Host, draw: int, segmenters: Segmenters) -> Row:
    plan = _plan(part, host, draw)
    pair, *scans = make_pair(host, plan, family_test.insert)
    results = measured(host, pair, (scans[0], scans[1]), segmenters)
    row = judge_pair(pair, *results)
    facts = {"part": part, "case": host.name, "draw": draw, "fates": list(plan.fates)}
    return {**facts, **plan_facts(plan), **row}


def plan_facts(plan: Plan) -> Row:
    """What a row says of how its pair was made."""
    return {
        "lift_mm": plan.lift_mm,
        "kernels": [p.kernel for p in plan.protocols],
        "noises_hu": [p.noise_hu for p in plan.protocols],
        "coarser": plan.protocols[1].geometry is not None,
    }


def _plan(part: str, host: Host, draw: int) -> Plan:
    """What happens in a pair; decided by part, host and draw alone."""
    seed = FIRST_STREAM + 10_000 * ("registration", *PARTS).index(part)
    seed += 1000 * HOSTS.index(host.name) + draw
    rng = family_test.stream(seed)
    lesions = [p for p in family_test.random_plans(rng) if p.kind != "effusion"]
    lift = float(np.clip(rng.normal(0, 12), -30, 40))
    geometry = host.drawn.scan.geometry
    kernels = ("soft", "medium", "sharp") if part == "null" else ("soft", "medium")
    protocols = draw_protocols(rng, kernels)
    fates: list[Fate] = ["same"] * len(lesions)
    if part in ("changes", "registration"):
        fates = [_fate(p, rng) for p in lesions]
    if part == "points":
        points = POINTS[draw % len(POINTS)]
        lung_ml = float((host.drawn.lungs > 0).sum(axis=(1, 2)) @ geometry.voxel_volumes_ml)
        rise = float(rng.uniform(*PARAMETERS.ground_glass_rise_hu))
        lesions = lesions[:1] if lesions and lesions[0].ml < 100 else []
        fates = ["same"] * len(lesions)
        lesions.append(LesionPlan("ground_glass", lung_ml * points / 100, rise, 2.0, True))
        fates.append("resolved" if draw < len(POINTS) else "new")
        lift *= 0.5
    if part != "registration" and rng.random() < 1 / 3:
        slices = spread(geometry, COARSER)
        protocols = protocols[0], replace(protocols[1], geometry=slices)
    return Plan(tuple(lesions), tuple(fates), lift, protocols, seed)


def _fate(plan: LesionPlan, rng: np.random.Generator) -> Fate:
    fate = FATES[int(rng.integers(len(FATES)))]
    return "resolved" if fate == "cleared" and plan.kind != "consolidation" else fate


def _phases(recorder: Recorder) -> None:
    """Real breathing: ten phases of one 4D-CT, each against each later one."""
    paths = sorted((data_folder() / "opentps-4dct").glob("phase*.nii.gz"))
    results = [ctlung.segment(path) for path in paths]
    for i, first in enumerate(results):
        for j, second in enumerate(results[i + 1 :], start=i + 1):

            def work(
                a: ctlung.ScanResult = first, b: ctlung.ScanResult = second, i: int = i, j: int = j
            ) -> Row:
                found = ctlung.compare(a, b, same_person=True)
                assert found.voxelwise is not None
                weights = [r.report.value("lung_weight_g") for r in (a, b)]
                volumes = [r.report.value("lung_volume_ml") for r in (a, b)]
                return {
                    "part": "phases",
                    "case": f"{i}-{j}",
                    "quality": {k: vars(q) for k, q in found.voxelwise.quality.items()},
                    "weights_g": weights,
                    "volumes_ml": volumes,
                    "reason": found.voxelwise.reason,
                    "region_hu": vars(found["ct_number_baseline_region_hu"]),
                }

            recorder.make(f"phases-{i}-{j}", work)


if __name__ == "__main__":
    main()
