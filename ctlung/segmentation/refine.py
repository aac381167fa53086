"""From a coarse label map to native voxels: the air-tissue edge decides in a thin band."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, HUArray, LabelArray, bounding_box
from ctlung.morphology import fill_small_holes
from ctlung.volume import Scan
from ctlung.working_grid import WorkingGrid, dilate, spread

SMOOTH_MM = 1.5
BORDER_HU = -350
"""Where the lung's outer border is drawn. Half way between lung and soft tissue is -400, which
gives a phantom its true volume; drawn lungs lie a little outside of it, and on the hand-drawn
lungs that may be trained on -280 gives their volume (``scripts/benchmark_border.py``). This lies
between the two: some 2 % below what readers draw and above what the phantom holds."""
HOLE_PIXELS = 60


def refine(
    scan: Scan,
    grid: WorkingGrid,
    coarse: LabelArray,
    added: BoolArray,
    excluded: BoolArray,
    air_hu: float,
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
    part[_half_filled(part > 0, hu)] = 0
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
        inner = spread(ndimage.binary_erosion(mask), grid, box)
        outer = spread(dilate(mask, 1), grid, box) & ~solids[1 - index]
        air = hu < air_hu
        lung = inner | (outer & air) | (solids[index] & shape_decides)
        if never is not None:
            lung &= ~never | inner
        part[lung & (part == 0)] = side
    _smooth_border(part, round(SMOOTH_MM * grid.factors[2] / grid.spacing_mm[2]) or 1)


def _half_filled(lung: BoolArray, hu: HUArray) -> BoolArray:
    """Voxels of the outermost layer that hold more wall than lung.

    Dense lung is kept: only one layer is asked, and only where it meets what is not lung.
    """
    surface = lung & _grow_faces(~lung)
    half: BoolArray = surface & (hu >= BORDER_HU)
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
            mask = _grow_faces(mask)
        for _ in range(steps):
            mask = ~_grow_faces(~mask)
        inner = tuple(slice(steps, -steps) for _ in range(3))
        labels[mask[inner] & (labels == 0)] = side
        solid = fill_small_holes(labels == side, HOLE_PIXELS)
        labels[solid & (labels == 0)] = side


def _grow_faces(mask: BoolArray) -> BoolArray:
    out = mask.copy()
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        out[tuple(low)] |= mask[tuple(high)]
        out[tuple(high)] |= mask[tuple(low)]
    return out
