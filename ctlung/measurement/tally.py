"""One pass over the volume that counts everything the measures are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, Box, FloatArray, IntArray, LabelArray, bounding_box
from ctlung.measurement.regions import Partition
from ctlung.volume import HU_MAX, HU_MIN, LabelMap, Scan

BINS = HU_MAX - HU_MIN + 1
"""One bin for each whole HU that a scan can hold."""

HU_OF_BIN = np.arange(HU_MIN, HU_MAX + 1, dtype=np.int64)

OTHER, GROUND_GLASS, CONSOLIDATION = 0, 1, 2
TISSUES = 3
"""Tissue classes: other lung, ground-glass, consolidation."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of one scan by atom, tissue and CT number.

    Attributes:
        weighted: float64 ``[atom, tissue, bin]``: sum of slice weights (mm) of the voxels at
            each HU (FIELD 2.3).
        slice_counts: int64 ``[slice, atom, tissue]``: voxels.
        slice_hu_sums: int64 ``[slice, atom, tissue]``: sum of HU.
        weights_mm: slice weights, shape ``(slices,)``.
        pixel_area_mm2: area of one pixel.
        lesion_outside: lesion voxels outside the lungs, which no measure counts.
        lesion_outside_ml: their volume (a single slice counts 1 mm).
    """

    weighted: FloatArray
    slice_counts: IntArray
    slice_hu_sums: IntArray
    weights_mm: FloatArray
    pixel_area_mm2: float
    lesion_outside: int
    lesion_outside_ml: float

    def of(self, atoms: Iterable[int]) -> RegionTally:
        """The counts of a union of atoms."""
        chosen = list(atoms)
        return RegionTally(
            self.weighted[chosen].sum(axis=0),
            self.slice_counts[:, chosen].sum(axis=1),
            self.slice_hu_sums[:, chosen].sum(axis=1),
            self.weights_mm,
            self.pixel_area_mm2,
        )


@dataclass(frozen=True, eq=False)
class RegionTally:
    """The counts of one region; shapes as in :class:`Tally`, without the axis of atoms."""

    weighted: FloatArray
    slice_counts: IntArray
    slice_hu_sums: IntArray
    weights_mm: FloatArray
    pixel_area_mm2: float

    def n_voxels(self, *tissues: int) -> int:
        """Voxels of the tissues named; of the whole region if none is named."""
        chosen = list(tissues or range(TISSUES))
        return int(self.slice_counts[:, chosen].sum())

    def volume_ml(self, *tissues: int) -> float:
        """Volume of the tissues named; of the whole region if none is named."""
        chosen = list(tissues or range(TISSUES))
        per_slice = self.slice_counts[:, chosen].sum(axis=1)
        return float(per_slice @ self.weights_mm) * self.pixel_area_mm2 / 1000.0

    def histogram(self, *tissues: int) -> FloatArray:
        """Sum of weights (mm) at each HU, for the tissues named or all of them."""
        chosen = list(tissues or range(TISSUES))
        weights: FloatArray = self.weighted[chosen].sum(axis=0)
        return weights

    def volumes_ml(self, *tissues: int) -> FloatArray:
        """Volume at each HU, for the tissues named or all of them."""
        return self.histogram(*tissues) * (self.pixel_area_mm2 / 1000.0)


def tally(scan: Scan, partition: Partition, lesions: LabelMap) -> Tally:
    """Count every measured lung voxel of a scan once, and once more in each overlay it lies in.

    Padding (``scan.outside_fov``) is left out everywhere. Lesion voxels outside the lungs are
    not counted but for their number.

    Args:
        scan: HU on the canonical grid.
        partition: the lungs in atoms, on the same grid.
        lesions: 1 ground-glass, 2 consolidation, on the same grid.

    Source: FIELD 2.3, 2.4.
    """
    n_slices = scan.hu.shape[0]
    weights = scan.geometry.slice_weights_mm
    weighted = np.zeros((partition.n_atoms, TISSUES, BINS))
    slice_counts = np.zeros((n_slices, partition.n_atoms, TISSUES), dtype=np.int64)
    hu_sums = np.zeros_like(slice_counts)
    outside = np.zeros(n_slices, dtype=np.int64)
    box = bounding_box(partition.parcels > 0)
    for k in range(n_slices):
        seen = _lesion_voxels(scan, lesions, k)
        if box is not None and box[0].start <= k < box[0].stop:
            place = (slice(k, k + 1), *box[1:])
            lung = _lung_voxels(scan, partition, lesions, place)
            seen -= int(np.count_nonzero(lung.values >= BINS))
            for atoms, values in _atoms(partition, place, lung):
                for atom, counts in _counted(atoms, values):
                    weighted[atom] += weights[k] * counts
                    slice_counts[k, atom] += counts.sum(axis=1)
                    hu_sums[k, atom] += counts @ HU_OF_BIN
        outside[k] = seen
    area = scan.geometry.pixel_area_mm2
    outside_ml = float(outside @ weights) * area / 1000.0
    return Tally(weighted, slice_counts, hu_sums, weights, area, int(outside.sum()), outside_ml)


@dataclass(frozen=True, eq=False)
class _LungVoxels:
    """The measured lung voxels of one slice, in one row.

    Attributes:
        where: bool ``[1, y, x]``: which of the window's voxels they are.
        parcels: uint8: their parcels.
        values: int64: tissue and HU bin in one number, ``tissue * BINS + bin``.
    """

    where: BoolArray
    parcels: LabelArray
    values: IntArray


def _lung_voxels(scan: Scan, partition: Partition, lesions: LabelMap, place: Box) -> _LungVoxels:
    where = partition.parcels[place] > 0
    if scan.outside_fov is not None:
        where &= ~scan.outside_fov[place]
    hu = scan.hu[place][where]
    if hu.size and not (hu.min() >= HU_MIN and hu.max() <= HU_MAX):
        raise ValueError(
            f"a scan holds HU from {HU_MIN} to {HU_MAX}; slice {place[0].start} goes beyond"
        )
    values = lesions.labels[place][where].astype(np.int64) * BINS
    values += hu
    values -= HU_MIN
    return _LungVoxels(where, partition.parcels[place][where], values)


def _atoms(
    partition: Partition, place: Box, lung: _LungVoxels
) -> Iterator[tuple[IntArray, IntArray]]:
    """Atoms and values of a slice's voxels: once for the parcels, then for each overlay."""
    yield partition.atom_of[place[0].start][lung.parcels], lung.values
    for overlay in partition.overlays:
        labels = overlay.labels[place][lung.where]
        inside = labels > 0
        yield overlay.atom_of[labels[inside], lung.parcels[inside]], lung.values[inside]


def _counted(atoms: IntArray, values: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Each atom that occurs, with its voxels by tissue and HU bin."""
    present = np.flatnonzero(np.bincount(atoms))
    if len(present) == 0:
        return
    # Only the atoms of this slice: all of them, many times the bins, would not fit a cache.
    rank = np.zeros(int(present[-1]) + 1, dtype=np.int64)
    rank[present] = np.arange(len(present))
    key = rank[atoms]
    key *= TISSUES * BINS
    key += values
    counts = np.bincount(key, minlength=len(present) * TISSUES * BINS)
    for atom, of_atom in zip(present, counts.reshape(-1, TISSUES, BINS), strict=True):
        yield int(atom), of_atom


def _lesion_voxels(scan: Scan, lesions: LabelMap, k: int) -> int:
    plane = lesions.labels[k]
    if scan.outside_fov is not None:
        plane = plane[~scan.outside_fov[k]]
    return int(np.count_nonzero(plane))
