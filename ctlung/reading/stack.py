"""Slices put in order and in place (FIELD 3.1, 3.3, 3.4): headers in, a canonical grid out.

Only ImagePositionPatient and ImageOrientationPatient count; instance numbers, slice
locations, file names and the tilt tag do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.errors import UnsupportedGeometry
from ctlung.geometry import Geometry
from ctlung.reading.headers import SliceHeader
from ctlung.settings import Settings

HEAD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class InPlane:
    """How a stored slice ``[row, column]`` becomes canonical ``[y, x]``."""

    transposed: bool
    flip_y: bool
    flip_x: bool

    def apply(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Canonical view of one stored slice."""
        turned = stored.T if self.transposed else stored
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


@dataclass(frozen=True)
class Stack:
    """Slices in canonical order.

    Attributes:
        slots: from the feet up; more than one header in a slot means that slices came twice.
        in_plane: how each stored slice is turned.
        geometry: the canonical grid, with the shear of a tilted gantry.
        tilt_degrees: angle between the way from slice to slice and the slice normal.
        oblique_degrees: angle between the way from slice to slice and the body axis.
    """

    slots: tuple[tuple[SliceHeader, ...], ...]
    in_plane: InPlane
    geometry: Geometry
    tilt_degrees: float
    oblique_degrees: float

    @property
    def n_duplicates(self) -> int:
        """Slices beyond the first in their place."""
        return sum(len(slot) - 1 for slot in self.slots)


def arrange(headers: Sequence[SliceHeader], settings: Settings) -> Stack:
    """Order the slices of one stack along their normal, feet first, and place them.

    Raises:
        UnsupportedGeometry: no position or orientation, coronal or sagittal slices, tilt
            beyond the limit, slices that do not lie on a line.
    """
    headers = sorted(headers, key=lambda h: (h.sop_uid, h.frame or 0, h.position or ()))
    row, column = _directions(headers[0])
    normal = np.cross(row, column)
    _require_axial(normal)
    in_plane, down, left = _canonical(headers[0], row, column)
    normal = np.cross(left[0], down[0])
    corners = np.array([_corner(h, in_plane) for h in headers])
    along = corners @ normal
    order = np.argsort(along, kind="stable")
    slots, picked = _slots(headers, along, order, settings.duplicate_mm)
    _require_line(corners[order], along[order], settings)
    first, last = corners[picked[0]], corners[picked[-1]]
    tilt = _degrees(last - first, normal) if len(picked) > 1 else 0.0
    if tilt > settings.tilt_refuse_degrees:
        raise UnsupportedGeometry(
            f"The slices are sheared by {tilt:.1f} degrees (limit "
            f"{settings.tilt_refuse_degrees:.0f}): the gantry was tilted too far to measure; use "
            "a series without tilt.",
            code="tilt",
        )
    matrix = np.eye(4)
    matrix[:3, 0] = _step(headers[0], first, last, len(picked), normal)
    matrix[:3, 1], matrix[:3, 2] = down[0] * down[1], left[0] * left[1]
    matrix[:3, 3] = first
    depth = len(picked)
    shape = (depth, headers[0].rows, headers[0].columns)
    if in_plane.transposed:
        shape = (depth, headers[0].columns, headers[0].rows)
    geometry = Geometry.from_affine(shape, matrix, [float(along[i]) for i in picked])
    tilt = tilt if tilt > settings.tilt_degrees else 0.0
    way = last - first if len(picked) > 1 else normal
    return Stack(slots, in_plane, geometry, tilt, _degrees(way, HEAD))


def orientation_name(orientation: Sequence[float] | None) -> str:
    """``axial``, ``coronal``, ``sagittal`` or ``unknown``, from the slice normal."""
    if orientation is None:
        return "unknown"
    values = np.asarray(orientation, dtype=np.float64)
    normal = np.cross(values[:3], values[3:])
    if np.linalg.norm(normal) < 0.5:
        return "unknown"
    return _named(normal)


def _directions(header: SliceHeader) -> tuple[FloatArray, FloatArray]:
    if header.orientation is None or header.position is None or header.pixel_spacing is None:
        raise UnsupportedGeometry(
            "The slices carry no ImageOrientationPatient, ImagePositionPatient or PixelSpacing: "
            "nothing says where they lie; export the original series again.",
            code="no_geometry",
        )
    row = np.array(header.orientation[:3])
    column = np.array(header.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    straight = all(abs(length - 1.0) < 0.01 for length in lengths)
    if not straight or abs(float(row @ column)) > 0.01 or min(header.pixel_spacing) <= 0:
        raise UnsupportedGeometry(
            "ImageOrientationPatient or PixelSpacing of the slices makes no sense (directions of "
            "length one, at right angles, are needed); export the original series again.",
            code="no_geometry",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _require_axial(normal: FloatArray) -> None:
    name = _named(normal)
    if name != "axial":
        raise UnsupportedGeometry(
            f"The slices are {name}, not axial; ctlung measures axial series only: use the axial "
            "series of this examination.",
            code="not_axial",
        )


def _named(normal: FloatArray) -> str:
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal)))]


_Axis = tuple[FloatArray, float]


def _canonical(
    header: SliceHeader, row: FloatArray, column: FloatArray
) -> tuple[InPlane, _Axis, _Axis]:
    """The turn of a slice, and its canonical y and x axes as (unit direction, step in mm)."""
    assert header.pixel_spacing is not None
    between_rows, between_columns = header.pixel_spacing
    transposed = abs(row[1]) + abs(column[0]) > abs(row[0]) + abs(column[1])
    y_axis, y_step = (row, between_columns) if transposed else (column, between_rows)
    x_axis, x_step = (column, between_rows) if transposed else (row, between_columns)
    flip_y, flip_x = bool(y_axis[1] < 0), bool(x_axis[0] < 0)
    y_axis = -y_axis if flip_y else y_axis
    x_axis = -x_axis if flip_x else x_axis
    return InPlane(transposed, flip_y, flip_x), (y_axis, y_step), (x_axis, x_step)


def _corner(header: SliceHeader, turn: InPlane) -> FloatArray:
    """LPS mm of the pixel that is first in the canonical slice."""
    row, column = _directions(header)
    assert header.position is not None
    assert header.pixel_spacing is not None
    between_rows, between_columns = header.pixel_spacing
    last_row = column * between_rows * (header.rows - 1)
    last_column = row * between_columns * (header.columns - 1)
    along_y, along_x = (last_column, last_row) if turn.transposed else (last_row, last_column)
    corner: FloatArray = np.array(header.position) + along_y * turn.flip_y + along_x * turn.flip_x
    return corner


def _slots(
    headers: Sequence[SliceHeader], along: FloatArray, order: Any, tolerance: float
) -> tuple[tuple[tuple[SliceHeader, ...], ...], list[int]]:
    """Headers gathered by place, in order, and the index of the first header of each place."""
    slots: list[list[SliceHeader]] = []
    picked: list[int] = []
    for i in (int(v) for v in order):
        if picked and along[i] - along[picked[-1]] < tolerance:
            slots[-1].append(headers[i])
        else:
            slots.append([headers[i]])
            picked.append(i)
    return tuple(tuple(slot) for slot in slots), picked


def _require_line(corners: FloatArray, along: FloatArray, settings: Settings) -> None:
    """The slices must follow each other on a straight line, tilted or not."""
    if len(corners) < 2:
        return
    centred = along - along.mean()
    spread = float(centred @ centred)
    slope = (centred @ corners) / spread if spread > 0 else np.zeros(3)
    rest = corners - corners.mean(axis=0) - centred[:, None] * slope
    worst = float(np.linalg.norm(rest, axis=1).max())
    if worst > settings.in_plane_residual_mm:
        raise UnsupportedGeometry(
            f"The slices do not follow one line: one is {worst:.1f} mm beside it (limit "
            f"{settings.in_plane_residual_mm:g} mm); parts of several scans seem to be mixed.",
            code="no_line",
        )


def _step(
    header: SliceHeader, first: FloatArray, last: FloatArray, depth: int, normal: FloatArray
) -> FloatArray:
    if depth > 1:
        return (last - first) / (depth - 1)
    return normal * (header.thickness or 1.0)


def _degrees(a: FloatArray, b: FloatArray) -> float:
    cosine = float(a @ b) / (float(np.linalg.norm(a)) * float(np.linalg.norm(b)))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
