"""What one slice's header says, in plain types: all that grouping and ordering need.

A multi-frame file gives one ``SliceHeader`` per frame (see ``multiframe``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from ctlung.reading.archive import FileRef
from ctlung.reading.dataset import Attributes
from ctlung.reading.multiframe import frame_chains, is_multiframe
from ctlung.settings import Settings

_NO_CONTRAST = frozenset({"NONE", "NO", "N", "WITHOUT", "W/O", "UNENHANCED", "0", "NATIVE"})


@dataclass(frozen=True)
class Padding:
    """Stored values that mean "nothing measured": ``first`` to ``last``, inclusive.

    Both are as in the header; ``dicom`` turns them into the pixels' own sign.
    """

    first: int
    last: int


@dataclass(frozen=True)
class SliceHeader:
    """One slice: where it is, how its values become HU, and what it is said to be.

    Lengths in mm, positions and directions in LPS; ``None`` where the header is silent.
    ``pixel_spacing`` is (between rows, between columns), as in DICOM.
    """

    ref: FileRef
    frame: int | None
    sop_class: str
    modality: str
    transfer_syntax: str
    sop_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient_id: str | None = field(repr=False)
    patient_name: str | None = field(repr=False)
    birth_date: str | None = field(repr=False)
    sex: str | None
    # geometry
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    frame_of_reference: str
    stack_id: str
    # values
    slope: float | None
    intercept: float | None
    rescale_type: str | None
    has_modality_lut: bool
    photometric: str
    samples: int
    padding: Padding | None
    lossy: bool
    # what it is said to be
    image_type: tuple[str, ...]
    technique: str
    description: str | None
    body_part: str
    kernel: str | None
    all_kernels: tuple[str, ...]
    thickness: float | None
    kvp: float | None
    contrast_agent: str | None
    patient_position: str | None
    manufacturer: str | None
    model: str | None
    study_date: str | None
    date: str | None
    date_source: str | None
    acquisition_number: str
    acquisition_time: str
    temporal_position: str


def slice_headers(dataset: Dataset, ref: FileRef, settings: Settings) -> tuple[SliceHeader, ...]:
    """One header for a plain file, one per frame for a multi-frame file.

    Raises:
        Damaged: functional groups do not fit the number of frames, or there are more frames
            than ``settings`` allow.
    """
    top = Attributes([dataset])
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    media_class = str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", ""))
    if not is_multiframe(top):
        return (_header(top, ref, None, syntax, media_class),)
    return tuple(
        _header(Attributes(chain), ref, number, syntax, media_class)
        for number, chain in enumerate(frame_chains(dataset, settings))
    )


def _header(
    a: Attributes, ref: FileRef, frame: int | None, syntax: str, media_class: str
) -> SliceHeader:
    kernels = a.texts("ConvolutionKernel")
    date, date_source = _date(a)
    return SliceHeader(
        ref=ref,
        frame=frame,
        sop_class=a.text("SOPClassUID") or media_class,
        modality=(a.text("Modality") or "").upper(),
        transfer_syntax=syntax,
        sop_uid=a.text("SOPInstanceUID") or "",
        series_uid=a.text("SeriesInstanceUID") or "",
        study_uid=a.text("StudyInstanceUID") or "",
        patient_id=a.text("PatientID"),
        patient_name=a.text("PatientName"),
        birth_date=_day(a.text("PatientBirthDate")),
        sex=a.text("PatientSex"),
        rows=a.whole("Rows") or 0,
        columns=a.whole("Columns") or 0,
        frames=a.whole("NumberOfFrames") or 1,
        bits_allocated=a.whole("BitsAllocated") or 0,
        orientation=a.numbers("ImageOrientationPatient", 6),
        position=a.numbers("ImagePositionPatient", 3),
        pixel_spacing=a.numbers("PixelSpacing", 2),
        frame_of_reference=a.text("FrameOfReferenceUID") or "",
        stack_id=a.text("StackID") or "",
        slope=a.number("RescaleSlope"),
        intercept=a.number("RescaleIntercept"),
        rescale_type=a.text("RescaleType"),
        has_modality_lut=a.get("ModalityLUTSequence") is not None,
        photometric=(a.text("PhotometricInterpretation") or "").upper(),
        samples=a.whole("SamplesPerPixel") or 1,
        padding=_padding(a),
        lossy=a.text("LossyImageCompression") == "01",
        image_type=tuple(t.upper() for t in a.texts("FrameType") or a.texts("ImageType")),
        technique=(a.text("VolumeBasedCalculationTechnique") or "").upper(),
        description=a.text("SeriesDescription"),
        body_part=(a.text("BodyPartExamined") or "").upper(),
        kernel=kernels[0] if kernels else None,
        all_kernels=kernels,
        thickness=_positive(a.number("SliceThickness")),
        kvp=_positive(a.number("KVP")),
        contrast_agent=_contrast(a),
        patient_position=(a.text("PatientPosition") or "").upper() or None,
        manufacturer=a.text("Manufacturer"),
        model=a.text("ManufacturerModelName"),
        study_date=_day(a.text("StudyDate")),
        date=date,
        date_source=date_source,
        acquisition_number=a.text("AcquisitionNumber") or "",
        acquisition_time=a.text("AcquisitionTime") or a.text("FrameAcquisitionDateTime") or "",
        temporal_position=a.text("TemporalPositionIndex")
        or a.text("TemporalPositionIdentifier")
        or "",
    )


_DATE_TAGS: tuple[tuple[str, str], ...] = (
    ("AcquisitionDate", "AcquisitionDate"),
    ("AcquisitionDateTime", "AcquisitionDate"),
    ("FrameAcquisitionDateTime", "AcquisitionDate"),
    ("SeriesDate", "SeriesDate"),
    ("StudyDate", "StudyDate"),
)


def _date(a: Attributes) -> tuple[str | None, str | None]:
    """Day of the acquisition, and the tag it came from (FIELD 5 ``dates``)."""
    for tag, source in _DATE_TAGS:
        if day := _day(a.text(tag)):
            return day, source
    return None, None


def _day(text: str | None) -> str | None:
    """``YYYYMMDD`` of a DA or DT value, the old ``YYYY.MM.DD`` among them."""
    digits = (text or "").replace(".", "")[:8] if re.match(r"\d{4}\.", text or "") else text or ""
    match = re.match(r"(\d{4})(\d{2})(\d{2})", digits)
    if not match:
        return None
    month, day = int(match[2]), int(match[3])
    return match[0] if 1 <= month <= 12 and 1 <= day <= 31 else None


def _padding(a: Attributes) -> Padding | None:
    first = _word(a.get("PixelPaddingValue"))
    last = _word(a.get("PixelPaddingRangeLimit"))
    if first is None:
        return None
    return Padding(first, first if last is None else last)


def _word(value: Any) -> int | None:
    """A US or SS value, also where it came as two raw bytes."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return int(value) if isinstance(value, int) else None


def _contrast(a: Attributes) -> str | None:
    agent = a.text("ContrastBolusAgent")
    if agent is None and (sequence := a.get("ContrastBolusAgentSequence")):
        agent = Attributes(list(sequence)[:1]).text("CodeMeaning") or "contrast agent"
    return None if agent is None or agent.upper() in _NO_CONTRAST else agent


def _positive(number: float | None) -> float | None:
    return number if number is not None and number > 0 else None
