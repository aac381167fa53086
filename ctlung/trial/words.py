"""What a trial's numbers allow one to say, and what not (FIELD 7)."""

from __future__ import annotations

from collections.abc import Sequence

from ctlung.trial.result import Row
from ctlung.trial.selection import Patient
from ctlung.trial.statistics import detectable
from ctlung.vocabulary import MEASURES, PAIR_MEASURES, RESEARCH_USE

ALPHA = 0.05


def sentences(
    rows: Sequence[Row], patients: Sequence[Patient], arms: Sequence[str], randomised: bool
) -> list[str]:
    """The sentences that stand below the tables of a report."""
    said = []
    if len(arms) == 2:
        said += [_primary(row, arms, randomised) for row in rows if _is_primary(row)]
        said += _size(patients, arms)
        said.append(
            "p values within an arm do not compare the arms: that one arm changed significantly "
            "and the other did not is no evidence of a difference between them."
        )
    else:
        said.append(
            "There are no two arms to compare: nothing here speaks for or against a therapy."
        )
    if not randomised:
        said.append(
            "Patients were not put into arms by chance, as far as ctlung was told: a difference "
            "between the arms is a difference between groups, not an effect of treatment."
        )
    said.append(
        "Patients who were ill at baseline get better on average without any treatment "
        "(regression to the mean, and pneumonia heals); only the control arm answers this."
    )
    lost = [p for p in patients if not p.complete]
    if lost:
        said.append(
            f"{len(lost)} of {len(patients)} patients have no change, for the reasons listed in "
            "the flow; none was imputed. They need not be like the others: see the analysis in "
            "which they are the worst."
        )
    said.append(
        "Secondary measures are exploratory: their p values are not adjusted for their number."
    )
    said.append(RESEARCH_USE)
    return said


def _is_primary(row: Row) -> bool:
    return row.section == "between" and row.role == "primary" and row.what == "ANCOVA"


def _primary(row: Row, arms: Sequence[str], randomised: bool) -> str:
    about = MEASURES.get(row.measure) or PAIR_MEASURES[row.measure]
    if row.value is None or row.p_holm is None:
        return f"{about.title}: too few patients for a comparison of the arms."
    low = "?" if row.low is None else f"{row.low:.1f}"
    high = "?" if row.high is None else f"{row.high:.1f}"
    noun = "Effect of treatment" if randomised else "Difference between the groups"
    sure = "differs from" if row.p_holm < ALPHA else "is not shown to differ from"
    return (
        f"{noun} on {about.title}, adjusted for the baseline, {arms[0]} less {arms[1]}: "
        f"{row.value:.1f} {about.unit} (95 % interval {low} to {high}; p = {row.p_holm:.3g} "
        f"adjusted for two primary measures; n = {row.n}): it {sure} 0."
        + ("" if row.p_holm < ALPHA else " Absence of significance is not absence of effect.")
    )


def _size(patients: Sequence[Patient], arms: Sequence[str]) -> list[str]:
    counts = [sum(p.complete and p.arm == arm for p in patients) for arm in arms]
    if min(counts) < 2:
        return []
    return [
        f"{counts[0]} and {counts[1]} patients find with 80 % power only a difference of "
        f"{detectable(*counts):.2f} standard deviations or more."
    ]
