"""What the readers of NIfTI, NRRD and MetaImage hand over, and the limits that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.errors import UnreadableFile, UnsupportedGeometry
from ctlung.notices import Notice
from ctlung.settings import Settings

DEFLATE_LIMIT = 1032
"""No deflate stream grows by more than this."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """A file's array with its place in the patient, before anything is done to it.

    Attributes:
        values: as stored, ``[i, j, k]`` (first axis fastest in the file).
        affine: 4 x 4, ``(i, j, k, 1)`` to LPS mm.
        slope, intercept: ``value = stored * slope + intercept``.
        kind: file format.
        notices: what the header had to say.
    """

    values: np.ndarray[Any, Any]
    affine: FloatArray
    slope: float
    intercept: float
    kind: Literal["nifti", "nrrd", "metaimage"]
    notices: tuple[Notice, ...] = ()


def single_volume(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    """The three spatial sizes of a file that holds one volume.

    Raises:
        UnsupportedGeometry: fewer than two dimensions, or several volumes.
        UnreadableFile: a size that is not positive.
    """
    if any(n < 1 for n in shape):
        raise damaged(name, f"its header gives the sizes {tuple(shape)}")
    if len(shape) < 2:
        raise UnsupportedGeometry(
            f"{name} has {len(shape)} dimension(s); a scan has three.", code="not_3d"
        )
    volumes = math.prod(shape[3:])
    if volumes != 1:
        raise UnsupportedGeometry(
            f"{name} holds {volumes} volumes (phases, time points or channels); save the one to "
            "be measured as a file of its own.",
            code="several_volumes",
        )
    i, j, k = (*shape[:3], 1)[:3]
    return i, j, k


def require_size(
    shape: Sequence[int], item_bytes: int, file_bytes: int | None, name: str, settings: Settings
) -> int:
    """Bytes that a header asks for, once they have been found reasonable.

    Raises:
        UnreadableFile: more voxels than ``settings.max_voxels``, or more bytes than a file of
            this size can hold.
    """
    voxels = math.prod(shape)
    if voxels > settings.max_voxels:
        raise UnreadableFile(
            f"The header of {name} claims {' x '.join(map(str, shape))} voxels, more than the "
            f"{settings.max_voxels} that are read; the file is damaged or no chest CT.",
            code="too_large",
        )
    wanted = voxels * item_bytes
    if file_bytes is not None and wanted > DEFLATE_LIMIT * file_bytes:
        raise damaged(name, f"{file_bytes} bytes cannot hold the {wanted} that its header claims")
    return wanted


def require_number(dtype: np.dtype[Any], name: str) -> None:
    """Raise :class:`UnsupportedGeometry` for colours and complex numbers."""
    if dtype.kind not in "iuf":
        raise UnsupportedGeometry(
            f"{name} holds colours or complex numbers, not one CT number per voxel; give the "
            "original scan.",
            code="not_scalar",
        )


def damaged(name: str, how: str) -> UnreadableFile:
    """The error for a file that is cut off or corrupt."""
    return UnreadableFile(
        f"{name} is damaged or cut off: {how}. Copy or convert it again.", code="damaged"
    )


def readable_file(path: Path) -> int:
    """Size of the file in bytes.

    Raises:
        UnreadableFile: it is not there, is a folder, or may not be read.
    """
    try:
        if path.is_dir():
            raise UnreadableFile(
                f"{path} is a folder; folders are searched for DICOM series. Name the file itself.",
                code="not_a_file",
            )
        with path.open("rb") as stream:
            return stream.seek(0, 2)
    except FileNotFoundError:
        raise UnreadableFile(
            f"There is no file {path}; look at the path.", code="not_found"
        ) from None
    except PermissionError:
        raise UnreadableFile(
            f"No permission to read {path}; ask its owner, or run as a user who may read it.",
            code="no_permission",
        ) from None
    except OSError as e:
        raise UnreadableFile(
            f"{path} cannot be read ({e.strerror or type(e).__name__}).", code="unreadable_file"
        ) from None
