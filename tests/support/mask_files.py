"""Write DICOM segmentations and structure sets from the standard, not with the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian
from support.dicom_files import Store, plane_tags, stored_plane, uid, write

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEG = "1.2.840.10008.5.1.4.1.1.66.7"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

LUNG, RIGHT_LUNG, LEFT_LUNG = "39607008", "3341006", "44029006"
RIGHT, LEFT = "24028007", "7771000"
ANATOMY, DISEASE = "123037004", "49755003"


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment: canonical values ``[z, y, x]``, its label and codes."""

    values: np.ndarray[Any, Any]
    label: str = ""
    kind: str = "85756007"
    side: str | None = None
    category: str = ANATOMY
    number: int = 0


def series_uid(store: Store) -> str:
    return uid(store.patient, store.study, store.series)


def write_seg(
    path: Path,
    segments: Sequence[Segment],
    store: Store | None = None,
    *,
    kind: str = "BINARY",
    highest: int = 255,
    series: str | None = "",
    positions: Mapping[int, Sequence[float]] | None = None,
    empty_frames: bool = False,
    crop: tuple[slice, slice] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Path:
    """One frame for each segment and slice that holds any of it, last slice first.

    ``series`` is the one referred to: that of ``store`` where empty, none where ``None``.
    ``positions`` moves the frame of a slice; ``crop`` (rows, columns as stored) leaves pixels out.
    """
    store = store or Store()
    shape = segments[0].values.shape
    numbered = [(s.number or i, s) for i, s in enumerate(segments, start=1)]
    frames: list[tuple[int, int, np.ndarray[Any, Any]]] = []
    if kind == "LABELMAP":
        together = np.zeros(shape, np.uint8)
        for number, s in numbered:
            together[s.values != 0] = number
        frames = [(0, k, together[k]) for k in reversed(range(shape[0]))]
    else:
        for number, s in numbered:
            for k in reversed(range(shape[0])):
                if s.values[k].any() or empty_frames:
                    frames.append((number, k, s.values[k]))
    planes = [np.ascontiguousarray(stored_plane(store, p)) for _, _, p in frames]
    if crop is not None:
        planes = [np.ascontiguousarray(p[crop]) for p in planes]
    dataset = _object(path, LABEL_MAP_SEG if kind == "LABELMAP" else SEG, "SEG", store)
    dataset.SegmentationType = kind
    if kind == "FRACTIONAL":
        dataset.MaximumFractionalValue = highest
        dataset.SegmentationFractionalType = "PROBABILITY"
    if series is not None:
        reference = _item(SeriesInstanceUID=series or series_uid(store))
        reference.ReferencedInstanceSequence = Items([])
        dataset.ReferencedSeriesSequence = Items([reference])
    dataset.SegmentSequence = Items([_segment(number, s) for number, s in numbered])
    dataset.NumberOfFrames = len(planes)
    dataset.Rows, dataset.Columns = planes[0].shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 1 if kind == "BINARY" else 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    first = plane_tags(store, 0, shape)
    shared = Dataset()
    turn = _item(ImageOrientationPatient=first["ImageOrientationPatient"])
    shared.PlaneOrientationSequence = Items([turn])
    measures = _item(PixelSpacing=first["PixelSpacing"], SliceThickness=store.spacing[0])
    shared.PixelMeasuresSequence = Items([measures])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    per_frame = []
    for number, k, _ in frames:
        group = Dataset()
        place = np.array(plane_tags(store, k, shape)["ImagePositionPatient"], float)
        if crop is not None:
            way = np.array(first["ImageOrientationPatient"])
            place = place + way[3:] * first["PixelSpacing"][0] * crop[0].start
            place = place + way[:3] * first["PixelSpacing"][1] * crop[1].start
        moved = [float(v) for v in (positions or {}).get(k, place)]
        group.PlanePositionSequence = Items([_item(ImagePositionPatient=moved)])
        if number:
            items = Items([_item(ReferencedSegmentNumber=number)])
            group.SegmentIdentificationSequence = items
        per_frame.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Items(per_frame)
    dataset.PixelData = _pixels(planes, kind)
    dataset["PixelData"].VR = "OB"
    for keyword, value in (tags or {}).items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(dataset, path)
    return path


def _pixels(planes: list[np.ndarray[Any, Any]], kind: str) -> bytes:
    flat = np.concatenate([p.ravel() for p in planes]).astype(np.uint8)
    data = np.packbits(flat != 0, bitorder="little") if kind == "BINARY" else flat
    return data.tobytes() + b"\0" * (len(data) % 2)


def _segment(number: int, segment: Segment) -> Dataset:
    item = _item(SegmentNumber=number, SegmentLabel=segment.label)
    item.SegmentedPropertyCategoryCodeSequence = Items([_code(segment.category)])
    kind = _code(segment.kind)
    if segment.side is not None:
        kind.SegmentedPropertyTypeModifierCodeSequence = Items([_code(segment.side)])
    item.SegmentedPropertyTypeCodeSequence = Items([kind])
    return item


def _code(value: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning="as coded")


@dataclass(frozen=True, eq=False)
class Roi:
    """A structure: contours, each ``[n, 3]`` LPS mm."""

    name: str
    contours: Sequence[np.ndarray[Any, Any]] = field(default_factory=tuple)
    kind: str = "CLOSED_PLANAR"


def write_rtstruct(
    path: Path, rois: Sequence[Roi], store: Store | None = None, *, series: str | None = ""
) -> Path:
    """Structures as planning systems write them; ``series`` as for :func:`write_seg`."""
    store = store or Store()
    dataset = _object(path, RTSTRUCT, "RTSTRUCT", store)
    dataset.StructureSetLabel = "drawn"
    frame = _item(FrameOfReferenceUID=uid(store.patient, store.study, "frame"))
    if series is not None:
        of_series = _item(SeriesInstanceUID=series or series_uid(store))
        study = _item(ReferencedSOPInstanceUID=uid(store.patient, store.study))
        study.RTReferencedSeriesSequence = Items([of_series])
        frame.RTReferencedStudySequence = Items([study])
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    names, drawn = [], []
    for number, roi in enumerate(rois, start=1):
        names.append(_item(ROINumber=number, ROIName=roi.name))
        item = _item(ReferencedROINumber=number)
        item.ContourSequence = Items([_contour(points, roi.kind) for points in roi.contours])
        drawn.append(item)
    dataset.StructureSetROISequence = Items(names)
    dataset.ROIContourSequence = Items(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(dataset, path)
    return path


def _contour(points: np.ndarray[Any, Any], kind: str) -> Dataset:
    return _item(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points),
        ContourData=[round(float(v), 4) for v in np.asarray(points).ravel()],
    )


def _object(path: Path, sop_class: str, modality: str, store: Store) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid(path.name, modality)
    dataset.Modality = modality
    dataset.PatientID = store.patient
    dataset.StudyInstanceUID = uid(store.patient, store.study)
    dataset.SeriesInstanceUID = uid(store.patient, store.study, path.name)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def _item(**tags: Any) -> Dataset:
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item
