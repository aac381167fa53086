"""``cohort``: a two-arm trial's result, from the table of a batch and its manifest (FIELD 7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctlung.errors import ManifestError
from ctlung.trial import statistics as st
from ctlung.trial.blinding import require_open
from ctlung.trial.cohort_names import PRIMARY, SECONDARY
from ctlung.trial.manifest import ManifestRow, read_manifest
from ctlung.trial.methods import methods
from ctlung.trial.result import Cohort, Row
from ctlung.trial.selection import STEPS, Change, Patient, Schedule, patients_of
from ctlung.trial.store import read_table
from ctlung.trial.words import sentences
from ctlung.vocabulary import MEASURES, PAIR_MEASURES

if TYPE_CHECKING:
    import pandas as pd

LOG_SHIFT = {"ml": 1.0}
"""Added before the logarithm of volumes (FIELD 6)."""


def cohort(
    results: str | Path | pd.DataFrame,
    manifest: str | Path | Sequence[ManifestRow],
    *,
    treated: str | None = None,
    schedule: Schedule | None = None,
    randomised: bool = False,
    blind: bool = False,
) -> pd.DataFrame:
    """What a trial shows, as a table: see :func:`analyse`, whose arguments these are."""
    return analyse(
        results,
        manifest,
        treated=treated,
        schedule=schedule,
        randomised=randomised,
        blind=blind,
    ).to_frame()


def analyse(
    results: str | Path | pd.DataFrame,
    manifest: str | Path | Sequence[ManifestRow],
    *,
    treated: str | None = None,
    schedule: Schedule | None = None,
    randomised: bool = False,
    blind: bool = False,
) -> Cohort:
    """Within and between the arms, what changed from baseline to the primary follow-up.

    Args:
        results: folder of a batch, its table's file, or the table.
        manifest: with the arms; the CSV file or its rows.
        treated: name of the treated arm; of two arms the one that is not called control.
        schedule: which follow-up counts.
        randomised: patients were put into arms by chance; only then a difference between arms is
            called an effect.
        blind: leave the arms out; the results folder remembers, and opens them once it is locked.

    Raises:
        UnreadableFile: there are no results.
        ManifestError: the manifest is not of these results, or has other than two arms.
        NotUnblinded: the arms are hidden and the results not locked yet, or changed since.
    """
    import pandas as pd

    rows = tuple(read_manifest(manifest) if isinstance(manifest, (str, Path)) else manifest)
    folder = Path(results) if isinstance(results, (str, Path)) else None
    if folder is not None:
        require_open(folder, blind=blind)
    table = results if isinstance(results, pd.DataFrame) else read_table(folder or "")
    plan = schedule or Schedule()
    patients = patients_of(table, rows, plan)
    arms = () if blind else _arms(patients, treated)
    found: list[Row] = [
        *_flow(patients, arms),
        *_baseline(patients, arms),
        *_within(patients, arms),
    ]
    if len(arms) == 2:
        found += _between(patients, arms)
        found += _sensitivity(patients, arms)
        found += _repeated(patients, arms)
    found += [Row("words", text=s) for s in sentences(found, patients, arms, randomised)]
    result = Cohort(patients, arms, tuple(found), randomised, plan)
    return replace(result, methods=methods(result, table))


def values(
    patients: Sequence[Patient], measure: str, arm: str | None = None
) -> list[tuple[Patient, Change]]:
    """Patients of an arm (or all) with a change of a measure."""
    return [
        (p, p.changes[measure])
        for p in patients
        if p.complete and measure in p.changes and (arm is None or p.arm == arm)
    ]


def _arms(patients: Sequence[Patient], treated: str | None) -> tuple[str, ...]:
    found = sorted({p.arm for p in patients if p.arm})
    without = [p.name for p in patients if not p.arm]
    if not found:
        if treated is not None:
            raise ManifestError("The manifest has no arms; fill in its column arm.")
        return ()
    if without:
        raise ManifestError(
            f"{len(without)} patients have no arm in the manifest, the first {without[0]}; fill in "
            "their column arm, or leave it empty for all."
        )
    if len(found) == 1:
        return (found[0],)
    if len(found) != 2:
        raise ManifestError(
            f"The manifest has {len(found)} arms ({', '.join(found)}); ctlung compares two."
        )
    if treated is None:
        controls = [a for a in found if a.lower() in ("control", "placebo", "standard care", "0")]
        if len(controls) != 1:
            raise ManifestError(
                f"Which arm is treated, {found[0]} or {found[1]}? Say so (--treated {found[0]})."
            )
        treated = next(a for a in found if a not in controls)
    if treated not in found:
        raise ManifestError(f"There is no arm {treated!r}; the arms are {' and '.join(found)}.")
    return treated, next(a for a in found if a != treated)


def _measures() -> list[tuple[str, str]]:
    return [(m, "primary") for m in PRIMARY] + [(m, "secondary") for m in SECONDARY]


def _flow(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    rows = []
    for arm in arms or ("",):
        mine = [p for p in patients if not arm or p.arm == arm]
        for number, step in enumerate(STEPS, start=1):
            n = sum(p.passed >= number for p in mine)
            rows.append(Row("flow", arm=arm, what=step, n=n))
        rows += [
            Row("flow", arm=arm, what=f"left out after: {STEPS[p.passed - 1]}", n=1,
                text=f"{p.name}: {p.why}")
            for p in mine if not p.complete
        ]  # fmt: skip
        for measure in PRIMARY:
            for p in mine:
                if p.complete and measure not in p.changes:
                    text = f"{p.name}: {p.withheld.get(measure, 'not measured')}"
                    rows.append(Row("flow", measure, "primary", arm, "withheld", 1, text=text))
    return rows


def _baseline(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    rows = []
    for arm in arms or ("",):
        mine = [p for p in patients if not arm or p.arm == arm]
        women = sum(p.sex == "F" for p in mine)
        told = sum(p.sex in ("F", "M") for p in mine)
        rows.append(Row("baseline", arm=arm, what="women", n=told, value=float(women)))
        days = [p.days for p in mine if p.days is not None]
        onset = [p.days_since_onset for p in mine if p.days_since_onset is not None]
        rows += _spread("days from baseline to follow-up", "", arm, days)
        rows += _spread("days since onset at baseline", "", arm, onset)
        for measure, _ in _measures():
            if measure not in PAIR_MEASURES:
                there = [p.at_baseline[measure] for p in mine if measure in p.at_baseline]
                rows += _spread("at baseline", measure, arm, there)
    return rows


def _spread(what: str, measure: str, arm: str, numbers: Sequence[float]) -> list[Row]:
    if not numbers:
        return []
    low, middle, high = (float(v) for v in np.percentile(numbers, [25, 50, 75]))
    mean = float(np.mean(numbers))
    sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    rows = [Row("baseline", measure, "", arm, f"{what}, mean", len(numbers), mean)]
    rows.append(Row("baseline", measure, "", arm, f"{what}, SD", len(numbers), sd))
    rows.append(Row("baseline", measure, "", arm, f"{what}, median (quartiles)", len(numbers),
                    middle, low, high))  # fmt: skip
    return rows


def _within(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    rows = []
    for measure, role in _measures():
        for arm in arms or ("",):
            delta = [c.delta for _, c in values(patients, measure, arm or None)]
            base = Row("within", measure, role, arm, n=len(delta))
            mean, t_test = st.mean_change(delta)
            rank = st.signed_rank(delta)
            rows.append(_line(base, "mean change", mean, t_test))
            rows.append(_line(base, "pseudo-median change", st.pseudo_median(delta), rank))
            if delta:
                median = float(np.median(delta))
                rows.append(_line(base, "median change", st.Estimate(median), None))
    return rows


def _between(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    rows, primary = [], []
    for measure, role in _measures():
        found = _ancova(patients, measure, arms)
        base = Row("between", measure, role, n=found.n)
        rows.append(_line(base, "ANCOVA", found.difference, found.test))
        if role == "primary":
            primary.append(len(rows) - 1)
        rows.append(_line(base, "ANCOVA, HC3", found.hc3, found.hc3_test))
        a, b = ([c.delta for _, c in values(patients, measure, arm)] for arm in arms)
        rows.append(_line(base, "Hodges–Lehmann shift", st.shift(a, b), st.rank_sum(a, b)))
        rows.append(_line(base, "Hedges g", st.hedges_g(a, b), None))
        rows.append(_line(base, "Cliff delta", st.cliff_delta(a, b), None))
        shift = LOG_SHIFT.get(_unit(measure))
        if shift is not None:
            log = _ancova(patients, measure, arms, partial(_logarithm, shift))
            rows.append(_line(base, "ANCOVA of logarithms", log.difference, log.test))
    known = [k for k in primary if rows[k].p is not None]
    for k, p in zip(known, st.holm([rows[k].p or 0.0 for k in known]), strict=True):
        rows[k] = Row(**{**vars(rows[k]), "p_holm": p})
    return rows


def _ancova(
    patients: Sequence[Patient],
    measure: str,
    arms: Sequence[str],
    scale: Callable[[float], float] = float,
    covariates: NDArray[np.float64] | None = None,
) -> st.Ancova:
    mine = values(patients, measure)
    return st.ancova(
        [scale(c.followup) for _, c in mine],
        [scale(c.baseline) for _, c in mine],
        [p.arm == arms[0] for p, _ in mine],
        covariates,
    )


def _logarithm(shift: float, value: float) -> float:
    return math.log(max(value, 0.0) + shift)


def _sensitivity(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    rows = []
    for measure in PRIMARY:
        groups, quiet = [], []
        known = [c.delta for _, c in values(patients, measure)]
        worst = max(known, default=0.0) + 1.0
        for arm in arms:
            mine = values(patients, measure, arm)
            there = {p.name for p, _ in mine}
            lost = [p for p in patients if p.arm == arm and p.name not in there]
            # Healed patients are no loss: without a lesion there is nothing to be measured in.
            lost = [p for p in lost if p.withheld.get(measure) not in ("no_lesion", "lesion_small")]
            groups.append([c.delta for _, c in mine] + [worst] * len(lost))
            quiet.append([0.0 if c.within_noise else c.delta for _, c in mine])
        base = Row("sensitivity", measure, "primary", n=sum(map(len, groups)))
        rows.append(_line(base, "missing are worst", st.NOTHING, st.rank_sum(*groups)))
        base = Row("sensitivity", measure, "primary", n=sum(map(len, quiet)))
        rows.append(_line(base, "changes within noise are none", st.shift(*quiet),
                          st.rank_sum(*quiet)))  # fmt: skip
        for what, name in (
            ("ANCOVA, days between scans", "days"),
            ("ANCOVA, days since onset", "days_since_onset"),
        ):
            numbers = [getattr(p, name) for p, _ in values(patients, measure)]
            if not numbers or any(v is None for v in numbers) or len(set(numbers)) < 2:
                continue
            found = _ancova(patients, measure, arms, covariates=np.array(numbers, float))
            base = Row("sensitivity", measure, "primary", n=found.n)
            rows.append(_line(base, what, found.difference, found.test))
    return rows


def _repeated(patients: Sequence[Patient], arms: Sequence[str]) -> list[Row]:
    import pandas as pd

    rows = []
    for measure in PRIMARY:
        data = [
            (p.name, visit, p.arm == arms[0], found[measure].baseline, found[measure].followup)
            for p in patients
            for visit, found in p.later.items()
            if measure in found
        ]
        names = ["patient", "visit", "treated", "baseline", "value"]
        frame = pd.DataFrame(data, columns=names)
        if frame["visit"].nunique() < 2:
            continue
        estimate, test = st.mixed_model(frame)
        base = Row("repeated", measure, "primary", n=int(frame["patient"].nunique()))
        rows.append(_line(base, "linear mixed model, all follow-ups", estimate, test))
    return rows


def _line(base: Row, what: str, estimate: st.Estimate, test: st.Test | None) -> Row:
    more = {} if test is None else {"statistic": test.statistic, "p": test.p, "exact": test.exact}
    text = "" if test is None else test.name
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return Row(**{**vars(base), "what": what, "text": text, **numbers, **more})


def _unit(measure: str) -> str:
    return (MEASURES.get(measure) or PAIR_MEASURES[measure]).unit
