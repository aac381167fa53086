"""The connected lesions, one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, FloatArray, HUArray, LabelArray, bounding_box
from ctlung.records import Lesion
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap, Scan

_NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class _Lung:
    """One lung's box of a scan: everything that its lesions are measured from."""

    region: str
    start: tuple[int, int, int]
    hu: HUArray
    tissue: LabelArray
    surface: BoolArray
    voxel_ml: FloatArray
    pixel_cm2: float
    single_slice: bool


def connected_lesions(
    scan: Scan, lungs: LabelMap, lesions: LabelMap, settings: Settings | None = None
) -> tuple[Lesion, ...]:
    """List the connected lesions of both lungs, largest first.

    Voxels that touch by face, edge or corner belong together (26-neighbourhood), within one
    lung: what meets across the mediastinum is two lesions. Listed are those of at least
    ``settings.lesion_min_component_ml``; in a single slice, which has no volume, those of at
    least ``settings.min_voxels_null`` pixels. Padding is left out. Equal volumes are ordered by
    the lung and by the box.

    Returns:
        ``Lesion`` records numbered from 1. ``region`` is the lung. ``mean_hu`` is ``None`` under
        ``settings.min_voxels_null`` voxels; the volumes are ``None`` in a single slice.
        ``touches_pleura``: a voxel of it has a face on the surface of its lung, the hilum
        included; the ends of the scan are no surface.
    """
    limits = settings or Settings()
    found: list[tuple[float, Lesion]] = []
    for number, region in LUNG_LABELS.items():
        lung = _lung(scan, lungs, lesions, number, region)
        if lung is not None:
            found.extend(_lesions_of(lung, limits))
    # sorted() keeps the order of equals: right before left, then from the feet upward.
    found.sort(key=lambda item: -item[0])
    return tuple(replace(lesion, label=label) for label, (_, lesion) in enumerate(found, start=1))


def _lung(scan: Scan, lungs: LabelMap, lesions: LabelMap, number: int, region: str) -> _Lung | None:
    lung = lungs.labels == number
    box = bounding_box(lung, margin=(1, 1, 1))
    if box is None:
        return None
    inside = lung[box]
    tissue = np.where(inside, lesions.labels[box], np.uint8(0))
    if scan.outside_fov is not None:
        tissue[scan.outside_fov[box]] = 0
    geometry = scan.geometry
    return _Lung(
        region,
        (box[0].start, box[1].start, box[2].start),
        scan.hu[box],
        tissue,
        _surface(inside),
        geometry.voxel_volumes_ml[box[0]],
        geometry.pixel_area_mm2 / 100.0,
        geometry.shape[0] == 1,
    )


def _surface(inside: BoolArray) -> BoolArray:
    """Voxels with a face on the outside; beyond the array the lung is taken to go on."""
    core = inside.copy()
    for axis in range(3):
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        core[tuple(here)] &= inside[tuple(there)]
        core[tuple(there)] &= inside[tuple(here)]
    surface: BoolArray = inside & ~core
    return surface


def _lesions_of(lung: _Lung, limits: Settings) -> list[tuple[float, Lesion]]:
    labels, n = ndimage.label(lung.tissue > 0, structure=_NEIGHBOURS_26)
    if n == 0:
        return []
    sizes = _sizes(labels, n, lung)
    least = limits.min_voxels_null if lung.single_slice else limits.lesion_min_component_ml
    kept = [int(i) + 1 for i in np.flatnonzero(sizes >= least * (1.0 - 1e-12))]
    boxes = ndimage.find_objects(labels)
    found = []
    for i in kept:
        z, y, x = boxes[i - 1]
        described = _describe(lung, labels[z, y, x] == i, (z, y, x), limits)
        found.append((float(sizes[i - 1]), described))
    return found


def _sizes(labels: NDArray[np.signedinteger], n: int, lung: _Lung) -> FloatArray:
    """Volume (ml) of each component; voxels in a single slice."""
    sizes = np.zeros(n)
    for plane, voxel_ml in zip(labels, lung.voxel_ml, strict=True):
        counts = np.bincount(plane[plane > 0], minlength=n + 1)[1:]
        sizes += counts * (1.0 if lung.single_slice else voxel_ml)
    return sizes


def _describe(lung: _Lung, mask: BoolArray, box: Box, limits: Settings) -> Lesion:
    voxel_ml = lung.voxel_ml[box[0]]
    per_slice = np.count_nonzero(mask, axis=(1, 2))
    consolidated = np.count_nonzero(mask & (lung.tissue[box] == 2), axis=(1, 2))
    largest = int(per_slice.argmax())
    n = int(per_slice.sum())
    volume = float(per_slice @ voxel_ml)
    consolidation = float(consolidated @ voxel_ml)
    hu_sums = np.where(mask, lung.hu[box], 0).sum(axis=(1, 2), dtype=np.int64)
    mean = float(hu_sums @ voxel_ml) / volume
    starts = lung.start
    place = tuple((s.start + start, s.stop + start) for s, start in zip(box, starts, strict=True))
    flat = lung.single_slice
    return Lesion(
        label=0,
        volume_ml=None if flat else volume,
        mean_hu=mean if n >= limits.min_voxels_null else None,
        ground_glass_ml=None if flat else float((per_slice - consolidated) @ voxel_ml),
        consolidation_ml=None if flat else consolidation,
        region=lung.region,
        box=(place[0], place[1], place[2]),
        largest_slice=starts[0] + box[0].start + largest,
        largest_area_cm2=float(per_slice[largest]) * lung.pixel_cm2,
        touches_pleura=bool((mask & lung.surface[box]).any()),
    )
