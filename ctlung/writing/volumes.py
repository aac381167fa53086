"""Volumes as NIfTI files whose bytes depend on nothing but the volume.

The header is nibabel's; the pixels are streamed by us, for only then is the gzip header free of
a time and a name. nibabel and not SimpleITK: a tilted gantry gives a sheared affine.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ctlung.arrays import Box, FloatArray, HUArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.volume import LabelMap, Scan, StoredGrid

SCAN_MARGIN_MM = 20.0
"""How much of the scan around the lungs is kept in ``scan.nii.gz``."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GZIP_LEVEL = 1


def write_labels(labels: LabelMap, stored: StoredGrid | None, path: Path) -> None:
    """Write a label map (uint8) on the grid of the file that its scan came from.

    Without ``stored`` (DICOM, arrays) the grid is the canonical slice stack: axes x, y, z
    running to the patient's left, back and head.
    """
    grid = stored or _canonical_grid(labels.geometry)
    _write(grid.to_stored(labels.labels), grid.affine, path)


def write_scan_box(scan: Scan, lungs: LabelMap, path: Path) -> None:
    """Write the HU (int16) of the lungs' box and 20 mm around it, oriented as the masks are.

    A scan without lungs is written whole.
    """
    write_hu(scan.hu, lungs, scan.source.stored, SCAN_MARGIN_MM, path)


def write_hu(
    hu: HUArray, lungs: LabelMap, stored: StoredGrid | None, margin_mm: float, path: Path
) -> None:
    """Write HU (int16) on the grid of ``lungs``, cut to the lungs' box and a margin."""
    box = lung_box(lungs, margin_mm) or _whole(lungs.geometry.shape)
    grid = stored or _canonical_grid(lungs.geometry)
    affine = _cropped_affine(grid, box, lungs.geometry.shape)
    _write(grid.to_stored(hu[box]), affine, path)


def lung_box(lungs: LabelMap, margin_mm: float) -> Box | None:
    """The box ``[z, y, x]`` of the lungs widened by ``margin_mm``; ``None`` without lungs."""
    dz, dy, dx = lungs.geometry.spacing_mm
    margin = tuple(int(np.ceil(margin_mm / step)) if step > 0 else 0 for step in (dz, dy, dx))
    return bounding_box(lungs.labels > 0, (margin[0], margin[1], margin[2]))


def _whole(shape: tuple[int, int, int]) -> Box:
    depth, height, width = shape
    return slice(0, depth), slice(0, height), slice(0, width)


def _canonical_grid(geometry: Geometry) -> StoredGrid:
    m = geometry.matrix
    columns = np.column_stack([m[:, 2], m[:, 1], m[:, 0], m[:, 3]])
    affine = tuple(tuple(float(v) for v in row) for row in columns)
    return StoredGrid((2, 1, 0), (False, False, False), affine)  # type: ignore[arg-type]


def _cropped_affine(grid: StoredGrid, box: Box, shape: tuple[int, int, int]) -> FloatArray:
    """The affine ``(i, j, k, 1)`` to LPS mm of ``grid.to_stored(canonical[box])``."""
    start = np.zeros(3)
    for axis, part in enumerate(box):
        first = shape[axis] - part.stop if grid.flipped[axis] else part.start
        start[grid.order[axis]] = first
    affine = np.array(grid.affine, dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ start
    return affine


def _write(array: np.ndarray[Any, Any], affine_lps: Any, path: Path) -> None:
    header = _header(array, _LPS_TO_RAS @ np.asarray(affine_lps, dtype=np.float64))
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as file,
    ):
        file.write(header)
        for k in range(array.shape[2]):
            file.write(array[:, :, k].tobytes(order="F"))


def _header(array: np.ndarray[Any, Any], affine_ras: FloatArray) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype.newbyteorder("<"))
    header.set_data_shape(array.shape)
    header.set_slope_inter(1.0, 0.0)
    header.set_xyzt_units("mm")
    header.set_zooms(np.linalg.norm(affine_ras[:3, :3], axis=0))
    header.set_sform(affine_ras, code="scanner")
    if _is_orthogonal(affine_ras):
        # Readers that know only the qform need it; a sheared grid has none to give.
        header.set_qform(affine_ras, code="scanner")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + b"\0\0\0\0"


def _is_orthogonal(affine: FloatArray) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=1e-4))
