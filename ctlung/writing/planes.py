"""Which planes of a scan are worth looking at, cut out and ready to be drawn in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ctlung.arrays import BoolArray, Box, HUArray, IntArray, LabelArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.records import ScanReport
from ctlung.volume import LabelMap, Scan

Kind = Literal["axial", "coronal", "sagittal"]
_AXIS: dict[Kind, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
_MARGIN_MM = 14.0
_SHORTEST_STACK = 8
"""Fewer slices than this make no coronal or sagittal view worth its place."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One view: rows from the top of the picture down, columns from its left.

    Attributes:
        kind: axial, coronal or sagittal.
        index: along z, y or x of the scan.
        hu, lungs, lesions: 2D arrays on one grid.
        pixel_mm: height and width of a pixel.
        title: which slice, and where in mm.
        edges: letters at left, right, top and bottom: R, L, A, P, H, F.
        largest: whether it is the slice of the largest inflammatory area.
        levels_mm: in a coronal or sagittal plane, how far below its top the axial planes lie.
    """

    kind: Kind
    index: int
    hu: HUArray
    lungs: LabelArray
    lesions: LabelArray
    pixel_mm: tuple[float, float]
    title: str
    edges: tuple[str, str, str, str]
    largest: bool = False
    levels_mm: tuple[float, ...] = ()

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        return self.hu.shape[0] * self.pixel_mm[0], self.hu.shape[1] * self.pixel_mm[1]


@dataclass(frozen=True)
class _Volume:
    """The crop around the lungs, with what is needed to name its planes."""

    scan: Scan
    lungs: LabelMap
    lesions: LabelMap
    box: Box
    z_rows: tuple[int, ...]

    def cut(self, array: np.ndarray[Any, Any], kind: Kind, index: int) -> np.ndarray[Any, Any]:
        _, y, x = self.box
        if kind == "axial":
            return array[index, y, x]
        side = array[:, index, x] if kind == "coronal" else array[:, y, index]
        from_head: np.ndarray[Any, Any] = side[np.asarray(self.z_rows)]
        return from_head


@dataclass(frozen=True, eq=False)
class Counts:
    """How many voxels each plane holds.

    Attributes:
        box: around the lungs.
        lesion_z, lesion_y: of lesion, by slice and by coronal plane.
        sides: of lung and of lesion in it, by sagittal plane, for each lung that is there.
    """

    box: Box | None
    lesion_z: IntArray
    lesion_y: IntArray
    sides: tuple[tuple[IntArray, IntArray], ...]


def count(lungs: LabelMap, lesions: LabelMap) -> Counts:
    """One look at the volume, for any number of :func:`choose_planes`."""
    box = bounding_box(lungs.labels > 0)
    if box is None:
        depth, height, _ = lungs.labels.shape
        return Counts(None, np.zeros(depth, np.int64), np.zeros(height, np.int64), ())
    lung, lesion = lungs.labels[box], lesions.labels[box] > 0
    shape = lungs.labels.shape
    sides = []
    for label in (1, 2):
        inside = lung == label
        if inside.any():
            sides.append(
                (
                    _profile(inside, 2, box, shape),
                    _profile(inside & lesion, 2, box, shape),
                )
            )
    return Counts(
        box, _profile(lesion, 0, box, shape), _profile(lesion, 1, box, shape), tuple(sides)
    )


def choose_planes(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    report: ScanReport,
    most_axial: int = 8,
    counts: Counts | None = None,
) -> tuple[tuple[Plane, ...], tuple[Plane, ...]]:
    """Up to ``most_axial`` axial planes, and three coronal with two sagittal ones.

    They are spread evenly over the lungs; in each stretch that holds lesions the plane with the
    most lesion is taken, and the slice of the largest inflammatory area is always among them.
    Too few slices give no coronal or sagittal planes.
    """
    counts = counts or count(lungs, lesions)
    box = _padded(counts.box, scan.geometry)
    volume = _Volume(scan, lungs, lesions, box, _rows_from_head(scan.geometry, box[0]))
    lung_box = counts.box or box
    largest = _largest_slice(report, counts.lesion_z)
    axial = _spread(lung_box[0], most_axial, counts.lesion_z, largest)
    across = tuple(_plane(volume, "axial", k, largest=k == largest) for k in axial)
    if scan.geometry.shape[0] < _SHORTEST_STACK:
        return across, ()
    coronal = _spread(lung_box[1], 3, counts.lesion_y)
    views: list[tuple[Kind, int]] = [("coronal", k) for k in coronal]
    views += [("sagittal", k) for k in _one_in_each_lung(counts.sides)]
    dz = scan.geometry.spacing_mm[0]
    levels = tuple((volume.z_rows.index(k) + 0.5) * dz for k in axial if k in volume.z_rows)
    along = (_plane(volume, kind, k) for kind, k in views)
    return across, tuple(replace(plane, levels_mm=levels) for plane in along)


def stack(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    kind: Kind,
    most: int,
    always: int | None = None,
) -> tuple[Plane, ...]:
    """Up to ``most`` planes through the lungs, evenly spread, in the order of the index.

    All have one size. The plane ``always`` is among them, if it goes through the lungs. Too few
    slices give no coronal or sagittal planes.

    Args:
        scan: HU ``[z, y, x]``.
        lungs: where to look, on the grid of ``scan``.
        lesions: what else is cut, with whatever labels, on the grid of ``scan``.
        kind: axial from the feet up, coronal from the front, sagittal from the patient's right.
        most: at least 1.
        always: along z, y or x of the scan.
    """
    if kind != "axial" and scan.geometry.shape[0] < _SHORTEST_STACK:
        return ()
    found = bounding_box(lungs.labels > 0)
    box = _padded(found, scan.geometry)
    part = (found or box)[_AXIS[kind]]
    step = -(-(part.stop - part.start) // most)
    first = part.start
    if always is not None and part.start <= always < part.stop:
        first += (always - part.start) % step
    volume = _Volume(scan, lungs, lesions, box, _rows_from_head(scan.geometry, box[0]))
    return tuple(_plane(volume, kind, k) for k in range(first, part.stop, step))


def _padded(box: Box | None, geometry: Geometry) -> Box:
    if box is None:
        return slice(0, geometry.shape[0]), slice(0, geometry.shape[1]), slice(0, geometry.shape[2])
    wide = []
    for part, step, size in zip(box, geometry.spacing_mm, geometry.shape, strict=True):
        pad = int(np.ceil(_MARGIN_MM / step)) if step > 0 else 0
        wide.append(slice(max(0, part.start - pad), min(size, part.stop + pad)))
    return wide[0], wide[1], wide[2]


def _rows_from_head(geometry: Geometry, part: slice) -> tuple[int, ...]:
    """The nearest slice to each row of an even grid from head to feet (stacks may be uneven)."""
    positions = np.asarray(geometry.slice_positions_mm[part], dtype=np.float64)
    if len(positions) == 1:
        return (part.start,)
    even = np.linspace(positions[-1], positions[0], len(positions))
    nearest = np.abs(positions[None, :] - even[:, None]).argmin(axis=1)
    return tuple(int(k) + part.start for k in nearest)


def _largest_slice(report: ScanReport, areas: IntArray) -> int | None:
    """What the report says; nothing where it withholds the area."""
    try:
        value = report.value("lesion_area_max_slice")
    except KeyError:
        return int(areas.argmax()) if areas.any() else None
    return None if value is None else int(value)


def _profile(part: BoolArray, axis: int, box: Box, shape: tuple[int, ...]) -> IntArray:
    """Voxels of each plane of the volume, of which ``part`` is the content of ``box``."""
    others = tuple(a for a in range(3) if a != axis)
    counts = np.zeros(shape[axis], np.int64)
    counts[box[axis]] = np.count_nonzero(part, axis=others)
    return counts


def _spread(part: slice, count: int, weight: IntArray, always: int | None = None) -> list[int]:
    """One index in each of ``count`` stretches of ``part``: the heaviest near its middle."""
    edges = np.linspace(part.start, part.stop, min(count, part.stop - part.start) + 1)
    chosen = []
    for low, high in pairwise(edges):
        quarter = (high - low) / 4
        inner = np.arange(int(low + quarter), max(int(low + quarter) + 1, int(high - quarter)))
        heavy = weight[inner]
        middle = int((low + high) / 2)
        chosen.append(int(inner[heavy.argmax()]) if heavy.any() else middle)
    if always is not None and chosen:
        chosen[int(np.abs(np.array(chosen) - always).argmin())] = always
    return sorted(set(chosen))


def _one_in_each_lung(sides: tuple[tuple[IntArray, IntArray], ...]) -> list[int]:
    """For each side the sagittal plane with the most lesion, else with the most lung."""
    columns = []
    for lung, lesion in sides:
        enough = np.where(lung >= 0.5 * lung.max(), lesion, 0)
        columns.append(int(enough.argmax() if enough.any() else lung.argmax()))
    return columns


def _plane(volume: _Volume, kind: Kind, index: int, *, largest: bool = False) -> Plane:
    geometry = volume.scan.geometry
    dz, dy, dx = geometry.spacing_mm
    if kind == "axial":
        pixel, edges = (dy, dx), ("R", "L", "A", "P")
        title = f"slice {index}   z {_signed(geometry.slice_positions_mm[index])} mm"
    elif kind == "coronal":
        pixel, edges = (dz or 1.0, dx), ("R", "L", "H", "F")
        title = f"coronal {index}   y {_signed(_middle_mm(geometry, kind, index)[1])} mm"
    else:
        pixel, edges = (dz or 1.0, dy), ("A", "P", "H", "F")
        title = f"sagittal {index}   x {_signed(_middle_mm(geometry, kind, index)[0])} mm"
    return Plane(
        kind,
        index,
        volume.cut(volume.scan.hu, kind, index),
        volume.cut(volume.lungs.labels, kind, index),
        volume.cut(volume.lesions.labels, kind, index),
        pixel,
        title,
        edges,
        largest,
    )


def _middle_mm(geometry: Geometry, kind: Kind, index: int) -> Sequence[float]:
    middle = [(n - 1) / 2 for n in geometry.shape]
    middle[_AXIS[kind]] = index
    return [float(v) for v in geometry.to_mm(middle)]


def _signed(value: float) -> str:
    text = f"{value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
