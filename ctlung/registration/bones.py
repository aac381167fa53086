"""Are two scans of one person? The bones around the lungs, laid on one another rigidly."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from ctlung.alignment import PatientGrid, sample
from ctlung.arrays import BoolArray, Float32Array, FloatArray, bounding_box
from ctlung.morphology import distance_outside
from ctlung.volume import LabelMap, Scan

BONE_HU = 200.0
VOXEL_MM = 3.0
MARGIN_MM = 30.0
"""Beside the lungs: ribs, spine and breastbone are in, most of arms and table are not."""
LEAST_BONE_ML = 50.0
MOST_POINTS = 4000
STARTS_MM = (-40.0, -20.0, 0.0, 20.0, 40.0)
"""Along the body, from where the apices lie on one another: lungs of one person may be filled
differently, and one scan may begin lower."""
FAR_MM = 15.0
"""Bone that has none within that distance pulls no more than this much."""


def bone_match(baseline: tuple[Scan, LabelMap], followup: tuple[Scan, LabelMap]) -> float | None:
    """Dice of both scans' bones (above 200 HU) once one is turned and shifted onto the other.

    Only where both were scanned, between the lungs' ends. Contrast agent above 200 HU counts as
    bone.

    Args:
        baseline: scan, lungs.
        followup: the same of the other scan.

    Returns:
        0 to 1; ``None`` where less than 50 ml of bone is in common view.

    Source: FIELD 5, ``same_person``.
    """
    fixed, moving = (_Bones(*visit) for visit in (baseline, followup))
    if min(fixed.ml, moving.ml) < LEAST_BONE_ML:
        return None
    found = [_aligned(fixed, moving, lift) for lift in STARTS_MM]
    values = [d for d in (_dice(fixed, moving, turn) for turn in found) if d is not None]
    return max(values, default=None)


class _Bones:
    """Bones of one scan at 3 mm."""

    def __init__(self, scan: Scan, lungs: LabelMap) -> None:
        geometry = scan.geometry
        margin = [int(np.ceil(MARGIN_MM / s)) for s in geometry.spacing_mm]
        box = bounding_box(lungs.labels > 0, (0, margin[1], margin[2]))
        if box is None:
            self.ml = 0.0
            return
        corners = [[box[a].stop - 1 if k else box[a].start for a, k in enumerate(which)]
                   for which in np.ndindex(2, 2, 2)]  # fmt: skip
        ends = geometry.to_mm(np.array(corners))
        low, high = ends.min(axis=0), ends.max(axis=0)
        nz, ny, nx = (int((high[2 - a] - low[2 - a]) // VOXEL_MM) + 1 for a in range(3))
        origin = float(low[0]), float(low[1]), float(low[2])
        self.grid = PatientGrid(origin, VOXEL_MM, (nz, ny, nx))
        hu = sample(scan.hu, geometry, self.grid, -1000.0)
        self.bone: BoolArray = hu > BONE_HU
        self.ml = float(self.bone.sum()) * VOXEL_MM**3 / 1000.0
        self.top = np.array([*(low + high)[:2] / 2, high[2]])

    def points(self) -> FloatArray:
        """LPS mm of bone, float64 ``[n, 3]``: every n-th voxel, so that there are not too many."""
        index = np.argwhere(self.bone)
        some = index[:: max(1, len(index) // MOST_POINTS)]
        found: FloatArray = np.asarray(self.grid.origin_mm) + VOXEL_MM * some[:, ::-1]
        return found

    def distance(self) -> Float32Array:
        """Mm from each voxel to the nearest bone, at most ``FAR_MM``."""
        far = distance_outside(self.bone, (VOXEL_MM,) * 3)
        return np.clip(far, 0.0, FAR_MM).astype(np.float32)


_UNITS = np.array([0.01, 0.01, 0.01, 1.0, 1.0, 1.0])
"""Radians and mm: both move the ribs about as far."""
_STEP = 0.5
_Turn = tuple[FloatArray, FloatArray]
"""Centre, and three angles (radians) with three mm."""


def _moved(turn: _Turn, points: FloatArray) -> FloatArray:
    centre, p = turn
    found: FloatArray = Rotation.from_rotvec(p[:3]).apply(points - centre) + centre + p[3:]
    return found


def _aligned(fixed: _Bones, moving: _Bones, lift_mm: float) -> _Turn:
    points, far = fixed.points(), moving.distance()
    centre = points.mean(axis=0)
    start = np.zeros(6)
    start[3:] = moving.top - fixed.top + (0.0, 0.0, lift_mm)

    def gaps(p: FloatArray) -> FloatArray:
        there = _moved((centre, p * _UNITS), points)
        index = moving.grid.index(there.T)
        found: FloatArray = ndimage.map_coordinates(far, index, order=1, mode="nearest")
        return found.astype(np.float64)

    def slopes(p: FloatArray) -> FloatArray:
        steps = _STEP * np.eye(6)
        return np.stack([(gaps(p + s) - gaps(p - s)) / (2 * _STEP) for s in steps], axis=1)

    best = optimize.least_squares(gaps, start / _UNITS, slopes, method="lm", max_nfev=30)
    return centre, best.x * _UNITS


def _dice(fixed: _Bones, moving: _Bones, turn: _Turn) -> float | None:
    points = fixed.grid.points().reshape(3, -1).T
    index = moving.grid.index(_moved(turn, points.astype(np.float64)).T)
    top = np.array(moving.grid.shape)[:, None] - 0.5
    seen = ((index >= -0.5) & (index <= top)).all(axis=0).reshape(fixed.grid.shape)
    there = ndimage.map_coordinates(moving.bone.astype(np.float32), index, order=1)
    mine, theirs = fixed.bone & seen, (there.reshape(fixed.grid.shape) > 0.5) & seen
    total = int(mine.sum() + theirs.sum())
    if total * VOXEL_MM**3 / 1000.0 < 2 * LEAST_BONE_ML:
        return None
    return float(2 * (mine & theirs).sum() / total)
