"""Exact distributions of sums of ranks, which scipy has but does not give out, with ties too."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ctlung.arrays import FloatArray


@lru_cache(maxsize=64)
def signed_rank_shares(n: int) -> tuple[float, ...]:
    """How many of the sign changes of n ranks give each sum of positive ranks, as shares."""
    shares = np.zeros(n * (n + 1) // 2 + 1)
    shares[0] = 1.0
    for rank in range(1, n + 1):
        moved = np.zeros_like(shares)
        moved[rank:] = shares[:-rank]
        shares = 0.5 * (shares + moved)
    return tuple(shares)


@lru_cache(maxsize=64)
def rank_sum_shares(n: int, m: int) -> tuple[float, ...]:
    """How many splits into arms of n and m give each U, as shares."""
    # Gaussian binomial: exact integers, for float sums of differences would cancel.
    counts = [1] + [0] * (n * m)
    for k in range(1, n + 1):
        for u in range(n * m, m + k - 1, -1):
            counts[u] -= counts[u - m - k]
        for u in range(k, n * m + 1):
            counts[u] += counts[u - k]
    total = math.comb(n + m, n)
    return tuple(c / total for c in counts)


def last_in_tail(shares: tuple[float, ...], level: float) -> int | None:
    """How many of the sorted averages may be cut off at each end; ``None`` if not even one."""
    tail = np.cumsum(shares)
    inside = np.flatnonzero(tail <= (1.0 - level) / 2.0 + 1e-12)
    return int(inside[-1]) if len(inside) else None


def sign_p(ranks: FloatArray, positive: float) -> float:
    """Two-sided p of the sum of positive ranks over all changes of their signs."""
    doubled = np.rint(2.0 * ranks).astype(int)
    shares = np.zeros(int(doubled.sum()) + 1)
    shares[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(shares)
        moved[rank:] = shares[: len(shares) - rank]
        shares = 0.5 * (shares + moved)
    return _both_tails(shares, round(2.0 * positive))


def split_p(ranks: FloatArray, n: int) -> float:
    """Two-sided p of the sum of the first n ranks over all splits of the patients."""
    doubled = np.rint(2.0 * ranks).astype(int)
    top = int(doubled.sum())
    counts = np.zeros((n + 1, top + 1))
    counts[0, 0] = 1.0
    for rank in doubled:
        for size in range(n, 0, -1):
            counts[size, rank:] += counts[size - 1, : top + 1 - rank]
    return _both_tails(counts[n] / counts[n].sum(), int(doubled[:n].sum()))


def _both_tails(shares: FloatArray, at: int) -> float:
    """Twice the smaller tail, at most 1."""
    return min(1.0, 2.0 * min(float(shares[: at + 1].sum()), float(shares[at:].sum())))
