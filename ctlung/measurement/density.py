"""Means, spread and percentiles of CT numbers from a weighted histogram (FIELD 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.measurement.tally import HU_OF_BIN

_ROUNDING = 1e-12
"""Share of the total weight by which sums of float64 weights may fall short."""


@dataclass(frozen=True)
class Density:
    """CT numbers of one mask, HU; weighted by slice thickness."""

    mean: float
    sd: float
    median: float
    perc10: float
    perc90: float


def density(weights: FloatArray) -> Density:
    """Describe a histogram of HU.

    Args:
        weights: weight at each HU from -1024 to 3071, shape ``(4096,)``; not all zero.

    Returns:
        Mean; population standard deviation (ddof 0); median, 10th and 90th percentile as
        weighted inverse of the cumulative distribution.
    """
    total = float(weights.sum())
    mean = float(weights @ HU_OF_BIN) / total
    variance = float(weights @ (HU_OF_BIN - mean) ** 2) / total
    return Density(
        mean,
        float(np.sqrt(variance)),
        percentile(weights, 0.5),
        percentile(weights, 0.1),
        percentile(weights, 0.9),
    )


def percentile(weights: FloatArray, share: float) -> float:
    """Smallest HU whose cumulative weight reaches ``share`` of the total (0 < share <= 1).

    Source: FIELD 2.4. NumPy's linear percentile is within 1 HU in lung-sized masks.
    """
    reached = np.cumsum(weights)
    target = (share - _ROUNDING) * float(reached[-1])
    return float(HU_OF_BIN[int(np.searchsorted(reached, target, side="left"))])
