"""Which files a mask is in, and the label maps among them as whole numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctlung.errors import InputError, UnreadableFile
from ctlung.reading.archive import FileRef, Opener, denied_error, list_files
from ctlung.reading.dataset import Attributes, Damaged, NotDicom, guarded, read_dataset
from ctlung.reading.files import is_image_file
from ctlung.reading.image_grid import place
from ctlung.reading.images import IMAGE_SUFFIXES, load_image
from ctlung.reading.mask_grid import on_grid
from ctlung.reading.rtstruct import RTSTRUCT_CLASS
from ctlung.reading.seg import SEG_CLASSES
from ctlung.settings import Settings
from ctlung.volume import Scan

_HIGHEST = 65_535
_WHOLE = 1e-3
_HEADER_BYTES = 1 << 16
_GIVE = (
    "Give a label map (NIfTI, NRRD, MetaImage), a DICOM segmentation (SEG) or a DICOM structure "
    "set (RTSTRUCT) of the scan."
)


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """Label maps, or one DICOM object.

    Attributes:
        name: of the file or folder, for the sentences, without the way to it.
        images: label maps; several only where they are all that a folder holds.
        ref: the DICOM object; ``None`` where there are label maps.
        structures: whether it is an RTSTRUCT; else a SEG.
    """

    name: str
    images: tuple[Path, ...] = ()
    ref: FileRef | None = None
    structures: bool = False


def mask_files(path: Path, settings: Settings) -> MaskFiles:
    """The label maps or the DICOM object that a path leads to.

    Raises:
        InputError: several candidates that do not belong together.
        UnreadableFile: not there, not permitted, no mask.
    """
    if is_image_file(path):
        return MaskFiles(path.name, (path,))
    refs, images = _candidates(path, settings)
    if len(refs) + len(images) == 0:
        raise UnreadableFile(f"{path.name} holds no mask. {_GIVE}", code="no_mask")
    if len(refs) == 1 and not images:
        ref, kind = refs[0]
        name = path.name if ref.member is not None else ref.path.name
        return MaskFiles(name, ref=ref, structures=kind == RTSTRUCT_CLASS)
    if images and not refs:
        name = images[0].name if len(images) == 1 else path.name
        return MaskFiles(name, tuple(images))
    listed = ", ".join([*(r.path.name for r, _ in refs), *(p.name for p in images)][:8])
    raise InputError(
        f"{path.name} holds {len(refs) + len(images)} masks ({listed}). Name the one to be used.",
        code="given_lungs",
    )


@contextmanager
def readable(file: str) -> Iterator[None]:
    """Say in a sentence what is wrong with a DICOM object.

    Raises:
        UnreadableFile: it is damaged, or the file system refuses.
    """
    try:
        yield
    except Damaged as e:
        raise UnreadableFile(
            f"{file} is damaged or is not written as the standard says: {e}. Get or save it again.",
            code="damaged",
        ) from e
    except OSError as e:
        raise UnreadableFile(f"{file} cannot be read ({e.strerror or e}).") from e


def _candidates(path: Path, settings: Settings) -> tuple[list[tuple[FileRef, str]], list[Path]]:
    """SEG and RTSTRUCT files with their SOP class, and label maps, under a path."""
    found: list[tuple[FileRef, str]] = []
    images: list[Path] = []
    with Opener() as opener:
        for ref in list_files(path, settings).files:
            if ref.member is None and is_image_file(ref.path):
                images.append(ref.path)
                continue
            try:
                with guarded(), opener.open(ref) as stream:
                    header = Attributes([read_dataset(stream, settings, pixels=False)])
                    kind = header.text("SOPClassUID") or ""
            except PermissionError:
                raise denied_error("the mask") from None
            except (NotDicom, Damaged, UnreadableFile, OSError):
                continue
            if kind == RTSTRUCT_CLASS or kind in SEG_CLASSES:
                found.append((ref, kind))
    return found, images


def slicer_names(path: Path) -> dict[int, str]:
    """Names that 3D Slicer keeps in an NRRD, by label."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return {}
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES).split(b"\n\n")[0].decode("utf-8", "replace")
    pairs = re.findall(r"^Segment(\d+)_(Name|LabelValue):=(.*?)\r?$", header, re.M)
    fields = {(number, key): text for number, key, text in pairs}
    return {
        int(value): fields.get((number, "Name"), "")
        for (number, key), value in fields.items()
        if key == "LabelValue" and value.isdecimal()
    }


def stem(path: Path) -> str:
    """The name of a label map without its ending."""
    suffix = max((s for s in IMAGE_SUFFIXES if path.name.lower().endswith(s)), key=len)
    return path.name[: -len(suffix)]


def whole_numbers(
    path: Path, scan: Scan, settings: Settings
) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], list[int]]:
    """The labels of a file on the scan's grid, and those that occur, background left out."""
    image = load_image(path, settings)
    placed = place(image.values.shape, image.affine, path.name, settings)
    values = image.values
    if (image.slope, image.intercept) != (1.0, 0.0):
        values = values * image.slope + image.intercept
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        whole = bool(np.isfinite(values).all()) and float(np.abs(values - rounded).max()) < _WHOLE
        values = rounded
    else:
        whole = True
    if not whole or values.min() < 0 or values.max() > _HIGHEST:
        raise InputError(
            f"{path.name} is not a label map: its voxels are not whole numbers from 0 to "
            f"{_HIGHEST}, as in a scan or a map of probabilities. {_GIVE}",
            code="given_lungs",
        )
    canonical = placed.stored.to_canonical(values.astype(np.uint16))
    labels = on_grid(canonical, placed.geometry, scan.geometry, path.name)
    counts = np.zeros(_HIGHEST + 1, dtype=np.int64)
    for plane in labels:
        counts += np.bincount(plane.ravel(), minlength=_HIGHEST + 1)
    return labels, [int(n) for n in np.flatnonzero(counts) if n]
