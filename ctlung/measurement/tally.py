"""One pass over the volume that counts everything the measures are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import FloatArray, IntArray, bounding_box
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
    """Count every measured lung voxel of a scan once.

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
    n_parcels = partition.atom_of.shape[1]
    weighted = np.zeros((partition.n_atoms, TISSUES, BINS))
    slice_counts = np.zeros((n_slices, partition.n_atoms, TISSUES), dtype=np.int64)
    hu_sums = np.zeros_like(slice_counts)
    outside = np.zeros(n_slices, dtype=np.int64)
    box = bounding_box(partition.parcels > 0)
    for k in range(n_slices):
        seen = _lesion_voxels(scan, lesions, k)
        if box is not None and box[0].start <= k < box[0].stop:
            counts = _count_slice(scan, partition, lesions, k, box[1:])
            seen -= int(counts[:, 1:].sum())
            for parcel in range(1, n_parcels):
                atom = partition.atom_of[k, parcel]
                weighted[atom] += weights[k] * counts[parcel]
                slice_counts[k, atom] += counts[parcel].sum(axis=1)
                hu_sums[k, atom] += counts[parcel] @ HU_OF_BIN
        outside[k] = seen
    area = scan.geometry.pixel_area_mm2
    outside_ml = float(outside @ weights) * area / 1000.0
    return Tally(weighted, slice_counts, hu_sums, weights, area, int(outside.sum()), outside_ml)


def _count_slice(
    scan: Scan, partition: Partition, lesions: LabelMap, k: int, window: tuple[slice, slice]
) -> IntArray:
    """Voxels of one slice by parcel, tissue and HU bin."""
    rows, columns = window
    parcels = partition.parcels[k, rows, columns]
    measured = parcels > 0
    if scan.outside_fov is not None:
        measured &= ~scan.outside_fov[k, rows, columns]
    key = parcels[measured].astype(np.int64) * TISSUES
    key += lesions.labels[k, rows, columns][measured]
    hu = scan.hu[k, rows, columns][measured]
    if hu.size and not (hu.min() >= HU_MIN and hu.max() <= HU_MAX):
        raise ValueError(f"a scan holds HU from {HU_MIN} to {HU_MAX}; slice {k} goes beyond")
    key *= BINS
    key += hu
    key -= HU_MIN
    shape = (partition.atom_of.shape[1], TISSUES, BINS)
    return np.bincount(key, minlength=shape[0] * TISSUES * BINS).reshape(shape)


def _lesion_voxels(scan: Scan, lesions: LabelMap, k: int) -> int:
    plane = lesions.labels[k]
    if scan.outside_fov is not None:
        plane = plane[~scan.outside_fov[k]]
    return int(np.count_nonzero(plane))
