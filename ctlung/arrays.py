"""The array types of ctlung. Every volume is C-ordered ``[z, y, x]`` in canonical LPS."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

HUArray = NDArray[np.int16]
LabelArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

Box = tuple[slice, slice, slice]

_Scalar = TypeVar("_Scalar", bound=np.generic)


def read_only(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a view of ``array`` that cannot be written to; the data are not copied."""
    view = array.view()
    view.flags.writeable = False
    return view


def bounding_box(mask: BoolArray, margin: tuple[int, int, int] = (0, 0, 0)) -> Box | None:
    """Smallest box around the true voxels, widened by ``margin`` voxels and kept inside.

    Returns ``None`` for an empty mask.
    """
    by_row = np.logical_or.reduce(mask, axis=2)
    profiles = (
        np.logical_or.reduce(by_row, axis=1),
        np.logical_or.reduce(by_row, axis=0),
        np.logical_or.reduce(mask, axis=(0, 1)),
    )
    if not profiles[0].any():
        return None
    edges: list[slice] = []
    for profile, pad in zip(profiles, margin, strict=True):
        inside = np.flatnonzero(profile)
        start = max(0, int(inside[0]) - pad)
        stop = min(len(profile), int(inside[-1]) + 1 + pad)
        edges.append(slice(start, stop))
    return edges[0], edges[1], edges[2]
