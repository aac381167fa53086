"""``read_regions``: whatever regions somebody has drawn or found, on the scan's grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctlung.arrays import BoolArray, LabelArray
from ctlung.errors import InputError
from ctlung.reading.mask_files import mask_files, readable, slicer_names, stem, whole_numbers
from ctlung.reading.mask_grid import renumbered
from ctlung.reading.rtstruct import drawn_structures
from ctlung.reading.seg import drawn_segments
from ctlung.settings import Settings
from ctlung.vocabulary import region_word
from ctlung.volume import LabelMap, Scan

LAYERS_AT_MOST = 16
"""Label maps that overlapping regions are spread over; each is as large as the scan."""
_HIGHEST = 255

Parts = Sequence[tuple[int, BoolArray]]


def read_regions(
    path: str | Path, scan: Scan, settings: Settings | None = None
) -> tuple[LabelMap, ...]:
    """Read every region of a file that belongs to ``scan``; nothing is resampled.

    Of a label map (NIfTI, NRRD, MetaImage) each label is a region, by the name that a 3D Slicer
    file gives it; it may be a box of the scan's grid. Of a DICOM SEG each segment is one, of an
    RTSTRUCT each structure with closed contours. A folder with several label maps holds one
    region a file, named after it. What has no name with a letter or digit is ``label_7``, after
    its number. Regions may overlap: those that do stand in different label maps.

    Args:
        path: a file, or a folder that holds one SEG, one RTSTRUCT, or label maps.
        scan: the scan that they were drawn on.
        settings: ``max_regions``, and limits of what a header may ask for.

    Returns:
        Label maps on the grid of ``scan``. A label is the region's place in the file, counted
        from 1 over all of them.

    Raises:
        GeometryMismatch: they lie on another grid.
        InputError: no region, too many, too many in one place, of another series.
        UnreadableFile: not there, not permitted, damaged, of another format.

    Source: FIELD 3.1; DICOM PS3.3 A.51 (SEG), A.19 (RTSTRUCT).
    """
    settings = settings or Settings()
    found = mask_files(Path(path), settings)
    if found.ref is None and len(found.images) == 1:
        return _label_map(found.images[0], scan, settings)
    layers = _Layers(scan.geometry.shape, found.name, min(settings.max_regions, _HIGHEST))
    if found.ref is None:
        for parts in _files(found.images, scan, settings):
            layers.add(*parts)
    else:
        read = drawn_structures if found.structures else drawn_segments
        with readable(found.name):
            for named, drawn in read(found.ref, found.name, scan, settings):
                layers.add(_name(named.text, named.key), drawn)
    return layers.label_maps(scan)


def _name(text: str, number: int) -> str:
    return text if region_word(text) else f"label_{number}"


def _label_map(path: Path, scan: Scan, settings: Settings) -> tuple[LabelMap, ...]:
    values, present = whole_numbers(path, scan, settings)
    if not present:
        raise _empty(path.name)
    titles = slicer_names(path)
    keys = sorted({*present, *(key for key in titles if key)})
    _require_few(len(keys), min(settings.max_regions, _HIGHEST), path.name)
    numbers = {key: number for number, key in enumerate(keys, start=1)}
    names = {number: _name(titles.get(key, ""), key) for key, number in numbers.items()}
    labels = renumbered(values, {k: n for k, n in numbers.items() if k <= present[-1]}, present[-1])
    return (LabelMap(labels, scan.geometry, names),)


def _files(
    paths: Iterable[Path], scan: Scan, settings: Settings
) -> Iterator[tuple[str, list[tuple[int, BoolArray]]]]:
    for number, path in enumerate(paths, start=1):
        values, _ = whole_numbers(path, scan, settings)
        inside = values != 0
        slices = np.flatnonzero(inside.any(axis=(1, 2)))
        yield _name(stem(path), number), [(int(k), inside[k]) for k in slices]


@dataclass(eq=False)
class _Layers:
    """Regions spread over as few label maps as they come along, none overlapping in any.

    Attributes:
        shape: of the scan.
        file: for the sentences.
        most: regions that are taken.
        labels: the label maps so far, uint8 ``[z, y, x]``.
        names: of each, by label.
    """

    shape: tuple[int, int, int]
    file: str
    most: int
    labels: list[LabelArray] = field(default_factory=list)
    names: list[dict[int, str]] = field(default_factory=list)

    def add(self, name: str, parts: Parts) -> None:
        """Put a region, slice by slice, into the first label map where it is alone."""
        number = 1 + sum(map(len, self.names))
        _require_few(number, self.most, self.file)
        layer = next((i for i in range(len(self.labels)) if self._free(i, parts)), None)
        if layer is None:
            layer = self._new(name)
        self.names[layer][number] = name
        for k, mask in parts:
            self.labels[layer][k][mask] = number

    def label_maps(self, scan: Scan) -> tuple[LabelMap, ...]:
        if not any(labels.any() for labels in self.labels):
            raise _empty(self.file)
        return tuple(
            LabelMap(labels, scan.geometry, names)
            for labels, names in zip(self.labels, self.names, strict=True)
        )

    def _free(self, layer: int, parts: Parts) -> bool:
        return not any(self.labels[layer][k][mask].any() for k, mask in parts)

    def _new(self, name: str) -> int:
        if len(self.labels) == LAYERS_AT_MOST:
            raise InputError(
                f"'{name}' in {self.file} overlaps others that overlap already; more than "
                f"{LAYERS_AT_MOST} regions in one place are not measured at once. Save some of "
                "them in another file and measure them in a second run.",
                code="given_regions",
            )
        self.labels.append(np.zeros(self.shape, np.uint8))
        self.names.append({})
        return len(self.labels) - 1


def _require_few(count: int, most: int, file: str) -> None:
    if count > most:
        raise InputError(
            f"{file} holds more than {most} regions (limit max_regions, at most {_HIGHEST}). Save "
            "those that matter in a file of their own.",
            code="given_regions",
        )


def _empty(file: str) -> InputError:
    return InputError(
        f"There is no region in {file}: nothing is drawn in it. Save the regions again, or leave "
        "them out.",
        code="given_regions",
    )
