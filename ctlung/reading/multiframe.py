"""Enhanced and legacy converted multi-frame CT: the functional groups, frame by frame.

pydicom's own rescaling ignores functional groups (FIELD 3.5), so they are read here: what a
frame's own groups say goes before what the shared groups say, and that before the top level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from ctlung.reading.dataset import Attributes, Damaged, quiet
from ctlung.settings import Settings

GROUPS = (
    "CTImageFrameTypeSequence",
    "FrameContentSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
    "FrameAnatomySequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)
"""The macros that are looked into; the last two are those of legacy converted objects."""


def is_multiframe(top: Attributes) -> bool:
    """Whether a file keeps its slices as frames with functional groups."""
    return top.has("PerFrameFunctionalGroupsSequence") or top.has("SharedFunctionalGroupsSequence")


def frame_chains(dataset: Dataset, settings: Settings) -> Iterator[list[Dataset]]:
    """For each frame, the data sets to look into, most particular first.

    Raises:
        Damaged: the number of per-frame groups is not the number of frames, or that number
            is beyond the limit of ``settings``.
    """
    top = Attributes([dataset])
    count = top.whole("NumberOfFrames") or 1
    if not 1 <= count <= settings.max_slices:
        raise Damaged(f"it claims {count} frames (limit {settings.max_slices})")
    per_frame: Sequence[Dataset] = top.get("PerFrameFunctionalGroupsSequence") or []
    shared: Sequence[Dataset] = top.get("SharedFunctionalGroupsSequence") or []
    if per_frame and len(per_frame) != count:
        raise Damaged(f"it claims {count} frames but describes {len(per_frame)}")
    common = [*_groups(shared[0]), dataset] if shared else [dataset]
    for number in range(count):
        own = _groups(per_frame[number]) if per_frame else []
        yield [*own, *common]


def _groups(item: Dataset) -> list[Dataset]:
    """The first item of each known macro; anatomy only as far as it names the region."""
    found: list[Dataset] = []
    with quiet():
        for keyword in GROUPS:
            sequence = item.get(keyword)
            if sequence:
                found.append(sequence[0])
    return found
