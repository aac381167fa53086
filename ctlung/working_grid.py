"""A coarser copy of a scan for everything that is about shape, and the way back.

Topology (what is outside, which air is lung, which side) is decided at about 2 mm, where a
thorax has some ten million voxels; borders are then drawn at native resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.arrays import BoolArray, Box
from ctlung.volume import Scan


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """A block-averaged volume.

    Attributes:
        hu: float32 ``[z, y, x]``.
        spacing_mm: of ``hu``, array order.
        factors: native voxels per coarse voxel and axis.
        native_shape: shape of the native volume.
        padding: coarse voxels that hold mostly padding; ``None`` if there is none.
    """

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    factors: tuple[int, int, int]
    native_shape: tuple[int, int, int]
    padding: BoolArray | None

    @property
    def voxel_ml(self) -> float:
        """Volume of one coarse voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def voxels(self, mm: float) -> tuple[int, int, int]:
        """A length as whole voxels per axis, at least 1."""
        z, y, x = (max(1, round(mm / s)) for s in self.spacing_mm)
        return z, y, x


def working_grid(scan: Scan, target_mm: float = 2.0) -> WorkingGrid:
    """Average blocks of whole voxels so that no axis is finer than about ``target_mm``."""
    spacing = scan.geometry.spacing_mm
    fz, fy, fx = factors = tuple(block_size(s, target_mm) for s in spacing)
    hu = block_mean(scan.hu, (fz, fy, fx))
    padding = None
    if scan.outside_fov is not None and scan.outside_fov.any():
        padding = block_mean(scan.outside_fov, (fz, fy, fx)) > 0.5
    coarse = tuple(s * f for s, f in zip(spacing, factors, strict=True))
    return WorkingGrid(
        hu, (coarse[0], coarse[1], coarse[2]), (fz, fy, fx), scan.geometry.shape, padding
    )


def block_size(spacing_mm: float, target_mm: float) -> int:
    """Native voxels per working voxel of an axis."""
    return max(1, int(target_mm / spacing_mm + 0.35))


def block_mean(volume: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Mean over blocks; a block at the far edge averages what there is of it."""
    fz, fy, fx = factors
    if (fz, fy, fx) == (1, 1, 1):
        return volume.astype(np.float32)
    depth, height, width = volume.shape
    starts = [np.arange(0, n, f) for n, f in ((depth, fz), (height, fy), (width, fx))]
    out = np.empty(tuple(len(s) for s in starts), dtype=np.float32)
    counts = [
        np.diff(np.append(s, n)).astype(np.float32)
        for s, n in zip(starts, (depth, height, width), strict=True)
    ]
    per_plane = counts[1][:, None] * counts[2][None, :]
    for k, z in enumerate(starts[0]):
        slab = volume[z : z + fz].sum(axis=0, dtype=np.int32)
        rows = np.zeros((len(starts[1]), width), np.int32)
        for step in range(fy):
            some = slab[step::fy]
            rows[: len(some)] += some
        total = np.zeros(out.shape[1:], np.int32)
        for step in range(fx):
            some = rows[:, step::fx]
            total[:, : some.shape[1]] += some
        out[k] = total / (per_plane * counts[0][k])
    return out


def spread(mask: BoolArray, grid: WorkingGrid, box: Box) -> BoolArray:
    """A coarse mask on the native voxels of ``box``, its border smoothed between coarse centres."""
    factors = grid.factors
    if factors == (1, 1, 1):
        return mask[box]
    start = [max(0, b.start // f - 2) for b, f in zip(box, factors, strict=True)]
    stop = [min(n, -(-b.stop // f) + 2) for b, f, n in zip(box, factors, mask.shape, strict=True)]
    part: NDArray[Any] = mask[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    # Weights are multiples of 1 / (2 * factor): whole numbers of one byte do, and are exact.
    whole = int(np.prod([2 * f for f in factors if f > 1]))
    part = part.astype(np.uint8 if whole < 256 else np.uint32)
    # Axis by axis linear interpolation is the trilinear one and needs no coordinate volume.
    for axis, f in enumerate(factors):
        last = part.shape[axis] - 1
        place = 2 * (np.arange(box[axis].start, box[axis].stop) - start[axis] * f) + 1 - f
        low, rest = np.divmod(place, 2 * f)
        if f == 1:
            part = part.take(low, axis=axis)
            continue
        shape = [1, 1, 1]
        shape[axis] = -1
        weight = rest.astype(part.dtype).reshape(shape)
        upper = part.take(np.clip(low + 1, 0, last), axis=axis)
        upper *= weight
        part = part.take(np.clip(low, 0, last), axis=axis)
        part *= part.dtype.type(2 * f) - weight
        part += upper
    result: BoolArray = part > whole // 2
    return result


def linear(
    volume: NDArray[Any], axis: int, where: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Values between the voxel centres of one axis; ``where`` counts voxels, ends are held."""
    n = volume.shape[axis]
    where = np.clip(where, 0, n - 1)
    low = np.floor(where).astype(np.intp)
    high = np.minimum(low + 1, n - 1)
    shape = [1] * volume.ndim
    shape[axis] = -1
    w = (where - low).astype(np.float32).reshape(shape)
    out: NDArray[np.float32] = volume.take(low, axis=axis) * (1 - w)
    out += volume.take(high, axis=axis) * w
    return out
