from __future__ import annotations

import numpy as np
import pytest

from ctlung.measurement.density import density, percentile
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
