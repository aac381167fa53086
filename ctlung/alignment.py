"""Where each point of one scan's lungs lies in the other scan, lung by lung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, FloatArray, bounding_box
from ctlung.change_records import Quality
from ctlung.geometry import Geometry
from ctlung.working_grid import block_mean, block_size


@dataclass(frozen=True)
class PatientGrid:
    """An isotropic grid along the patient's axes.

    Attributes:
        origin_mm: LPS mm of the first voxel's centre, (x, y, z).
        spacing_mm: of all axes.
        shape: voxels ``[z, y, x]``.
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: float
    shape: tuple[int, int, int]

    def points(self) -> Float32Array:
        """LPS mm (x, y, z) of all centres, float32 ``[3, z, y, x]``."""
        axes = [
            self.origin_mm[2 - a] + self.spacing_mm * np.arange(n) for a, n in enumerate(self.shape)
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        return np.stack([x, y, z]).astype(np.float32)

    def index(self, points: NDArray[np.floating]) -> Float32Array:
        """Array indices (z, y, x) of LPS points ``[3, ...]``, in steps of 1/4096 voxel.

        So a point that stays where it is reads exactly what is there.
        """
        parts = [(points[2 - a] - self.origin_mm[2 - a]) / self.spacing_mm for a in range(3)]
        return (np.rint(np.stack(parts) * 4096.0) / 4096.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Field:
    """A map of points: ``p + displacement(p)``, linear between the grid's centres.

    Attributes:
        grid: where the displacement is known; beyond it the nearest one is held.
        displacement_mm: float32 ``[3, z, y, x]``, (x, y, z) in LPS mm.
    """

    grid: PatientGrid
    displacement_mm: Float32Array

    def __call__(self, points: NDArray[np.floating]) -> Float32Array:
        """Where LPS points ``[3, ...]`` go."""
        index = self.grid.index(points)
        moved = [
            ndimage.map_coordinates(part, index, order=1, mode="nearest", output=np.float32)
            for part in self.displacement_mm
        ]
        found: Float32Array = (points + np.stack(moved)).astype(np.float32)
        return found

    def read(self, volume: Float32Array, points: NDArray[np.floating]) -> Float32Array:
        """Values of a volume on this grid at LPS points ``[3, ...]``."""
        found: Float32Array = ndimage.map_coordinates(
            volume, self.grid.index(points), order=1, mode="nearest", output=np.float32
        )
        return found

    def jacobian(self) -> Float32Array:
        """Volume after per volume before at each centre, ``[z, y, x]``."""
        h = self.grid.spacing_mm
        rows = []
        for c in range(3):
            slopes = [np.gradient(self.displacement_mm[c], h, axis=2 - a) for a in range(3)]
            slopes[c] = slopes[c] + 1.0
            rows.append(slopes)
        (a, b, c), (d, e, f), (g, i, j) = rows
        determinant = a * (e * j - f * i) - b * (d * j - f * g) + c * (d * i - e * g)
        found: Float32Array = np.asarray(determinant, np.float32)
        return found


def index_of(geometry: Geometry, points: NDArray[np.floating]) -> FloatArray:
    """Array indices (z, y, x) of LPS points ``[3, ...]``; uneven slices are where they are."""
    flat = np.asarray(points, np.float64).reshape(3, -1)
    m = geometry.matrix
    inverse = np.linalg.inv(m)
    index = inverse[:3, :3] @ flat + inverse[:3, 3:4]
    positions = np.asarray(geometry.slice_positions_mm)
    if len(positions) > 2 and not np.allclose(np.diff(positions), positions[1] - positions[0]):
        along = geometry.normal @ flat
        place = np.interp(along, positions, np.arange(len(positions)))
        before, after = np.minimum(along - positions[0], 0), np.maximum(along - positions[-1], 0)
        index[0] = place + (before + after) / geometry.spacing_mm[0]
    return index.reshape(points.shape)


def sample(
    volume: NDArray[Any], geometry: Geometry, grid: PatientGrid, outside: float
) -> Float32Array:
    """A scan's volume on a patient grid: means over blocks of voxels, linear in between."""
    dz, dy, dx = (block_size(s, grid.spacing_mm) for s in geometry.spacing_mm)
    coarse = block_mean(volume, (dz, dy, dx))
    index = index_of(geometry, grid.points())
    for axis, n in enumerate((dz, dy, dx)):
        index[axis] = (index[axis] - (n - 1) / 2) / n
    found: Float32Array = ndimage.map_coordinates(
        coarse, index, order=1, mode="constant", cval=outside, output=np.float32
    )
    return found


def lattice_over(
    mask: BoolArray, geometry: Geometry, spacing_mm: float, margin_mm: float
) -> PatientGrid:
    """An isotropic grid around a mask that is not empty."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("there is nothing to lay a grid over")
    ends = [(s.start, s.stop - 1) for s in box]
    corners = geometry.to_mm([[a, b, c] for a in ends[0] for b in ends[1] for c in ends[2]])
    low, high = corners.min(axis=0) - margin_mm, corners.max(axis=0) + margin_mm
    shape = [int(np.ceil((high[2 - a] - low[2 - a]) / spacing_mm)) + 1 for a in range(3)]
    return PatientGrid(
        (float(low[0]), float(low[1]), float(low[2])), spacing_mm, (shape[0], shape[1], shape[2])
    )


def inverse_of(field: Field, grid: PatientGrid, rounds: int = 12) -> Field:
    """The map that leads back, found by repetition; good to about 0.1 mm where nothing folds."""
    goal = grid.points()
    guess = goal - np.median(field.displacement_mm.reshape(3, -1), axis=1)[:, None, None, None]
    guess = guess.astype(np.float32)
    for _ in range(rounds):
        guess = guess + (goal - field(guess))
    return Field(grid, (guess - goal).astype(np.float32))


@dataclass(frozen=True, eq=False)
class SideMaps:
    """Both ways of one lung, and how good they are, in the lung and within 20 mm of lesions."""

    forward: Field
    backward: Field
    quality: Quality
    near_lesions: Quality | None = None


@dataclass(frozen=True, eq=False)
class Alignment:
    """The lungs of two scans on one another; ``sides``: 1 right, 2 left."""

    sides: Mapping[int, SideMaps]
