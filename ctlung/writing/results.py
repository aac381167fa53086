"""One scan's result as a folder of files (HOUSE 4)."""

from __future__ import annotations

from pathlib import Path

from ctlung.records import SCHEMA_SCAN, ScanResult
from ctlung.writing.dicom_codes import SEG_FILE, SR_FILE
from ctlung.writing.folder import require_free, whole_folder
from ctlung.writing.label_names import (
    LESIONS_LABEL_FILE,
    LOBES_LABEL_FILE,
    LUNGS_LABEL_FILE,
    label_text,
)
from ctlung.writing.pages.scan_page import scan_page
from ctlung.writing.pictures import draw_overlay
from ctlung.writing.seg_nrrd import SEGMENTS_FILE, write_segments
from ctlung.writing.tables import measurements_as_csv, report_as_json, slices_as_csv
from ctlung.writing.volumes import write_labels, write_scan_box

REPORT_FILE = "report.json"
MEASUREMENTS_FILE = "measurements.csv"
SLICES_FILE = "slices.csv"
LUNGS_FILE = "lungs.nii.gz"
LESIONS_FILE = "lesions.nii.gz"
LOBES_FILE = "lobes.nii.gz"
OVERLAY_FILE = "overlay.png"
PAGE_FILE = "report.html"
SCAN_FILE = "scan.nii.gz"
RESULT_FILES = (
    REPORT_FILE,
    MEASUREMENTS_FILE,
    SLICES_FILE,
    LUNGS_FILE,
    LESIONS_FILE,
    LOBES_FILE,
    OVERLAY_FILE,
    PAGE_FILE,
    SCAN_FILE,
    SEGMENTS_FILE,
    LUNGS_LABEL_FILE,
    LESIONS_LABEL_FILE,
    LOBES_LABEL_FILE,
    SEG_FILE,
    SR_FILE,
)


def write_result(
    result: ScanResult,
    out: str | Path,
    *,
    force: bool = False,
    with_scan: bool = True,
    with_page: bool = True,
) -> Path:
    """Write everything that belongs to one scan into the new folder ``out``.

    ``report.json``, ``measurements.csv``, ``slices.csv``; ``lungs.nii.gz`` and
    ``lesions.nii.gz`` (uint8; on the grid of a NIfTI, NRRD or MetaImage input, else on the
    sorted slice stack), and ``lobes.nii.gz`` likewise where there are lobes; ``overlay.png``;
    ``segments.seg.nrrd`` and label names for viewers;
    ``report.html``, unless ``with_page`` is false; and, unless ``with_scan`` is false,
    ``scan.nii.gz`` (int16 HU around the lungs). The folder appears whole at the end or not at
    all; the same result gives the same bytes.

    Args:
        result: what ``ctlung.segment`` returned.
        out: the folder to make; its parents are made too.
        force: replace ``out`` if it is empty or an earlier result of ctlung.
        with_scan: write ``scan.nii.gz``, which a later comparison can read instead of DICOM.
        with_page: write ``report.html``, the page to look at and to print.

    Returns:
        ``out`` as a path.

    Raises:
        OutputError: ``out`` exists, is full, or may not be written.
    """
    folder = Path(out)
    with whole_folder(
        folder, force=force, schema=SCHEMA_SCAN, files=RESULT_FILES, report=REPORT_FILE
    ) as place:
        _write_text(place / REPORT_FILE, report_as_json(result.report))
        _write_text(place / MEASUREMENTS_FILE, measurements_as_csv(result.report))
        _write_text(place / SLICES_FILE, slices_as_csv(result.report))
        stored = result.scan.source.stored
        write_labels(result.lungs, stored, place / LUNGS_FILE)
        write_labels(result.lesions, stored, place / LESIONS_FILE)
        if result.lobes is not None:
            write_labels(result.lobes, stored, place / LOBES_FILE)
        _write_names(result, place)
        write_segments(result, place / SEGMENTS_FILE)
        if with_scan:
            write_scan_box(result.scan, result.lungs, place / SCAN_FILE)
        draw_overlay(result.scan, result.lungs, result.lesions, result.report, place / OVERLAY_FILE)
        if with_page:
            _write_text(place / PAGE_FILE, scan_page(result))
    return folder


def require_output(out: str | Path, *, force: bool = False) -> None:
    """Refuse now what :func:`write_result` would refuse after the work is done.

    Raises:
        OutputError: ``out`` exists, or may not be written.
    """
    require_free(Path(out), force=force, schema=SCHEMA_SCAN, files=RESULT_FILES, report=REPORT_FILE)


def _write_names(result: ScanResult, place: Path) -> None:
    for labels, name in (
        (result.lungs, LUNGS_LABEL_FILE),
        (result.lesions, LESIONS_LABEL_FILE),
        (result.lobes, LOBES_LABEL_FILE),
    ):
        if labels is not None:
            _write_text(place / name, label_text(labels.names))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
