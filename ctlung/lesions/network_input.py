"""What the lesion network sees of one lung. No torch here."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array

VOXEL_MM = 2.0
WIDE_HU = (-1024.0, 100.0)
SOFT_HU = (-200.0, 250.0)
ABOVE_PEAK_HU = (-100.0, 300.0)
"""The third window is counted from the patient's own aerated lung, so that breath, kernel and
scanner move it less."""

N_CHANNELS = 4
PEAK_RANGE_HU = (-980, -500)
PEAK_BIN_HU = 5
PEAK_SMOOTH_BINS = 3.0
DEFAULT_PEAK_HU = -850.0
PEAK_MIN_VOXELS = 500


def aerated_peak(hu: Float32Array, lungs: BoolArray) -> float:
    """The commonest CT number of aerated lung (HU): the peak of the smoothed histogram.

    -850 where hardly any lung is aerated. Both arrays ``[z, y, x]``.
    """
    low, high = PEAK_RANGE_HU
    counts, edges = np.histogram(hu[lungs], bins=(high - low) // PEAK_BIN_HU, range=(low, high))
    if counts.sum() < PEAK_MIN_VOXELS:
        return DEFAULT_PEAK_HU
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), PEAK_SMOOTH_BINS)
    return float(edges[int(smooth.argmax())] + PEAK_BIN_HU / 2)


def channels(hu: Float32Array, lung: BoolArray, peak_hu: float) -> Float32Array:
    """The network's input ``[4, z, y, x]``, each from -1 to 1: three windows, and this lung.

    Args:
        hu: at ``VOXEL_MM``.
        lung: one lung, right or left.
        peak_hu: see :func:`aerated_peak`; of both lungs together.
    """
    out = np.empty((N_CHANNELS, *hu.shape), dtype=np.float32)
    above = (ABOVE_PEAK_HU[0] + peak_hu, ABOVE_PEAK_HU[1] + peak_hu)
    for n, (low, high) in enumerate((WIDE_HU, SOFT_HU, above)):
        np.clip(hu, low, high, out=out[n])
        out[n] -= np.float32((low + high) / 2)
        out[n] /= np.float32((high - low) / 2)
    out[3] = np.where(lung, np.float32(1), np.float32(-1))
    return out
