"""Any axis order to the canonical one: where a file's voxels lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.errors import UnsupportedGeometry
from ctlung.geometry import Geometry
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.volume import StoredGrid

_LPS_OF_CANONICAL = (2, 1, 0)
"""Row of an LPS affine that each canonical axis (z, y, x) follows."""

_RIGHT_ANGLE = 1e-3
_SPACING_MM = (0.01, 100.0)
_FAR_MM = 1e6


@dataclass(frozen=True)
class Placed:
    """How a file's array becomes canonical, the grid it then has, and what to tell."""

    stored: StoredGrid
    geometry: Geometry
    notices: tuple[Notice, ...]


def place(shape: Sequence[int], affine: FloatArray, name: str, settings: Settings) -> Placed:
    """Turn a file's grid into the canonical one; the voxels themselves are not resampled.

    The file's axes are put in the order and direction that follow head, back and left most
    closely; what then remains of obliquity or gantry tilt stays in the geometry.

    Args:
        shape: of the file's array ``[i, j, k]``.
        affine: 4 x 4, ``(i, j, k, 1)`` to LPS mm.
        name: of the file, for the error sentence.
        settings: limits of tilt and obliquity.

    Raises:
        UnsupportedGeometry: no three independent axes, impossible voxel sizes, rows and columns
            not at right angles, tilt beyond the limit.

    Source: FIELD 3.1, 3.4.
    """
    _require_axes(affine, name)
    order = _closest_order(affine)
    flipped = [affine[_LPS_OF_CANONICAL[a], order[a]] < 0 for a in range(3)]
    matrix = np.eye(4)
    matrix[:3, 3] = affine[:3, 3]
    for a, (axis, flip) in enumerate(zip(order, flipped, strict=True)):
        matrix[:3, a] = -affine[:3, axis] if flip else affine[:3, axis]
        if flip:
            matrix[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
    geometry = Geometry.from_affine([shape[axis] for axis in order], matrix + 0.0)
    stored = StoredGrid(
        order,
        (bool(flipped[0]), bool(flipped[1]), bool(flipped[2])),
        Geometry.from_affine(shape, affine).affine,
    )
    notices = (
        *_tilt(geometry, name, settings),
        *_oblique(geometry, settings),
        *_identity(affine),
    )
    return Placed(stored, geometry, notices)


def _require_axes(affine: FloatArray, name: str) -> None:
    directions = affine[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    if not np.isfinite(affine).all() or (lengths == 0).any():
        raise UnsupportedGeometry(
            f"The orientation matrix of {name} is not usable (a zero or infinite axis); convert "
            "the original DICOM series again.",
            code="no_geometry",
        )
    if np.abs(affine[:3, 3]).max() > _FAR_MM:
        raise UnsupportedGeometry(
            f"The orientation matrix of {name} puts the scan more than a kilometre away; convert "
            "the original DICOM series again.",
            code="no_geometry",
        )
    if abs(float(np.linalg.det(directions / lengths))) < 0.1:
        raise UnsupportedGeometry(
            f"The axes of {name} do not span space: its orientation matrix is nearly flat; "
            "convert the original DICOM series again.",
            code="no_geometry",
        )
    low, high = _SPACING_MM
    if lengths.min() < low or lengths.max() > high:
        listed = " x ".join(f"{v:.4g}" for v in lengths)
        raise UnsupportedGeometry(
            f"The voxels of {name} would measure {listed} mm, which no CT has; correct the voxel "
            "size, or convert the original DICOM series again.",
            code="no_geometry",
        )


def _closest_order(affine: FloatArray) -> tuple[int, int, int]:
    """The file's axis for each of z, y, x, by the sum of squared cosines; the first of equals."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best, closest = (2, 1, 0), -1.0
    for order in permutations((2, 1, 0)):
        fit = sum(cosines[_LPS_OF_CANONICAL[a], order[a]] ** 2 for a in range(3))
        if fit > closest + 1e-9:
            best, closest = (order[0], order[1], order[2]), float(fit)
    return best


def _tilt(geometry: Geometry, name: str, settings: Settings) -> tuple[Notice, ...]:
    step, down, left = (geometry.matrix[:3, a] for a in range(3))
    if abs(_cosine(down, left)) > _RIGHT_ANGLE:
        raise UnsupportedGeometry(
            f"Rows and columns of {name} are not at right angles; resample the scan to a "
            "rectangular grid.",
            code="sheared",
        )
    degrees = _degrees(step, geometry.normal)
    if degrees > settings.tilt_refuse_degrees:
        raise UnsupportedGeometry(
            f"The slices of {name} are sheared by {degrees:.1f} degrees (limit "
            f"{settings.tilt_refuse_degrees:.0f}): the gantry was tilted too far to measure; use "
            "a series without tilt.",
            code="tilt",
        )
    if degrees <= settings.tilt_degrees:
        return ()
    return (
        Notice(
            "tilt",
            "warn",
            f"The gantry was tilted by {degrees:.1f} degrees: slices were measured as they are, "
            "with their distance along the slice normal.",
            degrees,
            settings.tilt_degrees,
            "degrees",
        ),
    )


def _oblique(geometry: Geometry, settings: Settings) -> tuple[Notice, ...]:
    degrees = _degrees(geometry.matrix[:3, 0], np.array([0.0, 0.0, 1.0]))
    if degrees <= settings.oblique_degrees:
        return ()
    return (
        Notice(
            "oblique",
            "warn",
            f"The slices lie {degrees:.0f} degrees off the body axis: areas are those of oblique "
            "slices, and thirds follow them.",
            degrees,
            settings.oblique_degrees,
            "degrees",
            ("areas",),
        ),
    )


def _identity(affine: FloatArray) -> tuple[Notice, ...]:
    if not np.array_equal(np.abs(affine), np.eye(4)):
        return ()
    return (
        Notice(
            "orientation",
            "warn",
            "The orientation matrix is the identity, as in files made from pictures: sides, "
            "direction and voxel size (taken as 1 mm) are not known; convert the original DICOM "
            "series instead.",
            affects=("volumes_and_parts", "areas"),
        ),
    )


def _cosine(a: FloatArray, b: FloatArray) -> float:
    return float(a @ b) / (float(np.linalg.norm(a)) * float(np.linalg.norm(b)))


def _degrees(a: FloatArray, b: FloatArray) -> float:
    return float(np.degrees(np.arccos(np.clip(_cosine(a, b), -1.0, 1.0))))
