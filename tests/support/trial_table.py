"""A results table as a batch would have made it, of patients whose changes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ctlung.trial.manifest import ManifestRow
from ctlung.trial.store import COLUMNS
from ctlung.vocabulary import MEASURES, PAIR_MEASURES


@dataclass(frozen=True)
class Made:
    """A patient: measure to (baseline, follow-up), or the reason for having none, by visit."""

    name: str
    arm: str
    visits: Sequence[Mapping[str, tuple[float, float] | str]]
    days: Sequence[int] = (14, 28, 56)
    refused: Mapping[int, str] = field(default_factory=dict)
    within_noise: bool = False
    infusion: int | None = None
    """Days after the baseline."""


def table_of(patients: Sequence[Made]) -> tuple[pd.DataFrame, list[ManifestRow]]:
    """The table and the manifest that belongs to it."""
    rows: list[dict[str, object]] = []
    manifest = []
    for p in patients:
        for visit in range(len(p.visits) + 1):
            manifest.append(ManifestRow(p.name, visit, Path("x"), arm=p.arm))
            bad = p.refused.get(visit)
            state = {"reason": "refused", "name": bad, "text": f"It is {bad}."} if bad else {}
            rows.append({**_base(p, visit), "kind": "outcome", "reason": "done", **state})
        for measure, found in (p.visits[0] if p.visits and 0 not in p.refused else {}).items():
            if measure in MEASURES and not isinstance(found, str):
                row = {"kind": "measurement", "region": "lungs", "name": measure}
                rows.append({**_base(p, 0), **row, "value": found[0]})
        for visit, changes in enumerate(p.visits, start=1):
            base = {**_base(p, visit), "against": 0}
            if {0, visit} & set(p.refused):
                rows.append({**base, "kind": "outcome", "reason": "refused", "name": "no_scan"})
                continue
            rows.append({**base, "kind": "outcome", "reason": "done"})
            day = str(p.days[visit - 1])
            rows.append({**base, "kind": "provenance", "name": "days", "text": day})
            if p.infusion is not None:
                since = f"[{-p.infusion}, {p.days[visit - 1] - p.infusion}]"
                name = "days_since_infusion"
                rows.append({**base, "kind": "provenance", "name": name, "text": since})
            rows += [{**base, **_change(p, m, found)} for m, found in changes.items()]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))
    return frame, manifest


def _base(p: Made, visit: int) -> dict[str, object]:
    return {"patient": p.name, "visit": visit}


def _change(p: Made, measure: str, found: tuple[float, float] | str) -> dict[str, object]:
    unit = (MEASURES.get(measure) or PAIR_MEASURES[measure]).unit
    row: dict[str, object] = {"kind": "change", "region": "lungs", "name": measure, "unit": unit}
    if isinstance(found, str):
        return {**row, "reason": found}
    b, f = found
    noise = p.within_noise
    return {**row, "baseline": b, "followup": f, "value": f - b, "within_noise": noise,
            "claimed": not noise}  # fmt: skip


def two_arms(
    effect: float, seed: int = 1, treated: int = 12, control: int = 13, healing: float = -5.0
) -> list[Made]:
    """The trial of the seed: 12 and 13 patients, who all heal, the treated by ``effect`` more."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(treated + control):
        ill = number < treated
        b = float(rng.uniform(15, 50))
        f = max(0.0, b + healing + effect * ill + float(rng.normal(0, 4)))
        hu = float(rng.uniform(-650, -400))
        after = hu - 60.0 + 12.0 * effect * ill + float(rng.normal(0, 30))
        arm = "MSC" if ill else "control"
        changes = {"lesion_percent": (b, f), "ct_number_baseline_region_hu": (hu, after)}
        made.append(Made(f"P{number:02d}", arm, [changes]))
    return made
