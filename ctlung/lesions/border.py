"""The border of lesions at native resolution."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, Float32Array, LabelArray, bounding_box
from ctlung.morphology import distance_outside
from ctlung.settings import Settings
from ctlung.volume import LabelMap, Scan
from ctlung.working_grid import WorkingGrid, spread

SMOOTH_MM = 0.7
WINDOW_MM = 2.0
MARGIN_MM = 6.0


def lesion_labels(
    scan: Scan,
    lungs: LabelMap,
    grid: WorkingGrid,
    small: Box,
    where: BoolArray,
    settings: Settings,
    out: LabelArray,
    dense: BoolArray | None = None,
) -> None:
    """Write labels 1 and 2 into ``out`` (native ``[z, y, x]``), part by part.

    ``where`` lies on ``grid`` cut to ``small``. Each connected part is worked in its own box.
    ``dense``, on the same voxels, says what of it is consolidation; without it density does.
    Whoever knows that knows lesions by their looks: ``where`` is then taken as it is, while
    otherwise lesion may reach a coarse voxel further and does not line the lung's surface.
    """
    parts, _ = ndimage.label(where, structure=np.ones((3, 3, 3)))
    pads = grid.voxels(MARGIN_MM)
    for number, found in enumerate(ndimage.find_objects(parts), start=1):
        coarse = np.zeros(grid.hu.shape, dtype=bool)
        coarse[small][found] = parts[found] == number
        box = bounding_box(coarse, pads)
        if box is None:
            continue
        native = _native(box, grid)
        reached = coarse[box] if dense is not None else ndimage.binary_dilation(coarse[box])
        near = spread(reached, _cut(grid, box), _shift(native, box, grid))
        solid = None
        if dense is not None:
            whole = np.zeros(grid.hu.shape, dtype=bool)
            whole[small] = dense
            solid = spread(whole[box], _cut(grid, box), _shift(native, box, grid))
        _draw(scan, lungs, near, native, settings, out, solid)


def _draw(
    scan: Scan,
    lungs: LabelMap,
    near: BoolArray,
    native: Box,
    settings: Settings,
    out: LabelArray,
    solid: BoolArray | None,
) -> None:
    spacing = scan.geometry.spacing_mm
    inside = lungs.labels[native] > 0
    if scan.outside_fov is not None:
        inside &= ~scan.outside_fov[native]
    hu = _smooth(scan.hu[native], spacing)
    lesion = near & inside & (hu >= settings.ground_glass_lower_hu)
    lesion &= _above_half_way(hu, inside, spacing, settings)
    if solid is None:
        lesion = _without_rim(lesion, inside, spacing, settings)
    lesion = _without_specks(lesion, scan, settings)
    target = out[native]
    fresh = lesion & (target == 0)
    target[fresh] = 1
    target[fresh & (hu >= settings.consolidation_lower_hu if solid is None else solid)] = 2


def _smooth(hu: np.ndarray, spacing: tuple[float, float, float]) -> Float32Array:
    sigma = [SMOOTH_MM / s if s < 2 * SMOOTH_MM else 0.0 for s in spacing]
    smooth: Float32Array = ndimage.gaussian_filter(hu.astype(np.float32), sigma, truncate=2.5)
    return smooth


def _above_half_way(
    hu: Float32Array,
    inside: BoolArray,
    spacing: tuple[float, float, float],
    settings: Settings,
) -> BoolArray:
    """Where aerated lung is near, at least half way from it to the lesion near.

    This is the half-maximum border of a blurred edge; both sides are means over the window, so
    that neither noise nor a vessel beside the edge moves it. Inside an opacity, with no aerated
    lung within reach, every voxel counts.
    """
    size = [2 * max(1, round(WINDOW_MM / s)) + 1 if s <= 2 * WINDOW_MM else 1 for s in spacing]
    dense = inside & (hu >= settings.ground_glass_lower_hu)
    aerated = inside & ~dense
    lesion, some = _mean_over(hu, dense, size)
    lung, near = _mean_over(hu, aerated, size)
    # Beside an edge the windows hold half-filled voxels; the plateau is in the next window.
    lesion = ndimage.maximum_filter(np.where(some, lesion, np.float32(-1024.0)), size=size)
    lung = ndimage.minimum_filter(np.where(near, lung, np.float32(0.0)), size=size)
    above: BoolArray = ~near | (hu >= (lung + lesion) * np.float32(0.5))
    return above


def _mean_over(
    hu: Float32Array, mask: BoolArray, size: list[int]
) -> tuple[Float32Array, BoolArray]:
    """Mean of ``hu`` over the window's voxels of ``mask``, and where there are any."""
    share = ndimage.uniform_filter(mask.astype(np.float32), size=size, mode="constant")
    total = ndimage.uniform_filter(np.where(mask, hu, np.float32(0.0)), size=size, mode="constant")
    some: BoolArray = share > 0.5 / float(np.prod(size))
    mean: Float32Array = np.divide(total, share, out=np.zeros_like(total), where=some)
    return mean, some


def _without_rim(
    lesion: BoolArray, inside: BoolArray, spacing: tuple[float, float, float], settings: Settings
) -> BoolArray:
    """Take off what lies within the rim unless deeper lesion is right beside it (FIELD 4.5)."""
    rim_mm = max(min(spacing), settings.rim_mm)
    depth = -distance_outside(inside, spacing)
    # Distances run between voxel centres: the outermost voxel has depth 0.
    deep = lesion & (depth >= rim_mm)
    if not deep.any():
        return deep
    reach = distance_outside(deep, spacing) <= 1.5 * rim_mm + max(spacing[1:]) / 2
    return lesion & (deep | reach)


def _without_specks(lesion: BoolArray, scan: Scan, settings: Settings) -> BoolArray:
    labels, n = ndimage.label(lesion)
    if n == 0:
        return lesion
    voxel_ml = float(np.median(scan.geometry.voxel_volumes_ml))
    single = scan.geometry.shape[0] == 1
    least = settings.min_voxels_null if single else settings.lesion_min_component_ml / voxel_ml
    keep = np.bincount(labels.ravel(), minlength=n + 1) >= least
    keep[0] = False
    kept: BoolArray = keep[labels]
    return kept


def _native(box: Box, grid: WorkingGrid) -> Box:
    z, y, x = (
        slice(b.start * f, min(b.stop * f, n))
        for b, f, n in zip(box, grid.factors, grid.native_shape, strict=True)
    )
    return z, y, x


def _cut(grid: WorkingGrid, box: Box) -> WorkingGrid:
    return WorkingGrid(grid.hu[box], grid.spacing_mm, grid.factors, grid.native_shape, None)


def _shift(native: Box, box: Box, grid: WorkingGrid) -> Box:
    z, y, x = (
        slice(n.start - b.start * f, n.stop - b.start * f)
        for n, b, f in zip(native, box, grid.factors, strict=True)
    )
    return z, y, x
