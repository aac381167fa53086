"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from ctlung.arrays import FloatArray
from ctlung.errors import UnreadableFile, UnsupportedGeometry
from ctlung.notices import Notice
from ctlung.reading.image_file import (
    StoredImage,
    damaged,
    readable_file,
    require_number,
    require_size,
    single_volume,
)
from ctlung.settings import Settings

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_OFFSET_LIMIT = 1e8
"""Extensions of a header do not grow beyond; a gzip stream is not unpacked further to look."""
_FORMS_APART_MM = 1.0
_SIZES_APART = 0.02


def load_nifti(path: Path, settings: Settings) -> StoredImage:
    """Read a NIfTI file without resampling or rescaling it.

    The sform (code > 0) comes before the qform. Sizes are checked against the file before
    memory is taken.

    Raises:
        UnreadableFile: not NIfTI, damaged, cut off, too large, not permitted.
        UnsupportedGeometry: several volumes, colours, voxel sizes that are not positive, sform
            and qform more than 1 mm apart.

    Source: NIfTI-1 (nifti1.h); FIELD 3.1.
    """
    file_bytes = readable_file(path)
    name = path.name
    try:
        with _stream(path) as stream:
            header = _header(stream, name)
            shape = single_volume(_stored_shape(header, name), name)
            dtype = _dtype(header, name)
            require_number(dtype, name)
            wanted = require_size(shape, dtype.itemsize, file_bytes, name, settings)
            slope, intercept = _scaling(header, name)
            affine, notices = _affine(header, shape, name)
            values = _values(stream, header, wanted, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise damaged(name, f"it cannot be unpacked ({type(e).__name__})") from None
    except OSError as e:
        raise UnreadableFile(f"{path} cannot be read ({e.strerror or e}).") from None
    volume = values.view(dtype).reshape(shape, order="F")
    if not dtype.isnative:
        volume = volume.astype(dtype.newbyteorder("="))
    return StoredImage(volume, affine, slope, intercept, "nifti", notices)


def _stream(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _header(stream: BinaryIO, name: str) -> Any:
    start = stream.read(4)
    little, big = int.from_bytes(start, "little"), int.from_bytes(start, "big")
    size = next((n for n in (little, big) if n in _HEADERS), None)
    if size is None or len(start) < 4:
        raise UnreadableFile(
            f"{name} is not a NIfTI file: its first bytes are not those of a NIfTI header.",
            code="not_nifti",
        )
    rest = stream.read(size - 4)
    if len(rest) < size - 4:
        raise damaged(name, "it ends within its header")
    order = "<" if size == little else ">"
    header = _HEADERS[size](start + rest, endianness=order, check=False)
    if not bytes(header["magic"]).startswith((b"n+1", b"n+2")):
        raise UnreadableFile(
            f"{name} is not a NIfTI file of one piece (.nii); Analyze and header/image pairs are "
            "not read. Convert the original DICOM series.",
            code="not_nifti",
        )
    return header


def _stored_shape(header: Any, name: str) -> tuple[int, ...]:
    dimensions = [int(n) for n in header["dim"]]
    if not 1 <= dimensions[0] <= 7:
        raise damaged(name, f"its header gives {dimensions[0]} dimensions")
    return tuple(dimensions[1 : 1 + dimensions[0]])


def _dtype(header: Any, name: str) -> np.dtype[Any]:
    try:
        return cast("np.dtype[Any]", header.get_data_dtype())
    except (HeaderDataError, KeyError):
        raise damaged(name, f"its data type {int(header['datatype'])} is unknown") from None


def _scaling(header: Any, name: str) -> tuple[float, float]:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError:
        raise damaged(name, "its scl_slope and scl_inter are not numbers") from None
    if slope is None:
        return 1.0, 0.0
    return float(slope), float(intercept or 0.0)


def _affine(
    header: Any, shape: tuple[int, int, int], name: str
) -> tuple[FloatArray, tuple[Notice, ...]]:
    sizes = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    needed = [size for size, n in zip(sizes, shape, strict=True) if n > 1]
    if not np.isfinite(needed).all() or min(needed, default=1.0) <= 0:
        raise UnsupportedGeometry(
            f"The voxel sizes of {name} ({_listed(sizes)}) are not all positive; convert the "
            "original DICOM series again.",
            code="no_geometry",
        )
    sform = np.asarray(header.get_sform()) if int(header["sform_code"]) > 0 else None
    qform = _qform(header, name) if int(header["qform_code"]) > 0 else None
    if sform is not None and qform is not None:
        _require_agreement(sform, qform, shape, name)
    notices: tuple[Notice, ...] = ()
    if sform is not None:
        ras, notices = sform, _size_notice(sform, sizes)
    elif qform is not None:
        ras = qform
    else:
        ras, notices = np.asarray(header.get_base_affine()), (_unstated(),)
    scaled = ras.astype(np.float64)
    scaled[:3] *= _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    affine: FloatArray = _RAS_TO_LPS @ scaled
    return affine, notices


def _qform(header: Any, name: str) -> FloatArray:
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        raise UnsupportedGeometry(
            f"The qform of {name} is no rotation; convert the original DICOM series again.",
            code="no_geometry",
        ) from None


def _require_agreement(
    sform: FloatArray, qform: FloatArray, shape: tuple[int, int, int], name: str
) -> None:
    ends = [(0, n - 1) for n in shape]
    corners = np.array([[i, j, k, 1] for i in ends[0] for j in ends[1] for k in ends[2]], float)
    apart = float(np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max())
    if not apart <= _FORMS_APART_MM:
        raise UnsupportedGeometry(
            f"{name} gives two places for its voxels, sform and qform, {apart:.1f} mm apart "
            f"(limit {_FORMS_APART_MM:g} mm); correct the wrong one, or convert the original DICOM "
            "series again.",
            code="sform_qform",
        )


def _size_notice(sform: FloatArray, sizes: FloatArray) -> tuple[Notice, ...]:
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if (np.abs(lengths - sizes) <= _SIZES_APART * np.abs(sizes)).all():
        return ()
    return (
        Notice(
            "orientation",
            "warn",
            f"The header gives two voxel sizes: {_listed(lengths)} mm by its orientation matrix, "
            f"{_listed(sizes)} mm by pixdim; the matrix was used.",
            _listed(lengths),
            _listed(sizes),
            "mm",
            ("volumes_and_parts", "areas"),
        ),
    )


def _unstated() -> Notice:
    return Notice(
        "orientation",
        "warn",
        "The header states no orientation (sform and qform codes are 0): sides and direction are "
        "not known. The first axis was taken to run to the patient's left, the second to the "
        "front, the third to the head; convert the original DICOM series instead.",
    )


def _values(
    stream: BinaryIO, header: Any, wanted: int, name: str
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    first = int(header["sizeof_hdr"]) + 4
    offset = float(header["vox_offset"])
    if not -1.0 < offset < _OFFSET_LIMIT:
        raise damaged(name, f"its header puts the voxels at byte {offset:g}")
    stream.seek(max(first, int(offset)))
    raw = stream.read(wanted)
    if len(raw) < wanted:
        raise damaged(name, f"it holds {len(raw)} of the {wanted} bytes that its header claims")
    # One byte more lets gzip reach the end, where its checksum stands.
    stream.read(1)
    return np.frombuffer(raw, dtype=np.uint8)


def _listed(sizes: FloatArray) -> str:
    return " x ".join(f"{v:.4g}" for v in sizes)
