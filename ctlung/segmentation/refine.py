"""From a coarse label map to native voxels: the air-tissue edge decides in a thin band."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import BoolArray, Box, HUArray, LabelArray, bounding_box
from ctlung.morphology import fill_small_holes, grow_faces, shrink_faces
from ctlung.volume import Scan
from ctlung.working_grid import WorkingGrid, spread

SMOOTH_MM = 1.5
TISSUE_HU = 40.0
EDGE_SHIFT_HU = 60.0
"""The lung's outer border is drawn this much above the value half way between the patient's own
aerated lung and soft tissue. Half way is where a blurred edge truly lies, and gives a phantom its
true volume; drawn lungs lie a little outside of it (``scripts/benchmark_border.py``)."""
AERATED_HU = -500.0
BORDER_LIMITS_HU = (-400.0, -260.0)
HOLE_PIXELS = 60


def refine(
    scan: Scan,
    grid: WorkingGrid,
    coarse: LabelArray,
    added: BoolArray,
    excluded: BoolArray,
    air_hu: float,
    dense: BoolArray | None = None,
) -> LabelArray:
    """Labels at native resolution, uint8 ``[z, y, x]``.

    Args:
        scan: the native scan.
        grid: the working grid that ``coarse``, ``added`` and ``excluded`` lie on.
        coarse: 1 right, 2 left.
        added: what closing and filling put into the lungs; there the coarse shape decides, not
            the density.
        excluded: never lung (airways and their walls outside the lungs).
        air_hu: density of the border between air and tissue.
        dense: airless lung that is sure; no layer is taken off it.
    """
    out = np.zeros(scan.geometry.shape, dtype=np.uint8)
    small = bounding_box(coarse > 0, (1, 1, 1))
    if small is None:
        return out
    box = native_box(small, grid)
    hu = scan.hu[box]
    if grid.factors == (1, 1, 1):
        out[box] = coarse[box]
    else:
        _draw(out[box], hu, grid, box, coarse, added, excluded, air_hu)
    part = out[box]
    half = _half_filled(part > 0, hu, border_hu(grid, coarse))
    if dense is not None and dense.any():
        half &= ~spread(dense, grid, box)
    part[half] = 0
    if scan.outside_fov is not None:
        part[scan.outside_fov[box]] = 0
    return out


def _draw(
    part: LabelArray,
    hu: HUArray,
    grid: WorkingGrid,
    box: Box,
    coarse: LabelArray,
    added: BoolArray,
    excluded: BoolArray,
    air_hu: float,
) -> None:
    """Fill ``part``, the native voxels of ``box``."""
    shape_decides = spread(added, grid, box)
    never = spread(excluded, grid, box) if excluded.any() else None
    solids = [spread(coarse == side, grid, box) for side in (1, 2)]
    for index, side in enumerate((1, 2)):
        mask = coarse == side
        if not mask.any():
            continue
        inner = spread(shrink_faces(mask), grid, box)
        outer = spread(grow_faces(mask), grid, box) & ~solids[1 - index]
        air = hu < air_hu
        lung = inner | (outer & air) | (solids[index] & shape_decides)
        if never is not None:
            lung &= ~never | inner
        part[lung & (part == 0)] = side
    _smooth_border(part, round(SMOOTH_MM * grid.factors[2] / grid.spacing_mm[2]) or 1)


def border_hu(grid: WorkingGrid, coarse: LabelArray) -> float:
    """CT number at which the border of these lungs is drawn (decision 7)."""
    aerated = grid.hu[(coarse > 0) & (grid.hu < AERATED_HU)]
    if len(aerated) == 0:
        return BORDER_LIMITS_HU[1]
    border = (float(np.median(aerated)) + TISSUE_HU) / 2 + EDGE_SHIFT_HU
    return float(np.clip(border, *BORDER_LIMITS_HU))


def _half_filled(lung: BoolArray, hu: HUArray, border: float) -> BoolArray:
    """Voxels of the outermost layer that hold more wall than lung.

    Dense lung is kept: only one layer is asked, and only where it meets what is not lung.
    """
    surface = lung & grow_faces(~lung)
    half: BoolArray = surface & (hu >= border)
    return half


def native_box(small: Box, grid: WorkingGrid) -> Box:
    """The native voxels that a box of coarse voxels covers."""
    z, y, x = (
        slice(b.start * f, min(b.stop * f, n))
        for b, f, n in zip(small, grid.factors, grid.native_shape, strict=True)
    )
    return z, y, x


def _smooth_border(labels: LabelArray, steps: int) -> None:
    """Close notches that noise or a vessel's mouth cuts into the border, in place."""
    for side in (1, 2):
        mask = np.pad(labels == side, steps)
        for _ in range(steps):
            mask = grow_faces(mask)
        for _ in range(steps):
            mask = ~grow_faces(~mask)
        inner = tuple(slice(steps, -steps) for _ in range(3))
        labels[mask[inner] & (labels == 0)] = side
        solid = fill_small_holes(labels == side, HOLE_PIXELS)
        labels[solid & (labels == 0)] = side
