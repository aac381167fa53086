"""Where dense lung was probably lost: dents in the lung's outer surface, filled with soft tissue.

A threshold cannot see airless lung. In health the lung follows the rib cage as a smooth, convex
surface; consolidation, effusion or tumour along the chest wall dents it. The dents towards
heart, spine and diaphragm are normal and are left out by asking for ribs nearby.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctlung.arrays import LabelArray
from ctlung.morphology import close, distance_outside, open_
from ctlung.working_grid import WorkingGrid, block_mean

SOFT_HU = (-200.0, 130.0)
BONE_HU = 160.0
RIB_GAP_MM = 14.0
DENT_MM = 40.0
NEAR_RIBS_MM = 20.0
THICK_MM = 4.0
COARSE_MM = 4.0


STACK_MM = 80.0


def suspected_lost_cm2(grid: WorkingGrid, lungs: LabelArray) -> dict[int, float]:
    """The same for a single slice, as an area (cm2): judged as if it went on up and down."""
    copies = max(1, round(STACK_MM / grid.spacing_mm[0]))
    tall = replace(grid, hu=np.repeat(grid.hu[:1], copies, axis=0))
    lost = suspected_lost_ml(tall, np.repeat(lungs[:1], copies, axis=0))
    height_cm = copies * grid.spacing_mm[0] / 10.0
    return {side: ml / height_cm for side, ml in lost.items()}


def suspected_lost_ml(grid: WorkingGrid, lungs: LabelArray) -> dict[int, float]:
    """Soft tissue (ml) in dents of the costal surface, for each side (1 right, 2 left).

    A dent is what a closing of ``DENT_MM`` adds to the lung, within ``NEAR_RIBS_MM`` of the rib
    cage (bone with the gaps between the ribs closed) and thicker than ``THICK_MM``.
    """
    factors = _coarse_factors(grid)
    spacing = (
        grid.spacing_mm[0] * factors[0],
        grid.spacing_mm[1] * factors[1],
        grid.spacing_mm[2] * factors[2],
    )
    hu = block_mean(grid.hu, factors)
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    ribs = close(block_mean(grid.hu > BONE_HU, factors) > 0.2, RIB_GAP_MM, spacing)
    if not ribs.any():
        return {1: 0.0, 2: 0.0}
    to_ribs = distance_outside(ribs, spacing)
    costal = soft & (to_ribs < NEAR_RIBS_MM) & (to_ribs > 0)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    lost = {}
    for side in (1, 2):
        mask = block_mean(lungs == side, factors) > 0.5
        dents = close(mask, DENT_MM, spacing) & ~mask & costal
        lost[side] = float(open_(dents, THICK_MM, spacing).sum()) * voxel_ml
    return lost


def _coarse_factors(grid: WorkingGrid) -> tuple[int, int, int]:
    z, y, x = (max(1, int(COARSE_MM / s + 0.35)) for s in grid.spacing_mm)
    return z, y, x
