"""``read_result``: a folder that ``ctlung segment`` finished, as a result again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ctlung.arrays import Box, LabelArray
from ctlung.errors import UnreadableFile
from ctlung.geometry import Geometry
from ctlung.notices import Notice
from ctlung.reading.hounsfield import scan_digest
from ctlung.reading.image_grid import Placed, place
from ctlung.reading.images import load_image
from ctlung.records import (
    SCHEMA_SCAN,
    Calibration,
    Fact,
    Histogram,
    Lesion,
    Measurement,
    Provenance,
    ScanReport,
    ScanResult,
    ScorePart,
    SeverityScore,
    SliceRow,
    Uncertainty,
)
from ctlung.settings import Settings
from ctlung.vocabulary import LESION_LABELS, LOBE_LABELS, LUNG_LABELS
from ctlung.volume import HU_MIN, Acquisition, Identifiers, LabelMap, Scan, Source

REPORT_FILE = "report.json"
SCAN_FILE = "scan.nii.gz"
_REPORT_LIMIT = 200_000_000
_Record = TypeVar("_Record")


def is_result(path: Path) -> bool:
    """Whether a folder holds a finished result."""
    return (path / REPORT_FILE).is_file()


def has_scan(folder: str | Path) -> bool:
    """Whether a finished result holds the image too, so that :func:`read_result` can read it."""
    return (Path(folder) / SCAN_FILE).is_file()


def read_report(folder: str | Path) -> ScanReport:
    """The report of a finished result: the same numbers, notices and provenance.

    Raises:
        UnreadableFile: there is none, or it is damaged or of another version.
    """
    path = Path(folder) / REPORT_FILE
    document = _document(path)
    try:
        return ScanReport(
            tuple(_measurement(item) for item in document["measurements"]),
            tuple(_record(SliceRow, item) for item in document["slices"]),
            tuple(_record(Lesion, item) for item in document["lesions"]),
            tuple(_record(Notice, item) for item in document["notices"]),
            _record(Provenance, document["provenance"]),
            tuple(_score(item) for item in document["scores"]),
            Calibration(**{k: _record(Fact, v) for k, v in document["calibration"].items()}),
            tuple(_record(Uncertainty, item) for item in document["uncertainty"]),
            tuple(_record(Histogram, item) for item in document.get("histograms", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFile(
            f"{path} is not a report that this version of ctlung can read "
            f"({type(error).__name__}); measure the scan again.",
            code="report",
        ) from None


def read_result(folder: str | Path, settings: Settings | None = None) -> ScanResult:
    """A finished result: scan (around the lungs), masks and report, from the folder alone.

    The scan is what ``scan.nii.gz`` holds, the lungs and 20 mm around them; beyond that box it is
    -1024 HU and counts as padding. Slices lie where the report says, uneven ones too.

    Raises:
        UnreadableFile: a file is missing or damaged, or they do not belong together.
        UnsupportedGeometry: a mask cannot be placed in the patient.
    """
    folder = Path(folder)
    limits = settings or Settings()
    report = read_report(folder)
    lungs, placed = _labels(folder / "lungs.nii.gz", limits)
    lesions, _ = _labels(folder / "lesions.nii.gz", limits)
    geometry = _geometry(placed, report, folder)
    if lesions.shape != geometry.shape:
        raise _apart(folder, "lesions.nii.gz")
    scan = _scan(folder, placed, geometry, report, limits)
    lobes = None
    if (folder / "lobes.nii.gz").is_file():
        numbers, _ = _labels(folder / "lobes.nii.gz", limits)
        lobes = LabelMap(numbers, geometry, LOBE_LABELS)
    return ScanResult(
        scan,
        LabelMap(lungs, geometry, LUNG_LABELS),
        LabelMap(lesions, geometry, LESION_LABELS),
        report,
        lobes,
    )


def _document(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _REPORT_LIMIT:
            raise ValueError("too large")
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableFile(
            f"{path.parent} holds no {path.name}: it is no finished result of ctlung segment.",
            code="report",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableFile(
            f"{path} cannot be read ({type(error).__name__}); measure the scan again.",
            code="report",
        ) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA_SCAN:
        raise UnreadableFile(
            f"{path} is not a report of the schema {SCHEMA_SCAN}; measure the scan again with this "
            "version of ctlung.",
            code="report",
        )
    return document


def _record(kind: type[_Record], item: Mapping[str, Any]) -> _Record:
    """A record from its fields; JSON's lists were tuples."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _tuples(value) for name, value in item.items() if name in known})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _measurement(item: Mapping[str, Any]) -> Measurement:
    return _record(Measurement, {k: v for k, v in item.items() if k != "unit"})


def _score(item: Mapping[str, Any]) -> SeverityScore:
    parts = tuple(_record(ScorePart, part) for part in item["parts"])
    return SeverityScore(item["score"], item["value"], item["highest"], item["reason"], parts)


def _labels(path: Path, settings: Settings) -> tuple[LabelArray, Placed]:
    if not path.is_file():
        raise UnreadableFile(
            f"{path.parent} holds no {path.name}: it is no finished result of ctlung segment.",
            code="report",
        )
    image = load_image(path, settings)
    placed = place(image.values.shape, image.affine, path.name, settings)
    labels = np.ascontiguousarray(placed.stored.to_canonical(image.values))
    return labels.astype(np.uint8), placed


def _geometry(placed: Placed, report: ScanReport, folder: Path) -> Geometry:
    shape = placed.geometry.shape
    if shape != report.provenance.shape or len(report.slices) != shape[0]:
        raise _apart(folder, "lungs.nii.gz")
    positions = [row.position_mm for row in report.slices]
    return Geometry.from_affine(shape, placed.geometry.matrix, positions)


def _scan(
    folder: Path, whole: Placed, geometry: Geometry, report: ScanReport, settings: Settings
) -> Scan:
    path = folder / "scan.nii.gz"
    if not path.is_file():
        raise UnreadableFile(
            f"{folder} holds no scan.nii.gz (it was made with --no-scan); give the DICOM folder "
            "instead, or measure the scan again without --no-scan.",
            code="no_scan",
        )
    image = load_image(path, settings)
    placed = place(image.values.shape, image.affine, path.name, settings)
    box = _box(whole.geometry, placed.geometry)
    values = placed.stored.to_canonical(image.values)
    if box is None:
        raise _apart(folder, path.name)
    hu = np.full(geometry.shape, HU_MIN, dtype=np.int16)
    hu[box] = values
    outside = np.ones(geometry.shape, dtype=bool)
    outside[box] = False
    p = report.provenance
    known = {f.name for f in fields(Acquisition)}
    facts = {k: _tuples(v) for k, v in p.acquisition.items() if k in known}
    return Scan(
        hu,
        geometry,
        Acquisition(**facts),
        Source(
            p.source_kind or "array",  # type: ignore[arg-type]
            scan_digest(hu, geometry, outside),
            Identifiers(),
            whole.stored,
            p.chosen_because,
            p.n_files,
        ),
        outside,
    )


def _box(whole: Geometry, part: Geometry) -> Box | None:
    """Where a part of a grid lies in it; ``None`` where it does not."""
    back = np.linalg.inv(whole.matrix)
    corner = back @ np.append(part.to_mm((0, 0, 0)), 1.0)
    start = np.rint(corner[:3]).astype(int)
    stop = start + np.array(part.shape)
    if np.abs(corner[:3] - start).max() > 0.05 or (start < 0).any():
        return None
    if (stop > np.array(whole.shape)).any():
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return z, y, x


def _apart(folder: Path, name: str) -> UnreadableFile:
    return UnreadableFile(
        f"{name} in {folder} does not belong to the report there (another grid); measure the scan "
        "again.",
        code="report",
    )
