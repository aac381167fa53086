"""Which voxel belongs to which region: the lungs, each lung, and their thirds by height.

Everything is counted once, in *atoms* that do not overlap; a region is a union of atoms. So the
parts of a lung add up to the lung, and a region costs nothing but a sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, FloatArray, IntArray, LabelArray
from ctlung.volume import LabelMap

BORDER_TOLERANCE_MM = 1e-3
"""A slice this close below a border between thirds counts as on it: file formats round
positions differently, and one scan must give one answer."""


@dataclass(frozen=True, eq=False)
class Partition:
    """The lung cut into atoms.

    Attributes:
        parcels: uint8 ``[z, y, x]``; 0 is outside. A parcel's voxels in one slice are one atom.
        atom_of: int ``[slice, parcel]``: the atom of a parcel in a slice; column 0 is unused.
        n_atoms: number of atoms.
        regions: region name to its atoms.
    """

    parcels: LabelArray
    atom_of: IntArray
    n_atoms: int
    regions: Mapping[str, tuple[int, ...]]


def partition_by_thirds(lungs: LabelMap, outside_fov: BoolArray | None = None) -> Partition:
    """Six atoms: lower, middle and upper third by height of the right, then of the left lung.

    Args:
        lungs: 1 right lung, 2 left lung.
        outside_fov: bool ``[z, y, x]``: padding, which is no lung.

    Source: FIELD 3.7.
    """
    positions = np.asarray(lungs.geometry.slice_positions_mm, dtype=np.float64)
    areas = label_areas(lungs.labels, 2, outside_fov)
    atom_of = np.zeros((len(positions), 3), dtype=np.int64)
    for side in (0, 1):
        atom_of[:, side + 1] = 3 * side + thirds_by_height(areas[:, side + 1], positions)
    regions = {
        "lungs": (0, 1, 2, 3, 4, 5),
        "right_lung": (0, 1, 2),
        "left_lung": (3, 4, 5),
        "right_lung_upper": (2,),
        "right_lung_middle": (1,),
        "right_lung_lower": (0,),
        "left_lung_upper": (5,),
        "left_lung_middle": (4,),
        "left_lung_lower": (3,),
    }
    return Partition(lungs.labels, atom_of, 6, regions)


def thirds_by_height(areas: IntArray, positions_mm: FloatArray) -> IntArray:
    """Third of each slice of one lung: 0 lower, 1 middle, 2 upper.

    Equal thirds of the height between the centres of the first and the last slice that hold at
    least 2 % of the lung's largest slice area. A slice belongs by its centre; a centre on a
    border belongs to the higher third; slices beyond the two ends belong to the third there.

    Args:
        areas: lung voxels of each slice, shape ``(n,)``.
        positions_mm: slice centres along the normal, ascending, shape ``(n,)``.

    Source: FIELD 3.7.
    """
    thirds = np.zeros(len(areas), dtype=np.int64)
    largest = int(areas.max(initial=0))
    if largest == 0:
        return thirds
    inside = np.flatnonzero(50 * areas >= largest)
    bottom, top = positions_mm[inside[0]], positions_mm[inside[-1]]
    height = top - bottom
    for number in (1, 2):
        border = bottom + number * height / 3.0
        thirds[positions_mm >= border - BORDER_TOLERANCE_MM] = number
    return thirds


def label_areas(labels: LabelArray, highest: int, outside_fov: BoolArray | None) -> IntArray:
    """Voxels of each label in each slice, padding left out: int ``[slice, label]``."""
    areas = np.zeros((len(labels), highest + 1), dtype=np.int64)
    for k, plane in enumerate(labels):
        seen = plane if outside_fov is None else plane[~outside_fov[k]]
        areas[k] = np.bincount(seen.ravel(), minlength=highest + 1)
    return areas
