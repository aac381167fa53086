"""Opening, closing and growing by millimetres, through exact distances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, bounding_box

Spacing = tuple[float, float, float]


def distance_outside(mask: BoolArray, spacing_mm: Spacing) -> Float32Array:
    """Distance (mm) of every voxel to the mask; 0 or less inside. Shape as ``mask``."""
    source = sitk.GetImageFromArray(mask.astype(np.uint8))
    source.SetSpacing((spacing_mm[2], spacing_mm[1], spacing_mm[0]))
    field = sitk.SignedMaurerDistanceMap(
        source, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    distance: Float32Array = sitk.GetArrayFromImage(field)
    return distance


def grow(mask: BoolArray, radius_mm: float, spacing_mm: Spacing) -> BoolArray:
    """Every voxel whose centre is within ``radius_mm`` of a voxel centre of the mask."""
    if not mask.any():
        return mask.copy()
    return _in_box(mask, radius_mm, spacing_mm, lambda m: _within(m, radius_mm, spacing_mm))


def shrink(mask: BoolArray, radius_mm: float, spacing_mm: Spacing) -> BoolArray:
    """Every voxel of the mask further than ``radius_mm`` from what is not mask."""
    return ~_within(~mask, radius_mm, spacing_mm) if (~mask).any() else mask.copy()


def close(mask: BoolArray, radius_mm: float, spacing_mm: Spacing) -> BoolArray:
    """Closing with a ball; nothing of the mask is lost, the volume's edge does not matter."""
    if not mask.any():
        return mask.copy()

    def work(part: BoolArray) -> BoolArray:
        grown = _within(part, radius_mm, spacing_mm)
        return ~_within(~grown, radius_mm, spacing_mm) | part

    return _in_box(mask, 2 * radius_mm, spacing_mm, work)


def open_(mask: BoolArray, radius_mm: float, spacing_mm: Spacing) -> BoolArray:
    """Opening with a ball."""
    if not mask.any():
        return mask.copy()

    def work(part: BoolArray) -> BoolArray:
        core = ~_within(~part, radius_mm, spacing_mm)
        if not core.any():
            return core
        return _within(core, radius_mm, spacing_mm) & part

    return _in_box(mask, 2 * radius_mm, spacing_mm, work)


def grow_faces(mask: BoolArray, steps: int = 1) -> BoolArray:
    """Grow by ``steps`` voxels over faces."""
    for _ in range(steps):
        out = mask.copy()
        for low, high in _neighbours():
            out[low] |= mask[high]
            out[high] |= mask[low]
        mask = out
    return mask


def shrink_faces(mask: BoolArray, steps: int = 1) -> BoolArray:
    """Shrink by ``steps`` voxels over faces; beyond the volume there is no mask."""
    for _ in range(steps):
        out = mask.copy()
        for axis, (low, high) in enumerate(_neighbours()):
            out[low] &= mask[high]
            out[high] &= mask[low]
            for end in (0, -1):
                out[tuple(end if a == axis else slice(None) for a in range(3))] = False
        mask = out
    return mask


def _neighbours() -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    pairs = []
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        pairs.append((tuple(low), tuple(high)))
    return pairs


def shrink_box(mask: BoolArray, size: tuple[int, int, int]) -> BoolArray:
    """Erosion with a box of ``size`` voxels; beyond the volume there is no mask."""
    out = ndimage.minimum_filter(mask.view(np.uint8), size, mode="constant", cval=0)
    return out.view(bool)


def open_box(mask: BoolArray, size: tuple[int, int, int]) -> BoolArray:
    """Opening with a box of ``size`` voxels; beyond the volume there is no mask."""
    core = shrink_box(mask, size).view(np.uint8)
    # Of an even box the middle lies beside the centre: there and back by the same half voxel.
    back = tuple(-1 if n % 2 == 0 else 0 for n in size)
    out = ndimage.maximum_filter(core, size, mode="constant", cval=0, origin=back)
    return out.view(bool)


_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def fill_small_holes(mask: BoolArray, largest: float) -> BoolArray:
    """Fill holes within each plane ``[z, :, :]`` of at most ``largest`` pixels.

    The dome of liver or spleen is a hole in an axial slice as well, and must stay one.
    """
    filled = mask.copy()
    # A hole lies within the mask's box, and never at its edge.
    box = bounding_box(mask)
    if box is None:
        return filled
    labels, _ = ndimage.label(~mask[box], structure=_IN_PLANE)
    small = np.bincount(labels.ravel()) <= largest
    small[0] = False
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        small[np.unique(edge)] = False
    filled[box] |= small[labels]
    return filled


def fill_holes(mask: BoolArray) -> BoolArray:
    """Fill what of the background no way over faces leads out of the volume from."""
    filled = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return filled
    labels, n = ndimage.label(~mask[box])
    hole = np.ones(n + 1, dtype=bool)
    hole[0] = False
    for axis in range(3):
        for end in (0, -1):
            hole[np.unique(labels.take(end, axis=axis))] = False
    filled[box] |= hole[labels]
    return filled


def _within(mask: BoolArray, radius_mm: float, spacing_mm: Spacing) -> BoolArray:
    # ITK's signed distance is 0 on the border voxels of the mask itself.
    near: BoolArray = distance_outside(mask, spacing_mm) <= radius_mm + 1e-4
    return near


def _in_box(
    mask: BoolArray,
    margin_mm: float,
    spacing_mm: Spacing,
    work: Callable[[BoolArray], BoolArray],
) -> BoolArray:
    """Run ``work`` on the mask's bounding box, padded so that the edge of the volume is far."""
    pad = tuple(int(np.ceil(margin_mm / s)) + 1 for s in spacing_mm)
    box = bounding_box(mask)
    if box is None:
        return mask.copy()
    part = np.pad(mask[box], [(p, p) for p in pad])
    done = work(part)
    out = np.zeros(mask.shape, dtype=bool)
    inner = []
    target = []
    for b, p, n in zip(box, pad, mask.shape, strict=True):
        start, stop = max(0, b.start - p), min(n, b.stop + p)
        target.append(slice(start, stop))
        inner.append(slice(start - b.start + p, stop - b.start + p))
    out[tuple(target)] = done[tuple(inner)]
    return out
