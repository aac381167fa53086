"""One scan, stored in every way: the same voxels, millilitres and HU. Then the promises by test.

    python scripts/benchmark_same_scan.py       writes docs/benchmarks/same_scan.md

The scan is the phantom of sample_scans/baseline, thinned in the plane so that each variant takes
seconds. Each promise of the second table is a set of tests, run here and counted.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from benchmark_main_job import REPOSITORY, machine

import ctlung
from ctlung.geometry import Geometry
from ctlung.version import __version__
from ctlung.volume import Scan

sys.path.insert(0, str(REPOSITORY / "tests"))
from support.dicom_files import SYNTAXES, Store, write_enhanced, write_series

TABLE = REPOSITORY / "docs" / "benchmarks" / "same_scan.md"
MEASURES = ("lung_volume_ml", "lesion_volume_ml", "lesion_area_max_cm2", "ct_number_lesion_hu")
PROMISES = (
    (
        "DICOM in 8 in-plane orientations x 3 orders, HFS to FFDR",
        "tests/reading/test_same_voxels.py",
        "orientation or position",
    ),
    (
        "every transfer syntax, signed and unsigned; multi-frame; zip; renamed",
        "tests/reading/test_same_voxels.py",
        "",
    ),
    (
        "NIfTI, NRRD, MetaImage in 48 axis orders, and every refusal of one",
        "tests/reading/test_images.py",
        "",
    ),
    (
        "stacks: gaps, uneven, sparse, tilt, duplicates, coronal and sagittal refused",
        "tests/reading/test_stack.py",
        "",
    ),
    ("bad input, each with its pinned sentence", "tests/reading/test_bad_input.py", ""),
    ("choice of the series, several visits, what is set aside", "tests/reading/test_choose.py", ""),
    (
        "read-only OUT, full disk, killed runs, identifiers, exit codes",
        "tests/cli tests/writing/test_folder.py",
        "",
    ),
    (
        "two runs give identical bytes",
        "tests/writing tests/cli tests/test_api.py",
        "identical or same_bytes or twice or determin or two_runs",
    ),
    ("measures against a slow oracle", "tests/measurement", ""),
)


def variants(scan: Scan) -> dict[str, Callable[[Path], Path]]:
    hu = np.asarray(scan.hu)
    geometry = scan.geometry
    spacing = geometry.spacing_mm
    origin = tuple(float(v) for v in geometry.to_mm((0, 0, 0)))
    tags = {"ConvolutionKernel": "STANDARD", "Manufacturer": "GE MEDICAL SYSTEMS"}

    def store(**changes: object) -> Store:
        return Store(
            spacing=spacing, origin=(origin[0], origin[1], origin[2]), tags=tags, **changes
        )  # type: ignore[arg-type]

    def series(order: str = "ascending", **changes: object) -> Callable[[Path], Path]:
        return lambda f: (write_series(f, hu, store(**changes), order=order), f)[1]

    def zipped(folder: Path) -> Path:
        files = write_series(folder / "files", hu, store())
        with zipfile.ZipFile(folder / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.name)
        return folder / "scan.zip"

    def nifti(folder: Path) -> Path:
        folder.mkdir(parents=True)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.matrix[:, [2, 1, 0, 3]]
        nib.save(nib.Nifti1Image(hu.transpose(2, 1, 0), affine), folder / "scan.nii.gz")
        return folder / "scan.nii.gz"

    def itk(name: str) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            folder.mkdir(parents=True)
            image = sitk.GetImageFromArray(hu)
            image.SetSpacing((spacing[2], spacing[1], spacing[0]))
            image.SetOrigin(origin)
            sitk.WriteImage(image, str(folder / name))
            return folder / name

        return write

    ways: dict[str, Callable[[Path], Path]] = {
        "plain, uncompressed": series(),
        "files shuffled": series("shuffled"),
        "slices in reversed order": series("descending"),
        "columns and rows reversed": series(flip_x=True, flip_y=True),
        "rows and columns exchanged": series(transposed=True),
        "signed": series(signed=True),
        "zipped": zipped,
        "enhanced multi-frame": lambda f: write_enhanced(f / "one.dcm", hu, store()),
        "NIfTI": nifti,
        "NRRD": itk("scan.nrrd"),
        "MetaImage": itk("scan.mha"),
    }
    ways |= {f"transfer syntax {name}": series(syntax=name) for name in sorted(SYNTAXES)}
    return ways


def thin_scan() -> Scan:
    whole = ctlung.read_scan(REPOSITORY / "sample_scans" / "baseline")
    hu = np.ascontiguousarray(whole.hu[:, ::2, ::2])
    matrix = whole.geometry.matrix.copy()
    matrix[:, 1:3] *= 2
    return Scan(hu, Geometry.from_affine(hu.shape, matrix))


def same_scan() -> list[str]:
    scan = thin_scan()
    lines = [
        "| stored as | voxels equal | " + " | ".join(MEASURES) + " |",
        "| --- | --- |" + " ---: |" * len(MEASURES),
    ]
    first: list[float] | None = None
    equal = True
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, write) in enumerate(variants(scan).items()):
            result = ctlung.segment(write(Path(folder) / str(i)))
            values = [float(result.report[m].value or np.nan) for m in MEASURES]
            first = first or values
            voxels = bool(np.array_equal(result.scan.hu, scan.hu))
            equal &= voxels and bool(np.allclose(values, first, rtol=1e-6))
            cells = " | ".join(f"{v:.6g}" for v in values)
            lines.append(f"| {name} | {'yes' if voxels else 'NO'} | {cells} |")
            print(name, voxels, file=sys.stderr, flush=True)
    lines += [
        "",
        "All equal (measures to 1e-6, spacing is float32 in NIfTI)." if equal else "NOT ALL EQUAL.",
    ]
    return lines


def promises() -> list[str]:
    lines = ["| promise | tests | passed | failed |", "| --- | --- | ---: | ---: |"]
    for promise, where, chosen in PROMISES:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *where.split()]
        if chosen:
            command += ["-k", chosen]
        said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        count = {
            w: sum(int(n) for n in re.findall(rf"(\d+) {w}", said.stdout))
            for w in ("passed", "failed")
        }
        how = f"`{where}`" + (f" -k '{chosen}'" if chosen else "")
        lines.append(f"| {promise} | {how} | {count['passed']} | {count['failed']} |")
        print(promise, count, file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parts = [
        "# One scan stored in every way, and the promises by test",
        "",
        f"ctlung {__version__}; {time.strftime('%Y-%m-%d')}; {machine()}. Command: "
        "`python scripts/benchmark_same_scan.py`.",
        "",
        *same_scan(),
        "",
        "## Promises by test",
        *promises(),
    ]
    TABLE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    print(f"written: {TABLE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
