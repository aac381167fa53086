"""NRRD and MetaImage, in one piece or with the voxels in a file beside the header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from ctlung.arrays import FloatArray
from ctlung.errors import UnreadableFile, UnsupportedGeometry
from ctlung.notices import Notice
from ctlung.reading.image_file import (
    StoredImage,
    damaged,
    readable_file,
    require_size,
    single_volume,
)
from ctlung.settings import Settings

Kind = Literal["nrrd", "metaimage"]

_IO = {"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}
_TITLE = {"nrrd": "NRRD", "metaimage": "MetaImage"}
_ITEM_BYTES = {"8": 1, "16": 2, "32": 4, "64": 8}
_HEADER_BYTES = 1 << 16


def load_itk(path: Path, kind: Kind, settings: Settings) -> StoredImage:
    """Read an NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd) file.

    The header is read and checked before memory is taken. A header may name voxel files in its
    own folder or below, nowhere else.

    Raises:
        UnreadableFile: damaged, cut off, too large, not permitted, voxels elsewhere.
        UnsupportedGeometry: not three dimensions, several volumes, colours.
    """
    file_bytes = readable_file(path)
    name = path.name
    text = _header_text(path)
    beside = list(_files_beside(text, kind))
    _require_beside(beside, name)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_IO[kind])
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise UnreadableFile(
            f"{name} is not a readable {_TITLE[kind]} file: its header makes no sense.",
            code="damaged",
        ) from None
    shape = _shape(reader, name)
    wanted = require_size(
        shape, _item_bytes(reader, name), None if beside else file_bytes, name, settings
    )
    if kind == "metaimage":
        _require_voxels(path, text, beside, wanted)
    try:
        image = reader.Execute()
    except RuntimeError:
        raise damaged(name, "its voxels cannot be read") from None
    values = sitk.GetArrayFromImage(image)
    affine = _affine(image)
    volume = values.reshape(shape[::-1]).T
    return StoredImage(volume, affine, 1.0, 0.0, kind, _notices(reader, text, kind))


def _shape(reader: sitk.ImageFileReader, name: str) -> tuple[int, int, int]:
    if reader.GetDimension() < 3:
        raise UnsupportedGeometry(
            f"{name} has two dimensions and no place in the patient; a scan has three.",
            code="not_3d",
        )
    return single_volume(reader.GetSize(), name)


def _item_bytes(reader: sitk.ImageFileReader, name: str) -> int:
    word = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    digits = re.search(r"^(?:8|16|32|64)", word)
    plain = reader.GetNumberOfComponents() == 1 and digits is not None
    if not plain or any(w in word for w in ("vector", "complex", "label")):
        raise UnsupportedGeometry(
            f"{name} holds colours or several numbers per voxel, not one CT number; give the "
            "original scan.",
            code="not_scalar",
        )
    assert digits is not None
    return _ITEM_BYTES[digits.group()]


def _affine(image: Any) -> FloatArray:
    n = image.GetDimension()
    directions = np.asarray(image.GetDirection()).reshape(n, n)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(image.GetSpacing())[:3]
    affine[:3, 3] = np.asarray(image.GetOrigin())[:3]
    return affine


def _notices(reader: sitk.ImageFileReader, text: str, kind: Kind) -> tuple[Notice, ...]:
    if kind == "nrrd":
        # ITK turns the patient spaces into LPS and leaves the others alone.
        space = reader.HasMetaDataKey("NRRD_space") and reader.GetMetaData("NRRD_space")
        stated = space == "left-posterior-superior"
    else:
        stated = (
            re.search(r"^\s*(TransformMatrix|Rotation|Orientation)\s*=", text, re.M) is not None
        )
    if stated:
        return ()
    return (
        Notice(
            "orientation",
            "warn",
            "The header does not say how the patient lies in it: sides and direction are not "
            "known. The axes were taken to run to the patient's left, back and head.",
        ),
    )


def _header_text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_HEADER_BYTES).decode("latin-1")


def _files_beside(text: str, kind: Kind) -> Iterator[str]:
    """Names of voxel files that a header gives; none if the voxels follow the header."""
    key = r"^\s*ElementDataFile\s*=[ \t]*" if kind == "metaimage" else r"^data ?file:[ \t]*"
    header = text if kind == "metaimage" else re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    found = re.search(key + r"(.*)$", header, re.M | re.I)
    if found is None:
        return
    first = found.group(1).strip()
    if first.upper() == "LOCAL":
        return
    if first.upper().startswith("LIST"):
        yield from (line.strip() for line in header[found.end() :].splitlines() if line.strip())
    else:
        yield first


def _require_beside(names: list[str], header: str) -> None:
    for name in names:
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts):
            raise UnreadableFile(
                f"{header} keeps its voxels outside its own folder; put both files into one folder "
                "and the bare file name into the header.",
                code="outside_folder",
            )


def _require_voxels(path: Path, text: str, beside: list[str], wanted: int) -> None:
    """ITK writes to the terminal when voxels are missing; this says it first, as an error."""
    if re.search(r"^\s*CompressedData\s*=\s*True", text, re.M | re.I) or len(beside) > 1:
        return
    if not beside:
        found = re.search(r"^\s*ElementDataFile\s*=.*\n", text, re.M)
        held = path.stat().st_size - (found.end() if found else 0)
    elif "%" in beside[0]:
        return
    else:
        voxels = path.parent / beside[0]
        if not voxels.is_file():
            raise UnreadableFile(
                f"{path.name} keeps its voxels in {beside[0]}, which is not beside it; copy both "
                "files.",
                code="not_found",
            )
        held = voxels.stat().st_size
    if held < wanted:
        raise damaged(path.name, f"it holds {held} of the {wanted} bytes that its header claims")
