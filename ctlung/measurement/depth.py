"""How deep in its lung a voxel lies: core and rim (FIELD 3.7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.arrays import BoolArray, Float32Array, FloatArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.morphology import distance_outside, fill_holes, grow_faces, shrink_faces
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap
from ctlung.working_grid import linear

BLOCK_MM = 3.0
DEEPEST_PERCENT = 99.0
RIM_SHARE = 1.0 / 3.0
BEYOND = 1.0 / 6.0
BORDER_TOLERANCE_MM = 1e-3
"""A voxel this little beyond the border still belongs to the rim: file formats round spacings
differently, and one scan must give one answer."""
_MARGIN = 2


def rim_of(lungs: LabelMap) -> BoolArray:
    """The rim of both lungs: bool ``[z, y, x]``; the rest of each lung is its core.

    ``e`` is the distance (mm) to the surface of the filled lung of that side, and a voxel belongs
    to the rim if ``e <= e99 / 3``, with ``e99`` the 99th percentile of ``e`` in that lung. The
    surface towards the hilum and the mediastinum counts as the one towards the ribs does, so the
    rim is not the subpleural lung alone; fissures do not count. Filled: holes, and gaps that are
    narrower than some 3 to 6 mm, as a lobe model leaves at fissures and others at vessels and
    bronchi. The ends of the scan and the edge of the field of view count as surface.

    Distances are worked out on blocks of about 3 mm that divide the box of each lung evenly, and
    interpolated to the voxels between. In spheres of 60 mm at 0.7 to 5 mm per slice, voxels that
    end up on the wrong side of the border are 0.2 to 0.3 mm from it on average (2 mm at most) and
    the share of the rim is off by half a point of percent; by two points in slices of 10 mm.
    Slices stand where they lie, also uneven ones; a sheared stack is taken for an upright one.

    Args:
        lungs: 1 right lung, 2 left lung.

    Source: FIELD 3.7. A lung too small to fill half a block anywhere is all rim.
    """
    rim = np.zeros(lungs.labels.shape, dtype=bool)
    for number in LUNG_LABELS:
        mask = lungs.labels == number
        box = bounding_box(mask)
        if box is not None:
            slices = _slice_faces(lungs.geometry)[box[0].start : box[0].stop + 1]
            positions = np.asarray(lungs.geometry.slice_positions_mm)[box[0]]
            _add_rim(rim[box], mask[box], positions, slices, lungs.geometry.spacing_mm[1:])
    return rim


def _add_rim(
    rim: BoolArray,
    mask: BoolArray,
    positions_mm: FloatArray,
    slice_faces_mm: FloatArray,
    pixel_mm: tuple[float, float],
) -> None:
    """Mark the rim of one lung, all arrays in its box.

    Args:
        rim: where to mark it.
        mask: the lung.
        positions_mm: centres of the slices, ``(n,)``.
        slice_faces_mm: where slices meet, with both ends, ``(n + 1,)``.
        pixel_mm: in-plane spacing (y, x).
    """
    y_faces, x_faces = (
        np.arange(n + 1) * mm for n, mm in zip(mask.shape[1:], pixel_mm, strict=True)
    )
    y, x = ((faces[1:] + faces[:-1]) / 2.0 for faces in (y_faces, x_faces))
    faces = (slice_faces_mm, y_faces, x_faces)
    counts = tuple(max(1, round(float(f[-1] - f[0]) / BLOCK_MM)) for f in faces)
    narrowed = (_blocks(plane, y_faces, counts[1], 0) for plane in mask)
    planes = np.stack([_blocks(plane, x_faces, counts[2], 1) for plane in narrowed])
    lung = np.pad(_blocks(planes, slice_faces_mm, counts[0], 0) >= 0.5 - 1e-6, _MARGIN)
    pitch = [float(f[-1] - f[0]) / n for f, n in zip(faces, counts, strict=True)]
    depth = _depth(lung, (pitch[0], pitch[1], pitch[2]))
    limit = _limit(depth, lung) + BORDER_TOLERANCE_MM
    place = [
        (centres - f[0]) / mm - 0.5 + _MARGIN
        for centres, f, mm in zip((positions_mm, y, x), faces, pitch, strict=True)
    ]
    for k, plane in enumerate(mask):
        if plane.any():
            here = linear(depth, 0, place[0][k : k + 1])[0]
            rim[k] |= plane & (linear(linear(here, 1, place[2]), 0, place[1]) <= limit)


def _depth(lung: BoolArray, spacing_mm: tuple[float, float, float]) -> Float32Array:
    """Distance (mm) to the surface of the filled lung, negative outside."""
    closed = lung | shrink_faces(grow_faces(lung))
    depth = distance_outside(~fill_holes(closed), spacing_mm)
    # From centre to centre so far. Of all centres beyond a surface that is not parallel to the
    # axes the nearest counts: in spheres of 40 and 60 mm it lies a sixth of a block beyond.
    depth -= np.float32(BEYOND * sum(spacing_mm) / 3.0)
    return depth


def _limit(depth: Float32Array, lung: BoolArray) -> float:
    """Greatest depth (mm) of the rim."""
    if not lung.any():
        return float("inf")
    deepest = np.percentile(depth[lung], DEEPEST_PERCENT, method="inverted_cdf")
    return float(deepest) * RIM_SHARE


def _slice_faces(geometry: Geometry) -> FloatArray:
    """Where neighbouring slices meet, half way between their centres, and both ends: mm."""
    positions = np.asarray(geometry.slice_positions_mm, dtype=np.float64)
    if len(positions) == 1:
        half = geometry.spacing_mm[0] / 2.0
        return np.array([positions[0] - half, positions[0] + half])
    between = (positions[1:] + positions[:-1]) / 2.0
    first, last = 2.0 * positions[0] - between[0], 2.0 * positions[-1] - between[-1]
    return np.concatenate([[first], between, [last]])


def _blocks(values: NDArray[Any], faces_mm: FloatArray, count: int, axis: int) -> Float32Array:
    """Means over ``count`` blocks of equal length along an axis.

    A block averages what of each voxel lies in it; ``faces_mm`` is where the voxels meet.
    """
    edges = np.linspace(faces_mm[0], faces_mm[-1], count + 1)
    place = np.interp(edges, faces_mm, np.arange(len(faces_mm)))
    low = np.minimum(place.astype(np.intp), len(faces_mm) - 2)
    shape = [1] * values.ndim
    shape[axis] = -1
    weighted = values * np.diff(faces_mm).astype(np.float32).reshape(shape)
    padding = [(0, 0)] * values.ndim
    padding[axis] = (1, 0)
    below = np.cumsum(np.pad(weighted, padding), axis=axis, dtype=np.float64)
    rest = (place - low).reshape(shape)
    reached = below.take(low, axis=axis) * (1.0 - rest) + below.take(low + 1, axis=axis) * rest
    means: Float32Array = (np.diff(reached, axis=axis) / (edges[1] - edges[0])).astype(np.float32)
    return means
