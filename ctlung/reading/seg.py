"""DICOM segmentations (PS3.3 A.51): binary, fractional and label map, each frame by its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from ctlung.arrays import BoolArray, LabelArray
from ctlung.errors import InputError
from ctlung.reading.archive import FileRef, Opener
from ctlung.reading.dataset import Attributes, Damaged, guarded, pixel_bytes, read_dataset
from ctlung.reading.decoding import Decoder
from ctlung.reading.mask_grid import Canvas, frame_on_slice, require_same_series
from ctlung.reading.multiframe import frame_chains
from ctlung.reading.pixels import NATIVE, PixelFile
from ctlung.reading.structures import (
    TITLES,
    Choice,
    Named,
    choose,
    structure_coded,
    structure_named,
)
from ctlung.settings import Settings
from ctlung.volume import Scan

SEG_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""Segmentation and Label Map Segmentation Storage."""

_SEGMENTS_AT_MOST = 256
_DISEASE = frozenset({"49755003", "M-01000"})
"""Category "morphologically abnormal structure": what it says of a lung is not the lung."""

Pixels = Callable[[int], np.ndarray[Any, Any]]


def read_segments(
    ref: FileRef, file: str, scan: Scan, settings: Settings
) -> tuple[LabelArray, Choice]:
    """Lungs or lobes of a segmentation, painted on the scan's grid.

    A fractional voxel is in from half of Maximum Fractional Value on. Where two segments share
    a voxel, the first frame keeps it.

    Args:
        ref: the file.
        file: its name, for the sentences.
        scan: the scan it belongs to.
        settings: limits of what a header may ask for.

    Raises:
        Damaged, OSError: the file cannot be read.
        InputError: no lung in it, of another series, segments that overlap.
        GeometryMismatch: its frames do not lie on the scan's slices and pixels.
    """
    wide = replace(settings, max_slices=settings.max_slices * _SEGMENTS_AT_MOST)
    with ExitStack() as stack:
        opener = stack.enter_context(Opener())
        with guarded(), opener.open(ref) as stream:
            dataset = read_dataset(stream, wide, pixels=False)
        top = Attributes([dataset])
        require_same_series(*_references(dataset), scan, file)
        pixel_bytes(top, wide)
        segments = _segments(top, file)
        pixels = _pixels(ref, opener, top, wide, stack)
        with guarded():
            chains = list(frame_chains(dataset, wide))
            numbers = list(_segment_numbers(dataset, len(chains)))
            if top.text("SegmentationType") == "LABELMAP":
                return _label_map(segments, chains, pixels, scan, file)
            return _one_a_frame(segments, chains, numbers, pixels, top, scan, file)


def _references(dataset: Dataset) -> tuple[list[str], list[str]]:
    """Series, and slices, that the segmentation was made from."""
    series, slices = [], []
    for item in Attributes([dataset]).get("ReferencedSeriesSequence") or []:
        of_series = Attributes([item])
        series.append(of_series.text("SeriesInstanceUID") or "")
        for instance in of_series.get("ReferencedInstanceSequence") or []:
            slices.append(Attributes([instance]).text("ReferencedSOPInstanceUID") or "")
    return [s for s in series if s], [s for s in slices if s]


def _segments(top: Attributes, file: str) -> list[Named]:
    found = []
    for item in top.get("SegmentSequence") or []:
        segment = Attributes([item])
        number = segment.whole("SegmentNumber")
        if number is None:
            raise Damaged("a segment has no number")
        text = segment.text("SegmentLabel") or segment.text("SegmentDescription") or ""
        found.append(Named(number, text, _structure(segment, text, file)))
    if not found:
        raise Damaged("it describes no segments")
    return found


def _structure(segment: Attributes, text: str, file: str) -> str | None:
    """By its code, made more precise by its label; both must not contradict each other."""
    category, _ = _code(segment, "SegmentedPropertyCategoryCodeSequence")
    if category in _DISEASE:
        return None
    kind, kind_sides = _code(segment, "SegmentedPropertyTypeCodeSequence")
    coded = structure_coded(kind, kind_sides)
    named = structure_named(text)
    if coded is None or named is None:
        return coded or named
    general = {coded, named} & {"lungs"}
    if coded != named and not general:
        raise InputError(
            f"A segment of {file} is the {TITLES[coded]} by its code and the {TITLES[named]} by "
            f"its label '{text}'. Correct the one that is wrong.",
            code="given_lungs",
        )
    return named if coded == "lungs" else coded


def _code(segment: Attributes, keyword: str) -> tuple[str, list[str]]:
    """Value of a code, and of the codes that say its side."""
    items: Sequence[Dataset] = segment.get(keyword) or []
    if not items:
        return "", []
    item = Attributes([items[0]])
    modifiers = item.get("SegmentedPropertyTypeModifierCodeSequence") or []
    return item.text("CodeValue") or "", [
        Attributes([m]).text("CodeValue") or "" for m in modifiers
    ]


def _segment_numbers(dataset: Dataset, count: int) -> Iterator[int]:
    """Segment of each frame; 0 where the frames hold several."""
    top = Attributes([dataset])
    shared = list(top.get("SharedFunctionalGroupsSequence") or [])[:1]
    per_frame = list(top.get("PerFrameFunctionalGroupsSequence") or [])
    for frame in range(count):
        groups = Attributes([*per_frame[frame : frame + 1], *shared])
        items = groups.get("SegmentIdentificationSequence") or []
        yield Attributes(list(items)[:1]).whole("ReferencedSegmentNumber") or 0


def _pixels(
    ref: FileRef, opener: Opener, top: Attributes, settings: Settings, stack: ExitStack
) -> Pixels:
    """A function from frame number to stored values ``[row, column]``."""
    if top.whole("BitsAllocated") != 1:
        size = (top.whole("Rows") or 0) * (top.whole("Columns") or 0)
        decoder = stack.enter_context(Decoder(size))
        with guarded(), opener.open(ref) as stream:
            file = PixelFile(stream, settings, decoder)
        return lambda frame: file.stored_values(frame)[0]
    with guarded(), opener.open(ref) as stream:
        dataset = read_dataset(stream, settings, pixels=True)
    return _bits(dataset)


def _bits(dataset: Dataset) -> Pixels:
    """Frames of one bit a voxel follow each other without a gap, lowest bit first (PS3.5 8.1.1)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if NATIVE.get(syntax) != "<":
        raise Damaged(f"its encoding {syntax.name} is not one that ctlung reads for single bits")
    top = Attributes([dataset])
    rows, columns = top.whole("Rows") or 0, top.whole("Columns") or 0
    data = np.frombuffer(dataset.get("PixelData", b""), dtype=np.uint8)
    size = rows * columns
    if len(data) * 8 < size * (top.whole("NumberOfFrames") or 1):
        raise Damaged("its pixel data are cut short")

    def frame_of(frame: int) -> np.ndarray[Any, Any]:
        start, stop = frame * size, (frame + 1) * size
        bits = np.unpackbits(data[start // 8 : -(-stop // 8)], bitorder="little")
        return bits[start % 8 : start % 8 + size].reshape(rows, columns)

    return frame_of


def _one_a_frame(
    segments: list[Named],
    chains: list[list[Dataset]],
    numbers: list[int],
    pixels: Pixels,
    top: Attributes,
    scan: Scan,
    file: str,
) -> tuple[LabelArray, Choice]:
    """Binary and fractional: each frame belongs to one segment."""
    least = 1.0
    if top.text("SegmentationType") == "FRACTIONAL":
        highest = top.whole("MaximumFractionalValue")
        if not highest or highest < 1:
            raise Damaged("it is fractional without Maximum Fractional Value")
        least = highest / 2.0
    masks: dict[int, BoolArray] = {}
    known = {s.key for s in segments if s.structure is not None}
    for frame, number in enumerate(numbers):
        if number in known:
            mask = pixels(frame) >= least
            if mask.any():
                masks[frame] = mask
    filled = {numbers[frame] for frame in masks}
    choice = choose(
        [s for s in segments if s.key in filled or s.key not in known], file, "segments"
    )
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for frame, mask in masks.items():
        if numbers[frame] in choice.numbers:
            k, plane = frame_on_slice(Attributes(chains[frame]), mask, scan.geometry, file)
            canvas.paint(k, plane, choice.numbers[numbers[frame]])
    canvas.require_apart(file)
    return canvas.labels, choice


def _label_map(
    segments: list[Named], chains: list[list[Dataset]], pixels: Pixels, scan: Scan, file: str
) -> tuple[LabelArray, Choice]:
    """Label map: the stored value is the segment's number."""
    filled = {int(n) for frame in range(len(chains)) for n in np.unique(pixels(frame))}
    known = [s for s in segments if s.key in filled or s.structure is None]
    choice = choose([s for s in known if s.key != 0], file, "segments")
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for frame, chain in enumerate(chains):
        values = pixels(frame)
        for theirs, ours in choice.numbers.items():
            mask = values == theirs
            if mask.any():
                k, plane = frame_on_slice(Attributes(chain), mask, scan.geometry, file)
                canvas.paint(k, plane, ours)
    return canvas.labels, choice
