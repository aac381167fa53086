"""Which air is lung, and which lung is right and which is left."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ctlung.arrays import BoolArray, FloatArray, LabelArray
from ctlung.morphology import Spacing, grow, shrink, shrink_box
from ctlung.working_grid import WorkingGrid

MIN_LUNG_ML = 40.0
MIN_LUNG_CM2 = 3.0
SHALLOW_SLICES = 5
MIN_CUT_ML = 300.0
RIM_MM = 3.0
MIN_DEEP_VOXELS = 30
GAS_MEDIAN_HU = -968.0
GAS_MEDIAN_SHALLOW_HU = -940.0
DARKER_THAN_LUNG_HU = 80.0

BOWEL_GAS_HU = -930.0
BOWEL_HEIGHT = 0.5
MIN_BOWEL_ML = 3.0
WALL_HU = -350.0
MIN_WALLED_SHARE = 0.6


def lung_parts(grid: WorkingGrid, air: BoolArray) -> list[tuple[float, BoolArray]]:
    """Connected air that is lung by size and density, largest first, with its volume (ml).

    Bowel gas and room air under the arms are darker than lung once their rim, half tissue, is
    taken off; what is much darker than the largest lung is not lung.
    """
    labels, n = ndimage.label(air)
    if n == 0:
        return []
    counts = np.bincount(labels.ravel(), minlength=n + 1)
    deep = shrink_box(air, _box_of(grid, RIM_MM))
    darkest = GAS_MEDIAN_SHALLOW_HU if is_shallow(grid) else GAS_MEDIAN_HU
    parts: list[tuple[float, BoolArray]] = []
    least = MIN_LUNG_ML
    if is_shallow(grid):
        least = MIN_LUNG_CM2 * air.shape[0] * grid.spacing_mm[0] / 10.0
    for i in np.argsort(-counts[1:], kind="stable") + 1:
        ml = float(counts[i]) * grid.voxel_ml
        if ml < least:
            break
        part = labels == i
        inner = grid.hu[part & deep]
        if len(inner) < MIN_DEEP_VOXELS:
            continue
        median = float(np.median(inner))
        if median < darkest:
            continue
        if not parts:
            darkest = max(darkest, median - DARKER_THAN_LUNG_HU)
        parts.append((ml, part))
    return parts


def is_shallow(grid: WorkingGrid) -> bool:
    """A few slices only: sizes are judged by area, and nothing is asked of the neighbours."""
    return bool(grid.hu.shape[0] < SHALLOW_SLICES)


def _box_of(grid: WorkingGrid, mm: float) -> tuple[int, int, int]:
    z, y, x = (2 * v + 1 for v in grid.voxels(mm))
    return 1 if is_shallow(grid) else z, y, x


def without_bowel_gas(grid: WorkingGrid, air: BoolArray) -> BoolArray:
    """Take out gas under the diaphragm that partial volume has joined to the lung.

    Gas there is darker than the lung and walled in by tissue; a bulla is walled in by lung.
    """
    lung_median = float(np.median(grid.hu[air])) if air.any() else -850.0
    limit = max(-985.0, min(BOWEL_GAS_HU, lung_median - 60.0))
    labels, n = ndimage.label((grid.hu < limit) & air)
    if n == 0:
        return air
    heights = np.flatnonzero(air.any(axis=(1, 2)))
    ceiling = heights[0] + BOWEL_HEIGHT * (heights[-1] - heights[0])
    counts = np.bincount(labels.ravel(), minlength=n + 1)
    out = air.copy()
    for i, where in enumerate(ndimage.find_objects(labels), start=1):
        if where is None or counts[i] * grid.voxel_ml < MIN_BOWEL_ML:
            continue
        if (where[0].start + where[0].stop) / 2 > ceiling:
            continue
        pads = grid.voxels(10.0)
        wide = tuple(
            slice(max(0, w.start - p), min(m, w.stop + p))
            for w, p, m in zip(where, pads, air.shape, strict=True)
        )
        gas = labels[wide] == i
        near = grow(gas, 5.0, grid.spacing_mm)
        shell = grow(near, 3.0, grid.spacing_mm) & ~near
        walled = float((grid.hu[wide][shell] > WALL_HU).mean()) if shell.any() else 0.0
        if walled > MIN_WALLED_SHARE:
            out[wide] &= ~near
    return out


def split_sides(
    grid: WorkingGrid, parts: list[tuple[float, BoolArray]], middle_mm: float
) -> tuple[LabelArray, bool]:
    """Label right (1) and left (2) lung; the flag says that they touched and had to be cut.

    ``middle_mm`` is the x of the patient's middle from the first column.
    """
    out = np.zeros(grid.hu.shape, dtype=np.uint8)
    cut = False
    for _, part in parts:
        x = _columns_mm(grid)
        weights = part.sum(axis=(0, 1)).astype(np.float64)
        right = float(weights[x < middle_mm].sum() / weights.sum())
        large = is_shallow(grid) or weights.sum() * grid.voxel_ml > MIN_CUT_ML
        if 0.12 < right < 0.88 and large:
            labels = _cut(part, grid.spacing_mm, middle_mm)
            out[part] = labels[part]
            cut = True
        else:
            centre = float((weights * x).sum() / weights.sum())
            out[part] = 1 if centre < middle_mm else 2
    return out, cut


def _columns_mm(grid: WorkingGrid) -> FloatArray:
    return np.arange(grid.hu.shape[2], dtype=np.float64) * grid.spacing_mm[2]


def _cut(part: BoolArray, spacing_mm: Spacing, middle_mm: float) -> LabelArray:
    """Cut one connected air space where it is thinnest between the two sides."""
    for radius in (2.0, 3.5, 5.0, 7.0, 10.0, 14.0):
        core = shrink(part, radius, spacing_mm)
        labels, n = ndimage.label(core)
        if n < 2:
            continue
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        sizes[0] = 0
        x = np.arange(part.shape[2]) * spacing_mm[2]
        markers = np.zeros(part.shape, dtype=np.uint8)
        found: dict[int, int] = {1: 0, 2: 0}
        for i in np.argsort(-sizes, kind="stable")[: min(n, 12)]:
            if sizes[i] < 0.02 * part.sum():
                break
            weights = (labels == i).sum(axis=(0, 1))
            right = float(weights[x < middle_mm].sum() / weights.sum())
            if 0.12 < right < 0.88:
                found = {1: 0, 2: 0}
                break
            side = 1 if right >= 0.5 else 2
            markers[labels == i] = side
            found[side] += int(sizes[i])
        if min(found.values()) > 0.1 * max(found.values()):
            return _flood(part, markers, spacing_mm)
    sides = np.where(np.arange(part.shape[2]) * spacing_mm[2] < middle_mm, 1, 2).astype(np.uint8)
    return np.where(part, sides[None, None, :], 0).astype(np.uint8)


def _flood(part: BoolArray, markers: LabelArray, spacing_mm: Spacing) -> LabelArray:
    distance = sitk.SignedMaurerDistanceMap(
        _image(part.astype(np.uint8), spacing_mm),
        insideIsPositive=False,
        squaredDistance=False,
        useImageSpacing=True,
    )
    flooded = sitk.MorphologicalWatershedFromMarkers(
        distance, _image(markers, spacing_mm), markWatershedLine=False, fullyConnected=False
    )
    labels: LabelArray = sitk.GetArrayFromImage(flooded).astype(np.uint8)
    labels[~part] = 0
    return labels


def _image(array: LabelArray, spacing_mm: Spacing) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing((spacing_mm[2], spacing_mm[1], spacing_mm[0]))
    return made
