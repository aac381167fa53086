"""Body, air outside it, and air inside it, on the working grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array
from ctlung.working_grid import WorkingGrid

AIR_HU = -350.0
"""Where the border between lung and soft tissue is drawn. Half way between the two is -400, which
gives a phantom its true volume; drawn lungs lie a little outside of it, and on the hand-drawn
lungs that may be trained on -310 gives their volume (``scripts/benchmark_border.py``). This lies
between the two: some 1.5 % below what readers draw and above what the phantom holds."""

TISSUE_HU = -200.0
THIN_MM = 10.0

ROOM_AIR_HU = -930.0
"""Air that touches the edge of the field is the room's if its median is below this; truncated
lung that touches it is not."""


def air_inside(grid: WorkingGrid) -> BoolArray:
    """Air and lung that is not the air around the patient, ``[z, y, x]`` on the working grid.

    Slice by slice, so that air let in through mouth and nose stays inside. A region that
    touches the edge of the field or padding stays inside if it is as dense as lung (the field
    cuts the chest), and goes if it is as thin as air.
    """
    hu = grid.hu
    air = hu < AIR_HU
    if grid.padding is not None:
        air &= ~grid.padding
    between = _between_body(grid)
    inside = np.zeros_like(air)
    for k in range(hu.shape[0]):
        labels, n = ndimage.label(air[k])
        if n:
            beyond = _edge(hu.shape[1:])
            if grid.padding is not None:
                beyond |= ndimage.binary_dilation(grid.padding[k])
            inside[k] = _inside_slice(hu[k], labels, beyond, between[k])
    return inside


def _inside_slice(
    hu: Float32Array, labels: NDArray[Any], beyond: BoolArray, between: BoolArray
) -> BoolArray:
    inside = (labels > 0) & between
    for label in np.unique(labels[beyond & (labels > 0)]):
        part = labels == label
        if np.median(hu[part]) < ROOM_AIR_HU:
            inside &= ~part
        elif between[part].mean() > 0.5:
            # Lung that the field cuts has no body on its cut side, and is lung all the same.
            inside |= part
    return inside


def _edge(shape: tuple[int, ...]) -> BoolArray:
    edge = np.ones(shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    return edge


def _between_body(grid: WorkingGrid) -> BoolArray:
    """Voxels with body on both sides in their column or in their row.

    Leaves out the table and what lies in it: its foam is as dense as lung.
    """
    body = _body_tissue(grid)
    between = np.zeros_like(body)
    for axis in (1, 2):
        forward = np.logical_or.accumulate(body, axis=axis)
        backward = np.flip(np.logical_or.accumulate(np.flip(body, axis), axis=axis), axis)
        between |= forward & backward
    return between


def _body_tissue(grid: WorkingGrid) -> BoolArray:
    """The largest piece of soft tissue once everything thin (table shells, wires) is gone."""
    tissue = grid.hu > TISSUE_HU
    _, ny, nx = grid.voxels(THIN_MM / 2)
    size = np.ones((1, 2 * ny + 1, 2 * nx + 1), dtype=bool)
    thick = ndimage.binary_opening(tissue, structure=size)
    labels, n = ndimage.label(thick)
    if n == 0:
        return tissue
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    # Arms and a body cut in two by the field belong to it as well; a table does not reach this.
    largest = int(counts.argmax())
    body: BoolArray = labels == largest
    return body
