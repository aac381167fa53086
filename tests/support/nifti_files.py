"""Write small NIfTI, NRRD and MetaImage files in any of the 48 axis orders."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from ctlung.geometry import Geometry

Order = tuple[int, int, int]
Flips = tuple[bool, bool, bool]

ALL_ORDERS: list[tuple[Order, Flips]] = [
    (order, flips)  # type: ignore[misc]
    for order in permutations(range(3))
    for flips in product((False, True), repeat=3)
]
PLAIN: tuple[Order, Flips] = ((2, 1, 0), (False, False, False))
"""First axis to the left, second to the back, third to the head."""

RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def small_hu(seed: int = 0, shape: tuple[int, int, int] = (5, 6, 7)) -> np.ndarray[Any, Any]:
    """Canonical int16 HU that tell every voxel from its neighbours."""
    hu = np.random.default_rng(seed).integers(-1000, 900, shape).astype(np.int16)
    hu[0, 0, :2] = (-1000, 900)
    return hu


def turned_geometry(shape: tuple[int, int, int] = (5, 6, 7), degrees: float = 7.0) -> Geometry:
    """A grid with three different spacings, turned a little about x and z."""
    a, b = np.radians([degrees, degrees / 2])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turn = about_z @ about_x
    matrix = np.eye(4)
    for axis, (row, step) in enumerate(((2, 2.5), (1, 0.75), (0, 0.625))):
        matrix[:3, axis] = turn[:, row] * step
    matrix[:3, 3] = (-120.0, -90.5, 310.25)
    return Geometry.from_affine(shape, matrix)


def store(
    canonical: np.ndarray[Any, Any],
    geometry: Geometry,
    order: Order = PLAIN[0],
    flips: Flips = PLAIN[1],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A canonical array as a file would hold it: ``[i, j, k]`` and its affine to LPS mm.

    Canonical axis ``a`` becomes the file's axis ``order[a]``, reversed where ``flips[a]``.
    """
    stored = canonical
    affine = np.eye(4)
    affine[:3, 3] = geometry.matrix[:3, 3]
    for a in range(3):
        step = geometry.matrix[:3, a]
        affine[:3, order[a]] = -step if flips[a] else step
        if flips[a]:
            stored = np.flip(stored, a)
            affine[:3, 3] += step * (canonical.shape[a] - 1)
    return np.moveaxis(stored, (0, 1, 2), order), affine


def write_nifti(
    path: Path,
    stored: np.ndarray[Any, Any],
    affine_lps: np.ndarray[Any, Any],
    *,
    sform_code: int = 1,
    qform_code: int = 0,
    **fields: Any,
) -> Path:
    """Write ``[i, j, k]`` voxels; ``fields`` overwrites header fields at the end."""
    affine = RAS_LPS @ affine_lps
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=sform_code)
    image.set_qform(affine, code=qform_code)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    if fields:
        patch_header(path, **fields)
    return path


def patch_header(path: Path, **fields: Any) -> None:
    """Overwrite fields of the header of an uncompressed NIfTI-1 file."""
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(bytes(raw))


def write_itk(path: Path, stored: np.ndarray[Any, Any], affine_lps: np.ndarray[Any, Any]) -> Path:
    """Write ``[i, j, k]`` voxels as NRRD or MetaImage, by the end of the name."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    spacing = np.linalg.norm(affine_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path
