"""Part "tables" of the trial benchmark, and the sections of its page."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
from segmentation_rows import Row, origins

from ctlung.trial.statistics import ancova, holm, sample_size

N_TABLES = 10_000
ARMS = (12, 13)
RHO = 0.6
SEED = 11
ALPHA = 0.05


def simulated_tables() -> Row:
    """Shares of tables in which a primary measure is called different, without and with an effect.

    Baselines and follow-ups are normal with a correlation of 0.6; both primary measures are
    independent, so that family-wise error is seen at its worst. ``power`` is that of one measure at
    the size that ``sample_size`` gives for a difference of one SD.
    """
    gc.freeze()  # statsmodels collects garbage for every table
    rng = np.random.default_rng(SEED)
    single, family = [], []
    for _ in range(N_TABLES):
        p = [_p(rng, ARMS, 0.0) for _ in range(2)]
        single.append(p[0] < ALPHA)
        family.append(min(holm(p)) < ALPHA)
    n = sample_size(1.0, 1.0, rho=RHO)
    power = [_p(rng, (n, n), 1.0) < ALPHA for _ in range(N_TABLES)]
    rows = []
    for what, found, wanted in (
        ("one primary measure, no effect", single, ALPHA),
        ("either of two, Holm, no effect", family, ALPHA),
        (f"one measure, {n} per arm, effect of one SD", power, 0.8),
    ):
        share = float(np.mean(found))
        error = float(np.sqrt(wanted * (1 - wanted) / N_TABLES))
        rows.append({"what": what, "share": share, "wanted": wanted, "se": error})
    return {"tables": rows}


def _p(rng: np.random.Generator, arms: tuple[int, int], effect: float) -> float:
    n = sum(arms)
    baseline = rng.standard_normal(n)
    followup = RHO * baseline + np.sqrt(1 - RHO**2) * rng.standard_normal(n)
    treated = np.arange(n) < arms[0]
    found = ancova(followup + effect * treated, baseline, treated)
    assert found.test.p is not None
    return found.test.p


def section(title: str, row: Row | None) -> list[str]:
    """A section of the page: origin, then what was measured."""
    if row is None:
        return [f"## {title}", "", "Not measured.", ""]
    lines = [f"## {title}", "", *origins([row]), ""]
    if row["case"] == "tables":
        lines += ["| tables | share called different | wanted | two standard errors |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        lines += [
            f"| {t['what']} | {t['share']:.4f} | {t['wanted']:g} | {2 * t['se']:.4f} |"
            for t in row["tables"]
        ]
    else:
        lines += ["| what | value |", "| --- | --- |"]
        lines += [f"| {name} | {_shown(value)} |" for name, value in row["figures"].items()]
    return [*lines, ""]


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
