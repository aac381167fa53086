"""A comparison as a folder of files: ``comparison.json`` and ``changes.csv``."""

from __future__ import annotations

import json
from pathlib import Path

from ctlung.records import CHANGE_COLUMNS, SCHEMA_COMPARISON, Comparison
from ctlung.vocabulary import RESEARCH_USE
from ctlung.writing.folder import require_free, whole_folder
from ctlung.writing.tables import as_csv, plain

COMPARISON_FILE = "comparison.json"
CHANGES_FILE = "changes.csv"
COMPARISON_FILES = (COMPARISON_FILE, CHANGES_FILE)


def write_comparison(comparison: Comparison, out: str | Path, *, force: bool = False) -> Path:
    """Write a comparison into the new folder ``out``; it appears whole or not at all.

    Raises:
        OutputError: ``out`` exists, is full, or may not be written.
    """
    folder = Path(out)
    with whole_folder(
        folder,
        force=force,
        schema=SCHEMA_COMPARISON,
        files=COMPARISON_FILES,
        report=COMPARISON_FILE,
    ) as place:
        for name, text in (
            (COMPARISON_FILE, comparison_as_json(comparison)),
            (CHANGES_FILE, changes_as_csv(comparison)),
        ):
            (place / name).write_text(text, encoding="utf-8", newline="\n")
    return folder


def require_comparison_output(out: str | Path, *, force: bool = False) -> None:
    """Refuse now what :func:`write_comparison` would refuse after the work is done.

    Raises:
        OutputError: ``out`` exists, or may not be written.
    """
    require_free(
        Path(out),
        force=force,
        schema=SCHEMA_COMPARISON,
        files=COMPARISON_FILES,
        report=COMPARISON_FILE,
    )


def comparison_as_json(comparison: Comparison) -> str:
    """``comparison.json``, schema ``ctlung.comparison/1``: fixed key order, final newline."""
    document = {
        "schema": SCHEMA_COMPARISON,
        "research_use": RESEARCH_USE,
        "days": comparison.days,
        "days_since_infusion": plain(comparison.days_since_infusion),
        "days_since_onset": plain(comparison.days_since_onset),
        "changes": [
            {name: plain(getattr(change, name)) for name in CHANGE_COLUMNS}
            for change in comparison.changes
        ],
        "notices": [plain(notice) for notice in comparison.notices],
        "baseline": {
            "notices": [plain(notice) for notice in comparison.baseline.notices],
            "provenance": plain(comparison.baseline.provenance),
        },
        "followup": {
            "notices": [plain(notice) for notice in comparison.followup.notices],
            "provenance": plain(comparison.followup.provenance),
        },
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def changes_as_csv(comparison: Comparison) -> str:
    """``changes.csv``: one row per measure and region."""
    return as_csv(
        CHANGE_COLUMNS,
        ({n: plain(getattr(c, n)) for n in CHANGE_COLUMNS} for c in comparison.changes),
    )
