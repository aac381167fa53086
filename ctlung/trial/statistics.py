"""The tests and intervals of a two-arm trial (FIELD 7); scipy and statsmodels do what they have.

Everything is pure: arrays in, numbers out. Exact means over all permutations or sign changes, ties
and zeros included.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctlung.trial.exact_ranks import (
    last_in_tail,
    rank_sum_shares,
    sign_p,
    signed_rank_shares,
    split_p,
)

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

LEVEL = 0.95
BOOTSTRAPS = 10_000
SEED = 20_210_076
MOST_EXACT = 200
"""Patients; with more, ranks are approximated by the normal distribution and the result says so."""
DECIMALS = 9
"""Differences are rounded to as many before they are ranked: float noise breaks ties."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval of 95 %; ``None`` where it cannot be had."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Test:
    """A test: its statistic, its two-sided p value, and whether that is exact."""

    name: str
    statistic: float | None
    p: float | None
    exact: bool = False


NOTHING = Estimate(None)


def mean_change(delta: ArrayLike) -> tuple[Estimate, Test]:
    """Mean of paired changes with its t interval, and the paired t test."""
    from scipy import stats

    d = _clean(delta)
    if len(d) < 2:
        return Estimate(float(d.mean()) if len(d) else None), Test("paired t", None, None)
    if float(np.ptp(d)) == 0.0:
        return Estimate(float(d[0]), float(d[0]), float(d[0])), Test("paired t", None, None)
    found = stats.ttest_1samp(d, 0.0)
    ends = found.confidence_interval(LEVEL)
    return (
        Estimate(float(d.mean()), float(ends.low), float(ends.high)),
        Test("paired t", float(found.statistic), float(found.pvalue)),
    )


def signed_rank(delta: ArrayLike) -> Test:
    """Wilcoxon's signed rank test, two-sided; zeros are kept as Pratt does.

    With ties or zeros over all sign changes of the ranks that there are, else from the exact
    distribution; beyond ``MOST_EXACT`` patients by scipy's approximation (``exact`` is false).
    """
    from scipy import stats

    d = _clean(delta)
    name = "Wilcoxon signed rank"
    if len(d) == 0 or not d.any():
        return Test(name, 0.0 if len(d) else None, 1.0 if len(d) else None, len(d) > 0)
    plain = bool((d != 0).all()) and len(np.unique(np.abs(d))) == len(d)
    if plain and len(d) <= 50:
        found = stats.wilcoxon(d, method="exact")
        return Test(name, float(found.statistic), float(found.pvalue), True)
    if len(d) <= MOST_EXACT:
        ranks = stats.rankdata(np.abs(d))
        positive, negative = float(ranks[d > 0].sum()), float(ranks[d < 0].sum())
        return Test(name, min(positive, negative), sign_p(ranks[d != 0], positive), True)
    found = stats.wilcoxon(d, zero_method="pratt", method="auto")
    return Test(name, float(found.statistic), float(found.pvalue))


def pseudo_median(delta: ArrayLike) -> Estimate:
    """Hodges and Lehmann's pseudo-median of paired changes: the median of all Walsh averages.

    The interval is from the exact distribution of the signed rank, so it holds at least 95 %;
    ``None`` for fewer than six patients, of whom no interval of 95 % exists.
    """
    d = _clean(delta)
    n = len(d)
    if n == 0:
        return NOTHING
    i, j = np.triu_indices(n)
    walsh = np.sort((d[i] + d[j]) / 2.0)
    middle = float(np.median(walsh))
    k = last_in_tail(signed_rank_shares(n), LEVEL)
    if k is None:
        return Estimate(middle)
    return Estimate(middle, float(walsh[k]), float(walsh[len(walsh) - 1 - k]))


def rank_sum(treated: ArrayLike, control: ArrayLike) -> Test:
    """Mann and Whitney's test of two arms, two-sided; with ties over all splits of the patients."""
    from scipy import stats

    a, b = _clean(treated), _clean(control)
    name = "Mann–Whitney"
    if not len(a) or not len(b):
        return Test(name, None, None)
    both = np.concatenate([a, b])
    if len(np.unique(both)) == len(both):
        found = stats.mannwhitneyu(a, b, method="exact")
        return Test(name, float(found.statistic), float(found.pvalue), True)
    if float(np.ptp(both)) == 0.0:
        return Test(name, len(a) * len(b) / 2.0, 1.0, True)
    ranks = stats.rankdata(both)
    statistic = float(ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2.0)
    if len(both) <= MOST_EXACT:
        return Test(name, statistic, split_p(ranks, len(a)), True)
    found = stats.mannwhitneyu(a, b, method="asymptotic")
    return Test(name, statistic, float(found.pvalue))


def shift(treated: ArrayLike, control: ArrayLike) -> Estimate:
    """Hodges and Lehmann's shift: the median of all differences of treated and control.

    The interval is from the exact distribution of Mann and Whitney's U.
    """
    a, b = _clean(treated), _clean(control)
    if not len(a) or not len(b):
        return NOTHING
    apart = np.sort((a[:, None] - b[None, :]).ravel())
    middle = float(np.median(apart))
    k = last_in_tail(rank_sum_shares(len(a), len(b)), LEVEL)
    if k is None:
        return Estimate(middle)
    return Estimate(middle, float(apart[k]), float(apart[len(apart) - 1 - k]))


@dataclass(frozen=True)
class Ancova:
    """Difference of the arms at follow-up, the baseline as covariate; ``hc3`` beside it."""

    difference: Estimate
    test: Test
    hc3: Estimate
    hc3_test: Test
    slope: float | None = None
    n: int = 0


def ancova(
    followup: ArrayLike,
    baseline: ArrayLike,
    treated: ArrayLike,
    covariates: ArrayLike | None = None,
) -> Ancova:
    """Follow-up on arm and baseline by least squares: the arms' difference (treated less control).

    Args:
        followup: value at follow-up, one per patient.
        baseline: value at baseline.
        treated: true for the treated.
        covariates: more columns, ``[patient, covariate]``.

    Source: FIELD 7 [58].
    """
    import statsmodels.api as sm

    y, b = np.asarray(followup, float), np.asarray(baseline, float)
    arm = np.asarray(treated, bool).astype(float)
    columns = [arm, b]
    if covariates is not None:
        columns += list(np.asarray(covariates, float).reshape(len(y), -1).T)
    known = np.isfinite(y) & np.all([np.isfinite(c) for c in columns], axis=0)
    y, columns = y[known], [c[known] for c in columns]
    n, arms = len(y), np.unique(columns[0])
    none = Test("ANCOVA", None, None)
    if len(arms) < 2 or n < len(columns) + 2:
        return Ancova(NOTHING, none, NOTHING, none, n=n)
    if float(np.ptp(columns[1])) == 0.0:
        columns.pop(1)
    model = sm.OLS(y, sm.add_constant(np.column_stack(columns), has_constant="add"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perfect fit divides by zero; it shows as nan
        plain = model.fit()
        robust = model.fit(cov_type="HC3", use_t=True)
    return Ancova(
        _coefficient(plain, 1),
        _coefficient_test("ANCOVA", plain, 1),
        _coefficient(robust, 1),
        _coefficient_test("ANCOVA, HC3", robust, 1),
        float(plain.params[2]) if len(columns) > 1 else None,
        n,
    )


def mixed_model(table: pd.DataFrame) -> tuple[Estimate, Test]:
    """Difference of the arms' change over all follow-ups, a random intercept per patient.

    Args:
        table: columns ``value``, ``baseline``, ``treated``, ``visit``, ``patient``; a row per
            follow-up of a patient, at least two visits.

    Returns:
        The arm's coefficient of value ~ treated + baseline + visit; nothing where it cannot be
        fitted.
    """
    import statsmodels.formula.api as smf

    name = "linear mixed model"
    known = table.dropna(subset=["value", "baseline", "treated"])
    if known["visit"].nunique() < 2 or known["treated"].nunique() < 2:
        return NOTHING, Test(name, None, None)
    data = known.assign(treated=known["treated"].astype(float), visit=known["visit"].astype(str))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = smf.mixedlm(
                "value ~ treated + baseline + C(visit)", data, groups=data["patient"]
            ).fit(reml=True)
    except (np.linalg.LinAlgError, ValueError):
        return NOTHING, Test(name, None, None)
    low, high = fit.conf_int().loc["treated"]
    value, p = float(fit.params["treated"]), float(fit.pvalues["treated"])
    if not fit.converged or not math.isfinite(p):
        return NOTHING, Test(name, None, None)
    return (
        Estimate(value, float(low), float(high)),
        Test(name, float(fit.tvalues["treated"]), p),
    )


def hedges_g(treated: ArrayLike, control: ArrayLike) -> Estimate:
    """Standardised difference of the arms' means, corrected for few patients, with an interval."""

    def g(a: Floats, b: Floats, axis: int = -1) -> Any:
        n1, n2 = a.shape[axis], b.shape[axis]
        squares = (n1 - 1) * a.var(axis=axis, ddof=1) + (n2 - 1) * b.var(axis=axis, ddof=1)
        spread = np.sqrt(squares / (n1 + n2 - 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            d = (a.mean(axis=axis) - b.mean(axis=axis)) / spread
        return d * (1.0 - 3.0 / (4.0 * (n1 + n2) - 9.0))

    return _bootstrapped(g, treated, control, 2)


def cliff_delta(treated: ArrayLike, control: ArrayLike) -> Estimate:
    """How much more often a treated value exceeds a control's than the reverse, -1 to 1."""

    def delta(a: Floats, b: Floats, axis: int = -1) -> Any:
        signs = np.sign(a[..., :, None] - b[..., None, :])
        return signs.mean(axis=(-2, -1))

    return _bootstrapped(delta, treated, control, 1)


def holm(p_values: ArrayLike) -> tuple[float, ...]:
    """P values adjusted for their number by Holm's step-down method, in the order given."""
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, float)
    if not len(p):
        return ()
    return tuple(float(v) for v in multipletests(p, method="holm")[1])


def sample_size(
    sd: float, difference: float, *, power: float = 0.8, alpha: float = 0.05, rho: float = 0.0
) -> int:
    """Patients per arm that find a true difference of means with this power.

    Args:
        sd: of the changes (or of the follow-up values, with ``rho``).
        difference: true difference of the arms.
        power: wanted.
        alpha: two-sided.
        rho: correlation of baseline and follow-up that ANCOVA uses.

    Raises:
        ValueError: no spread, no difference, or shares outside 0 to 1.

    Source: FIELD 7.
    """
    from scipy import stats

    if not (sd > 0 and difference != 0 and 0 < power < 1 and 0 < alpha < 1 and -1 < rho < 1):
        raise ValueError("sd must be above 0, the difference not 0, shares between 0 and 1")
    tail, gain = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    n = 2.0 * (tail + gain) ** 2 * (sd / difference) ** 2 * (1.0 - rho**2) + tail**2 / 4.0
    return math.ceil(n - 1e-9)


def detectable(n_treated: int, n_control: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Difference of two arms, in SD, that a t test of so many patients finds with this power."""
    from statsmodels.stats.power import TTestIndPower

    found = TTestIndPower().solve_power(
        nobs1=n_treated, ratio=n_control / n_treated, power=power, alpha=alpha
    )
    return float(np.ravel(found)[0])


def _clean(values: ArrayLike) -> Floats:
    array = np.asarray(values, float).ravel()
    found: Floats = np.round(array[np.isfinite(array)], DECIMALS) + 0.0
    return found


def _coefficient(fit: Any, index: int) -> Estimate:
    value = float(fit.params[index])
    low, high = (float(v) for v in fit.conf_int(alpha=1 - LEVEL)[index])
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(value)
    return Estimate(value, low, high)


def _coefficient_test(name: str, fit: Any, index: int) -> Test:
    t, p = float(fit.tvalues[index]), float(fit.pvalues[index])
    return Test(name, t, p) if math.isfinite(p) else Test(name, None, None)


def _bootstrapped(statistic: Any, treated: ArrayLike, control: ArrayLike, least: int) -> Estimate:
    """A statistic of two arms with its percentile interval over patients drawn again."""
    from scipy import stats

    a, b = _clean(treated), _clean(control)
    if min(len(a), len(b)) < least:
        return NOTHING
    value = float(statistic(a, b))
    if not math.isfinite(value):
        return NOTHING
    if min(len(a), len(b)) < 3:
        return Estimate(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (a, b),
            statistic,
            n_resamples=BOOTSTRAPS,
            batch=1000,
            method="percentile",
            confidence_level=LEVEL,
            rng=np.random.default_rng(SEED),
        )
    low, high = (float(v) for v in found.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(value)
    return Estimate(value, low, high)
