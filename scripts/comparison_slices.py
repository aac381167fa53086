"""Part "slices": the slice pairs of ten real patients, compared as far as they can be."""

from __future__ import annotations

from pathlib import Path

from benchmark_main_job import OUTPUT, data_folder
from segmentation_rows import Recorder, Row

import ctlung
from ctlung import CtlungError

PICTURES = OUTPUT / "slice_pairs"
MEASURES = ("lesion_area_max_cm2", "ct_number_lesion_hu", "lesion_percent")


def run(recorder: Recorder) -> None:
    """A row per patient; overlays of both slices for the eye."""
    for patient in sorted((data_folder() / "ny-sbu-pairs").iterdir()):
        recorder.make(f"slices-{patient.name}", lambda p=patient: _pair(p))


def _pair(patient: Path) -> Row:
    row: Row = {"part": "slices", "case": patient.name, "visits": [], "changes": {}, "codes": []}
    results = []
    for path in sorted(patient.glob("*.dcm")):
        try:
            result = ctlung.segment(path, uncertainty=True)
        except CtlungError as error:
            row["visits"].append({"refused": error.code, "why": str(error)})
            continue
        values = {m: result.report[m].value for m in MEASURES}
        row["visits"].append(values)
        results.append(result)
        ctlung.write_result(result, PICTURES / patient.name / path.stem, force=True)
    if len(results) < 2:
        return row
    try:
        found = ctlung.compare(*results)
    except CtlungError as error:
        return {**row, "refused": error.code, "why": str(error)}
    row["codes"] = [f"{n.code} ({n.effect})" for n in found.notices]
    for name in MEASURES:
        c = found[name]
        row["changes"][name] = {
            "delta": c.delta, "low": c.low, "high": c.high, "claimed": c.claimed,
            "reason": c.reason,
        }  # fmt: skip
    return row
