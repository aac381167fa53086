"""The patient's own aerated lung: what HU it has far from every lesion (FIELD 1.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, Box, FloatArray, bounding_box
from ctlung.measurement.tally import BINS
from ctlung.morphology import distance_outside, grow
from ctlung.records import Fact
from ctlung.settings import Settings
from ctlung.tubes import narrow_and_bright
from ctlung.volume import HU_MIN, Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

AIRWAY_WALL_MM = 2.0


@dataclass(frozen=True, eq=False)
class FarLung:
    """Aerated lung far from lesions: its mean CT number, and its ml at each HU of the tally."""

    fact: Fact
    volumes_ml: FloatArray | None = None


def reference(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    anatomy: Anatomy | None = None,
    settings: Settings | None = None,
) -> Fact:
    """The mean of :func:`far_lung`, whose arguments these are."""
    return far_lung(scan, lungs, lesions, anatomy, settings).fact


def far_lung(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    anatomy: Anatomy | None = None,
    settings: Settings | None = None,
) -> FarLung:
    """Mean HU of lung > 10 mm from lesions, > 5 mm inside its surface, no vessel, no airway.

    Which blocks of the working grid count is decided there; the mean runs over their native lung
    voxels, with slice weights. Each lung has a surface of its own, its hilum included; where the
    scan ends inside a lung there is none.

    Where nobody knows the vessels, what is narrower than 9 mm and stands out by 100 HU from its
    surroundings is left out. No HU band does that: it would choose the answer. Trap: fissures,
    scars and small nodules go too, vessels thinner than about 1.5 mm stay, and so does lung that
    is evenly denser than it should be, which no one called a lesion.

    Args:
        scan: the scan.
        lungs: 1 right, 2 left, on its grid.
        lesions: 1 ground-glass, 2 consolidation, on its grid.
        anatomy: airways and vessels, where they are known.
        settings: the distances, and the least volume.

    Source: FIELD 1.3, of this scan alone: whole lung, not matched in height.
    """
    settings = settings or Settings()
    if scan.geometry.shape[0] == 1:
        return FarLung(Fact(reason="single_slice"))
    grid = working_grid(scan)
    kept = _kept(grid, lungs, lesions, anatomy or Anatomy(), settings)
    n, hu_sum, ml, volumes = _sums(scan, grid, kept, lungs)
    if n == 0 or ml < settings.reference_min_ml:
        return FarLung(Fact(reason="no_reference", n_voxels=n, volume_ml=ml))
    return FarLung(Fact(hu_sum / ml, n_voxels=n, volume_ml=ml), volumes)


def _kept(
    grid: WorkingGrid, lungs: LabelMap, lesions: LabelMap, anatomy: Anatomy, settings: Settings
) -> BoolArray:
    """The blocks of the working grid that count."""
    kept = np.zeros(grid.hu.shape, dtype=bool)
    for side in (1, 2):
        lung = block_mean(lungs.labels == side, grid.factors) > 0.5
        box = bounding_box(lung, (1, 1, 1))
        if box is not None:
            depth = -distance_outside(lung[box], grid.spacing_mm)
            kept[box] |= lung[box] & (depth > settings.reference_surface_mm)
    diseased = block_mean(lesions.labels > 0, grid.factors) > 0
    margin = (settings.reference_lesion_mm, *(2 * s for s in grid.spacing_mm))
    box = bounding_box(kept | diseased, grid.voxels(max(margin)))
    if box is None:
        return kept
    inner = kept[box]
    if diseased.any():
        near = distance_outside(diseased[box], grid.spacing_mm) <= settings.reference_lesion_mm
        inner &= ~near
    inner &= ~_tubes(grid, box, anatomy)
    return kept


def _tubes(grid: WorkingGrid, box: Box, anatomy: Anatomy) -> BoolArray:
    """Vessels, and airways with their walls."""
    if anatomy.vessels is not None:
        tubes = block_mean(anatomy.vessels, grid.factors)[box] > 0.1
    else:
        tubes = narrow_and_bright(grid.hu[box], grid.spacing_mm)
    if anatomy.airways is not None:
        lumen = block_mean(anatomy.airways, grid.factors)[box] > 0.1
        tubes |= grow(lumen, AIRWAY_WALL_MM, grid.spacing_mm)
    return tubes


def _sums(
    scan: Scan, grid: WorkingGrid, kept: BoolArray, lungs: LabelMap
) -> tuple[int, float, float, FloatArray]:
    """Voxels, sum of ml x HU, ml, and ml at each HU, of the lung in the blocks that count.

    Padding is no lung.
    """
    fz, fy, fx = grid.factors
    weights = scan.geometry.voxel_volumes_ml
    rows, columns = scan.hu.shape[1:]
    n, hu_sum, ml = 0, 0.0, 0.0
    volumes = np.zeros(BINS)
    for k in np.flatnonzero(np.repeat(kept.any(axis=(1, 2)), fz)[: len(weights)]):
        plane = np.repeat(np.repeat(kept[k // fz], fy, axis=0), fx, axis=1)[:rows, :columns]
        plane = plane & (lungs.labels[k] > 0)
        if scan.outside_fov is not None:
            plane &= ~scan.outside_fov[k]
        here = scan.hu[k][plane]
        n += len(here)
        hu_sum += float(weights[k]) * float(here.sum(dtype=np.int64))
        ml += float(weights[k]) * len(here)
        steps = np.bincount(here.astype(np.int64) - HU_MIN, minlength=BINS)
        volumes += float(weights[k]) * steps[:BINS]
    return n, hu_sum, ml, volumes
