"""Breathing: a smooth deformation with a known Jacobian that keeps the lungs' mass.

The movement is written down in closed form, as the way *back* from the moved body to the body
at rest (that is what an image needs), and is nobody's registration model: no control points,
no forces. The diaphragm leads, the front of the chest follows, the apex stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctlung.arrays import Float32Array, LabelArray
from ctlung.geometry import Geometry
from ctlung.simulation.shapes import Field


@dataclass(frozen=True)
class Breath:
    """A breath, relative to the body at rest. Lengths in patient mm (LPS).

    Attributes:
        lift_mm: how far the diaphragm moves headward; positive is breathing out.
        fall_mm: how far the front of the chest moves backward; positive is breathing out.
        low_mm, high_mm: z below which everything moves by the full lift, and above which
            nothing does.
        front_mm, back_mm: y of the same for the fall.
        middle_mm: x and y around which the diaphragm moves most.
        spread_mm: how wide that is; far from the middle the lift is 70 % of its full size.
    """

    lift_mm: float = 0.0
    fall_mm: float = 0.0
    low_mm: float = 20.0
    high_mm: float = 250.0
    front_mm: float = -110.0
    back_mm: float = 90.0
    middle_mm: tuple[float, float] = (0.0, 0.0)
    spread_mm: float = 95.0

    def __post_init__(self) -> None:
        steepest = 1.875
        if abs(self.lift_mm) * steepest >= 0.9 * (self.high_mm - self.low_mm) or abs(
            self.fall_mm
        ) * steepest >= 0.9 * (self.back_mm - self.front_mm):
            raise ValueError("a breath this deep would fold the lung; make the lift or fall less")

    def back(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Where matter now at (x, y, z) lies in the body at rest."""
        fall, _ = _ramp(y, self.front_mm, self.back_mm)
        lift, _ = _ramp(z, self.low_mm, self.high_mm)
        return (
            x,
            (y - np.float32(self.fall_mm) * fall).astype(np.float32),
            (z - np.float32(self.lift_mm) * self._share(x, y) * lift).astype(np.float32),
        )

    def jacobian(self, x: Field, y: Field, z: Field) -> Field:
        """Volume at rest per volume now: above 1 where lung is compressed, so density grows."""
        _, fall_slope = _ramp(y, self.front_mm, self.back_mm)
        _, lift_slope = _ramp(z, self.low_mm, self.high_mm)
        # y at rest does not depend on z, so the matrix is triangular and this product is exact.
        along_y = 1 - np.float32(self.fall_mm) * fall_slope
        along_z = 1 - np.float32(self.lift_mm) * self._share(x, y) * lift_slope
        determinant: Field = (along_y * along_z).astype(np.float32)
        return determinant

    def forward(self, points: Float32Array) -> Float32Array:
        """Where points ``[n, 3]`` of the body at rest are now (error under 0.01 mm)."""
        goal = np.asarray(points, np.float32)
        guess = goal.copy()
        for _ in range(40):
            rest = np.stack(self.back(guess[:, 0], guess[:, 1], guess[:, 2]), axis=1)
            guess = guess + (goal - rest)
        return guess

    def _share(self, x: Field, y: Field) -> Field:
        u = (x - np.float32(self.middle_mm[0])) / np.float32(self.spread_mm)
        v = (y - np.float32(self.middle_mm[1])) / np.float32(self.spread_mm)
        near = np.exp(np.float32(-0.5) * (u * u + v * v))
        return np.asarray(0.7 + 0.3 * near, np.float32)


REST = Breath()


def random_breath(rng: np.random.Generator, lift_sd_mm: float = 8.0) -> Breath:
    """The difference between two breath-holds of one person."""
    lift = float(np.clip(rng.normal(0, lift_sd_mm), -3 * lift_sd_mm, 3 * lift_sd_mm))
    return Breath(lift_mm=lift, fall_mm=0.15 * lift + float(rng.normal(0, 0.1 * lift_sd_mm)))


def breathe(
    hu: Float32Array,
    lungs: LabelArray,
    geometry: Geometry,
    breath: Breath,
    solid_hu: float | None = None,
) -> tuple[Float32Array, LabelArray, Float32Array]:
    """A real or synthetic scan after another breath, on its own grid.

    Args:
        hu: float32 ``[z, y, x]``.
        lungs: labels of the lungs; their matter gets denser as they shrink, the rest moves only.
        geometry: grid of both.
        breath: the movement.
        solid_hu: nothing gets denser than this by being compressed, for blood and consolidated
            lung hold no air to press out; what is denser stays as it is. Mass is then kept
            but for theirs. ``None``: no limit.

    Returns:
        HU float32, lung labels, and the Jacobian of :meth:`Breath.jacobian` everywhere. Summed
        over the lungs, (HU + 1000) keeps its value but for interpolation at the border.
    """
    x, y, z = grid_points(geometry)
    rest = np.stack(breath.back(x, y, z))
    index = _indices(geometry, rest)
    jacobian = breath.jacobian(x, y, z)
    moved = np.full(hu.shape, 0, np.float32)
    # Lung and the rest are moved apart, so that no wall is thinned or thickened at the border.
    inside = ndimage.map_coordinates(
        (lungs > 0).astype(np.float32), index, order=1, mode="nearest", output=np.float32
    )
    ndimage.map_coordinates(hu, index, order=1, mode="nearest", output=moved)
    labels: LabelArray = ndimage.map_coordinates(
        lungs, index, order=0, mode="nearest", output=np.uint8
    )
    denser = (moved + 1000) * jacobian - 1000
    if solid_hu is not None:
        denser = np.minimum(denser, np.maximum(moved, np.float32(solid_hu)))
    return moved + inside * (denser - moved), labels, jacobian


def grid_points(
    geometry: Geometry, start: int = 0, stop: int | None = None
) -> tuple[Field, Field, Field]:
    """LPS mm of the voxel centres of slices ``start`` to ``stop`` (beyond the grid is allowed).

    Uneven slices are where the geometry's positions say; each array is float32 ``[z, y, x]``.
    """
    depth, height, width = geometry.shape
    stop = depth if stop is None else stop
    k = np.arange(start, stop)
    positions = np.asarray(geometry.slice_positions_mm)
    place = np.interp(k, np.arange(depth), positions)
    step = geometry.spacing_mm[0]
    place = np.where(k < 0, positions[0] + k * step, place)
    place = np.where(k >= depth, positions[-1] + (k - depth + 1) * step, place)
    m = geometry.matrix
    even = k[:, None] * m[:3, 0] + m[:3, 3]
    even = even + (place - even @ geometry.normal)[:, None] * geometry.normal
    rows = np.arange(height)[:, None] * m[:3, 1]
    columns = np.arange(width)[:, None] * m[:3, 2]
    x, y, z = (
        (
            even[:, i][:, None, None] + rows[:, i][None, :, None] + columns[:, i][None, None, :]
        ).astype(np.float32)
        for i in range(3)
    )
    return x, y, z


def _indices(geometry: Geometry, points: Float32Array) -> Float32Array:
    """Array indices ``[3, z, y, x]`` of LPS points ``[3, z, y, x]`` on an even grid."""
    inverse = np.linalg.inv(geometry.matrix).astype(np.float32)
    index: Float32Array = np.tensordot(inverse[:3, :3], points, axes=1).astype(np.float32)
    index += inverse[:3, 3].reshape(3, 1, 1, 1)
    return index


def _ramp(c: Field, low: float, high: float) -> tuple[Field, Field]:
    """1 below ``low``, 0 above ``high``, twice smooth between; with its slope."""
    t = np.clip((c - np.float32(low)) / np.float32(high - low), 0, 1)
    value = 1 - t * t * t * (t * (6 * t - 15) + 10)
    slope = -30 * t * t * (1 - t) ** 2 / np.float32(high - low)
    return value.astype(np.float32), slope.astype(np.float32)
