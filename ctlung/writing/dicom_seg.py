"""Lungs, lesions and lobes as a DICOM segmentation (PS3.3 A.51): BINARY, on the source's slices.

highdicom writes all of it but the pixels. Of these it would want a byte for each voxel of each
segment and eight for their sum, a gigabyte and more for a thorax; so it is shown slices of one
pixel, and the bits are packed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as SegmentationImage
from highdicom.seg import SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ctlung.arrays import BoolArray
from ctlung.errors import InputError
from ctlung.records import Provenance, ScanResult
from ctlung.version import __version__
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS, RESEARCH_USE
from ctlung.volume import LabelMap
from ctlung.writing.dicom import hashed_uid
from ctlung.writing.dicom_codes import (
    AI,
    BOTH_SIDES,
    BY_HAND,
    LEFT,
    LUNG,
    MORPHOLOGY,
    RIGHT,
    STRUCTURES,
)
from ctlung.writing.dicom_source import (
    MANUFACTURER,
    MODEL,
    SourceImages,
    series_number,
    slice_header,
    slice_uid,
    times,
    without_now,
)
from ctlung.writing.label_names import rgb, title

SERIES: Final = 1
"""What tells the series of segmentations from others made of one scan."""
_TRACKED_AS: Final = "ctlung "


def segmentation(result: ScanResult, source: SourceImages, tracked: str) -> SegmentationImage:
    """The segmentation object of a result; the same result and source give the same object.

    One segment for each lung, tissue of lesions and lobe that has a voxel; frames by segment, then
    against the normal of the source's own orientation (of plain axial slices: from the head down),
    only those that hold something.

    Args:
        result: with as many slices as ``source``.
        source: the slices that it was measured from.
        tracked: who is followed over time: the same text for all visits of one patient.

    Raises:
        InputError: there is no lung.
    """
    segments = _segments(result)
    if not segments:
        raise InputError(
            "There is no lung in this result, so there is nothing to write as DICOM; measure a "
            "chest CT.",
            code="no_lung",
        )
    content = _digest(result, source, tracked)
    image = SegmentationImage(
        source_images=_shown(source),
        pixel_array=np.stack([s.held for s in segments.values()], axis=-1)[:, None, None, :],
        segmentation_type="BINARY",
        segment_descriptions=_descriptions(result, tuple(segments), tracked),
        series_instance_uid=hashed_uid("ctlung", "seg", "series", content),
        series_number=series_number(source, SERIES),
        sop_instance_uid=hashed_uid("ctlung", "seg", "instance", content),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=__version__,
        content_label="LUNG_LESIONS",
        content_description=RESEARCH_USE,
        series_description="ctlung: lungs and lesions",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **times(source),
    )
    without_now(image, source)
    _name_dimensions(image, hashed_uid("ctlung", "seg", "dimensions", content))
    image.ContentCreatorName = ""
    image.SegmentsOverlap = "YES" if _overlap(result) else "NO"
    image.Rows, image.Columns = source.rows, source.columns
    image.PixelData = _packed(_planes(image, source, list(segments.values())))
    _refer_to_frames(image, source)
    return image


def segment_numbers(image: Dataset) -> dict[str, int]:
    """Names of the segments of a segmentation made here, and their numbers."""
    return {
        str(item.TrackingID).removeprefix(_TRACKED_AS): int(item.SegmentNumber)
        for item in image.SegmentSequence
    }


def tracking_uid(tracked: str, name: str) -> str:
    """The UID under which one structure of one patient is followed over time."""
    return hashed_uid("ctlung", "tracking", tracked, name)


def tracking_name(name: str) -> str:
    """The same for people."""
    return _TRACKED_AS + name


@dataclass(frozen=True, eq=False)
class _Segment:
    """A structure that has a voxel: its label map and number, and which slices hold it."""

    labels: LabelMap
    number: int
    held: BoolArray


def _segments(result: ScanResult) -> dict[str, _Segment]:
    """In the order of segments, the first being segment 1; empty ones are left out."""
    maps: list[tuple[LabelMap, Mapping[int, str]]]
    maps = [(result.lungs, LUNG_LABELS), (result.lesions, LESION_LABELS)]
    if result.lobes is not None:
        maps.append((result.lobes, result.lobes.names))
    every = {
        name: _Segment(labels, n, (labels.labels == n).any(axis=(1, 2)))
        for labels, names in maps
        for n, name in names.items()
    }
    return {name: every[name] for name in STRUCTURES if name in every and every[name].held.any()}


def _shown(source: SourceImages) -> list[Dataset]:
    slices = [slice_header(source, k) for k in range(len(source.slices))]
    for header in slices:
        header.Rows = header.Columns = 1
    return slices


def _overlap(result: ScanResult) -> bool:
    maps = [m.labels > 0 for m in (result.lungs, result.lesions, result.lobes) if m is not None]
    return any((maps[0] & other).any() for other in maps[1:])


def _digest(result: ScanResult, source: SourceImages, tracked: str) -> str:
    """A hash of all that makes the object what it is."""
    p = result.report.provenance
    known = repr(
        (
            __version__,
            p.input_digest,
            *(p.segmenter, p.weights_sha256, p.lesion_method, p.lesion_weights_sha256),
            (source.study_uid, source.series_uid, source.series_number),
            (source.date, source.time, sorted(source.patient_and_study.items())),
            [(s.sop_uid, s.frame) for s in source.slices],
            tracked,
        )
    )
    found = hashlib.sha256(known.encode())
    for labels in (result.lungs, result.lesions, result.lobes):
        found.update(b"-" if labels is None else np.ascontiguousarray(labels.labels).data)
    return found.hexdigest()


def _descriptions(
    result: ScanResult, names: tuple[str, ...], tracked: str
) -> list[SegmentDescription]:
    lungs = _algorithm_of_lungs(result.report.provenance)
    lesions = _algorithm_of_lesions(result.report.provenance)
    found = []
    for number, name in enumerate(names, start=1):
        kind = STRUCTURES[name]
        is_lesion = name in LESION_LABELS.values()
        item = SegmentDescription(
            segment_number=number,
            segment_label=title(name),
            segmented_property_category=kind.category,
            segmented_property_type=kind.kind,
            algorithm_type="AUTOMATIC" if is_lesion else _way(result.report.provenance),
            algorithm_identification=lesions if is_lesion else lungs,
            tracking_uid=tracking_uid(tracked, name),
            tracking_id=tracking_name(name),
            anatomic_regions=[LUNG] if is_lesion else None,
            display_color=CIELabColor.from_rgb(*rgb(name)),
        )
        if kind.side is not None:
            side = [CodedConcept.from_code(kind.side)]
            kinds = item.SegmentedPropertyTypeCodeSequence
            kinds[0].SegmentedPropertyTypeModifierCodeSequence = side
        if is_lesion:
            sides = [CodedConcept.from_code(_side_of(result, name))]
            item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = sides
        found.append(item)
    return found


def _side_of(result: ScanResult, tissue: str) -> Code:
    """In which lung, or in both, a tissue lies."""
    number = {name: n for n, name in LESION_LABELS.items()}[tissue]
    inside = result.lungs.labels[result.lesions.labels == number]
    sides = {name: bool((inside == n).any()) for n, name in LUNG_LABELS.items()}
    if sides["right_lung"] == sides["left_lung"]:
        return BOTH_SIDES
    return RIGHT if sides["right_lung"] else LEFT


def _way(p: Provenance) -> str:
    # What a person handed in may have been drawn, or found by a program and corrected.
    return "SEMIAUTOMATIC" if p.segmenter == "given" else "AUTOMATIC"


def _algorithm_of_lungs(p: Provenance) -> AlgorithmIdentificationSequence:
    by_rule = BY_HAND if p.segmenter == "given" else MORPHOLOGY
    return _algorithm(p.segmenter, p.weights_sha256, by_rule)


def _algorithm_of_lesions(p: Provenance) -> AlgorithmIdentificationSequence:
    return _algorithm(p.lesion_method, p.lesion_weights_sha256, MORPHOLOGY)


def _algorithm(
    name: str, weights_sha256: str | None, otherwise: Code
) -> AlgorithmIdentificationSequence:
    return AlgorithmIdentificationSequence(
        name=f"ctlung {name}".strip()[:64],
        family=AI if weights_sha256 else otherwise,
        version=__version__,
        source=MANUFACTURER,
        parameters={"weights_sha256": weights_sha256} if weights_sha256 else None,
    )


def _name_dimensions(image: Dataset, uid: str) -> None:
    for item in (*image.DimensionOrganizationSequence, *image.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _source_of(frame: Dataset) -> Dataset:
    item: Dataset = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return item


def _planes(
    image: Dataset, source: SourceImages, segments: Sequence[_Segment]
) -> Iterator[BoolArray]:
    """The mask of each frame, as the source stores its slices."""
    place = {slice_uid(source, k): k for k in range(len(source.slices))}
    shared = image.SharedFunctionalGroupsSequence[0]
    for frame in image.PerFrameFunctionalGroupsSequence:
        # A segment that is the only one is named once for all frames.
        told = frame if "SegmentIdentificationSequence" in frame else shared
        number = int(told.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        segment = segments[number - 1]
        plane = segment.labels.labels[place[_source_of(frame).ReferencedSOPInstanceUID]]
        yield source.stored(plane == segment.number)


def _packed(planes: Iterable[BoolArray]) -> bytes:
    """Frames of one bit a pixel, one after the other, lowest bit first (PS3.5 8.1.1)."""
    parts: list[bytes] = []
    rest = np.empty(0, dtype=np.bool_)
    for plane in planes:
        bits = np.concatenate([rest, plane.ravel()])
        whole = len(bits) - len(bits) % 8
        parts.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        rest = bits[whole:]
    parts.append(np.packbits(rest, bitorder="little").tobytes())
    data = b"".join(parts)
    return data + b"\0" * (len(data) % 2)


def _refer_to_frames(image: Dataset, source: SourceImages) -> None:
    """Where slices are frames of larger objects, let the references name these."""
    if all(own.frame is None and own.sop_class == CTImageStorage for own in source.slices):
        return
    own = {slice_uid(source, k): s for k, s in enumerate(source.slices)}
    # Frames of one slice share their reference.
    items = {id(i): i for i in map(_source_of, image.PerFrameFunctionalGroupsSequence)}
    for item in items.values():
        true = own[item.ReferencedSOPInstanceUID]
        item.ReferencedSOPClassUID = true.sop_class
        item.ReferencedSOPInstanceUID = true.sop_uid
        if true.frame is not None:
            item.ReferencedFrameNumber = true.frame
    objects = dict.fromkeys((s.sop_class, s.sop_uid) for s in source.slices)
    image.SourceImageSequence = [_reference(*pair) for pair in objects]
    image.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [
        _reference(*pair) for pair in objects
    ]


def _reference(sop_class: str, sop_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_uid
    return item
