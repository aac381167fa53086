"""A simulated trial with known truth: 12 treated and 13 controls, two visits, as DICOM files.

    python scripts/trial_simulated.py FOLDER [--patients 12 13] [--effect 0.6]

Each patient is a synthetic thorax of one's own with lesions of the simulator's test family. Between
the visits lesions stay, shrink, clear or resolve, in the treated arm more of them by ``--effect``
(0: no difference between the arms), the patient breathes, and kernel and noise are drawn anew.
FOLDER gets the scans, ``manifest.csv`` and ``truth.csv`` with the true values of both primary
measures from the images without noise and the true masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ctlung.simulation import family_test
from ctlung.simulation.anatomy import random_thorax
from ctlung.simulation.breathing import random_breath
from ctlung.simulation.followup import Fate, Pair, simulate_pair
from ctlung.simulation.insertion import LesionPlan
from ctlung.simulation.scanner import Protocol, acquire
from ctlung.simulation.thorax import phantom_grid, render
from ctlung.trial.manifest import ManifestRow, manifest_as_csv
from ctlung.writing.dicom import CTHeader, write_ct_series

SPACING_MM = (4.0, 2.2, 2.2)
FIRST_STREAM = 700_000
DAYS = ("20200210", "20200224")
INFUSION = "2020-02-12"
FATES: tuple[Fate, ...] = ("same", "shrunk", "cleared", "resolved")
CONTROL_SHARES = (0.55, 0.25, 0.10, 0.10)
TREATED_SHARES = (0.0, 0.35, 0.25, 0.40)


@dataclass(frozen=True)
class Truth:
    """Of one patient: both primary measures at both visits."""

    patient: str
    arm: str
    lesion_percent: tuple[float, float]
    region_hu: tuple[float, float]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, nargs=2, default=(12, 13))
    parser.add_argument("--effect", type=float, default=0.6)
    return parser.parse_args()


def main() -> None:
    chosen = options()
    make_trial(chosen.folder, tuple(chosen.patients), chosen.effect)


def make_trial(folder: Path, patients: Sequence[int], effect: float) -> None:
    """Write scans, manifest and truth."""
    rows, truths = [], []
    for number in range(sum(patients)):
        arm = "MSC" if number < patients[0] else "control"
        name = f"P{number + 1:02d}"
        truth, paths = _patient(folder / "scans", name, arm, number, effect)
        truths.append(truth)
        for visit, path in enumerate(paths):
            rows.append(
                ManifestRow(name, visit, path, arm=arm, infusion=pd.Timestamp(INFUSION).date())
            )
        print(name, arm, flush=True)
    (folder / "manifest.csv").write_text(manifest_as_csv(rows, folder), encoding="utf-8")
    table = [
        (t.patient, t.arm, *t.lesion_percent, *t.region_hu)
        for t in truths
    ]  # fmt: skip
    names = ["patient", "arm", "percent_baseline", "percent_followup", "hu_baseline", "hu_followup"]
    pd.DataFrame(table, columns=names).to_csv(folder / "truth.csv", index=False)


def _patient(
    folder: Path, name: str, arm: str, number: int, effect: float
) -> tuple[Truth, list[Path]]:
    rng = family_test.stream(FIRST_STREAM + number)
    thorax = random_thorax(rng)
    geometry = phantom_grid(thorax, SPACING_MM)
    phantom = render(thorax, geometry)
    plans = _plans(rng, float((phantom.lungs > 0).sum() * np.prod(SPACING_MM) / 1000.0))
    mix = effect if arm == "MSC" else 0.0
    shares = (1 - mix) * np.array(CONTROL_SHARES) + mix * np.array(TREATED_SHARES)
    fates = [_fate(p, FATES[int(rng.choice(len(FATES), p=shares))]) for p in plans]
    seed = FIRST_STREAM + number
    pair = simulate_pair(
        phantom.hu, phantom.lungs, geometry, family_test.insert, plans, fates,
        random_breath(rng), seed,
    )  # fmt: skip
    paths = []
    for visit, (image, day) in enumerate(zip((pair.baseline, pair.followup), DAYS, strict=True)):
        kernel = "soft" if rng.random() < 0.5 else "medium"
        noise = float(rng.uniform(5, 15))
        series = acquire(
            image.hu,
            geometry,
            Protocol(kernel, noise_hu=noise),
            np.random.default_rng([seed, visit]),
        )
        header = CTHeader(
            seed=f"trial-{number}", visit=str(visit), patient_id=name, patient_name=name,
            study_date=day, sex="F" if number % 2 else "M", birth_date="19600101",
            kernel="SOFT" if kernel == "soft" else "STANDARD", manufacturer="GE",
        )  # fmt: skip
        place = folder / name / f"visit{visit}"
        write_ct_series(series.hu, series.geometry, place, header)
        paths.append(place)
    return _truth(name, arm, pair), paths


def _plans(rng: np.random.Generator, lung_ml: float) -> list[LesionPlan]:
    """Lesions of the family until 5 to 25 % of the lung are filled, at most eight."""
    wanted = float(rng.uniform(0.05, 0.25)) * lung_ml
    plans: list[LesionPlan] = []
    while wanted > 5.0 and len(plans) < 8:
        plan = family_test.random_plan(rng)
        ml = min(max(plan.ml, 60.0), wanted)
        plans.append(LesionPlan(plan.kind, ml, plan.hu, plan.edge_mm, plan.touches_pleura))
        wanted -= ml
    return plans


def _fate(plan: LesionPlan, fate: Fate) -> Fate:
    return "resolved" if fate == "cleared" and plan.kind != "consolidation" else fate


def _truth(name: str, arm: str, pair: Pair) -> Truth:
    percent = tuple(
        100.0 * float((v.lesions > 0).sum() / (v.lungs > 0).sum())
        for v in (pair.baseline, pair.followup)
    )
    before = pair.baseline.lesions > 0
    after = (pair.carried > 0) & (pair.followup.lungs > 0)
    hu = float(pair.baseline.hu[before].mean()), float(pair.followup.hu[after].mean())
    return Truth(name, arm, (percent[0], percent[1]), hu)


if __name__ == "__main__":
    main()
