"""``read_masks``: lungs or lobes that somebody has drawn or found already, on the scan's grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctlung.arrays import LabelArray
from ctlung.reading.mask_files import mask_files, readable, slicer_names, stem, whole_numbers
from ctlung.reading.mask_grid import Canvas, renumbered
from ctlung.reading.rtstruct import read_structures
from ctlung.reading.seg import read_segments
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

_UNNAMED = re.compile(r"(?i)(segment|label)?[ _-]*\d*")


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
    found = mask_files(Path(path), settings)
    if found.ref is None:
        if len(found.images) == 1:
            return _image(found.images[0], scan, settings)
        return _images(found.name, found.images, scan, settings)
    read = read_structures if found.structures else read_segments
    with readable(found.name):
        labels, choice = read(found.ref, found.name, scan, settings)
    return _masks(labels, choice, scan, found.name)


def _masks(labels: LabelArray, choice: Choice, scan: Scan, file: str) -> Masks:
    if not labels.any():
        raise empty(file)
    return Masks(LabelMap(labels, scan.geometry, choice.names), file, choice.recognised)


def _image(path: Path, scan: Scan, settings: Settings) -> Masks:
    values, present = whole_numbers(path, scan, settings)
    if not present:
        raise empty(path.name)
    choice = _choice(path, present)
    labels = renumbered(values, choice.numbers, present[-1])
    return _masks(labels, choice, scan, path.name)


def _choice(path: Path, present: list[int]) -> Choice:
    """By the names that 3D Slicer keeps in an NRRD, where somebody has given any."""
    names = slicer_names(path)
    named = [Named(n, names.get(n, ""), structure_named(names.get(n, ""))) for n in present]
    if all(n.structure is None and _UNNAMED.fullmatch(n.text) for n in named):
        return choose_by_number(present, path.name)
    return choose(named, path.name, "segments")


def _images(folder: str, paths: Sequence[Path], scan: Scan, settings: Settings) -> Masks:
    """One mask a file, each named after its lung or lobe; other files are left alone."""
    stems = [stem(path) for path in paths]
    named = [Named(i, text, structure_named(text)) for i, text in enumerate(stems)]
    read: dict[int, np.ndarray[Any, Any]] = {}
    for n in named:
        if n.structure is not None:
            values, present = whole_numbers(paths[n.key], scan, settings)
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
