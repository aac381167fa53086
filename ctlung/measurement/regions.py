"""Which voxel belongs to which region: the lungs, each lung, thirds, core and rim, and lobes.

Everything is counted once, in *atoms* that do not overlap; a region is a union of atoms. So the
parts of a lung add up to the lung, and a region costs nothing but a sum. Regions that a user
hands in may lie across all of these and each other: they are counted as overlays, with atoms of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, FloatArray, IntArray, LabelArray
from ctlung.vocabulary import DEPTHS, LOBE_LABELS, LOBES_OF, LUNG_LABELS
from ctlung.volume import LabelMap

BORDER_TOLERANCE_MM = 1e-3
"""A slice this close below a border between thirds counts as on it: file formats round
positions differently, and one scan must give one answer."""

_LUNG_OF_LOBE = {
    number: lung
    for lung, side in LUNG_LABELS.items()
    for number, lobe in LOBE_LABELS.items()
    if lobe in LOBES_OF[side]
}


@dataclass(frozen=True, eq=False)
class Overlay:
    """Regions that do not overlap each other, laid over a partition.

    Attributes:
        labels: uint8 ``[z, y, x]``; 0 is none of them, and outside the parcels nothing counts.
        atom_of: int ``[label, parcel]``: the atom of what of a label lies in a parcel.
    """

    labels: LabelArray
    atom_of: IntArray


@dataclass(frozen=True, eq=False)
class Partition:
    """The lung cut into atoms.

    Attributes:
        parcels: uint8 ``[z, y, x]``; 0 is outside. A parcel's voxels in one slice are one atom.
        atom_of: int ``[slice, parcel]``: the atom of a parcel in a slice; column 0 is unused.
        n_atoms: number of atoms, those of the overlays among them.
        regions: region name to its atoms.
        overlays: what is counted a second time, in other atoms.
    """

    parcels: LabelArray
    atom_of: IntArray
    n_atoms: int
    regions: Mapping[str, tuple[int, ...]]
    overlays: tuple[Overlay, ...] = ()


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


def partition_by_lobes(
    lungs: LabelMap, lobes: LabelMap, outside_fov: BoolArray | None = None
) -> Partition:
    """Parcels are a lobe, or what of a lung is in none; each is cut at the thirds of its lung.

    The lungs decide what is lung: a lobe is what of it lies in the lung of its own side. Lung
    without a lobe, or with a lobe of the other side, belongs to its lung and third only.

    Args:
        lungs: 1 right lung, 2 left lung.
        lobes: 1 lul, 2 lll, 3 rul, 4 rml, 5 rll, on the same grid.
        outside_fov: bool ``[z, y, x]``: padding, which is no lung.

    Source: FIELD 3.7.
    """
    thirds = partition_by_thirds(lungs, outside_fov)
    lung_of = np.array([0, 1, 2, *(_LUNG_OF_LOBE[n] for n in sorted(LOBE_LABELS))])
    parcel_of = np.zeros((3, 1 + len(LOBE_LABELS)), dtype=np.uint8)
    for lung in LUNG_LABELS:
        parcel_of[lung] = lung
        for lobe in (n for n in LOBE_LABELS if _LUNG_OF_LOBE[n] == lung):
            parcel_of[lung, lobe] = 2 + lobe
    parcels = np.empty_like(lungs.labels)
    for k, plane in enumerate(lungs.labels):
        parcels[k] = parcel_of[plane, lobes.labels[k]]
    atom_of = thirds.atom_of[:, lung_of] % 3 + 3 * (np.arange(len(lung_of)) - 1)
    atom_of[:, 0] = 0
    return Partition(parcels, atom_of, 3 * (len(lung_of) - 1), _regions_with_lobes(lung_of))


def _regions_with_lobes(lung_of: IntArray) -> dict[str, tuple[int, ...]]:
    def atoms(parcels: IntArray, *thirds: int) -> tuple[int, ...]:
        return tuple(int(3 * (p - 1) + third) for p in parcels for third in thirds or (0, 1, 2))

    regions = {"lungs": atoms(np.flatnonzero(lung_of))}
    for number, lung in LUNG_LABELS.items():
        mine = np.flatnonzero(lung_of == number)
        regions[lung] = atoms(mine)
        for third, level in enumerate(("lower", "middle", "upper")):
            regions[f"{lung}_{level}"] = atoms(mine, third)
    for number, lobe in LOBE_LABELS.items():
        regions[lobe] = atoms(np.array([2 + number]))
    return regions


def split_by_depth(partition: Partition, rim: BoolArray) -> Partition:
    """Cut every parcel into what of it lies in the core and what lies in the rim.

    Args:
        partition: the lungs, without overlays.
        rim: bool ``[z, y, x]``: the rim of both lungs; the rest of them is core.

    Source: FIELD 3.7.
    """
    n_parcels = partition.atom_of.shape[1] - 1
    parcels = np.empty_like(partition.parcels)
    for k, plane in enumerate(partition.parcels):
        parcels[k] = plane + np.uint8(n_parcels) * (rim[k] & (plane > 0))
    beyond = partition.n_atoms
    atom_of = np.hstack([partition.atom_of, partition.atom_of[:, 1:] + beyond])
    regions = {
        name: (*atoms, *(atom + beyond for atom in atoms))
        for name, atoms in partition.regions.items()
    }
    core = partition.regions["lungs"]
    depths = dict(zip(DEPTHS, (core, tuple(atom + beyond for atom in core)), strict=True))
    return Partition(parcels, atom_of, 2 * beyond, {**regions, **depths})


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
