"""Where dense lung was probably lost: soft tissue between the lung that was found and the ribs.

A threshold cannot see airless lung. In health the lung lies within a few millimetres of the rib
cage and follows it as a smooth, convex surface. Consolidation, effusion or tumour pushes the
found surface away from the ribs behind it, or dents it. Both are looked for; dents towards
heart, spine and diaphragm are normal and are left out by asking for ribs nearby.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ctlung.arrays import BoolArray, Float32Array, LabelArray
from ctlung.morphology import Spacing, close, distance_outside, open_
from ctlung.working_grid import WorkingGrid, block_mean

SOFT_HU = (-200.0, 130.0)
BEHIND_HU = (-500.0, 130.0)
BONE_HU = 160.0
RIB_GAP_MM = 14.0
DENT_MM = 40.0
NEAR_RIBS_MM = 20.0
THICK_MM = 4.0
COARSE_MM = 4.0
FAR_FROM_RIBS_MM = 20.0
MID_CHEST_SHARE = 0.5
STACK_MM = 80.0


@dataclass(frozen=True)
class Suspicion:
    """What speaks for lost dense lung on one side.

    Attributes:
        dents_ml: soft tissue in dents of the costal surface.
        behind_percent: share of the lung's width behind which more than 20 mm of soft tissue
            lie before the ribs, over the slices of the middle chest.
    """

    dents_ml: float
    behind_percent: float


def suspect_lost_lung(grid: WorkingGrid, lungs: LabelArray) -> dict[int, Suspicion]:
    """The suspicion for each side (1 right, 2 left) that is there.

    A single slice is judged as if it went on up and down for 80 mm.
    """
    if grid.hu.shape[0] == 1:
        copies = max(1, round(STACK_MM / grid.spacing_mm[0]))
        grid = replace(grid, hu=np.repeat(grid.hu, copies, axis=0))
        lungs = np.repeat(lungs, copies, axis=0)
    factors = _coarse_factors(grid)
    spacing = (
        grid.spacing_mm[0] * factors[0],
        grid.spacing_mm[1] * factors[1],
        grid.spacing_mm[2] * factors[2],
    )
    hu = block_mean(grid.hu, factors)
    ribs = close(block_mean(grid.hu > BONE_HU, factors) > 0.2, RIB_GAP_MM, spacing)
    found = {}
    for side in (1, 2):
        lung = block_mean(lungs == side, factors) > 0.5
        if lung.any() and ribs.any():
            found[side] = Suspicion(
                _dents_ml(hu, lung, ribs, spacing), _behind_percent(hu, lung, ribs, spacing)
            )
    return found


def _dents_ml(hu: Float32Array, lung: BoolArray, ribs: BoolArray, spacing: Spacing) -> float:
    """What a closing of ``DENT_MM`` adds near the ribs, thicker than ``THICK_MM``."""
    to_ribs = distance_outside(ribs, spacing)
    costal = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & (to_ribs < NEAR_RIBS_MM) & (to_ribs > 0)
    dents = close(lung, DENT_MM, spacing) & ~lung & costal
    return float(open_(dents, THICK_MM, spacing).sum()) * float(np.prod(spacing)) / 1000.0


def _behind_percent(hu: Float32Array, lung: BoolArray, ribs: BoolArray, spacing: Spacing) -> float:
    soft = (hu > BEHIND_HU[0]) & (hu < BEHIND_HU[1])
    areas = lung.sum(axis=(1, 2))
    # Towards apex and base shoulders and liver lie behind lung in health as well.
    far = seen = 0
    for k in np.flatnonzero(areas > MID_CHEST_SHARE * areas.max()):
        columns = np.flatnonzero(np.logical_or.reduce(lung[k], axis=0))
        inner = columns[len(columns) // 8 : len(columns) - len(columns) // 8]
        seen += len(inner)
        for x in inner:
            last = int(np.flatnonzero(lung[k, :, x])[-1])
            hits = np.flatnonzero(ribs[k, last + 1 :, x])
            if len(hits) == 0 or not soft[k, last + 1 : last + 1 + hits[0], x].all():
                continue
            far += float(hits[0]) * spacing[1] > FAR_FROM_RIBS_MM
    return 100.0 * far / max(1, seen)


def _coarse_factors(grid: WorkingGrid) -> tuple[int, int, int]:
    z, y, x = (max(1, int(COARSE_MM / s + 0.35)) for s in grid.spacing_mm)
    return z, y, x
