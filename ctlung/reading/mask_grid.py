"""Where a mask lies on the grid of the scan that it was drawn on; nothing is resampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctlung.arrays import BoolArray, FloatArray, LabelArray
from ctlung.errors import GeometryMismatch, InputError
from ctlung.geometry import Geometry
from ctlung.reading.dataset import Attributes
from ctlung.volume import Scan

TOLERANCE_MM = 0.1
OVERLAP_PERCENT = 5.0
_DO = (
    "Draw or save the mask on the very series that is measured, or resample it to that with "
    "nearest-neighbour interpolation."
)


@dataclass(eq=False)
class Canvas:
    """Labels on the scan's grid, filled slice by slice; no voxel gets two.

    Attributes:
        labels: uint8 ``[z, y, x]``.
        overlap: voxels that a second structure wanted as well; the first keeps them.
    """

    labels: LabelArray
    overlap: dict[int, int] = field(default_factory=dict)

    def paint(self, k: int, mask: BoolArray, number: int) -> None:
        """Put a structure's part of slice ``k``."""
        plane = self.labels[k]
        taken = int(np.count_nonzero(mask & (plane != 0) & (plane != number)))
        if taken:
            self.overlap[number] = self.overlap.get(number, 0) + taken
        plane[mask & (plane == 0)] = number

    def require_apart(self, file: str) -> None:
        """Raise :class:`InputError` where structures share more than a border."""
        for number, taken in self.overlap.items():
            own = int(np.count_nonzero(self.labels == number))
            percent = 100.0 * taken / (own + taken)
            if percent > OVERLAP_PERCENT:
                raise InputError(
                    f"The structures in {file} overlap: {percent:.0f} % of one of them lie in "
                    f"another (limit {OVERLAP_PERCENT:g} %). Correct them so that each voxel "
                    "belongs to one lung or lobe.",
                    code="given_lungs",
                )


def slice_origins_mm(geometry: Geometry) -> FloatArray:
    """LPS mm of the first pixel of each slice, ``[z, 3]``; right for uneven stacks as well."""
    positions = np.asarray(geometry.slice_positions_mm)
    step = geometry.matrix[:3, 0]
    along = step / float(step @ geometry.normal)
    origins: FloatArray = geometry.matrix[:3, 3] + (positions - positions[0])[:, None] * along
    return origins


def differing_grid(mine: Geometry, scan: Geometry, file: str) -> GeometryMismatch:
    """The error for a label map on another grid; it says what differs."""
    if mine.shape != scan.shape:
        what = f"it has {_by(mine.shape)} voxels (z, y, x), the scan {_by(scan.shape)}"
    elif not np.allclose(mine.spacing_mm, scan.spacing_mm, rtol=0, atol=1e-3):
        what = f"its voxels measure {_mm(mine)} mm, those of the scan {_mm(scan)} mm"
    else:
        apart = float(np.linalg.norm(mine.corners_mm - scan.corners_mm, axis=1).max())
        what = f"a corner of it lies {apart:.1f} mm from that of the scan"
    return GeometryMismatch(f"{file} does not lie on the grid of the scan: {what}. {_DO}")


def on_grid(
    values: np.ndarray[Any, Any], mine: Geometry, scan: Geometry, file: str
) -> np.ndarray[Any, Any]:
    """Labels of a box of the scan's grid as labels of the whole; equal grids pass through.

    Args:
        values: canonical ``[z, y, x]``.
        mine: their grid.
        scan: the grid wanted.

    Raises:
        GeometryMismatch: another grid, or labels beyond the scan.
    """
    if mine.matches(scan):
        return values
    matrix = mine.matrix.copy()
    if mine.shape[0] == 1:
        matrix[:3, 0] = scan.matrix[:3, 0]
    relative = np.linalg.inv(scan.matrix) @ matrix
    start = np.rint(relative[:3, 3]).astype(int)
    expected = scan.matrix @ np.vstack([np.eye(4)[:3] + _shift(start), [0, 0, 0, 1]])
    corners = np.array([[z, y, x, 1] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    corners[:, :3] *= np.array(mine.shape) - 1
    apart = float(np.abs(corners @ (matrix - expected).T).max())
    if apart > TOLERANCE_MM:
        raise differing_grid(mine, scan, file)
    return _placed(values, start, scan.shape, file)


def _shift(start: np.ndarray[Any, Any]) -> FloatArray:
    shift = np.zeros((3, 4))
    shift[:, 3] = start
    return shift


def _placed(
    values: np.ndarray[Any, Any], start: np.ndarray[Any, Any], shape: tuple[int, ...], file: str
) -> np.ndarray[Any, Any]:
    """A box of labels, its first voxel at ``start``, in an array of ``shape``."""
    out = np.zeros(shape, dtype=values.dtype)
    low = np.maximum(start, 0)
    high = np.maximum(np.minimum(start + values.shape, shape), low)
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    here = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    out[there] = values[here]
    if np.count_nonzero(values) != np.count_nonzero(out):
        raise GeometryMismatch(f"{file} reaches beyond the scan: it is of a larger one. {_DO}")
    return out


def frame_on_slice(
    frame: Attributes, pixels: BoolArray, scan: Geometry, file: str
) -> tuple[int, BoolArray]:
    """Slice number and mask ``[y, x]`` of one stored frame of a segmentation.

    Args:
        frame: its plane position, plane orientation and pixel measures.
        pixels: as stored, ``[row, column]``.
        scan: the grid it must lie on, in any in-plane turn; it may be a part of the slice.

    Raises:
        GeometryMismatch: it lies on no slice, or its pixels are not those of the scan.
    """
    position = frame.numbers("ImagePositionPatient", 3)
    orientation = frame.numbers("ImageOrientationPatient", 6)
    spacing = frame.numbers("PixelSpacing", 2)
    if position is None or orientation is None or spacing is None:
        raise GeometryMismatch(
            f"{file} does not say where its frames lie (plane position, orientation or pixel "
            "spacing is missing); save it again from the program that made it."
        )
    rows, columns = pixels.shape
    first = np.array(position)
    down = np.array(orientation[3:]) * spacing[0]
    right = np.array(orientation[:3]) * spacing[1]
    k, off = nearest_slice(float(first @ scan.normal), scan)
    if off > TOLERANCE_MM:
        raise GeometryMismatch(
            f"A frame of {file} lies {off:.2f} mm from the nearest slice of the scan: it was "
            f"made on other slices. {_DO}"
        )
    origin = slice_origins_mm(scan)[k]
    ends = np.array([first, first + down * (rows - 1), first + right * (columns - 1)])
    axes = scan.matrix[:3, 1:3] / np.array(scan.spacing_mm[1:]) ** 2
    index = (ends - origin) @ axes
    whole = np.rint(index).astype(int)
    apart = ends - origin - whole @ scan.matrix[:3, 1:3].T
    lengths = sorted(np.abs(whole[1:] - whole[0]).max(axis=1))
    if np.abs(apart).max() > TOLERANCE_MM or lengths != sorted((rows - 1, columns - 1)):
        raise GeometryMismatch(
            f"The pixels of {file} ({spacing[0]:.4g} x {spacing[1]:.4g} mm, {rows} x {columns}) "
            f"are not those of the scan ({_by(scan.spacing_mm[1:])} mm, {_by(scan.shape[1:])}), "
            f"or lie beside them. {_DO}"
        )
    turned = pixels.T if abs(whole[1] - whole[0])[1] > abs(whole[1] - whole[0])[0] else pixels
    y_ends, x_ends = whole[:, 0], whole[:, 1]
    turned = turned[:: -1 if y_ends.min() < y_ends[0] else 1]
    turned = turned[:, :: -1 if x_ends.min() < x_ends[0] else 1]
    return k, _placed(turned, whole.min(axis=0), scan.shape[1:], file)


def nearest_slice(along_mm: float, scan: Geometry) -> tuple[int, float]:
    """The slice closest to a position along the normal, and how far (mm) it is."""
    apart = np.abs(np.asarray(scan.slice_positions_mm) - along_mm)
    k = int(apart.argmin())
    return k, float(apart[k])


def require_same_series(
    series: Iterable[str], slices: Iterable[str], scan: Scan, file: str
) -> None:
    """Refuse a mask that says that it was drawn on another series.

    Args:
        series: Series Instance UIDs that the file refers to; none where it is silent.
        slices: SOP Instance UIDs, asked only where no series is named.
        scan: its UIDs are unknown where it came from NIfTI, NRRD or MetaImage.

    Raises:
        InputError: by its references, it belongs to another scan.
    """
    own = scan.source.identifiers
    named, drawn = set(series), set(slices)
    if named and own.series_uid:
        fits = own.series_uid in named
    elif drawn and own.sop_uids:
        fits = not drawn.isdisjoint(uid.partition("#")[0] for uid in own.sop_uids)
    else:
        return
    if not fits:
        raise InputError(
            f"{file} was drawn on another series: the one that it refers to is not the scan. "
            "Measure that series (`ctlung check` lists them, --series chooses), or give a mask "
            "of this one.",
            code="given_lungs",
        )


def renumbered(
    values: np.ndarray[Any, Any], numbers: Mapping[int, int], highest: int
) -> LabelArray:
    """Labels of a file as labels of ctlung; what is not in ``numbers`` becomes background."""
    table = np.zeros(highest + 1, dtype=np.uint8)
    for theirs, ours in numbers.items():
        table[theirs] = ours
    out: LabelArray = table[values]
    return out


def _by(values: Iterable[float]) -> str:
    return " x ".join(f"{v:.4g}" for v in values)


def _mm(geometry: Geometry) -> str:
    return _by(geometry.spacing_mm)
