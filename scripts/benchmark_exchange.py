"""DICOM SEG and SR, measured: the figures of docs/benchmarks/exchange.md.

    python scripts/benchmark_exchange.py --write               all scans, then the page
    python scripts/benchmark_exchange.py --only phantom        one scan; prints the page
    python scripts/benchmark_exchange.py --only --write        no scan: the page from old rows

Each scan is measured, written as DICOM, and read back: voxels by pydicom alone (each pixel by its
own millimetres) and by highdicom (asked by source slice), numbers by both; then the validators.
dciodvfy is Debian's dicom3tools. dicom-validator fetches the standard on its first run; where it
cannot, ``--standard`` names the ``standard`` folder of the PyPI package dicom-standard. ``--dcmqi``
names the folder of dcmqi's programs (PyPI package dcmqi, on DCMTK), for one reader more.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from benchmark_main_job import REPOSITORY, data_folder
from exchange_tables import RUNS, page
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom import dcmread
from pydicom.dataset import Dataset
from segmentation_rows import Recorder, Row

import ctlung
from ctlung import ScanResult

sys.path.insert(0, str(REPOSITORY / "tests"))
from support.marked import placed, truth

PAGE = REPOSITORY / "docs" / "benchmarks" / "exchange.md"
SCANS = ("ricord-1a-001012", "lung1-001", "lidc-idri-0001")
PHANTOM = "phantom, enhanced multi-frame"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=(*SCANS, "phantom"))
    parser.add_argument("--standard", type=Path, help="tables for dicom-validator")
    parser.add_argument("--dcmqi", type=Path, help="folder of segimage2itkimage, tid1500reader")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    chosen = parser.parse_args()
    told = re.sub(r"(--standard|--dcmqi) \S+", r"\1 FOLDER", shlex.join(sys.argv[1:]))
    recorder = Recorder(f"python scripts/benchmark_exchange.py {told}".strip())
    wanted = (*SCANS, "phantom") if chosen.only is None else chosen.only
    for name in wanted:
        recorder.make(f"exchange-{name}", partial(_row, name, chosen.standard, chosen.dcmqi))
    lines = page()
    if chosen.write:
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written: {PAGE.relative_to(REPOSITORY)}")
    else:
        print("\n".join(lines))
    if recorder.failures:
        print("\n".join(recorder.failures), file=sys.stderr)
        sys.exit(1)


def _row(name: str, standard: Path | None, dcmqi: Path | None) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = data_folder() / "dicom" / name
        if name == "phantom":
            source = _enhanced(place / "source")
        result = ctlung.segment(source, device="cpu")
        seconds, paths = [], ()
        for _ in range(RUNS):
            start = time.perf_counter()
            paths = ctlung.write_dicom(result, source, place / "out", force=True)
            seconds.append(time.perf_counter() - start)
        seg, sr = paths
        row: Row = {
            "part": "exchange",
            "case": PHANTOM if name == "phantom" else name,
            "slices": result.scan.geometry.shape[0],
            "frames": int(dcmread(seg, stop_before_pixels=True).NumberOfFrames),
            "segments": len(dcmread(seg, stop_before_pixels=True).SegmentSequence),
            "seg_bytes": seg.stat().st_size,
            "sr_bytes": sr.stat().st_size,
            "seconds": sorted(seconds)[RUNS // 2],
            "by_pydicom": _same_voxels(placed(seg, result.scan.geometry), result),
            "by_highdicom": _same_by_source(seg, source, result),
            "numbers": _same_numbers(sr, result),
            "dciodvfy": {p.name: _dciodvfy(p) for p in paths},
            "dicom_validator": _dicom_validator(list(paths), standard),
            "control": _control(seg, place, standard),
        }
        if dcmqi is not None:
            row["by_dcmqi"] = _by_dcmqi(seg, sr, place, dcmqi, result)
        return row


def _enhanced(folder: Path) -> Path:
    """The shipped phantom as one enhanced object, made by highdicom of slices in no order."""
    files = sorted((REPOSITORY / "sample_scans" / "baseline").rglob("*.dcm"))
    slices = [dcmread(path) for path in files]
    random.Random(3).shuffle(slices)
    image = LegacyConvertedEnhancedCTImage(slices, "2.25.1001", 7, "2.25.1002", 1)
    folder.mkdir()
    image.save_as(folder / "one.dcm")
    return folder / "one.dcm"


def _same_voxels(found: dict[str, np.ndarray], result: ScanResult) -> bool:
    expected = truth(result)
    same = (np.array_equal(found[label], mask) for label, mask in expected.items())
    return list(found) == list(expected) and all(same)


def _same_by_source(seg: Path, source: Path, result: ScanResult) -> bool:
    """Asked of highdicom slice by slice; each mask must be that of the slice, as it is stored."""
    image = hd.seg.segread(seg)
    masks = list(truth(result).values())
    for k, told in enumerate(result.scan.source.identifiers.sop_uids):
        sop_uid, _, frame = told.partition("#")
        ask = {"assert_missing_frames_are_empty": True}
        if frame:
            pixels = image.get_pixels_by_source_frame(sop_uid, [int(frame)], **ask)[0]
        else:
            pixels = image.get_pixels_by_source_instance([sop_uid], **ask)[0]
        for s, mask in enumerate(masks):
            # The scans of this benchmark are stored in plain axial rows and columns.
            if not np.array_equal(pixels[:, :, s] > 0, mask[k]):
                return False
    return True


def _same_numbers(sr: Path, result: ScanResult) -> dict[str, int]:
    """How many numbers there are, and how many are, to the last bit, in the report."""
    known = {m.value for m in result.report.measurements if m.value is not None}
    by_pydicom = list(_numbers(dcmread(sr)))
    report = hd.sr.srread(sr).content
    groups = (
        *report.get_volumetric_roi_measurement_groups(),
        *report.get_image_measurement_groups(),
    )
    by_highdicom = [m.value for group in groups for m in group.get_measurements()]
    return {
        "pydicom": len(by_pydicom),
        "pydicom_same": sum(v in known for v in by_pydicom),
        "highdicom": len(by_highdicom),
        "highdicom_same": sum(v in known for v in by_highdicom),
    }


def _numbers(item: Dataset) -> Any:
    for inside in item.get("ContentSequence", []):
        if inside.ValueType == "NUM":
            yield float(inside.MeasuredValueSequence[0].FloatingPointValue)
        else:
            yield from _numbers(inside)


def _dciodvfy(path: Path) -> dict[str, int] | None:
    """Messages without the values that they quote, counted; ``None`` where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        return None
    done = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    messages = (line for line in said if line.startswith(("Error", "Warning", "Abort")))
    return dict(Counter(_unquoted(line) for line in messages))


def _unquoted(line: str) -> str:
    line = re.sub(r"\[\d+\]", "", line)
    return re.sub(r"= <(?!99CTLUNG)[^>]*>", "= <...>", line)


def _dicom_validator(paths: list[Path], standard: Path | None) -> Row:
    from dicom_validator.spec_reader.edition_reader import EditionReader
    from dicom_validator.validator.dicom_file_validator import DicomFileValidator
    from dicom_validator.validator.error_handler import NullValidationResultHandler

    if standard is not None:
        import exchange_standard

        info, edition = exchange_standard.tables(standard), exchange_standard.EDITION
    else:
        try:
            reader = EditionReader(Path.home() / "dicom-validator")
            edition = str(reader.get_edition("current"))
            info = reader.dicom_info_for_edition(edition)
        except Exception as error:
            return {"edition": f"not run: {type(error).__name__}", "messages": {}}
    validator = DicomFileValidator(info, error_handler=NullValidationResultHandler())
    messages = {}
    for path in paths:
        (result,) = validator.validate(path).values()
        messages[path.name] = [
            f"{module}: {tag} {error.code.name}"
            for module, tags in (result.module_errors or {}).items()
            for tag, error in tags.items()
        ]
    return {"edition": edition, "messages": messages}


def _control(seg: Path, place: Path, standard: Path | None) -> Row:
    """What the validators say of a copy that is wrong: a segment without its label."""
    wrong = dcmread(seg)
    del wrong.SegmentSequence[0].SegmentLabel
    path = place / "wrong.dcm"
    wrong.save_as(path)
    return {
        "dciodvfy": [m for m in _dciodvfy(path) or {} if "SegmentLabel" in m],
        "dicom_validator": _dicom_validator([path], standard)["messages"].get("wrong.dcm", []),
    }


def _by_dcmqi(seg: Path, sr: Path, place: Path, programs: Path, result: ScanResult) -> Row:
    """Voxels and numbers by DCMTK, by way of dcmqi; it wants evenly spaced slices."""
    out = place / "dcmqi"
    out.mkdir()
    command = [programs / "segimage2itkimage", "--inputDICOM", seg, "--outputDirectory", out]
    subprocess.run([*map(str, command), "--outputType", "nrrd"], check=True, capture_output=True)
    same = [
        _itk_same(out / f"{number}.nrrd", mask, result)
        for number, mask in enumerate(truth(result).values(), start=1)
    ]
    told = out / "sr.json"
    command = [programs / "tid1500reader", "--inputDICOM", sr, "--outputMetadata", told]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    groups = json.loads(told.read_text(encoding="utf-8"))["Measurements"]
    values = [float(m["value"]) for group in groups for m in group["measurementItems"]]
    known = [m.value for m in result.report.measurements if m.value is not None]
    close = sum(bool(np.isclose(known, v, rtol=1e-12, atol=0).any()) for v in values)
    return {"segments": len(same), "same": sum(same), "numbers": len(values), "close": close}


def _itk_same(path: Path, mask: np.ndarray, result: ScanResult) -> bool:
    image = sitk.ReadImage(str(path))
    index = np.argwhere(sitk.GetArrayViewFromImage(image) > 0)[:, ::-1]
    ways = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    points = index @ ways.T + np.array(image.GetOrigin())
    back = np.linalg.inv(result.scan.geometry.matrix)
    exact = points @ back[:3, :3].T + back[:3, 3]
    where = np.rint(exact).astype(int)
    found = np.zeros(mask.shape, bool)
    found[tuple(where.T)] = True
    return bool(np.abs(exact - where).max() < 0.02 and np.array_equal(found, mask))


if __name__ == "__main__":
    main()
