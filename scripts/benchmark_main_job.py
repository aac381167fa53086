"""The main job on every real scan and on the phantom: the figures of docs/benchmarks/main_job.md.

    python scripts/benchmark_main_job.py                 all of it, writes docs/benchmarks/
    python scripts/benchmark_main_job.py --only NAME ... some scans, printed only

Real scans come from CTLUNG_TEST_DATA, else ../shared/data. Pictures go to benchmark_output/,
which is not kept in the repository: look at them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

import ctlung
from ctlung import CtlungError, ScanResult
from ctlung.settings import Settings
from ctlung.version import __version__

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "benchmark_output"
TABLE = REPOSITORY / "docs" / "benchmarks" / "main_job.md"
HAND_DRAWN = ("lctsc-101", "lctsc-102", "lctsc-103", "lctsc-201", "lctsc-202")
OTHER_DRAWN = ("lung1-002", "lung1-003", "onkodicom-thorax", "cip-ct64", "medseg-rp1", "medseg-rp7")


def data_folder() -> Path:
    named = os.environ.get("CTLUNG_TEST_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


def dice(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 1.0


@dataclass(frozen=True)
class Row:
    name: str
    result: ScanResult | None
    seconds: float
    refusal: str = ""


def run(name: str, path: Path, picture: bool) -> Row:
    start = time.perf_counter()
    try:
        result = ctlung.segment(path)
    except CtlungError as error:
        return Row(name, None, time.perf_counter() - start, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - start
    if picture:
        ctlung.write_result(result, OUTPUT / name, force=True, with_scan=False)
    return Row(name, result, seconds)


def scans(data: Path) -> list[tuple[str, Path]]:
    series = [(p.name, p) for p in sorted((data / "dicom").iterdir()) if _is_series(p)]
    volumes = [
        (p.name.removesuffix(".nii.gz"), p)
        for p in sorted((data / "volumes").glob("*.nii.gz"))
        if p.name.count(".") == 2
    ]
    phases = [
        (f"opentps-4dct-{p.name.removesuffix('.nii.gz')}", p)
        for p in sorted((data / "opentps-4dct").glob("*.nii.gz"))
    ]
    pairs = [
        (f"{p.parent.name}-{p.stem}", p) for p in sorted((data / "ny-sbu-pairs").glob("*/*.dcm"))
    ]
    return series + volumes + phases + pairs


def _is_series(folder: Path) -> bool:
    return len(list(folder.glob("*.dcm"))) > 1


def table_of(rows: list[Row]) -> list[str]:
    lines = [
        "| scan | lung ml | in view ml | R ml | L ml | lesion % | largest area cm2 | "
        "CT number HU | notices (effect) | s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for row in rows:
        if row.result is None:
            lines.append(f"| {row.name} | refused: {row.refusal} |||||||| {row.seconds:.1f} |")
            continue
        report = row.result.report

        def cell(
            measure: str, region: str = "lungs", digits: int = 0, report: object = report
        ) -> str:
            m = report[measure, region]  # type: ignore[index]
            return f"*{m.reason}*" if m.value is None else f"{m.value:.{digits}f}"

        said = sorted({f"{n.code} ({n.effect})" for n in report.notices if n.effect != "note"})
        lines.append(
            f"| {row.name} | {cell('lung_volume_ml')} | {cell('lung_volume_measured_ml')} "
            f"| {cell('lung_volume_ml', 'right_lung')} | {cell('lung_volume_ml', 'left_lung')} "
            f"| {cell('lesion_percent', digits=2)} | {cell('lesion_area_max_cm2', digits=1)} "
            f"| {cell('ct_number_lesion_hu', digits=1)} | {', '.join(said)} "
            f"| {row.seconds:.1f} |"
        )
    return lines


def reference(path: Path, result: ScanResult) -> np.ndarray:
    """A label file on the scan's canonical grid."""
    raw = np.asarray(nib.load(path).dataobj)
    stored = result.scan.source.stored
    if stored is not None:
        return np.rint(stored.to_canonical(raw)).astype(np.uint8)
    image = nib.as_closest_canonical(nib.load(path))
    flipped = np.asarray(image.dataobj)[::-1, ::-1, :]  # RAS to LPS
    return np.rint(flipped.transpose(2, 1, 0)).astype(np.uint8)


def lung_scores(data: Path, rows: dict[str, Row]) -> list[str]:
    lines = [
        "| scan | Dice both lungs | Dice right | Dice left | reference found | goal |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in HAND_DRAWN + OTHER_DRAWN:
        row = rows.get(name)
        if row is None or row.result is None:
            continue
        ref = reference(data / "volumes" / f"{name}.lungs.nii.gz", row.result)
        found = row.result.lungs.labels
        keep = np.ones(len(ref), dtype=bool)
        if name == "lung1-002":
            keep[[29, 30, 37, 43, 44]] = False  # the left lung is undrawn there (data README)
        if name == "lung1-003":
            ref = _largest_per_label(ref)
        a, b = found[keep], ref[keep]
        both = dice(a > 0, b > 0)
        sided = [f"{dice(a == s, b == s):.4f}" if (b == 2).any() else "–" for s in (1, 2)]
        part = float(((a > 0) & (b > 0)).sum() / (b > 0).sum())
        goal = (">= 0.95 " + ("met" if both >= 0.95 else "MISSED")) if name in HAND_DRAWN else "–"
        lines.append(f"| {name} | {both:.4f} | {sided[0]} | {sided[1]} | {part:.4f} | {goal} |")
    return lines


def _largest_per_label(labels: np.ndarray) -> np.ndarray:
    out = np.zeros_like(labels)
    for side in (1, 2):
        parts, n = ndimage.label(labels == side)
        if n:
            out[parts == np.bincount(parts.ravel())[1:].argmax() + 1] = side
    return out


def lung1_scores(data: Path, row: Row) -> list[str]:
    """FIELD and issue: outside the tumour and the dense tissue (> -200 HU, smoothed 3 mm)."""
    assert row.result is not None
    structures = data / "dicom" / "lung1-001-structures"
    ref = reference(structures / "lungs.nii.gz", row.result) > 0
    tumour = reference(structures / "gtv.nii.gz", row.result) > 0
    scan = row.result.scan
    found = row.result.lungs.labels > 0
    lines = [
        "| smoothing of 3 mm read as | reference found | Dice outside tumour and dense tissue "
        "| Dice all voxels |",
        "| --- | ---: | ---: | ---: |",
    ]
    part = float((found & ref).sum() / ref.sum())
    for label, sigma_mm in (("FWHM", 3.0 / 2.3548), ("sigma", 3.0)):
        sigma = [sigma_mm / s for s in scan.geometry.spacing_mm]
        dense = ndimage.gaussian_filter(scan.hu.astype(np.float32), sigma) > -200
        fair = ~(tumour | dense)
        lines.append(
            f"| {label} | {part:.4f} (goal >= 0.98) | {dice(found & fair, ref & fair):.4f} "
            f"(goal >= 0.96) | {dice(found, ref):.4f} |"
        )
    return lines


def lesion_scores(data: Path, rows: dict[str, Row]) -> list[str]:
    lines = [
        "| scan | Dice of lesions | found % of lung | drawn % of lung |",
        "| --- |" + " ---: |" * 3,
    ]
    for name in ("medseg-rp1", "medseg-rp7"):
        row = rows.get(name)
        if row is None or row.result is None:
            continue
        drawn = reference(data / "volumes" / f"{name}.lesions.nii.gz", row.result) > 0
        lungs = reference(data / "volumes" / f"{name}.lungs.nii.gz", row.result) > 0
        found = row.result.lesions.labels > 0
        percent = row.result.report.value("lesion_percent")
        lines.append(
            f"| {name} | {dice(found, drawn):.3f} | {percent:.2f} "
            f"| {100.0 * drawn.sum() / lungs.sum():.2f} |"
        )
    return lines


PHANTOM_MEASURES = (
    ("lung_volume_ml", "%"),
    ("lesion_volume_ml", "%"),
    ("lesion_percent", "%"),
    ("lesion_area_max_cm2", "%"),
    ("ct_number_lesion_hu", "HU"),
    ("ground_glass_volume_ml", "%"),
    ("consolidation_volume_ml", "%"),
)


def phantom_scores() -> list[str]:
    truth = json.loads((REPOSITORY / "sample_scans" / "truth.json").read_text(encoding="utf-8"))
    lines = [
        "| visit | measure | known | ctlung | difference | goal |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for visit in ("baseline", "followup"):
        report = ctlung.segment(REPOSITORY / "sample_scans" / visit).report
        for measure, unit in PHANTOM_MEASURES:
            known = truth["visits"][visit].get(measure)
            got = report.value(measure)
            if known is None or got is None:
                lines.append(f"| {visit} | {measure} | {known} | {got} | – | – |")
                continue
            off = got - known if unit == "HU" else 100.0 * (got - known) / known
            limit = 5.0 if unit == "HU" else 2.0
            stated = measure in PHANTOM_GOALS
            verdict = f"{limit:g} {unit} " + ("met" if abs(off) <= limit else "MISSED")
            lines.append(
                f"| {visit} | {measure} | {known:.2f} | {got:.2f} | {off:+.2f} {unit} "
                f"| {verdict if stated else '–'} |"
            )
    return lines


PHANTOM_GOALS = (
    "lung_volume_ml",
    "lesion_volume_ml",
    "lesion_area_max_cm2",
    "ct_number_lesion_hu",
)


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{platform.machine()}, {cores} cores, no GPU, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="names of scans; prints, does not save")
    parser.add_argument("--phantom", action="store_true", help="the phantom only; prints")
    options = parser.parse_args()
    data = data_folder()
    if options.phantom:
        print("\n".join(phantom_scores()))
        return
    rows = []
    for name, path in scans(data):
        if options.only and name not in options.only:
            continue
        rows.append(run(name, path, picture=True))
        print(name, f"{rows[-1].seconds:.1f} s", rows[-1].refusal, file=sys.stderr, flush=True)
    by_name = {row.name: row for row in rows}
    parts = ["## Every scan", *table_of(rows), "", "## Lungs against drawn lungs"]
    parts += lung_scores(data, by_name)
    if "lung1-001" in by_name:
        parts += ["", "## lung1-001 against its radiotherapy structures"]
        parts += lung1_scores(data, by_name["lung1-001"])
    parts += ["", "## Lesions against drawn lesions", *lesion_scores(data, by_name)]
    if options.only:
        print("\n".join(parts))
        return
    parts += ["", "## Phantom against its known answers", *phantom_scores()]
    head = [
        "# The main job, measured",
        "",
        f"ctlung {__version__}; {time.strftime('%Y-%m-%d')}; {machine()}.",
        "Command: `python scripts/benchmark_main_job.py`. Settings overridden: "
        f"{Settings().overrides() or 'none'}. Times are of one run on a shared machine, in one "
        "process, from file to report, pictures left out.",
        "",
    ]
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text("\n".join(head + parts) + "\n", encoding="utf-8")
    print(f"written: {TABLE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
