"""DICOM structure sets (PS3.3 A.19): closed planar contours, filled on the scan's slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ctlung.arrays import BoolArray, FloatArray, LabelArray
from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.reading.archive import FileRef, Opener
from ctlung.reading.dataset import Attributes, Damaged, guarded, read_dataset
from ctlung.reading.mask_grid import Canvas, nearest_slice, require_same_series, slice_origins_mm
from ctlung.reading.structures import Choice, Named, choose, structure_named
from ctlung.settings import Settings
from ctlung.volume import Scan

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"

PLANE_MM = 0.5
"""How far a contour may lie from its slice; writers round to a tenth of a millimetre."""
STRAY_PERCENT = 5.0
_CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR"})
_CONTOUR_DATA = Tag("ContourData")


@dataclass(frozen=True, eq=False)
class _Roi:
    """A named structure and its contours, each ``[n, 3]`` LPS mm."""

    number: int
    name: str
    contours: tuple[FloatArray, ...]


def read_structures(
    ref: FileRef, file: str, scan: Scan, settings: Settings
) -> tuple[LabelArray, Choice]:
    """Lungs or lobes of a structure set, painted on the scan's grid.

    A voxel is in if its centre is, by the even-odd rule over all contours of a structure in a
    slice: holes are contours within contours, or joined to them by a keyhole.

    Args:
        ref: the file.
        file: its name, for the sentences.
        scan: the scan it belongs to.
        settings: limits.

    Raises:
        Damaged, OSError: the file cannot be read.
        InputError: no lung in it, of another series, structures that overlap.
        GeometryMismatch: its contours do not lie in the scan's slices.
    """
    rois = _read(ref, file, scan, settings, lambda name: structure_named(name) is not None)
    named = [Named(r.number, r.name, structure_named(r.name)) for r in rois if r.contours]
    choice = choose(named, file, "structures")
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for roi in rois:
        if roi.number in choice.numbers:
            for k, mask in _filled(roi, scan.geometry, file):
                canvas.paint(k, mask, choice.numbers[roi.number])
    canvas.require_apart(file)
    return canvas.labels, choice


def drawn_structures(
    ref: FileRef, file: str, scan: Scan, settings: Settings
) -> Iterator[tuple[Named, list[tuple[int, BoolArray]]]]:
    """Every structure of a structure set that has closed contours, with its mask in each slice.

    Args, raises: as for :func:`read_structures`.
    """
    for roi in _read(ref, file, scan, settings, lambda name: True):
        if roi.contours:
            named = Named(roi.number, roi.name, structure_named(roi.name))
            yield named, list(_filled(roi, scan.geometry, file))


def _read(
    ref: FileRef, file: str, scan: Scan, settings: Settings, wanted: Callable[[str], bool]
) -> list[_Roi]:
    with Opener() as opener, guarded():
        with opener.open(ref) as stream:
            dataset = read_dataset(stream, settings, pixels=True)
        require_same_series(*_references(dataset), scan, file)
        return list(_rois(dataset, wanted))


def _references(dataset: Dataset) -> tuple[list[str], list[str]]:
    """Series, and slices, that the structures were drawn on."""
    series: list[str] = []
    slices: list[str] = []
    for frame in Attributes([dataset]).get("ReferencedFrameOfReferenceSequence") or []:
        for study in Attributes([frame]).get("RTReferencedStudySequence") or []:
            for item in Attributes([study]).get("RTReferencedSeriesSequence") or []:
                of_series = Attributes([item])
                series.append(of_series.text("SeriesInstanceUID") or "")
                for image in of_series.get("ContourImageSequence") or []:
                    slices.append(Attributes([image]).text("ReferencedSOPInstanceUID") or "")
    return [s for s in series if s], [s for s in slices if s]


def _rois(dataset: Dataset, wanted: Callable[[str], bool]) -> Iterator[_Roi]:
    """Structures in the order of the file; of those not wanted, that there is something."""
    top = Attributes([dataset])
    names: dict[int, str] = {}
    for item in top.get("StructureSetROISequence") or []:
        roi = Attributes([item])
        names[roi.whole("ROINumber") or 0] = roi.text("ROIName") or ""
    contours: dict[int, list[FloatArray]] = defaultdict(list)
    for item in top.get("ROIContourSequence") or []:
        roi = Attributes([item])
        number = roi.whole("ReferencedROINumber") or 0
        if not wanted(names.get(number, "")):
            # Whatever else was drawn is named in the error where there is no lung.
            if roi.get("ContourSequence"):
                contours[number].append(np.empty((0, 3)))
            continue
        contours[number].extend(_closed(roi))
    for number, name in names.items():
        yield _Roi(number, name, tuple(contours[number]))


def _closed(roi: Attributes) -> Iterator[FloatArray]:
    """Closed contours of a structure; one that comes twice is taken once."""
    seen: set[bytes] = set()
    for item in roi.get("ContourSequence") or []:
        contour = Attributes([item])
        if contour.text("ContourGeometricType") not in _CLOSED:
            continue
        points = _points(item)
        if len(points) > 2 and points.tobytes() not in seen:
            seen.add(points.tobytes())
            yield points


def _points(contour: Dataset) -> FloatArray:
    """Points of a contour, ``[n, 3]`` LPS mm."""
    element: Any = contour.get_item(_CONTOUR_DATA)
    if element is None or not element.value:
        return np.empty((0, 3))
    # Through pydicom each number becomes an object: minutes for a body outline.
    raw = isinstance(element, RawDataElement) and isinstance(element.value, bytes)
    texts = element.value.strip(b"\0 ").split(b"\\") if raw else list(element.value)
    numbers: FloatArray = np.array([float(t) for t in texts], dtype=np.float64)
    if len(numbers) % 3 or not np.isfinite(numbers).all():
        raise Damaged("the points of a contour are not triples of numbers")
    return numbers.reshape(-1, 3)


def _filled(roi: _Roi, grid: Geometry, file: str) -> Iterator[tuple[int, BoolArray]]:
    """Slices of the scan that a structure covers, and its mask ``[y, x]`` in each."""
    by_slice: dict[int, list[FloatArray]] = defaultdict(list)
    worst, stray = 0.0, 0
    for contour in roi.contours:
        along = contour @ grid.normal
        k, off = nearest_slice(float(np.median(along)), grid)
        off = max(off, float(np.abs(along - np.median(along)).max()))
        if off > PLANE_MM:
            worst, stray = max(worst, off), stray + 1
        else:
            by_slice[k].append(contour)
    if 100.0 * stray > STRAY_PERCENT * len(roi.contours):
        raise GeometryMismatch(
            f"{stray} of {len(roi.contours)} contours of '{roi.name}' in {file} lie in no slice "
            f"of the scan (up to {worst:.1f} mm off, limit {PLANE_MM:g} mm): they were drawn on "
            "other slices. Measure the series that they were drawn on, or draw them on this one."
        )
    origins = slice_origins_mm(grid)
    axes = grid.matrix[:3, 1:3] / np.array(grid.spacing_mm[1:]) ** 2
    for k, contours in sorted(by_slice.items()):
        yield k, even_odd([(c - origins[k]) @ axes for c in contours], grid.shape[1:])


def even_odd(contours: list[FloatArray], shape: tuple[int, ...]) -> BoolArray:
    """Pixels whose centre lies inside an odd number of closed contours.

    Args:
        contours: each ``[n, 2]``: (row, column) of its corners in pixels; the last joins the
            first.
        shape: rows and columns of the mask.

    A centre on an edge belongs to the side of higher row and column, so that neighbours that
    share an edge share no pixel.
    """
    height, width = shape
    turns = np.zeros((height, width + 1), dtype=np.int64)
    for contour in contours:
        start, end = contour, np.roll(contour, -1, axis=0)
        down = (start[:, 0] <= end[:, 0])[:, None]
        low, high = np.where(down, start, end), np.where(down, end, start)
        first = np.clip(np.ceil(low[:, 0]), 0, height).astype(np.int64)
        stop = np.clip(np.ceil(high[:, 0]), 0, height).astype(np.int64)
        count = stop - first
        edge = np.repeat(np.arange(len(contour)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (high[edge, 1] - low[edge, 1]) / (high[edge, 0] - low[edge, 0])
        crossing = low[edge, 1] + (row - low[edge, 0]) * slope
        column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
        np.add.at(turns, (row, column), 1)
    inside: BoolArray = np.cumsum(turns, axis=1)[:, :width] % 2 == 1
    return inside
