"""Labels and regions of one scan on the other's grid, by way of an alignment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.alignment import Alignment, index_of
from ctlung.arrays import Float32Array, bounding_box
from ctlung.geometry import Geometry
from ctlung.volume import LabelMap

_SLAB_VOXELS = 2_000_000


@dataclass(frozen=True, eq=False)
class Seen:
    """Lung voxels of one grid, and where they lie in the other scan.

    Attributes:
        here: flat indices into the own grid.
        there: array indices (z, y, x) in the other, float32 ``[3, n]``.
        volume_ml: of each voxel.
        jacobian: volume there per volume here.
    """

    here: NDArray[np.intp]
    there: Float32Array
    volume_ml: Float32Array
    jacobian: Float32Array


def lung_through(
    lungs: LabelMap, alignment: Alignment, other: Geometry, *, back: bool = False
) -> Iterator[Seen]:
    """Every voxel of every aligned lung, in parts of a few million.

    Args:
        lungs: 1 right, 2 left, of the baseline; of the follow-up with ``back``.
        alignment: of the two scans.
        other: the other scan's grid.
        back: go from the follow-up to the baseline.
    """
    geometry = lungs.geometry
    for side, maps in alignment.sides.items():
        field = maps.backward if back else maps.forward
        jacobian = field.jacobian()
        box = bounding_box(lungs.labels == side)
        if box is None:
            continue
        part = lungs.labels[box] == side
        step = max(1, _SLAB_VOXELS // max(1, part[0].size))
        for start in range(0, part.shape[0], step):
            z, y, x = np.nonzero(part[start : start + step])
            if not len(z):
                continue
            index = np.stack([z + start + box[0].start, y + box[1].start, x + box[2].start])
            points = points_of(geometry, index)
            yield Seen(
                np.ravel_multi_index((index[0], index[1], index[2]), geometry.shape),
                index_of(other, field(points)).astype(np.float32),
                geometry.voxel_volumes_ml[index[0]].astype(np.float32),
                field.read(jacobian, points),
            )


def points_of(geometry: Geometry, index: NDArray[np.intp]) -> Float32Array:
    """LPS mm ``[3, n]`` of voxels (z, y, x) ``[3, n]``; uneven slices are where they are."""
    points = geometry.to_mm(index.T).T
    along = geometry.normal @ points
    real = np.asarray(geometry.slice_positions_mm)[index[0]]
    moved: Float32Array = (points + (real - along) * geometry.normal[:, None]).astype(np.float32)
    return moved


def jacobian_back(lungs: LabelMap, back: Sequence[Seen]) -> Float32Array:
    """Volume at baseline per volume at follow-up, float32 on the follow-up's grid; 0 elsewhere."""
    out = np.zeros(lungs.labels.size, np.float32)
    for seen in back:
        out[seen.here] = seen.jacobian
    return out.reshape(lungs.labels.shape)


def nearest(labels: NDArray[Any], index: Float32Array, beyond: int = 0) -> NDArray[Any]:
    """Values of the nearest voxels; ``beyond`` where there is none."""
    whole = np.rint(index).astype(np.intp)
    shape = np.array(labels.shape)[:, None]
    inside = ((whole >= 0) & (whole < shape)).all(axis=0)
    whole = np.clip(whole, 0, shape - 1)
    found = labels[whole[0], whole[1], whole[2]]
    values: NDArray[Any] = np.where(inside, found, labels.dtype.type(beyond))
    return values


def carried(
    labels: LabelMap, lungs: LabelMap, back: Sequence[Seen], shift_mm: Float32Array | None = None
) -> NDArray[np.uint8]:
    """The baseline's labels on the follow-up's grid, inside its aligned lungs: nearest label.

    Args:
        labels: on the baseline's grid.
        lungs: of the follow-up.
        back: all parts of :func:`lung_through` with ``back``.
        shift_mm: move the labels by so much (LPS), to see what an error of the alignment does.
    """
    out = np.zeros(lungs.labels.size, np.uint8)
    moved = np.zeros(3, np.float32)
    if shift_mm is not None:
        matrix = np.linalg.inv(labels.geometry.matrix[:3, :3])
        moved = (matrix @ shift_mm).astype(np.float32)
    for seen in back:
        out[seen.here] = nearest(labels.labels, seen.there - moved[:, None])
    return out.reshape(lungs.labels.shape)
