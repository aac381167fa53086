"""Who counts: each patient's baseline and primary follow-up, and why some do not (FIELD 7)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctlung.errors import ManifestError
from ctlung.trial.manifest import ManifestRow

if TYPE_CHECKING:
    import pandas as pd

STEPS = (
    "in the manifest",
    "baseline measured",
    "follow-up planned and there",
    "follow-up measured",
    "compared",
)
"""A patient passes these one after the other; who does not is left out there, with a reason."""


@dataclass(frozen=True)
class Schedule:
    """Which follow-up is the primary one: fixed before anyone looks.

    Attributes:
        day: planned, counted from the infusion where its day is known, else from the baseline;
            ``None`` takes each patient's first follow-up.
        window: days that it may be off.
    """

    day: int | None = None
    window: int | None = None


@dataclass(frozen=True)
class Change:
    """One patient's change of one measure, from the results table."""

    baseline: float
    followup: float
    delta: float
    within_noise: bool | None
    claimed: bool | None


@dataclass(frozen=True)
class Patient:
    """A patient on the way through the trial.

    Attributes:
        name: the trial's own.
        arm: empty where it is hidden or not known.
        baseline: visit.
        followup: primary one; ``None`` where there is none.
        passed: how many of ``STEPS`` it passed.
        why: the reason for not passing the next, in words; empty for the complete.
        days: from baseline to the primary follow-up.
        days_since_onset: of the baseline.
        sex: as the header says.
        at_baseline: measures of both lungs in the baseline scan.
        changes: by measure, of both lungs; what is withheld is not in it.
        withheld: why, by measure.
        later: changes of every follow-up, by visit and measure.
    """

    name: str
    arm: str
    baseline: int
    followup: int | None
    passed: int
    why: str
    days: float | None
    days_since_onset: float | None
    sex: str
    at_baseline: Mapping[str, float]
    changes: Mapping[str, Change]
    withheld: Mapping[str, str]
    later: Mapping[int, Mapping[str, Change]]

    @property
    def complete(self) -> bool:
        """Whether both scans were measured and compared."""
        return self.passed == len(STEPS)


def patients_of(
    table: pd.DataFrame, manifest: Sequence[ManifestRow], schedule: Schedule
) -> tuple[Patient, ...]:
    """All patients of a manifest with what the table holds of them, by name.

    Raises:
        ManifestError: table and manifest are not of one trial.
    """
    rows: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in manifest:
        rows[row.patient].append(row)
    strangers = sorted(set(table["patient"].dropna()) - set(rows))
    if strangers:
        raise ManifestError(
            f"The results hold {len(strangers)} patients that the manifest does not name, the "
            f"first {strangers[0]!r}; give the manifest that the batch was made with."
        )
    by_patient = dict(tuple(table.groupby("patient", sort=False)))
    empty = table.iloc[0:0]
    return tuple(
        _patient(name, sorted(rows[name], key=lambda r: r.visit), by_patient.get(name, empty),
                 schedule)
        for name in sorted(rows)
    )  # fmt: skip


def _patient(
    name: str, rows: Sequence[ManifestRow], table: pd.DataFrame, schedule: Schedule
) -> Patient:
    first, later = rows[0], rows[1:]
    outcomes = _outcomes(table)
    known = _days(table)
    # Where the infusion's day is known, the comparisons have counted from it already.
    counted = {**known, **_days(table, "days_since_infusion")}
    chosen, off = _primary(later, counted, schedule)
    passed, why = 1, ""
    state, sentence = outcomes.get((first.visit, None), ("missing", "it was not measured"))
    if state != "done":
        why = f"baseline: {sentence}"
    elif chosen is None:
        passed, why = 2, off
    else:
        passed = 3
        state, sentence = outcomes.get((chosen, None), ("missing", "it was not measured"))
        pair, words = outcomes.get((chosen, first.visit), ("missing", "it was not compared"))
        if state != "done":
            why = f"follow-up: {sentence}"
        elif pair != "done":
            passed, why = 4, f"comparison: {words}"
        else:
            passed = 5
    pairs = {row.visit: _changes(table, row.visit) for row in later}
    changes, withheld = pairs.get(chosen, ({}, {})) if chosen is not None else ({}, {})
    onset = _since(table, "days_since_onset")
    return Patient(
        name,
        next((row.arm for row in rows if row.arm), ""),
        first.visit,
        chosen,
        passed,
        why,
        known.get(chosen) if chosen is not None else None,
        onset,
        _sex(table),
        _values(table, first.visit),
        changes,
        withheld,
        {visit: found for visit, (found, _) in pairs.items()},
    )


def _primary(
    later: Sequence[ManifestRow], days: Mapping[int, float], schedule: Schedule
) -> tuple[int | None, str]:
    if not later:
        return None, "no follow-up in the manifest"
    if schedule.day is None:
        return later[0].visit, ""
    off = {row.visit: abs(days[row.visit] - schedule.day) for row in later if row.visit in days}
    if not off:
        return None, "no follow-up whose day is known"
    nearest = min(off, key=lambda visit: (off[visit], visit))
    if schedule.window is not None and off[nearest] > schedule.window:
        return None, (
            f"the nearest follow-up is {off[nearest]:.0f} days off day {schedule.day}, more than "
            f"{schedule.window}"
        )
    return nearest, ""


def _outcomes(table: pd.DataFrame) -> dict[tuple[int, int | None], tuple[str, str]]:
    found = {}
    for row in _tuples(table[table["kind"] == "outcome"]):
        visit, against = int(row["visit"]), row["against"]
        key = (visit, None if _none(against) else int(against))
        text = "" if _none(row["text"]) else str(row["text"])
        code = "" if _none(row["name"]) else f"{row['name']}: "
        found[key] = (str(row["reason"]), code + text.split("\n", 1)[0])
    return found


def _changes(table: pd.DataFrame, visit: int) -> tuple[dict[str, Change], dict[str, str]]:
    mine = table[
        (table["kind"] == "change") & (table["visit"] == visit) & (table["region"] == "lungs")
    ]
    found, withheld = {}, {}
    for row in _tuples(mine):
        name = str(row["name"])
        numbers = [row[k] for k in ("baseline", "followup", "value")]
        if any(_none(v) for v in numbers):
            withheld[name] = "not measured" if _none(row["reason"]) else str(row["reason"])
            continue
        flags = [None if _none(row[k]) else bool(row[k]) for k in ("within_noise", "claimed")]
        before, after, delta = (float(v) for v in numbers)
        found[name] = Change(before, after, delta, *flags)
    return found, withheld


def _values(table: pd.DataFrame, visit: int) -> dict[str, float]:
    mine = table[
        (table["kind"] == "measurement") & (table["visit"] == visit) & (table["region"] == "lungs")
    ]
    rows = _tuples(mine)
    return {str(r["name"]): float(r["value"]) for r in rows if not _none(r["value"])}


def _days(table: pd.DataFrame, name: str = "days") -> dict[int, float]:
    """Day of each follow-up: from the baseline, or from an event that was told."""
    rows = table[(table["kind"] == "provenance") & (table["name"] == name)]
    found = {}
    for row in _tuples(rows):
        said = json.loads(row["text"])
        found[int(row["visit"])] = float(said[-1] if isinstance(said, list) else said)
    return found


def _since(table: pd.DataFrame, name: str) -> float | None:
    rows = table[(table["kind"] == "provenance") & (table["name"] == name)]
    for row in _tuples(rows):
        return float(json.loads(row["text"])[0])
    return None


def _sex(table: pd.DataFrame) -> str:
    rows = table[(table["kind"] == "provenance") & (table["name"] == "sex")]
    return str(rows["text"].iloc[0]) if len(rows) else ""


def _tuples(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    return table.to_dict("records")  # type: ignore[return-value]


def _none(value: object) -> bool:
    import pandas as pd

    return bool(pd.isna(value))  # type: ignore[call-overload]
