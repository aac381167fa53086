"""A trial's result as a folder of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ctlung.trial.page import figure_names, figures, page
from ctlung.trial.result import Cohort
from ctlung.vocabulary import RESEARCH_USE
from ctlung.writing.folder import whole_folder

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_COHORT = "ctlung.cohort/1"
COHORT_FILE, TABLE_FILE, PATIENTS_FILE = "cohort.json", "cohort.csv", "patients.csv"
PATIENT_COLUMNS = (
    "patient", "arm", "followup_visit", "measure", "baseline", "followup", "delta", "within_noise",
    "claimed", "why_not",
)  # fmt: skip
METHODS_FILE, PAGE_FILE = "methods.md", "report.html"
FILES = (
    COHORT_FILE, TABLE_FILE, PATIENTS_FILE, METHODS_FILE, PAGE_FILE,
    *(f"{name}.svg" for name in figure_names()),
)  # fmt: skip


def write_cohort(cohort: Cohort, out: str | Path, *, force: bool = False) -> Path:
    """Write the result into the new folder ``out``; it appears whole or not at all.

    ``report.html`` is for people, without a link to anywhere; ``cohort.csv`` has every estimate,
    test, count and sentence; ``patients.csv`` each patient's change of every measure and why some
    have none; ``methods.md`` a paragraph for a paper; the figures of the page as SVG;
    ``cohort.json`` says how it was made. The same result gives the same bytes.

    Raises:
        OutputError: ``out`` exists, is full, or may not be written.
    """
    folder = Path(out)
    with whole_folder(
        folder, force=force, schema=SCHEMA_COHORT, files=FILES, report=COHORT_FILE
    ) as place:
        document = {
            "schema": SCHEMA_COHORT,
            "research_use": RESEARCH_USE,
            "arms": list(cohort.arms),
            "randomised": cohort.randomised,
            "planned_day": cohort.schedule.day,
            "window_days": cohort.schedule.window,
            "n_patients": len(cohort.patients),
        }
        text = json.dumps(document, indent=2) + "\n"
        (place / COHORT_FILE).write_text(text, encoding="utf-8", newline="\n")
        cohort.to_frame().to_csv(place / TABLE_FILE, index=False, lineterminator="\n")
        _patients(cohort).to_csv(place / PATIENTS_FILE, index=False, lineterminator="\n")
        (place / METHODS_FILE).write_text(cohort.methods, encoding="utf-8", newline="\n")
        drawn = figures(cohort)
        for name, svg in drawn.items():
            (place / f"{name}.svg").write_text(svg, encoding="utf-8", newline="\n")
        (place / PAGE_FILE).write_text(page(cohort, drawn), encoding="utf-8", newline="\n")
    return folder


def _patients(cohort: Cohort) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, object]] = []
    for p in cohort.patients:
        arm = p.arm if cohort.arms else ""
        base = {"patient": p.name, "arm": arm, "followup_visit": p.followup}
        if not p.complete:
            rows.append({**base, "why_not": p.why})
            continue
        for name in sorted({*p.changes, *p.withheld}):
            change = p.changes.get(name)
            numbers = {} if change is None else vars(change)
            rows.append({**base, "measure": name, **numbers, "why_not": p.withheld.get(name, "")})
    return pd.DataFrame(rows, columns=list(PATIENT_COLUMNS))
