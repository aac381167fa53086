"""Reports as JSON and CSV: same report, same bytes. Undefined is ``null`` or an empty cell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ctlung.records import (
    MEASUREMENT_COLUMNS,
    SCHEMA_SCAN,
    Measurement,
    ScanReport,
    SliceRow,
)
from ctlung.vocabulary import RESEARCH_USE

SLICE_COLUMNS = tuple(f.name for f in fields(SliceRow))
"""Header of ``slices.csv``; the fields of :class:`SliceRow` in their order."""


def report_as_json(report: ScanReport) -> str:
    """``report.json`` of HOUSE 4, schema ``ctlung.scan/1``: fixed key order, final newline.

    Numbers are unrounded float64; NaN and infinity raise ``ValueError``, for a report has none.
    """
    document = {
        "schema": SCHEMA_SCAN,
        "research_use": RESEARCH_USE,
        "measurements": [_measurement(m) for m in report.measurements],
        "calibration": plain(report.calibration),
        "slices": [plain(row) for row in report.slices],
        "lesions": [plain(lesion) for lesion in report.lesions],
        "scores": [plain(score) for score in report.scores],
        "uncertainty": [plain(one) for one in report.uncertainty],
        "histograms": [plain(one) for one in report.histograms],
        "notices": [plain(notice) for notice in report.notices],
        "provenance": plain(report.provenance),
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def measurements_as_csv(report: ScanReport) -> str:
    """``measurements.csv``: one row per measure and region, with unit or reason."""
    return as_csv(MEASUREMENT_COLUMNS, (_measurement(m) for m in report.measurements))


def slices_as_csv(report: ScanReport) -> str:
    """``slices.csv``: one row per native slice from the feet, areas in cm2."""
    return as_csv(SLICE_COLUMNS, (plain(row) for row in report.slices))


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {name: plain(getattr(measurement, name)) for name in MEASUREMENT_COLUMNS}


def plain(value: Any) -> Any:
    """Records, arrays' scalars and tuples as what JSON knows.

    Field by field: ``dataclasses.asdict`` would copy whatever a record holds.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows under a header; an undefined cell is empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
