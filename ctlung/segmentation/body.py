"""Body, air outside it, and air inside it, on the working grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array
from ctlung.morphology import open_box
from ctlung.working_grid import WorkingGrid

AIR_HU = -240.0
"""Below it lies lung, inflamed lung included, or gas; above it lie vessels, consolidation and the
body. The lung's outer border is drawn lower than this (``refine.border_hu``)."""

TISSUE_HU = -200.0
THIN_MM = 10.0

ROOM_AIR_HU = -930.0
"""Air that touches the edge of the field is the room's if its median is below this; truncated
lung that touches it is not."""


def air_inside(grid: WorkingGrid, body: BoolArray | None = None) -> BoolArray:
    """Air and lung that is not the air around the patient, ``[z, y, x]`` on the working grid.

    Slice by slice, so that air let in through mouth and nose stays inside. A region that
    touches the edge of the field or padding stays inside if it is as dense as lung (the field
    cuts the chest), and goes if it is as thin as air. ``body``: the body's tissue, if it is known.
    """
    hu = grid.hu
    air = hu < AIR_HU
    if grid.padding is not None:
        air &= ~grid.padding
    body = body_tissue(grid) if body is None else body
    strict, loose = _between(body), among(body)
    inside = np.zeros_like(air)
    for k in range(hu.shape[0]):
        labels, n = ndimage.label(air[k])
        if n:
            beyond = _edge(hu.shape[1:])
            if grid.padding is not None:
                beyond |= ndimage.binary_dilation(grid.padding[k])
            inside[k] = _inside_slice(hu[k], labels, beyond, strict[k], loose[k])
    return inside


def _inside_slice(
    hu: Float32Array,
    labels: NDArray[Any],
    beyond: BoolArray,
    between: BoolArray,
    among: BoolArray,
) -> BoolArray:
    """Each region stays or goes as a whole, for a thin chest wall is no body on its side."""
    half = 0.5 * np.bincount(labels.ravel())
    keep = np.bincount(labels.ravel(), weights=among.ravel()) > half
    strictly = np.bincount(labels.ravel(), weights=between.ravel()) > half
    keep[0] = False
    for label in np.unique(labels[beyond & (labels > 0)]):
        keep[label] = strictly[label] and np.median(hu[labels == label]) >= ROOM_AIR_HU
    inside: BoolArray = keep[labels]
    return inside


def _edge(shape: tuple[int, ...]) -> BoolArray:
    edge = np.ones(shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    return edge


def _between(body: BoolArray) -> BoolArray:
    """Voxels with body on both sides in their column or in their row.

    Leaves out the table and what lies in it: its foam is as dense as lung.
    """
    front, behind, right, left = _sides(body)
    between: BoolArray = (front & behind) | (right & left)
    return between


def among(body: BoolArray) -> BoolArray:
    """The same, or with body behind and on one side.

    The back and the mediastinum are thick in everyone; the chest wall in front and at the sides
    may not be.
    """
    front, behind, right, left = _sides(body)
    among: BoolArray = (front & behind) | (right & left) | (behind & (right | left))
    return among


def _sides(body: BoolArray) -> tuple[BoolArray, BoolArray, BoolArray, BoolArray]:
    """Whether there is body in front of, behind, right and left of each voxel."""
    return (
        np.logical_or.accumulate(body, axis=1),
        np.flip(np.logical_or.accumulate(np.flip(body, 1), axis=1), 1),
        np.logical_or.accumulate(body, axis=2),
        np.flip(np.logical_or.accumulate(np.flip(body, 2), axis=2), 2),
    )


def body_tissue(grid: WorkingGrid) -> BoolArray:
    """The largest piece of soft tissue once everything thin (table shells, wires) is gone."""
    tissue = grid.hu > TISSUE_HU
    _, ny, nx = grid.voxels(THIN_MM / 2)
    thick = open_box(tissue, (1, 2 * ny + 1, 2 * nx + 1))
    labels, n = ndimage.label(thick)
    if n == 0:
        return tissue
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    # Arms and a body cut in two by the field belong to it as well; a table does not reach this.
    largest = int(counts.argmax())
    body: BoolArray = labels == largest
    return body
