"""Body, air outside it, and air inside it, on the working grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray
from ctlung.working_grid import WorkingGrid

AIR_HU = -240.0
"""Where the border between lung and soft tissue is drawn. Half way between the two is -400, but
readers draw the border outside the half-filled voxels. On the hand-drawn lungs that may be
trained on, Dice is flat from -270 to -240 (``scripts/benchmark_main_job.py --border``); this end
finds most of the drawn lung, and missed lung is worse than a voxel too many."""

TISSUE_HU = -200.0
THIN_MM = 10.0

ROOM_AIR_HU = -930.0
"""Air that touches the edge of the field is the room's if its median is below this; truncated
lung that touches it is not."""


def air_inside(grid: WorkingGrid) -> BoolArray:
    """Air and lung that is not the air around the patient, ``[z, y, x]`` on the working grid.

    Slice by slice, so that air let in through mouth and nose stays inside. A region that
    touches the edge of the field stays inside if it is as dense as lung (the field cuts the
    chest), and goes if it is as thin as air.
    """
    hu = grid.hu
    air = hu < AIR_HU
    if grid.padding is not None:
        air |= grid.padding
    inside = np.zeros_like(air)
    for k in range(hu.shape[0]):
        labels, n = ndimage.label(air[k])
        if n == 0:
            continue
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        edge = edge[edge > 0]
        touching = {int(e) for e in edge}
        if grid.padding is not None:
            touching |= {int(e) for e in np.unique(labels[grid.padding[k]]) if e > 0}
        keep = np.ones(n + 1, dtype=bool)
        keep[0] = False
        for label in touching:
            values = hu[k][labels == label]
            if np.median(values) < ROOM_AIR_HU:
                keep[label] = False
        inside[k] = keep[labels]
    if grid.padding is not None:
        inside &= ~grid.padding
    return inside & _between_body(grid)


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
