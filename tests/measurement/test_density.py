from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ctlung.measurement.density import density, perc15_density_g_l, percentile, shape
from ctlung.measurement.tally import BINS
from ctlung.volume import HU_MAX, HU_MIN


def _histogram(values: list[int], weights: list[float]) -> np.ndarray:
    found = np.zeros(BINS)
    for value, weight in zip(values, weights, strict=True):
        found[value - HU_MIN] += weight
    return found


def test_known_values() -> None:
    d = density(_histogram([-900, -800, -700, 0], [1.0, 2.0, 1.0, 4.0]))
    assert d.mean == pytest.approx((-900 - 1600 - 700) / 8)
    assert d.sd == pytest.approx(np.sqrt((500**2 + 2 * 400**2 + 300**2 + 4 * 400**2) / 8))
    assert (d.perc10, d.median, d.perc90) == (-900, -700, 0)


def test_standard_deviation_is_that_of_the_population() -> None:
    values = [-870, -850, -851, -300]
    assert density(_histogram(values, [1.0] * 4)).sd == pytest.approx(np.std(values))


@pytest.mark.parametrize("weight", [1.0, 0.7, 1.25, 1 / 3, 3e-4])
@pytest.mark.parametrize("n", [2, 3, 7, 10, 20, 1000])
def test_percentiles_do_not_depend_on_the_weight_of_all(weight: float, n: int) -> None:
    values = list(range(n))
    histogram = _histogram(values, [weight] * n)
    for tenths in (1, 5, 9):
        needed = -(-n * tenths // 10)
        assert percentile(histogram, tenths / 10) == values[needed - 1]


def test_percentiles_follow_numpys_inverted_cdf() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(-1000, 100, 501)
    weights = rng.uniform(0.5, 3.0, 501)
    histogram = _histogram(values.tolist(), weights.tolist())
    for share in (0.1, 0.15, 0.5, 0.9):
        expected = np.quantile(values, share, method="inverted_cdf", weights=weights)
        assert percentile(histogram, share) == expected


def test_ends_of_the_range() -> None:
    d = density(_histogram([HU_MIN, HU_MAX], [3.0, 1.0]))
    assert (d.perc10, d.median, d.perc90) == (HU_MIN, HU_MIN, HU_MAX)
    assert d.mean == pytest.approx((3 * HU_MIN + HU_MAX) / 4)


def test_shape_of_known_distributions() -> None:
    # Three to one: p = 1/4 gives (1 - 2p) / sqrt(pq) and (1 - 6pq) / pq.
    two = shape(_histogram([-850, -450], [3.0, 1.0]))
    assert two is not None
    assert two.skewness == pytest.approx(0.5 / (3 / 16) ** 0.5)
    assert two.kurtosis_excess == pytest.approx((1 - 18 / 16) / (3 / 16))
    even = shape(_histogram([-900, -800], [0.7, 0.7]))
    assert even is not None
    assert (even.skewness, even.kurtosis_excess) == pytest.approx((0.0, -2.0))


def test_shape_is_that_of_the_population_and_excess() -> None:
    rng = np.random.default_rng(7)
    values = np.rint(rng.gamma(2.0, 60.0, 5000) - 950).astype(int)
    got = shape(_histogram(values.tolist(), [0.8] * len(values)))
    assert got is not None
    assert got.skewness == pytest.approx(stats.skew(values, bias=True))
    assert got.kurtosis_excess == pytest.approx(stats.kurtosis(values, fisher=True, bias=True))
    normal = np.rint(rng.normal(-850, 30, 200_000)).astype(int)
    gauss = shape(_histogram(normal.tolist(), [1.0] * len(normal)))
    assert gauss is not None
    assert (gauss.skewness, gauss.kurtosis_excess) == pytest.approx((0, 0), abs=0.05)


@pytest.mark.parametrize("weight", [1.0, 0.1, 1 / 3, 1e-6])
def test_one_value_has_no_shape(weight: float) -> None:
    assert shape(_histogram([-851] * 7, [weight] * 7)) is None


def test_perc15_as_density() -> None:
    assert perc15_density_g_l(-912.0) == 88.0
    values, weights = [-950, -900, -850], [1.4, 0.2, 8.4]
    assert density(_histogram(values, weights)).perc15 == -900.0
