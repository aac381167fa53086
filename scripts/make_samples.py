"""Make sample_scans/: one synthetic patient before and after therapy, with the known answers.

    python scripts/make_samples.py [OUT]

The same bytes every time. Takes a few minutes, nearly all of it for the known answers.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEGLSLossless

from ctlung.geometry import Geometry
from ctlung.simulation.breathing import Breath
from ctlung.simulation.opacities import Opacity
from ctlung.simulation.scanner import Protocol, acquire
from ctlung.simulation.thorax import Thorax, phantom_grid, render
from ctlung.simulation.truth import lesion_ct_numbers, measure_truth
from ctlung.writing.dicom import CTHeader, write_ct_series

SEED = 20260
PATIENT_ID = "CTLUNG-PHANTOM"
PATIENT = Thorax(
    scale=(1.0, 1.02, 0.99), warp_mm=(2.5, 2.5, 3.0), warp_phase=(0.4, 2.1, 5.0), seed=SEED
)
SPACING_MM = (2.5, 1.5, 1.5)
NOISE_HU = 8.0
GG_HU, DENSE_HU = -600.0, 15.0
INFUSION = "20200212"


def _gg(
    *parts: tuple[tuple[float, float, float], tuple[float, float, float]], seed: int
) -> Opacity:
    centres, radii = zip(*parts, strict=True)
    return Opacity("ground_glass", centres, radii, GG_HU, edge_mm=1.0, ragged_mm=2.2, seed=seed)


def _dense(
    centre: tuple[float, float, float], radii: tuple[float, float, float], seed: int
) -> Opacity:
    return Opacity(
        "consolidation", (centre,), (radii,), DENSE_HU, edge_mm=1.0, ragged_mm=1.5, seed=seed
    )


BASELINE = (
    _gg(((-76, 70, 62), (36, 28, 35)), ((-98, 51, 77), (27, 30, 29)), seed=1),
    _gg(((86, 64, 62), (33, 27, 34)), ((104, 45, 68), (24, 30, 29)), seed=2),
    _gg(((-116, -4, 118), (22, 32, 27)), seed=3),
    _gg(((98, 12, 164), (21, 29, 24)), seed=4),
    _gg(((-60, 74, 178), (26, 19, 22)), seed=5),
    _dense((-87, 57, 79), (17, 10, 14), seed=6),
    _dense((92, 54, 73), (16, 10, 14), seed=7),
)
FOLLOWUP = (
    _gg(((-79, 70, 66), (27, 24, 27)), ((-97, 56, 75), (19, 20, 20)), seed=1),
    _gg(((86, 70, 57), (25, 21, 25)), ((103, 50, 62), (16, 19, 18)), seed=2),
    _gg(((-119, -2, 118), (16, 24, 20)), seed=3),
    _gg(((-60, 78, 178), (20, 16, 17)), seed=5),
    _dense((-86, 60, 77), (13, 8, 11), seed=6),
)


@dataclass(frozen=True)
class Visit:
    """One scan of the pair."""

    name: str
    date: str
    opacities: tuple[Opacity, ...]
    breath: Breath


VISITS = (
    Visit("baseline", "20200210", BASELINE, Breath()),
    Visit("followup", "20200224", FOLLOWUP, Breath(lift_mm=6.0, fall_mm=1.0)),
)


def main(out: Path) -> None:
    geometry = phantom_grid(PATIENT, SPACING_MM, margin_mm=30.0, field_mm=352.0)
    answers = {}
    for index, visit in enumerate(VISITS):
        write_visit(out, visit, geometry, index)
        answers[visit.name] = known_answers(visit, geometry, index)
    text = json.dumps({"schema": "ctlung.sample-truth/1", **HOW, "visits": answers}, indent=1)
    (out / "truth.json").write_text(text + "\n", encoding="utf-8")
    (out / "README.md").write_text(README, encoding="utf-8")
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {size / 1e6:.2f} MB")


def write_visit(out: Path, visit: Visit, geometry: Geometry, index: int) -> None:
    """Render, scan and write one visit as JPEG-LS compressed DICOM."""
    phantom = render(PATIENT, geometry, visit.opacities, visit.breath)
    series = acquire(
        phantom.hu,
        geometry,
        Protocol(kernel="soft", noise_hu=NOISE_HU, noise_outside=False),
        np.random.default_rng(np.random.SeedSequence([SEED, 1, index])),
        body=phantom.body,
    )
    folder = out / visit.name
    if folder.exists():
        shutil.rmtree(folder)
    header = CTHeader(
        seed="ctlung sample scans",
        visit=str(index + 1),
        patient_id=PATIENT_ID,
        patient_name="",
        birth_date="19600101",
        sex="O",
        study_date=visit.date,
        series_description="Chest phantom, inspiration",
        kernel="STANDARD",
        slice_thickness_mm=SPACING_MM[0],
    )
    for path in write_ct_series(series.hu, series.geometry, folder, header):
        dataset = pydicom.dcmread(path)
        dataset.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)


def known_answers(visit: Visit, geometry: Geometry, index: int) -> dict[str, object]:
    """Volumes, areas and CT numbers of one visit, from the shapes."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, 2, index]))
    truth = measure_truth(PATIENT, geometry, visit.opacities, visit.breath, rng=rng)
    density = lesion_ct_numbers(PATIENT, geometry, visit.opacities, visit.breath)
    area, position = truth.lesion_area_max()
    return {
        "date": visit.date,
        "lung_volume_ml": _round(truth.lung_ml()),
        "lung_volume_right_ml": _round(truth.lung_ml(1)),
        "lung_volume_left_ml": _round(truth.lung_ml(2)),
        "lesion_volume_ml": _round(truth.lesion_ml()),
        "lesion_volume_right_ml": _round(truth.lesion_ml(side=1)),
        "lesion_volume_left_ml": _round(truth.lesion_ml(side=2)),
        "ground_glass_volume_ml": _round(truth.lesion_ml(1)),
        "consolidation_volume_ml": _round(truth.lesion_ml(2)),
        "lesion_percent": _round(100 * truth.lesion_ml() / truth.lung_ml()),
        "lesion_area_max_cm2": _round(area),
        "lesion_area_max_position_mm": _round(position),
        "ct_number_lesion_hu": _round(density["lesions"].seen_hu),
        "ct_number_ground_glass_hu": _round(density["ground_glass"].seen_hu),
        "ct_number_consolidation_hu": _round(density["consolidation"].seen_hu),
        "ct_number_lesion_object_hu": _round(density["lesions"].object_hu),
        "quadrature_error_ml": {
            "lung": _round(truth.error_ml[0]),
            "lesions": _round(truth.error_ml[1]),
        },
    }


def _round(value: float) -> float:
    return round(float(value), 3)


HOW = {
    "how": {
        "volumes_and_areas": (
            "Lattice quadrature of the closed-form shapes, 3 x 3 x 3 points per voxel, mean of two"
            " lattices shifted at random; half their difference is quadrature_error_ml. No voxel"
            " of the scans is used."
        ),
        "lung": (
            "Inside of the pleura: vessels, small bronchi and lesions in; trachea, main bronchi"
            " and hila out (FIELD 4.1)."
        ),
        "lesions": "Where the mixed fraction of lesion is at least one half, within the lungs.",
        "areas": "Of one slice: mean over its thickness of 2.5 mm.",
        "ct_number_hu": (
            "Noise-free mean over the true lesion, vessels in it included, of the object seen"
            " through the scanner's blur (Gauss of 0.65 mm in the slice, and the voxel's own"
            " 1.5 x 1.5 x 2.5 mm), drawn three times finer than the scan."
        ),
        "ct_number_lesion_object_hu": "The same without any blur.",
    },
    "infusion_date": INFUSION,
}

README = """# Sample scans

One synthetic patient, `CTLUNG-PHANTOM`, on two dates: `baseline` (two days before an infusion)
and `followup` (twelve days after it, lesions partly healed, a slightly smaller breath). No
person was scanned and no patient data went in: the chest is a set of closed-form shapes
(`ctlung/simulation`), scanned in software with a soft kernel and 8 HU of noise.

`truth.json` holds the known answers (ml, cm2, HU) and says how each was computed: from the
shapes, not from the voxels of these scans.

Files: JPEG-LS lossless DICOM, 1.5 x 1.5 x 2.5 mm. Made by

    python scripts/make_samples.py

which gives the same bytes each time with the same versions of NumPy, SciPy and the encoder.
It is a phantom: simpler than a patient, fair to a rule-based method, and no evidence of
accuracy in people.
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "sample_scans")
