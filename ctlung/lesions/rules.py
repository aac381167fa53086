"""Inflammation by rule: dense lung that is thick, deep and no vessel (FIELD 2.2, 4.2 to 4.5).

Where: decided on the working grid. Dense voxels (>= -750 HU) inside the lungs that survive an
opening are lesion; vessels, airway walls and what only lines the lung's surface are not.
How far: decided at native resolution, half way between the lesion and the aerated lung beside
it, so that neither blur nor band edge inflates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, bounding_box
from ctlung.lesions.finder import Located
from ctlung.lesions.tubes import bright_tubes
from ctlung.morphology import distance_outside, grow, open_box
from ctlung.settings import Settings
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

AIRWAY_WALL_MM = 3.0
THICKNESS_MM = 6.0
REACH_MM = 4.0
VESSEL_HU = -500.0
VESSEL_MARGIN_MM = 1.5
CONTRAST_VESSEL_HU = 130.0


@dataclass(frozen=True)
class RuleFinder:
    """Dense lung that is thick, deep and no vessel; a :class:`~ctlung.lesions.finder.LesionFinder`.

    With ``anatomy`` its airways and their walls are left out.
    """

    name: str = "rule-1"
    weights_sha256: None = None
    by_density: bool = True

    def for_scan(self, scan: Scan) -> RuleFinder:
        """Itself."""
        return self

    def locate(
        self, scan: Scan, lungs: LabelMap, anatomy: Anatomy | None, settings: Settings
    ) -> Located:
        """Where lesions lie, on the working grid."""
        grid = working_grid(scan)
        coarse_lungs = block_mean(lungs.labels > 0, grid.factors) > 0.5
        small = bounding_box(coarse_lungs, grid.voxels(10.0))
        if small is None:
            return Located(grid)
        airways = None
        if anatomy is not None and anatomy.airways is not None:
            airways = block_mean(anatomy.airways, grid.factors)[small] > 0.1
        where = _where(grid, small, coarse_lungs[small], airways, settings)
        return Located(grid, small, where)


def _where(
    grid: WorkingGrid,
    small: Box,
    lungs: BoolArray,
    airways: BoolArray | None,
    settings: Settings,
) -> BoolArray:
    """Coarse voxels near which lesion may lie; its border is drawn later."""
    hu = grid.hu[small]
    spacing = grid.spacing_mm
    dense = (hu >= settings.ground_glass_lower_hu) & lungs
    if airways is not None and airways.any():
        dense &= ~grow(airways, AIRWAY_WALL_MM, spacing)
    bright = dense & (hu > VESSEL_HU)
    vessels = bright_tubes(hu, spacing, bright) | (bright & (hu > CONTRAST_VESSEL_HU))
    vessels = _real_vessels(vessels, dense, grid)
    free = dense & ~grow(vessels, VESSEL_MARGIN_MM, spacing)
    thick = open_box(free, _cube(grid, THICKNESS_MM))
    if not thick.any():
        return thick
    # The depth is asked of the opened shape: what only lines the surface is rim, not lesion.
    depth = -distance_outside(lungs, spacing)
    rim = max(settings.rim_mm, min(spacing))
    thick = _deep_enough(thick, depth > rim, grid, settings)
    if not thick.any():
        return thick
    region = grow(thick, REACH_MM, spacing) & dense
    return region & ~(vessels & ~thick)


def _real_vessels(tubes: BoolArray, dense: BoolArray, grid: WorkingGrid) -> BoolArray:
    """Tubes that stand in aerated lung; inside a larger opacity they cannot be told apart."""
    thick = open_box(dense, _cube(grid, 2.5 * THICKNESS_MM))
    return tubes & ~thick


def _deep_enough(
    thick: BoolArray, deep: BoolArray, grid: WorkingGrid, settings: Settings
) -> BoolArray:
    """Keep components that reach deeper than the rim and are no specks."""
    labels, n = ndimage.label(thick, structure=np.ones((3, 3, 3)))
    inner = np.bincount(labels[deep & thick], minlength=n + 1)
    keep = inner * grid.voxel_ml >= settings.lesion_min_component_ml / 2
    keep[0] = False
    kept: BoolArray = keep[labels]
    return kept


def _cube(grid: WorkingGrid, mm: float) -> tuple[int, int, int]:
    z, y, x = (max(1, round(mm / s)) for s in grid.spacing_mm)
    # A single slice has no neighbours to be thick in.
    return 1 if grid.hu.shape[0] == 1 else z, y, x
