"""What the lung network sees. No torch here."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import Float32Array

WIDE_HU = (-1024.0, 400.0)
SOFT_HU = (-200.0, 250.0)
"""The two windows that the network sees: everything, and soft tissue against soft tissue."""

N_CHANNELS = 2


def channels(hu: Float32Array) -> Float32Array:
    """The network's input ``[2, z, y, x]``: each window mapped onto -1 to 1."""
    out = np.empty((N_CHANNELS, *hu.shape), dtype=np.float32)
    for n, (low, high) in enumerate((WIDE_HU, SOFT_HU)):
        np.clip(hu, low, high, out=out[n])
        out[n] -= np.float32((low + high) / 2)
        out[n] /= np.float32((high - low) / 2)
    return out
