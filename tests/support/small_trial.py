"""A small trial as DICOM files: coarse chests of formulas, two visits a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.chest import VESSELS, Blob, chest

from ctlung.trial.manifest import ManifestRow, manifest_as_csv
from ctlung.writing.dicom import CTHeader, write_ct_series

COARSE = (6.0, 4.0, 4.4)
DAYS = ("20200210", "20200224")


def write_visit(folder: Path, patient: str, visit: int, radius: float) -> Path:
    """A scan of a patient with one lesion of that radius (mm)."""
    blobs = (Blob((130, 20, -85), (radius, radius, radius), -500),) if radius else ()
    scan = chest(spacing=COARSE, blobs=blobs, vessels=VESSELS).scan
    # Every patient is someone else: a little noise of one's own.
    noise = np.random.default_rng(sum(map(ord, patient)) + visit).normal(0, 6, scan.hu.shape)
    hu = np.clip(scan.hu + np.rint(noise), -1024, 3071).astype(np.int16)
    header = CTHeader(
        seed=f"{patient}-{visit}",
        visit=str(visit),
        patient_id=f"ID-{patient}",
        study_date=DAYS[visit],
        sex="F",
        birth_date="19600101",
    )
    place = folder / patient / f"visit{visit}"
    write_ct_series(hu, scan.geometry, place, header)
    return place


def write_trial(folder: Path, patients: int = 4) -> Path:
    """Scans and manifest.csv; odd patients are treated and their lesions shrink more."""
    rows = []
    for number in range(patients):
        name, treated = f"P{number + 1:02d}", number % 2 == 0
        for visit in (0, 1):
            radius = 26.0 - 1.0 * number
            if visit:
                radius *= 0.55 if treated else 0.9
            path = write_visit(folder, name, visit, radius)
            arm = "MSC" if treated else "control"
            rows.append(ManifestRow(name, visit, path, arm=arm))
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest_as_csv(rows, folder), encoding="utf-8")
    return manifest
