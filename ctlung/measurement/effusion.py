"""Is there fluid beside the lung? A suspicion, for a notice; nothing is measured from it.

Pleural fluid measures 0 to 25 HU, is even, lies lowest, and has neither vessels nor bronchi
(FIELD 4.1). Muscle, liver and unenhanced blood are denser, and fat is emptier; what is even and
in between, next to the lung and along the ribs on the side that lies lowest, is suspected.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, LabelArray, bounding_box
from ctlung.morphology import Spacing
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.volume import LabelMap, Scan
from ctlung.working_grid import block_mean, working_grid

COARSE_MM = 3.0
FLUID_HU = (-5.0, 28.0)
MOST_UNEVEN_HU = 16.0
BONE_HU = 160.0
RIB_GAP_MM = 16.0
TO_RIBS_MM = 26.0
BEYOND_RIBS_MM = 45.0
TO_LUNG_MM = 40.0
LEAST_PIECE_ML = 5.0
MARGIN_MM = 30.0
DEPENDENT_SHARE = 0.5
"""Of the chest's depth: fluid lies in the half that is lower."""
_LOWEST = {"S": (1, 1), "P": (1, -1), "DR": (2, -1), "DL": (2, 1)}
"""Axis and direction that lie lowest, by DICOM's patient position without its first two letters."""


def effusion_notices(scan: Scan, lungs: LabelMap, settings: Settings) -> tuple[Notice, ...]:
    """Notice ``effusion`` where more than ``settings.effusion_warn_ml`` of fluid are suspected.

    Args:
        scan: the scan; an unknown position is taken for supine.
        lungs: 1 right, 2 left. Fluid counts inside them too: a mask may have taken it in.
        settings: the limit.

    Source: FIELD 4.1, 5. Trap: contrast agent, old blood and pus are denser and are not seen;
    homogeneous collapsed lung of the same density is.
    """
    if scan.hu.shape[0] < settings.min_lung_slices:
        return ()
    found = suspected_ml(scan, lungs)
    if sum(found) <= settings.effusion_warn_ml:
        return ()
    parts = " and ".join(
        f"{ml:.0f} ml on the {side}"
        for ml, side in zip(found, ("right", "left"), strict=True)
        if ml > settings.effusion_warn_ml / 5
    )
    return (
        Notice(
            "effusion",
            "warn",
            f"Pleural fluid is suspected, some {parts}: it cannot be told from airless lung with "
            "certainty, and may be missing from the lungs or counted as consolidation. Look at "
            "overlay.png.",
            measured=float(sum(found)),
            limit=settings.effusion_warn_ml,
            unit="ml",
            affects=("lesions", "volumes"),
        ),
    )


def suspected_ml(scan: Scan, lungs: LabelMap) -> tuple[float, float]:
    """Suspected fluid beside the right and the left lung, ml."""
    grid = working_grid(scan, COARSE_MM)
    sides = [block_mean(lungs.labels == side, grid.factors) > 0.5 for side in (1, 2)]
    box = bounding_box(sides[0] | sides[1], (0, *grid.voxels(MARGIN_MM)[1:]))
    if box is None:
        return 0.0, 0.0
    hu, spacing = grid.hu[box], grid.spacing_mm
    both = (sides[0] | sides[1])[box]
    axis, way = _LOWEST.get((scan.acquisition.patient_position or "")[2:].upper(), _LOWEST["S"])
    fluid = _even_fluid(hu) & _low(both, axis, way) & _reach(both, TO_LUNG_MM, spacing)
    fluid &= _inside_ribs(hu, axis, way, spacing)
    fluid = _pieces(ndimage.binary_dilation(fluid) & _about_fluid(hu), grid.voxel_ml)
    middle = float(np.mean([np.flatnonzero(s.any(axis=(0, 1))).mean() for s in sides if s.any()]))
    right = round(middle) - box[2].start
    return (
        float(fluid[:, :, :right].sum()) * grid.voxel_ml,
        float(fluid[:, :, right:].sum()) * grid.voxel_ml,
    )


def _inside_ribs(hu: Float32Array, axis: int, way: int, spacing: Spacing) -> BoolArray:
    """Where ribs lie a little lower, and none a little higher: muscle lies beyond them."""
    bone = (hu > BONE_HU).astype(np.uint8)
    for other in range(3):
        if other != axis:
            bone = ndimage.maximum_filter1d(bone, _odd(RIB_GAP_MM / spacing[other]), axis=other)
    lower = _beside(bone, axis, way * round(TO_RIBS_MM / spacing[axis]))
    higher = _beside(bone, axis, -way * round(BEYOND_RIBS_MM / spacing[axis]))
    return lower & ~higher


def _beside(mask: LabelArray, axis: int, reach: int) -> BoolArray:
    """Whether there is any of the mask within ``reach`` voxels along an axis, by its sign."""
    n = abs(reach)
    # A window of n voxels, moved so that it begins at the voxel itself.
    shift = -(n // 2) if reach > 0 else (n - 1) // 2
    found = ndimage.maximum_filter1d(mask, n, axis=axis, origin=shift, mode="constant")
    return np.asarray(found > 0)


def _reach(mask: BoolArray, mm: float, spacing: Spacing) -> BoolArray:
    """Within about ``mm`` of the mask, along each axis."""
    out = mask.astype(np.uint8)
    for axis, step in enumerate(spacing):
        out = ndimage.maximum_filter1d(out, _odd(2 * mm / step), axis=axis)
    return np.asarray(out > 0)


def _odd(voxels: float) -> int:
    return 2 * round(voxels / 2) + 1


def _pieces(mask: BoolArray, voxel_ml: float) -> BoolArray:
    labels, n = ndimage.label(mask)
    keep = np.bincount(labels.ravel(), minlength=n + 1) * voxel_ml >= LEAST_PIECE_ML
    keep[0] = False
    return np.asarray(keep[labels])


def _about_fluid(hu: Float32Array) -> BoolArray:
    """Even fluid was asked of a block's neighbours; the edge that was lost with that."""
    return (hu > FLUID_HU[0] - 20) & (hu < FLUID_HU[1] + 10)


def _even_fluid(hu: Float32Array) -> BoolArray:
    """Blocks whose surroundings are fluid on average and hardly vary."""
    mean = ndimage.uniform_filter(hu, 3)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(hu * hu, 3) - mean * mean, 0))
    fluid: BoolArray = (mean > FLUID_HU[0]) & (mean < FLUID_HU[1]) & (spread < MOST_UNEVEN_HU)
    return fluid


def _low(lungs: BoolArray, axis: int, way: int) -> BoolArray:
    """The half of the chest that lies lower."""
    seen = np.flatnonzero(lungs.any(axis=tuple(a for a in range(3) if a != axis)))
    first, last = int(seen[0]), int(seen[-1])
    share = (np.arange(lungs.shape[axis]) - first) / max(1, last - first)
    if way < 0:
        share = 1 - share
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.broadcast_to((share > DEPENDENT_SHARE).reshape(shape), lungs.shape)
