"""Coarse phantoms, drawn once for all tests that look at them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ctlung.simulation.opacities import Opacity
from ctlung.simulation.scanner import Protocol, Series, acquire
from ctlung.simulation.thorax import Phantom, Thorax, phantom_grid, render

PERSON = Thorax(seed=11)
COARSE_MM = (5.0, 3.0, 3.0)
GROUND_GLASS = Opacity(
    "ground_glass", ((-80.0, 20.0, 120.0),), ((28.0, 26.0, 30.0),), -600.0, ragged_mm=0.0
)
DENSE = Opacity(
    "consolidation", ((-80.0, 20.0, 120.0),), ((14.0, 13.0, 15.0),), 20.0, ragged_mm=0.0
)


@lru_cache(maxsize=1)
def healthy() -> Phantom:
    return render(PERSON, phantom_grid(PERSON, COARSE_MM))


@lru_cache(maxsize=1)
def healthy_series() -> Series:
    phantom = healthy()
    return acquire(phantom.hu, phantom.geometry, Protocol(), np.random.default_rng(3))
