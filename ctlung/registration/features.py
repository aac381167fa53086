"""What the engine aligns: each lung by itself, lesions taken out, on grids of whole millimetres.

Vessels and the lungs' surface lead. Breathing changes density and pneumonia comes and goes, so
the CT number itself is no feature: the deviation from the local mean in units of the local
spread is, counted over healthy lung only, beside the smoothed outline of the lung.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctlung.alignment import PatientGrid
from ctlung.arrays import BoolArray, Float32Array

MARGIN_MM = 14.0
LOCAL_MM = 7.0
"""SD of the window in which mean and spread are taken."""
SPREAD_FLOOR_HU = 25.0
LEAST_HU, MOST_HU = -1000.0, -150.0
LESION_MARGIN_MM = 4.0
OUTLINE_MM = 4.0


@dataclass(frozen=True, eq=False)
class LungImage:
    """One lung of one scan on a grid along the patient's axes.

    Attributes:
        grid: isotropic.
        detail: local deviation, 0 outside healthy lung, float32 ``[z, y, x]``.
        outline: share of lung, smoothed, 0 to 1.
        trust: how much ``detail`` counts, 0 to 1.
        lung: where the lung is.
    """

    grid: PatientGrid
    detail: Float32Array
    outline: Float32Array
    trust: Float32Array
    lung: BoolArray


def lung_image(
    hu: Float32Array, lung: Float32Array, lesion: Float32Array, grid: PatientGrid
) -> LungImage:
    """Features of one lung.

    Args:
        hu: on ``grid``.
        lung: share of lung in each voxel.
        lesion: share of lesion in each voxel.
        grid: of all.
    """
    h = grid.spacing_mm
    inside = lung >= 0.5
    near = ndimage.binary_dilation(lesion > 0.1, iterations=max(1, round(LESION_MARGIN_MM / h)))
    healthy = (inside & ~near).astype(np.float32)
    value = np.clip(hu, LEAST_HU, MOST_HU)
    sigma = LOCAL_MM / h

    def local(a: Float32Array) -> Float32Array:
        found: Float32Array = ndimage.gaussian_filter(a, sigma, mode="constant", truncate=2.5)
        return found

    count = np.maximum(local(healthy), np.float32(1e-3))
    mean = local(healthy * value) / count
    square = local(healthy * value * value) / count
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0)) + np.float32(SPREAD_FLOOR_HU)
    detail = np.clip((value - mean) / spread, -3.0, 3.0) * healthy
    outline = ndimage.gaussian_filter(lung, OUTLINE_MM / h, mode="nearest", truncate=2.5)
    return LungImage(
        grid,
        detail.astype(np.float32),
        outline.astype(np.float32),
        healthy,
        inside,
    )
