"""Vessels: bright tubes, found by the eigenvalues of the Hessian on the working grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, IntArray

Spacing = tuple[float, float, float]

SCALES_MM = (1.5, 2.5, 4.0)
MIN_STRENGTH_HU = 90.0
MAX_FLATNESS = 0.45
MAX_SHEET = 0.35
CEILING_HU = 150.0
FLOOR_HU = -1000.0


def bright_tubes(hu: Float32Array, spacing_mm: Spacing, where: BoolArray) -> BoolArray:
    """Voxels of ``where`` that lie in a bright tube of about 2 to 8 mm radius.

    A tube bends down across two directions about equally and hardly along the third
    (after Frangi 1998; a blob bends in all three, a sheet in one). The strength
    ``sigma^2 * |second eigenvalue|`` is in HU and does not depend on the voxel size.
    Everything is read at the voxels of ``where`` only; shapes are ``[z, y, x]``.
    """
    found = np.zeros(hu.shape, dtype=bool)
    index = np.nonzero(where)
    if len(index[0]) == 0:
        return found
    # Bone, contrast and metal next to the lung would drown the vessels.
    clipped = np.clip(hu, FLOOR_HU, CEILING_HU)
    tube = np.zeros(len(index[0]), dtype=bool)
    for scale in SCALES_MM:
        if scale < 0.7 * min(spacing_mm):
            continue
        low, mid, high = _eigenvalues(_hessian_at(clipped, spacing_mm, scale, index))
        if hu.shape[0] == 1:
            tube |= _ridge(low, high, scale)
            continue
        across = np.sqrt(np.abs(low * mid))
        strength = -mid * scale**2
        tube |= (
            (strength > MIN_STRENGTH_HU)
            & (np.abs(mid) > MAX_SHEET * np.abs(low))
            & (np.abs(high) < MAX_FLATNESS * across)
        )
    found[index] = tube
    return found


def _ridge(low: Float32Array, high: Float32Array, scale_mm: float) -> BoolArray:
    """In a single slice a vessel is a dot (no direction to tell it by) or a bright line."""
    line: BoolArray = (-low * scale_mm**2 > MIN_STRENGTH_HU) & (high > MAX_FLATNESS * low)
    return line


def _hessian_at(
    hu: Float32Array, spacing_mm: Spacing, scale_mm: float, index: tuple[IntArray, ...]
) -> tuple[Float32Array, ...]:
    """Second derivatives (HU/mm^2) zz, yy, xx, zy, zx, yx at the given voxels."""
    sigma = [scale_mm / s for s in spacing_mm]
    parts = []
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        order = [0, 0, 0]
        order[a] += 1
        order[b] += 1
        field = ndimage.gaussian_filter(hu, sigma, order=order, mode="nearest", truncate=3.0)
        parts.append(field[index] / np.float32(spacing_mm[a] * spacing_mm[b]))
    return tuple(parts)


def _eigenvalues(
    h: tuple[Float32Array, ...],
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Ascending eigenvalues of symmetric 3 x 3 matrices, given as zz, yy, xx, zy, zx, yx."""
    matrix = np.empty((len(h[0]), 3, 3), dtype=np.float32)
    for value, (a, b) in zip(h, ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), strict=True):
        matrix[:, a, b] = value
        matrix[:, b, a] = value
    values = np.linalg.eigvalsh(matrix)
    return values[:, 0], values[:, 1], values[:, 2]
