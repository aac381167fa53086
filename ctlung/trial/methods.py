"""The methods paragraph: what was really run, in words fit for a paper."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ctlung.settings import Settings
from ctlung.trial.result import Cohort
from ctlung.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = (
    "Vickers AJ, Altman DG. Analysing controlled trials with baseline and follow up measurements. "
    "BMJ 2001;323:1123.",
    "Bland JM, Altman DG. Comparisons against baseline within randomised groups are often used and "
    "can be highly misleading. Trials 2011;12:264.",
    "Hansell DM, et al. Fleischner Society: glossary of terms for thoracic imaging. Radiology "
    "2008; and its edition of 2024.",
    "Umbilical-cord mesenchymal stem cells in COVID-19, the trial whose two end points these are. "
    "CLINICS 2021;76:e2604.",
)


def methods(cohort: Cohort, table: pd.DataFrame) -> str:
    """Markdown: one paragraph, a table of settings and scanners, references.

    Args:
        cohort: the analysis.
        table: the results that it was made from.
    """
    facts = _Facts(table)
    lines = ["# Methods", "", _paragraph(cohort, facts), "", "| what | value |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts.rows()]
    lines += ["", "## References", ""]
    lines += [f"{k}. {text}" for k, text in enumerate(REFERENCES, start=1)]
    lines += ["", RESEARCH_USE, ""]
    return "\n".join(lines)


class _Facts:
    """What the provenance of all scans says."""

    def __init__(self, table: pd.DataFrame) -> None:
        rows = table[(table["kind"] == "provenance") & table["against"].isna()]
        self._of = {
            str(name): sorted({str(text) for text in part["text"].dropna()})
            for name, part in rows.groupby("name")
        }
        outcomes = table[(table["kind"] == "outcome") & table["against"].isna()]
        self.n_scans = int((outcomes["reason"] == "done").sum())

    def said(self, name: str) -> str:
        """The one value, or all that occur."""
        return ", ".join(self._of.get(name, [])) or "not known"

    def overrides(self) -> str:
        """Settings that differ from the defaults."""
        found: dict[str, object] = {}
        for text in self._of.get("settings", []):
            found.update(json.loads(text))
        return ", ".join(f"{k} = {v}" for k, v in sorted(found.items())) or "none"

    def bands(self) -> tuple[float, float]:
        """Lower edges of ground-glass and consolidation, HU."""
        base = Settings()
        return float(base.ground_glass_lower_hu), float(base.consolidation_lower_hu)

    def rows(self) -> list[tuple[str, str]]:
        """The table below the paragraph."""
        names = (
            ("version of ctlung", "version"),
            ("lung segmenter", "segmenter"),
            ("its weights (sha256)", "weights_sha256"),
            ("lesion finder", "lesion_method"),
            ("its weights (sha256)", "lesion_weights_sha256"),
            ("scanners", "manufacturer"),
            ("models", "model"),
            ("kernels", "kernel"),
            ("tube voltage, kV", "kvp"),
            ("slice thickness, mm", "slice_thickness_mm"),
            ("position", "patient_position"),
        )
        rows = [(words, _cell(self.said(name))) for words, name in names]
        return [*rows, ("settings other than the defaults", _cell(self.overrides()))]


def _paragraph(cohort: Cohort, facts: _Facts) -> str:
    glass, solid = facts.bands()
    plan = cohort.schedule
    when = (
        "each patient's first follow-up"
        if plan.day is None
        else f"the follow-up nearest to day {plan.day}"
        + ("" if plan.window is None else f" within {plan.window} days")
    )
    arms = " and ".join(cohort.arms) if cohort.arms else "no arms (hidden or not given)"
    parts = [
        f"{facts.n_scans} chest CT scans were measured with ctlung {facts.said('version')} "
        f"(Apache-2.0). Lungs were segmented by {facts.said('segmenter')}, ground-glass and "
        f"consolidation found by {facts.said('lesion_method')} and outlined by density (lower "
        f"edges by default {glass:g} and {solid:g} HU, fitted to each patient's own aerated lung), "
        "on the original slices. Measured were the inflammatory area in percent of the lungs and "
        "the mean CT number.",
        "Follow-up scans were laid on the baseline, each lung by itself: an affine map, then a "
        "smooth deformation in three steps (8, 5 and 2.5 mm) that follows vessels and the lungs' "
        "surface and leaves lesions out; where overlap, surface distance, inverse consistency or "
        "folding missed their limits nothing was read from it. The CT number of the lung that was "
        "inflamed at baseline was read in both scans' own voxels.",
        f"The primary follow-up was {when}. Arms: {arms}; patients were "
        + ("" if cohort.randomised else "not (as far as known) ")
        + "put into them by chance. The two primary measures, inflammatory area in percent of the "
        "lungs and CT number of the lung that was inflamed at baseline, were compared by analysis "
        "of covariance with the baseline as covariate [1], p values adjusted for two by Holm; HC3 "
        "standard errors, the exact Mann–Whitney test and Hodges–Lehmann's shift stand beside. "
        "Changes within an arm are given with exact signed-rank tests and do not compare the arms "
        "[2]. No missing value was imputed; sensitivity analyses rank the missing as worst and "
        "take changes within noise as none. Statistics by scipy and statsmodels.",
    ]
    return " ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
