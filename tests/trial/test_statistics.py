"""The trial's statistics against scipy, statsmodels and published worked examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

from ctlung.trial import statistics as t

RNG = np.random.default_rng(12)
TWELVE = RNG.normal(-3, 5, 12)
THIRTEEN = RNG.normal(0, 5, 13)

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Fisher's differences of Darwin's crossed and self-fertilised Zea mays, in eighths of an inch."""
DEPRESSION = [-0.952, 0.147, -1.022, -0.43, -0.62, -0.59, -0.49, 0.08, -0.01]
"""Hollander and Wolfe, table 3.1: factor IV of Hamilton's scale, second visit less first."""
PERMEABILITY = (
    [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46],
    [1.15, 0.88, 0.90, 0.74, 1.21],
)
"""Hollander and Wolfe, table 4.1: the chorioamnion at term and at 12 to 26 weeks."""


def test_the_paired_t_test_of_darwins_maize() -> None:
    """Fisher, The Design of Experiments: mean 20.93 eighths, t = 2.148."""
    estimate, test = t.mean_change(DARWIN)
    assert estimate.value == pytest.approx(314 / 15)
    assert test.statistic == pytest.approx(2.148, abs=5e-4)
    assert test.p == pytest.approx(0.0497, abs=5e-5)
    spread = np.std(DARWIN, ddof=1) / math.sqrt(15) * stats.t.ppf(0.975, 14)
    assert estimate.low == pytest.approx(314 / 15 - spread, abs=1e-9)
    assert estimate.high == pytest.approx(314 / 15 + spread, abs=1e-9)


def test_signed_rank_of_hollander_and_wolfe() -> None:
    """Rank sum 40 of 9 with p = 0.039 two-sided, pseudo-median -0.46 (there with both signs)."""
    test, estimate = t.signed_rank(DEPRESSION), t.pseudo_median(DEPRESSION)
    assert test.exact
    assert test.p == pytest.approx(0.0390625, abs=1e-12)
    assert test.statistic == 5.0
    assert estimate.value == pytest.approx(-0.46, abs=1e-9)
    assert estimate.low == pytest.approx(-0.786, abs=1e-9)
    assert estimate.high == pytest.approx(-0.010, abs=1e-9)


def test_rank_sum_of_hollander_and_wolfe() -> None:
    """U = 35 of ten and five, p = 0.2544 two-sided; shift 0.305."""
    test, estimate = t.rank_sum(*PERMEABILITY), t.shift(*PERMEABILITY)
    assert test.exact
    assert test.statistic == 35.0
    assert test.p == pytest.approx(0.2544, abs=5e-5)
    assert estimate.value == pytest.approx(0.305, abs=1e-9)


@pytest.mark.parametrize("n", [6, 9, 12, 25])
def test_signed_rank_is_scipys(n: int) -> None:
    d = np.random.default_rng(n).normal(0.5, 1, n)
    found, theirs = t.signed_rank(d), stats.wilcoxon(d, method="exact")
    assert (found.statistic, found.p) == (theirs.statistic, theirs.pvalue)


@pytest.mark.parametrize("d", [[1, 1, -2, 3, 0, 4], [0, 0, 1, 2, 2, -2, 5], [3, 3, 3, -3, 1, 0, 2]])
def test_ties_and_zeros_are_every_sign_change(d: list[float]) -> None:
    every = stats.PermutationMethod(n_resamples=10_000)
    theirs = stats.wilcoxon(d, zero_method="pratt", method=every)
    found = t.signed_rank(d)
    assert found.exact
    assert found.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_smallest_p_of_twelve_and_float_noise() -> None:
    assert t.signed_rank(np.arange(1, 13)).p == pytest.approx(2 / 2**12, abs=1e-15)
    noisy = np.array([0.1 + 0.2, 0.3, -0.3, 0.5])
    assert t.signed_rank(noisy).p == t.signed_rank([0.3, 0.3, -0.3, 0.5]).p


def test_pseudo_median_by_its_definition() -> None:
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(TWELVE, 2)]
    found = t.pseudo_median(TWELVE)
    assert found.value == pytest.approx(np.median(walsh), abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    # The interval is the set of shifts that the exact test does not reject.
    inside, outside = 1e-6, -1e-6
    for end, inward in ((found.low, 1), (found.high, -1)):
        p_in = t.signed_rank(TWELVE - (end + inward * inside)).p
        p_out = t.signed_rank(TWELVE - (end + inward * outside)).p
        assert p_in is not None
        assert p_out is not None
        assert p_in > 0.05 >= p_out


def test_shift_by_its_definition() -> None:
    found = t.shift(TWELVE, THIRTEEN)
    assert found.value == pytest.approx(np.median(np.subtract.outer(TWELVE, THIRTEEN)), abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    for end, inward in ((found.low, 1), (found.high, -1)):
        p_in = t.rank_sum(TWELVE - (end + inward * 1e-6), THIRTEEN).p
        p_out = t.rank_sum(TWELVE - (end - inward * 1e-6), THIRTEEN).p
        assert p_in is not None
        assert p_out is not None
        assert p_in > 0.05 >= p_out


def test_rank_sum_is_scipys() -> None:
    found = t.rank_sum(TWELVE, THIRTEEN)
    theirs = stats.mannwhitneyu(TWELVE, THIRTEEN, method="exact")
    assert (found.statistic, found.p) == (theirs.statistic, theirs.pvalue)


@pytest.mark.parametrize("seed", range(4))
def test_ties_of_two_arms_are_every_split(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, 5), rng.integers(1, 5, 6)
    theirs = stats.mannwhitneyu(a, b, method=stats.PermutationMethod(n_resamples=100_000))
    assert t.rank_sum(a, b).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_ancova_is_statsmodels() -> None:
    baseline = RNG.normal(20, 6, 25)
    treated = np.arange(25) < 12
    followup = 0.6 * baseline - 4 * treated + RNG.normal(0, 3, 25)
    frame = pd.DataFrame({"y": followup, "b": baseline, "arm": treated.astype(int)})
    plain = smf.ols("y ~ arm + b", frame).fit()
    robust = smf.ols("y ~ arm + b", frame).fit(cov_type="HC3", use_t=True)
    found = t.ancova(followup, baseline, treated)
    assert found.n == 25
    for mine, test, theirs in (
        (found.difference, found.test, plain),
        (found.hc3, found.hc3_test, robust),
    ):
        assert mine.value == pytest.approx(theirs.params["arm"], abs=1e-9)
        low, high = theirs.conf_int().loc["arm"]
        assert (mine.low, mine.high) == (
            pytest.approx(low, abs=1e-9),
            pytest.approx(high, abs=1e-9),
        )
        assert test.p == pytest.approx(theirs.pvalues["arm"], abs=1e-9)
    assert found.slope == pytest.approx(plain.params["b"], abs=1e-9)


def test_ancova_of_a_textbook() -> None:
    """By hand: two parallel lines of slope 2 that lie 3 apart, nothing else."""
    baseline = np.array([1.0, 2, 3, 4, 1, 2, 3, 4])
    treated = np.array([True] * 4 + [False] * 4)
    wiggle = np.array([0.1, -0.1, -0.1, 0.1, -0.1, 0.1, 0.1, -0.1])
    found = t.ancova(2 * baseline - 3 * treated + wiggle, baseline, treated)
    assert found.difference.value == pytest.approx(-3.0, abs=1e-9)
    assert found.slope == pytest.approx(2.0, abs=1e-9)


def test_ancova_leaves_out_who_is_missing_and_says_nothing_of_one_arm() -> None:
    baseline, treated = np.arange(10.0), np.arange(10) < 5
    followup = baseline + RNG.normal(0, 1, 10)
    followup[3] = math.nan
    assert t.ancova(followup, baseline, treated).n == 9
    alone = t.ancova(followup, baseline, np.ones(10, bool))
    assert alone.difference.value is None
    assert alone.test.p is None


def test_the_mixed_model_is_statsmodels() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for patient in range(24):
        own, baseline = rng.normal(0, 3), rng.normal(20, 5)
        rows += [
            {
                "patient": f"p{patient}",
                "visit": visit,
                "treated": patient % 2 == 0,
                "baseline": baseline,
                "value": 0.7 * baseline + own - 3.0 * (patient % 2 == 0) + rng.normal(0, 1),
            }
            for visit in (1, 2, 3)
        ]
    table = pd.DataFrame(rows)
    estimate, test = t.mixed_model(table)
    data = table.assign(treated=table["treated"].astype(float), visit=table["visit"].astype(str))
    theirs = sm.MixedLM.from_formula(
        "value ~ treated + baseline + C(visit)", data, groups=data["patient"]
    ).fit()
    assert estimate.value == pytest.approx(theirs.params["treated"], abs=1e-9)
    assert test.p == pytest.approx(theirs.pvalues["treated"], abs=1e-9)
    assert t.mixed_model(table[table["visit"] == 1])[0].value is None


def test_effect_sizes() -> None:
    g = t.hedges_g(TWELVE, THIRTEEN)
    s = math.sqrt((11 * TWELVE.var(ddof=1) + 12 * THIRTEEN.var(ddof=1)) / 23)
    by_hand = (TWELVE.mean() - THIRTEEN.mean()) / s * (1 - 3 / (4 * 25 - 9))
    assert g.value == pytest.approx(by_hand, abs=1e-9)
    d = t.cliff_delta(TWELVE, THIRTEEN)
    u = stats.mannwhitneyu(TWELVE, THIRTEEN).statistic
    assert d.value == pytest.approx(2 * u / (12 * 13) - 1, abs=1e-9)
    for one in (g, d):
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low < one.value < one.high
    assert t.hedges_g(TWELVE, THIRTEEN) == g
    assert t.cliff_delta([1, 2, 3], [1, 2, 3]).value == 0.0


def test_holm_of_a_worked_example() -> None:
    """Holm 1979's own: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert t.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert t.holm([]) == ()


def test_sample_size_of_the_formula_and_of_the_trial() -> None:
    assert t.sample_size(1.0, 1.0) == 17
    assert t.sample_size(1.0, 0.5) == 64
    assert t.sample_size(1.0, 0.5, rho=0.5) == 49
    assert t.detectable(12, 13) == pytest.approx(1.17, abs=0.005)
    with pytest.raises(ValueError, match="difference not 0"):
        t.sample_size(1.0, 0.0)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0, 0.0], [2.0]])
def test_too_little_gives_no_number_and_no_error(values: list[float]) -> None:
    estimate, test = t.mean_change(values)
    assert test.p is None
    assert estimate.low in (None, 0.0)
    assert t.pseudo_median(values).low is None
    assert t.rank_sum(values, []).p is None
    assert t.shift(values, []).value is None
    assert t.hedges_g(values, values).value is None
    t.signed_rank(values)
