"""Masks as outlines in the short language of SVG paths."""

from __future__ import annotations

from typing import Any

import numpy as np
from contourpy import LineType, contour_generator
from scipy.ndimage import gaussian_filter

from ctlung.arrays import BoolArray, IntArray, bounding_box

STEPS_PER_PIXEL = 2
"""Points of an outline lie on a raster of half a pixel of the picture."""
_SMOOTHING = 0.5


def outline(mask: BoolArray, scale: tuple[float, float]) -> str:
    """The border of a 2D mask as an SVG path in steps of half a pixel; empty without a mask.

    A little blur takes the corners off the voxels without moving a straight border, as on the
    check picture. Holes are outlines of their own.

    Args:
        mask: rows from the top, columns from the left.
        scale: height and width of one of its pixels, in pixels of the picture.
    """
    box = bounding_box(mask[None], (0, 2, 2))
    if box is None:
        return ""
    _, rows, columns = box
    # A rim of background closes outlines at the edge of the picture.
    soft = gaussian_filter(np.pad(mask[rows, columns], 1).astype(np.float32), _SMOOTHING)
    lines: Any = contour_generator(z=soft, line_type=LineType.Separate).lines(0.5)
    start = np.array([columns.start - 0.5, rows.start - 0.5])
    factor = np.array([scale[1], scale[0]]) * STEPS_PER_PIXEL
    paths = (_path(np.rint((line + start) * factor).astype(np.int64)) for line in lines)
    return "".join(paths)


def _path(points: IntArray) -> str:
    moves = np.diff(points, axis=0)
    moves = moves[moves.any(axis=1)]
    if len(moves) < 3:
        return ""
    # A run of equal moves is one line.
    turns = np.flatnonzero(np.r_[True, (np.diff(moves, axis=0) != 0).any(axis=1)])
    sums = np.add.reduceat(moves, turns, axis=0)
    first = points[0]
    return f"M{first[0]} {first[1]}l" + " ".join(f"{x} {y}" for x, y in sums[:-1]) + "z"
