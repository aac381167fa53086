"""Between a scan's grid and the cubic voxels that a network sees. No torch here.

Network voxel ``i`` of an axis is centred at ``(i + 0.5) * voxel_mm`` from the volume's edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.arrays import Float32Array, bounding_box
from ctlung.working_grid import WorkingGrid, linear

NEGLIGIBLE = 0.01
Spacing = tuple[float, float, float]


def network_shape(
    shape: tuple[int, ...], spacing_mm: Spacing, voxel_mm: float
) -> tuple[int, int, int]:
    """Voxels per axis of the network's grid over a volume; the last may reach over its edge."""
    z, y, x = (
        max(1, int(np.ceil(n * s / voxel_mm - 1e-6)))
        for n, s in zip(shape, spacing_mm, strict=True)
    )
    return z, y, x


def to_network_grid(volume: NDArray[Any], spacing_mm: Spacing, voxel_mm: float) -> Float32Array:
    """A volume on the network's grid, linear between voxel centres, the end values beyond.

    Args:
        volume: ``[z, y, x]``, any real type; not much finer than ``voxel_mm``.
        spacing_mm: of ``volume``, array order.
        voxel_mm: edge of the network's cubic voxels.
    """
    shape = network_shape(volume.shape, spacing_mm, voxel_mm)
    out: NDArray[Any] = volume
    for axis in np.argsort([n / m for n, m in zip(shape, volume.shape, strict=True)]):
        centres = (np.arange(shape[axis]) + 0.5) * voxel_mm / spacing_mm[axis] - 0.5
        out = linear(out, axis, centres)
    return np.asarray(out, dtype=np.float32)


def from_network_grid(volume: Float32Array, voxel_mm: float, grid: WorkingGrid) -> Float32Array:
    """Values of the network's grid at the voxel centres of a working grid, linear between.

    0 outside the box of what is not ``NEGLIGIBLE``.
    """
    out = np.zeros(grid.hu.shape, np.float32)
    seen = bounding_box(volume > NEGLIGIBLE, (1, 1, 1))
    if seen is None:
        return out
    part, box = volume[seen], []
    for axis in range(3):
        centres = (np.arange(grid.hu.shape[axis]) + 0.5) * grid.spacing_mm[axis] / voxel_mm - 0.5
        centres -= seen[axis].start
        # At the volume's edge its end values hold on to the edge itself.
        low = 0.0 if seen[axis].start else -1.0
        high = part.shape[axis] - (1.0 if seen[axis].stop < volume.shape[axis] else 0.0)
        within = np.flatnonzero((centres >= low) & (centres <= high))
        if len(within) == 0:
            return out
        box.append(slice(within[0], within[-1] + 1))
        part = linear(part, axis, centres[within])
    out[tuple(box)] = part
    return out
