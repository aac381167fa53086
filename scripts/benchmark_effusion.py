"""The check for pleural fluid, measured: docs/benchmarks/effusion.md.

    python scripts/benchmark_effusion.py

T scans as they are (their lungs drawn, or by the threshold segmenter), and every third of them
with simulated effusions of the training family, whose lungs leave the fluid out.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from benchmark_main_job import REPOSITORY, machine
from segmentation_cases import TRAINED_ON, path_of
from segmentation_lesions import host_of
from segmentation_tables import table
from train_lungs_data import FOUND

import ctlung
from ctlung import LabelMap, Scan
from ctlung.measurement.effusion import suspected_ml
from ctlung.settings import Settings
from ctlung.simulation import family_train
from ctlung.simulation.insertion import LesionPlan
from ctlung.version import __version__
from ctlung.vocabulary import LUNG_LABELS

PAGE = REPOSITORY / "docs" / "benchmarks" / "effusion.md"
SIZES_ML = (50, 100, 250)
EVERY = 3
FIRST_STREAM = 900_000


def main() -> None:
    limit = Settings().effusion_warn_ml
    clean, sick = [], []
    for index, name in enumerate((*TRAINED_ON, *FOUND)):
        lungs, scan = lungs_and_scan(name)
        start = time.perf_counter()
        right, left = suspected(scan, lungs)
        seconds = time.perf_counter() - start
        clean.append((name, right, left, seconds))
        for ml in SIZES_ML if index % EVERY == 0 else ():
            rng = family_train.stream(FIRST_STREAM + index * 1000 + ml)
            hu = float(rng.uniform(2, 22))
            plan = LesionPlan("effusion", float(ml), hu)
            put = family_train.insert(scan.hu.astype(np.float32), lungs, scan.geometry, rng, [plan])
            whole = np.clip(np.rint(put.hu), -1024, 3071).astype(np.int16)
            found = suspected(replace(scan, hu=whole), put.lungs)
            sick.append((name, ml, hu, sum(found)))
        print(clean[-1], flush=True)
    lines = ["# Pleural fluid suspected", "", "Made by `python scripts/benchmark_effusion.py`.", ""]
    false = sum(right + left > limit for _, right, left, _ in clean)
    lines += [f"Scans without effusion: {false} of {len(clean)} warn (limit {limit:g} ml).", ""]
    rows = [[n, f"{r:.0f}", f"{q:.0f}", f"{s:.2f}"] for n, r, q, s in clean]
    lines += [*table(["scan", "right ml", "left ml", "s"], rows), ""]
    for ml in SIZES_ML:
        of = [s for s in sick if s[1] == ml]
        lines.append(f"- {ml} ml put in: {sum(s[3] > limit for s in of)} of {len(of)} warn")
    rows = [[n, f"{ml}", f"{hu:.0f}", f"{found:.0f}"] for n, ml, hu, found in sick]
    lines += ["", *table(["scan", "put in ml", "HU", "suspected ml"], rows), ""]
    lines += [
        "The limits of the check were set on these scans and this family: a fit, not a test. A "
        "fatty liver measures what fluid measures.",
        "",
        f"- Machine: {machine()}",
        f"- Date: {time.strftime('%Y-%m-%d')}",
        f"- ctlung: {__version__}",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def lungs_and_scan(name: str) -> tuple[np.ndarray, Scan]:
    """Drawn lungs, or the threshold segmenter's."""
    if name in TRAINED_ON:
        drawn = host_of(name)
        return drawn.lungs, drawn.scan
    scan = ctlung.read_scan(path_of(name))
    return np.asarray(ctlung.segment_lungs(scan, "threshold").lungs.labels), scan


def suspected(scan: Scan, lungs: np.ndarray) -> tuple[float, float]:
    labels = LabelMap(np.asarray(lungs).astype(np.uint8), scan.geometry, LUNG_LABELS)
    return suspected_ml(scan, labels)


if __name__ == "__main__":
    main()
