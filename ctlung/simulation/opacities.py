"""Opacities with a closed form, for phantoms whose lesions must be known without any voxel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ctlung.simulation.shapes import Field, Noise, Point, ellipsoid, smooth_min

GROUND_GLASS, CONSOLIDATION = 1, 2


@dataclass(frozen=True)
class Opacity:
    """Joined ellipsoids with an uneven outline; clipped by the lungs when drawn.

    Attributes:
        kind: ``ground_glass`` (label 1) or ``consolidation`` (label 2).
        centres: LPS mm in the body at rest.
        radii: mm along x, y, z; one triple for each centre.
        hu: CT number of its inside.
        edge_mm: width over which it fades.
        ragged_mm: how far the outline wanders.
        seed: of that wandering.
    """

    kind: Literal["ground_glass", "consolidation"]
    centres: tuple[Point, ...]
    radii: tuple[Point, ...]
    hu: float
    edge_mm: float = 1.0
    ragged_mm: float = 2.0
    seed: int = 0

    @property
    def label(self) -> int:
        """1 ground-glass, 2 consolidation."""
        return GROUND_GLASS if self.kind == "ground_glass" else CONSOLIDATION

    def border(self, x: Field, y: Field, z: Field) -> Field:
        """Negative where the mixed fraction is above one half; about mm near its border."""
        f: Field | None = None
        for centre, radii in zip(self.centres, self.radii, strict=True):
            part = ellipsoid(x, y, z, centre, radii)
            f = part if f is None else smooth_min(f, part, 8)
        if f is None:
            raise ValueError("an opacity needs at least one ellipsoid")
        if not self.ragged_mm:
            return f
        # Only the neighbourhood of the border wanders: far away the noise is not needed.
        near = np.abs(f) < 4 * self.ragged_mm
        f[near] += np.float32(self.ragged_mm) * _outline(self.seed)(x[near], y[near], z[near])
        return f

    def box(self, margin_mm: float) -> tuple[Point, Point]:
        """Two corners, LPS mm in the body at rest, that hold all of it."""
        c, r = np.asarray(self.centres), np.asarray(self.radii)
        low = (c - r).min(axis=0) - margin_mm - 4 * self.ragged_mm
        high = (c + r).max(axis=0) + margin_mm + 4 * self.ragged_mm
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@lru_cache(maxsize=32)
def _outline(seed: int) -> Noise:
    return Noise(np.random.default_rng(np.random.SeedSequence([seed, 77])), 9.0)
