"""What objects derived from a scan repeat of its own headers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DSfloat

from ctlung.writing.dicom import hashed_uid

MANUFACTURER: Final = "The ctlung developers"
MODEL: Final = "ctlung"
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
"""DICOM wants a date. Where the scan has none, this one says so; the day of writing would make
two runs differ."""
_CHARACTERS: Final = "ISO_IR 192"
_REQUIRED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Of type 2: there, if only empty."""
_HIGHEST_SERIES: Final = 2**31 // 100 - 1


class SourceSlice(Protocol):
    """A slice of the source: its object, its frame (from 1) if it has frames, its place."""

    # The members are those of ``reading.source_headers``, which says what they hold.
    # ruff: noqa: D102

    @property
    def sop_class(self) -> str: ...
    @property
    def sop_uid(self) -> str: ...
    @property
    def frame(self) -> int | None: ...
    @property
    def position(self) -> tuple[float, ...]: ...


class SourceImages(Protocol):
    """What is repeated of the source; ``slices`` are in the order of the result's slices."""

    @property
    def study_uid(self) -> str: ...
    @property
    def series_uid(self) -> str: ...
    @property
    def frame_of_reference_uid(self) -> str | None: ...
    @property
    def series_number(self) -> int: ...
    @property
    def patient_and_study(self) -> Mapping[str, str]: ...
    @property
    def date(self) -> str: ...
    @property
    def time(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def orientation(self) -> tuple[float, ...]: ...
    @property
    def pixel_spacing(self) -> tuple[float, ...]: ...
    @property
    def thickness(self) -> float: ...
    @property
    def lossy(self) -> bool: ...
    @property
    def lossy_ratios(self) -> tuple[float, ...]: ...
    @property
    def lossy_methods(self) -> tuple[str, ...]: ...
    @property
    def slices(self) -> Sequence[SourceSlice]: ...
    def stored(self, plane: Any) -> Any: ...


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the warnings of highdicom and pydicom, which quote header values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def slice_uid(source: SourceImages, k: int) -> str:
    """A UID for slice ``k``: its own, or where it is a frame, one of its own for the frame."""
    own = source.slices[k]
    return own.sop_uid if own.frame is None else hashed_uid(own.sop_uid, str(own.frame))


def slice_header(source: SourceImages, k: int) -> Dataset:
    """Slice ``k`` as the header of a CT image, also where it is a frame of a larger object."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = _CHARACTERS
    for keyword in _REQUIRED:
        setattr(dataset, keyword, "")
    for keyword, text in source.patient_and_study.items():
        setattr(dataset, keyword, text)
    dataset.StudyInstanceUID = source.study_uid
    dataset.SeriesInstanceUID = source.series_uid
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = slice_uid(source, k)
    dataset.Modality = "CT"
    dataset.FrameOfReferenceUID = source.frame_of_reference_uid or hashed_uid(
        "ctlung", "frame of reference", source.series_uid
    )
    dataset.PositionReferenceIndicator = ""
    dataset.Rows, dataset.Columns = source.rows, source.columns
    dataset.ImageOrientationPatient = _decimals(source.orientation)
    dataset.ImagePositionPatient = _decimals(source.slices[k].position)
    dataset.PixelSpacing = _decimals(source.pixel_spacing)
    dataset.SliceThickness = _decimals([source.thickness])[0]
    if source.lossy:
        dataset.LossyImageCompression = "01"
        if source.lossy_ratios:
            dataset.LossyImageCompressionRatio = _decimals(source.lossy_ratios)
        if source.lossy_methods:
            dataset.LossyImageCompressionMethod = list(source.lossy_methods)
    return dataset


def _decimals(values: Sequence[float]) -> list[DSfloat]:
    return [DSfloat(value, auto_format=True) for value in values]


def series_number(source: SourceImages, which: int) -> int:
    """A number that shows the source's own: 100 times that, and ``which``."""
    return min(source.series_number, _HIGHEST_SERIES) * 100 + which


def times(source: SourceImages) -> dict[str, Any]:
    """Content and series date and time, as highdicom wants them: the source's own."""
    date, time = source.date or UNKNOWN_DATE, source.time or UNKNOWN_TIME
    return {"content_date": date, "content_time": time, "series_date": date, "series_time": time}


def without_now(dataset: Dataset, source: SourceImages) -> None:
    """Put the source's date and time where highdicom put those of now."""
    dataset.InstanceCreationDate = source.date or UNKNOWN_DATE
    dataset.InstanceCreationTime = source.time or UNKNOWN_TIME
    for equipment in dataset.ContributingEquipmentSequence:
        if "ContributionDateTime" in equipment:
            del equipment.ContributionDateTime


def save(dataset: Dataset, path: Path) -> None:
    """Write an object as a DICOM file."""
    with quiet():
        dcmwrite(path, dataset, enforce_file_format=True)
