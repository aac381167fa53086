"""Where a volume lies in the patient: index ``[z, y, x]`` to millimetres in LPS.

LPS is DICOM's patient frame: +x to the patient's left, +y to the back, +z to the head.
Canonical arrays follow it: z grows headward, y posterior, x to the patient's left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ctlung.arrays import Box, FloatArray

Row: TypeAlias = tuple[float, float, float, float]
Affine: TypeAlias = tuple[Row, Row, Row, Row]


def _affine(matrix: ArrayLike) -> Affine:
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (4, 4):
        raise ValueError(f"an affine is 4 x 4, not {values.shape}")
    rows = [tuple(float(v) for v in row) for row in values]
    return tuple(rows)  # type: ignore[return-value]


@dataclass(frozen=True)
class Geometry:
    """The grid of a canonical volume; hashable.

    Attributes:
        shape: number of slices, rows, columns.
        affine: 4 x 4, index ``(z, y, x, 1)`` to LPS mm. Its first column holds the step from
            slice to slice, with the shear of a tilted gantry if there is one; for uneven
            stacks it is the mean step.
        slice_positions_mm: position of each slice centre along the slice normal, ascending.
            These, not the affine, are what volumes are made from.
    """

    shape: tuple[int, int, int]
    affine: Affine
    slice_positions_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.slice_positions_mm) != self.shape[0]:
            raise ValueError("one slice position is needed for each slice")

    @classmethod
    def from_affine(
        cls,
        shape: Sequence[int],
        affine: ArrayLike,
        slice_positions_mm: Sequence[float] | None = None,
    ) -> Geometry:
        """Make a geometry from a 4 x 4 matrix (index ``[z, y, x]`` to LPS mm).

        Without ``slice_positions_mm`` the slices are evenly spaced as the matrix says.
        """
        depth, height, width = (int(n) for n in shape)
        matrix = np.asarray(affine, dtype=np.float64)
        if slice_positions_mm is None:
            normal = _unit(np.cross(matrix[:3, 2], matrix[:3, 1]))
            start = float(matrix[:3, 3] @ normal)
            step = float(matrix[:3, 0] @ normal)
            positions = tuple(start + step * k for k in range(depth))
        else:
            positions = tuple(float(p) for p in slice_positions_mm)
        return cls((depth, height, width), _affine(matrix), positions)

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing_mm: Sequence[float],
        origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Geometry:
        """Axis-aligned grid: spacing as (z, y, x) mm, origin as the LPS (x, y, z) of voxel 0."""
        dz, dy, dx = (float(v) for v in spacing_mm)
        matrix = np.zeros((4, 4))
        matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = dz, dy, dx, 1.0
        matrix[:3, 3] = origin_mm
        return cls.from_affine(shape, matrix)

    @cached_property
    def matrix(self) -> FloatArray:
        """The affine as a 4 x 4 float64 array."""
        return np.array(self.affine, dtype=np.float64)

    @cached_property
    def normal(self) -> FloatArray:
        """Unit vector (LPS) across the slices, pointing the way that z grows."""
        return _unit(np.cross(self.matrix[:3, 2], self.matrix[:3, 1]))

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres in array order (z along the slice normal, y, x)."""
        m = self.matrix
        dz = abs(float(m[:3, 0] @ self.normal))
        return dz, float(np.linalg.norm(m[:3, 1])), float(np.linalg.norm(m[:3, 2]))

    @cached_property
    def pixel_area_mm2(self) -> float:
        """Area of one pixel in a slice."""
        _, dy, dx = self.spacing_mm
        return dy * dx

    @cached_property
    def slice_weights_mm(self) -> FloatArray:
        """Thickness that each slice stands for (FIELD 2.3): half the way to both neighbours.

        The end slices count a whole step. A single slice has no thickness that follows from
        its position: its weight is 1, good for means, never for a volume.
        """
        s = np.asarray(self.slice_positions_mm, dtype=np.float64)
        if len(s) == 1:
            return np.ones(1)
        weights = np.empty(len(s))
        weights[1:-1] = (s[2:] - s[:-2]) / 2.0
        weights[0] = s[1] - s[0]
        weights[-1] = s[-1] - s[-2]
        return weights

    @cached_property
    def voxel_volumes_ml(self) -> FloatArray:
        """Volume of one voxel of each slice, ml."""
        return self.pixel_area_mm2 * self.slice_weights_mm / 1000.0

    @cached_property
    def corners_mm(self) -> FloatArray:
        """LPS mm of the eight corner voxel centres, shape (8, 3)."""
        d, h, w = (n - 1 for n in self.shape)
        index = np.array([[z, y, x, 1] for z in (0, d) for y in (0, h) for x in (0, w)], float)
        points: FloatArray = (index @ self.matrix.T)[:, :3]
        return points

    def to_mm(self, index: ArrayLike) -> FloatArray:
        """LPS mm of indices ``[..., (z, y, x)]``."""
        points: FloatArray = np.asarray(index, dtype=np.float64) @ self.matrix[:3, :3].T
        return points + self.matrix[:3, 3]

    def matches(self, other: Geometry, tolerance_mm: float = 0.05) -> bool:
        """Whether both grids have one shape and corners no further apart than the tolerance."""
        if self.shape != other.shape:
            return False
        apart = np.abs(self.corners_mm - other.corners_mm).max()
        return bool(apart <= tolerance_mm)

    def crop(self, box: Box) -> Geometry:
        """The grid of ``volume[box]``."""
        start = [s.start for s in box]
        shape = [s.stop - s.start for s in box]
        matrix = self.matrix.copy()
        matrix[:3, 3] = self.to_mm(start)
        return Geometry.from_affine(shape, matrix, self.slice_positions_mm[box[0]])


def _unit(vector: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        raise ValueError("an affine needs two independent in-plane directions")
    return vector / length
