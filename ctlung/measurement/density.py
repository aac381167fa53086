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
    perc15: float
    perc90: float


def density(weights: FloatArray) -> Density:
    """Describe a histogram of HU.

    Args:
        weights: weight at each HU from -1024 to 3071, shape ``(4096,)``; not all zero.

    Returns:
        Mean; population standard deviation (ddof 0); median, 10th, 15th and 90th percentile as
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
        percentile(weights, 0.15),
        percentile(weights, 0.9),
    )


@dataclass(frozen=True)
class Shape:
    """Shape of a distribution of CT numbers, without unit."""

    skewness: float
    kurtosis_excess: float


def shape(weights: FloatArray) -> Shape | None:
    """Skewness m3 / m2^1.5 and excess kurtosis m4 / m2^2 - 3, moments of the population.

    Args:
        weights: weight at each HU from -1024 to 3071, shape ``(4096,)``; not all zero.

    Returns:
        ``None`` where all voxels have one CT number: then neither is defined.

    Source: FIELD 2.4. Trap: the C++ tools of CIP and pyradiomics leave the 3 in, CIP's Python
    corrects for bias; a sharp kernel and noise pull both toward a Gaussian.
    """
    present = np.flatnonzero(weights)
    if len(present) < 2:
        return None
    w, hu = weights[present], HU_OF_BIN[present]
    total = float(w.sum())
    off = hu - float(w @ hu) / total
    m2, m3, m4 = (float(w @ off**p) / total for p in (2, 3, 4))
    return Shape(m3 / m2**1.5, m4 / m2**2 - 3.0)


def perc15_density_g_l(perc15_hu: float) -> float:
    """Perc15 as density in g/l: HU + 1000, with air 0 and water 1000 g/l.

    Source: FIELD 2.4. Trap: other programs give the negative, or g/ml.
    """
    return perc15_hu + 1000.0


def percentile(weights: FloatArray, share: float) -> float:
    """Smallest HU whose cumulative weight reaches ``share`` of the total (0 < share <= 1).

    Source: FIELD 2.4. NumPy's linear percentile is within 1 HU in lung-sized masks.
    """
    reached = np.cumsum(weights)
    target = (share - _ROUNDING) * float(reached[-1])
    return float(HU_OF_BIN[int(np.searchsorted(reached, target, side="left"))])
