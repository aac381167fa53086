"""DICOM segmentations (PS3.3 A.51): binary, fractional and label map, each frame by its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
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
    with _opened(ref, file, scan, settings) as (top, frames), guarded():
        segments = _segments(top, lambda segment, text: _structure(segment, text, file))
        if frames.label_map:
            return _label_map(segments, frames, scan, file)
        return _one_a_frame(segments, frames, scan, file)


def drawn_segments(
    ref: FileRef, file: str, scan: Scan, settings: Settings
) -> Iterator[tuple[Named, list[tuple[int, BoolArray]]]]:
    """Every segment of a segmentation with its mask in each slice that holds any of it.

    Args, raises: as for :func:`read_segments`; a segment may be empty, and may overlap others.
    """
    with _opened(ref, file, scan, settings) as (top, stored), guarded():
        frames = stored
        if stored.label_map:
            # Every segment asks every frame.
            decoded = [stored.pixels(frame) for frame in range(len(stored.chains))]
            frames = replace(stored, pixels=decoded.__getitem__)
        for segment in _segments(top, lambda _, text: structure_named(text)):
            if segment.key == 0 and frames.label_map:
                continue
            parts = []
            for frame, chain in enumerate(frames.chains):
                mask = frames.mask(frame, segment.key)
                if mask is not None and mask.any():
                    parts.append(frame_on_slice(Attributes(chain), mask, scan.geometry, file))
            yield segment, parts


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of a segmentation.

    Attributes:
        chains: functional groups of each frame, nearest first.
        numbers: segment of each frame; 0 where the frames hold several.
        pixels: from frame number to stored values ``[row, column]``.
        least: stored value from which on a voxel is in its segment.
        label_map: whether the stored value is the segment's number.
    """

    chains: list[list[Dataset]]
    numbers: list[int]
    pixels: Pixels
    least: float
    label_map: bool

    def mask(self, frame: int, segment: int) -> BoolArray | None:
        """Where a segment lies in a frame, as stored; ``None`` if the frame is another's."""
        if self.label_map:
            inside: BoolArray = self.pixels(frame) == segment
            return inside
        if self.numbers[frame] != segment:
            return None
        at_least: BoolArray = self.pixels(frame) >= self.least
        return at_least


@contextmanager
def _opened(
    ref: FileRef, file: str, scan: Scan, settings: Settings
) -> Iterator[tuple[Attributes, _Frames]]:
    wide = replace(settings, max_slices=settings.max_slices * _SEGMENTS_AT_MOST)
    with ExitStack() as stack:
        opener = stack.enter_context(Opener())
        with guarded(), opener.open(ref) as stream:
            dataset = read_dataset(stream, wide, pixels=False)
        top = Attributes([dataset])
        require_same_series(*_references(dataset), scan, file)
        pixel_bytes(top, wide)
        label_map = top.text("SegmentationType") == "LABELMAP"
        pixels = _pixels(ref, opener, top, wide, stack)
        with guarded():
            chains = list(frame_chains(dataset, wide))
            numbers = list(_segment_numbers(dataset, len(chains)))
            least = _least(top)
        yield top, _Frames(chains, numbers, pixels, least, label_map)


def _least(top: Attributes) -> float:
    if top.text("SegmentationType") != "FRACTIONAL":
        return 1.0
    highest = top.whole("MaximumFractionalValue")
    if not highest or highest < 1:
        raise Damaged("it is fractional without Maximum Fractional Value")
    return highest / 2.0


def _references(dataset: Dataset) -> tuple[list[str], list[str]]:
    """Series, and slices, that the segmentation was made from."""
    series, slices = [], []
    for item in Attributes([dataset]).get("ReferencedSeriesSequence") or []:
        of_series = Attributes([item])
        series.append(of_series.text("SeriesInstanceUID") or "")
        for instance in of_series.get("ReferencedInstanceSequence") or []:
            slices.append(Attributes([instance]).text("ReferencedSOPInstanceUID") or "")
    return [s for s in series if s], [s for s in slices if s]


def _segments(top: Attributes, structure: Callable[[Attributes, str], str | None]) -> list[Named]:
    found = []
    for item in top.get("SegmentSequence") or []:
        segment = Attributes([item])
        number = segment.whole("SegmentNumber")
        if number is None:
            raise Damaged("a segment has no number")
        text = segment.text("SegmentLabel") or segment.text("SegmentDescription") or ""
        found.append(Named(number, text, structure(segment, text)))
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
    segments: list[Named], frames: _Frames, scan: Scan, file: str
) -> tuple[LabelArray, Choice]:
    """Binary and fractional: each frame belongs to one segment."""
    masks: dict[int, BoolArray] = {}
    known = {s.key for s in segments if s.structure is not None}
    for frame, number in enumerate(frames.numbers):
        if number in known:
            mask = frames.mask(frame, number)
            if mask is not None and mask.any():
                masks[frame] = mask
    filled = {frames.numbers[frame] for frame in masks}
    choice = choose(
        [s for s in segments if s.key in filled or s.key not in known], file, "segments"
    )
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for frame, mask in masks.items():
        number = frames.numbers[frame]
        if number in choice.numbers:
            k, plane = frame_on_slice(Attributes(frames.chains[frame]), mask, scan.geometry, file)
            canvas.paint(k, plane, choice.numbers[number])
    canvas.require_apart(file)
    return canvas.labels, choice


def _label_map(
    segments: list[Named], frames: _Frames, scan: Scan, file: str
) -> tuple[LabelArray, Choice]:
    """Label map: the stored value is the segment's number."""
    everywhere = range(len(frames.chains))
    filled = {int(n) for frame in everywhere for n in np.unique(frames.pixels(frame))}
    known = [s for s in segments if s.key in filled or s.structure is None]
    choice = choose([s for s in known if s.key != 0], file, "segments")
    canvas = Canvas(np.zeros(scan.geometry.shape, np.uint8))
    for frame, chain in enumerate(frames.chains):
        values = frames.pixels(frame)
        for theirs, ours in choice.numbers.items():
            mask = values == theirs
            if mask.any():
                k, plane = frame_on_slice(Attributes(chain), mask, scan.geometry, file)
                canvas.paint(k, plane, ours)
    return canvas.labels, choice
