"""``read_masks``: lungs or lobes that somebody has drawn or found already, on the scan's grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctlung.arrays import LabelArray
from ctlung.errors import InputError, UnreadableFile
from ctlung.reading.archive import FileRef, Opener, denied_error, list_files
from ctlung.reading.dataset import Attributes, Damaged, NotDicom, guarded, read_dataset
from ctlung.reading.files import is_image_file
from ctlung.reading.image_grid import place
from ctlung.reading.images import IMAGE_SUFFIXES, load_image
from ctlung.reading.mask_grid import Canvas, on_grid, renumbered
from ctlung.reading.rtstruct import RTSTRUCT_CLASS, read_structures
from ctlung.reading.seg import SEG_CLASSES, read_segments
from ctlung.reading.structures import (
    Choice,
    Named,
    choose,
    choose_by_number,
    empty,
    structure_named,
)
from ctlung.settings import Settings
from ctlung.volume import LabelMap, Scan

_HIGHEST = 65_535
_WHOLE = 1e-3
_HEADER_BYTES = 1 << 16
_UNNAMED = re.compile(r"(?i)(segment|label)?[ _-]*\d*")
_GIVE = (
    "Give a label map (NIfTI, NRRD, MetaImage), a DICOM segmentation (SEG) or a DICOM structure "
    "set (RTSTRUCT) of the scan."
)


@dataclass(frozen=True, eq=False)
class Masks:
    """Lungs or lobes as a file holds them.

    Attributes:
        labels: on the scan's grid; ``names`` are ``LUNG_LABELS``, ``LOBE_LABELS`` or, where
            right and left are not told apart, 1 ``lungs``.
        file: its name, without the way to it.
        recognised: what was taken for what, to follow "taken were".
    """

    labels: LabelMap
    file: str
    recognised: str


def read_masks(path: str | Path, scan: Scan, settings: Settings | None = None) -> Masks:
    """Read lungs or lobes that belong to ``scan``; nothing is resampled.

    Label maps: one label is both lungs, 1 and 2 are right and left lung, 1 to 5 are lobes
    (lul, lll, rul, rml, rll); names in a 3D Slicer file go before numbers. A label map may be
    a box of the scan's grid. DICOM SEG and RTSTRUCT, and several masks in a folder, are told
    by their names and codes.

    Args:
        path: a file, or a folder that holds one SEG, one RTSTRUCT, one label map, or one label
            map for each lung or lobe, named after it.
        scan: the scan that they were drawn on.
        settings: limits of what a header may ask for.

    Raises:
        GeometryMismatch: they lie on another grid.
        InputError: nothing in them, several candidates, unknown labels, of another series.
        UnreadableFile: not there, not permitted, damaged, of another format.

    Source: FIELD 3.1, 4.1; DICOM PS3.3 A.51 (SEG), A.19 (RTSTRUCT).
    """
    settings = settings or Settings()
    path = Path(path)
    if is_image_file(path):
        return _image(path, scan, settings)
    refs, images = _candidates(path, settings)
    if len(refs) + len(images) == 0:
        raise UnreadableFile(f"{path.name} holds no mask. {_GIVE}", code="no_mask")
    if len(refs) == 1 and not images:
        ref, kind = refs[0]
        read = read_structures if kind == RTSTRUCT_CLASS else read_segments
        file = path.name if ref.member is not None else ref.path.name
        try:
            labels, choice = read(ref, file, scan, settings)
        except Damaged as e:
            raise UnreadableFile(
                f"{file} is damaged or is not written as the standard says: {e}. Get or save it "
                "again.",
                code="damaged",
            ) from e
        except OSError as e:
            raise UnreadableFile(f"{file} cannot be read ({e.strerror or e}).") from e
        return _masks(labels, choice, scan, file)
    if len(images) == 1 and not refs:
        return _image(images[0], scan, settings)
    if images and not refs:
        return _images(path.name, images, scan, settings)
    listed = ", ".join([*(r.path.name for r, _ in refs), *(p.name for p in images)][:8])
    raise InputError(
        f"{path.name} holds {len(refs) + len(images)} masks ({listed}). Name the one to be used.",
        code="given_lungs",
    )


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


def _masks(labels: LabelArray, choice: Choice, scan: Scan, file: str) -> Masks:
    if not labels.any():
        raise empty(file)
    return Masks(LabelMap(labels, scan.geometry, choice.names), file, choice.recognised)


def _image(path: Path, scan: Scan, settings: Settings) -> Masks:
    values, present = _whole_numbers(path, scan, settings)
    if not present:
        raise empty(path.name)
    choice = _choice(path, present)
    labels = renumbered(values, choice.numbers, present[-1])
    return _masks(labels, choice, scan, path.name)


def _choice(path: Path, present: list[int]) -> Choice:
    """By the names that 3D Slicer keeps in an NRRD, where somebody has given any."""
    names = _slicer_names(path)
    named = [Named(n, names.get(n, ""), structure_named(names.get(n, ""))) for n in present]
    if all(n.structure is None and _UNNAMED.fullmatch(n.text) for n in named):
        return choose_by_number(present, path.name)
    return choose(named, path.name, "segments")


def _slicer_names(path: Path) -> dict[int, str]:
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


def _images(folder: str, paths: list[Path], scan: Scan, settings: Settings) -> Masks:
    """One mask a file, each named after its lung or lobe; other files are left alone."""
    stems = [_stem(path) for path in paths]
    named = [Named(i, stem, structure_named(stem)) for i, stem in enumerate(stems)]
    read: dict[int, np.ndarray[Any, Any]] = {}
    for n in named:
        if n.structure is not None:
            values, present = _whole_numbers(paths[n.key], scan, settings)
            if present:
                read[n.key] = values != 0
    known = [n for n in named if n.key in read or n.structure is None]
    choice = choose(known, folder, "files")
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for key, number in choice.numbers.items():
        for k in np.flatnonzero(read[key].any(axis=(1, 2))):
            canvas.paint(int(k), read[key][k], number)
    canvas.require_apart(folder)
    return _masks(canvas.labels, choice, scan, folder)


def _stem(path: Path) -> str:
    suffix = max((s for s in IMAGE_SUFFIXES if path.name.lower().endswith(s)), key=len)
    return path.name[: -len(suffix)]


def _whole_numbers(
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
