"""A comparison as a folder of files: JSON, CSV, maps and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctlung.change_records import (
    CHANGE_COLUMNS,
    SCHEMA_COMPARISON,
    TRANSITION_COLUMNS,
    Comparison,
    Voxelwise,
)
from ctlung.vocabulary import CHANGE_PAIRS, RESEARCH_USE
from ctlung.writing.change_picture import draw_change
from ctlung.writing.folder import require_free, whole_folder
from ctlung.writing.label_names import CHANGE_LABEL_FILE, label_text
from ctlung.writing.pages.comparison_page import comparison_page
from ctlung.writing.seg_nrrd import CHANGE_SEGMENTS_FILE, write_change_segments
from ctlung.writing.tables import as_csv, plain
from ctlung.writing.volumes import write_hu, write_labels

COMPARISON_FILE = "comparison.json"
CHANGES_FILE = "changes.csv"
TRANSITIONS_FILE = "transitions.csv"
CHANGE_FILE = "change.nii.gz"
FOLLOWUP_FILE = "followup_on_baseline.nii.gz"
PICTURE_FILE = "change.png"
PAGE_FILE = "report.html"
COMPARISON_FILES = (
    COMPARISON_FILE,
    CHANGES_FILE,
    TRANSITIONS_FILE,
    CHANGE_FILE,
    FOLLOWUP_FILE,
    PICTURE_FILE,
    CHANGE_SEGMENTS_FILE,
    CHANGE_LABEL_FILE,
    PAGE_FILE,
)


def write_comparison(
    comparison: Comparison, out: str | Path, *, force: bool = False, with_page: bool = True
) -> Path:
    """Write a comparison into the new folder ``out``; it appears whole or not at all.

    ``comparison.json`` and ``changes.csv`` always, and ``report.html`` unless ``with_page`` is
    false. Where the scans could be laid on one another
    ``transitions.csv``; ``change.nii.gz`` (uint8, 1 resolved, 2 persistent, 3 new, 4 worsened,
    5 improved) on the grid of the baseline's masks; ``followup_on_baseline.nii.gz`` (int16 HU
    of the follow-up where the baseline's lungs are); and ``change.png``. The same comparison
    gives the same bytes.

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
        _write_voxels(comparison, place)
        if with_page:
            text = comparison_page(comparison)
            (place / PAGE_FILE).write_text(text, encoding="utf-8", newline="\n")
    return folder


def _write_voxels(comparison: Comparison, place: Path) -> None:
    found = comparison.voxelwise
    if found is None or not found.transitions:
        return
    rows = ({n: plain(getattr(t, n)) for n in TRANSITION_COLUMNS} for t in found.transitions)
    text = as_csv(TRANSITION_COLUMNS, rows)
    (place / TRANSITIONS_FILE).write_text(text, encoding="utf-8", newline="\n")
    if found.maps is None:
        return
    maps = found.maps
    write_labels(maps.change, maps.stored, place / CHANGE_FILE)
    write_hu(maps.followup_hu, maps.lungs, maps.stored, 0.0, place / FOLLOWUP_FILE)
    write_change_segments(maps, place / CHANGE_SEGMENTS_FILE)
    (place / CHANGE_LABEL_FILE).write_text(
        label_text(maps.change.names), encoding="utf-8", newline="\n"
    )
    draw_change(comparison, maps, place / PICTURE_FILE)


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
        "voxelwise": _voxelwise(comparison.voxelwise),
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


def _voxelwise(found: Voxelwise | None) -> dict[str, Any] | None:
    if found is None:
        return None
    amounts = {}
    for what in CHANGE_PAIRS if found.transitions else ():
        ml, uncertain = found.ml(what)
        amounts[what] = {"ml": plain(ml), "uncertain_ml": plain(uncertain)}
    return {
        "reason": found.reason,
        "restoration": plain(found.restoration),
        "amounts": amounts,
        "transitions": [plain(t) for t in found.transitions],
        "tracks": [plain(t) for t in found.tracks],
        "quality": {region: plain(q) for region, q in found.quality.items()},
        "near_lesions": {region: plain(q) for region, q in found.near_lesions.items()},
    }


def changes_as_csv(comparison: Comparison) -> str:
    """``changes.csv``: one row per measure and region."""
    return as_csv(
        CHANGE_COLUMNS,
        ({n: plain(getattr(c, n)) for n in CHANGE_COLUMNS} for c in comparison.changes),
    )
