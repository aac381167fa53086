"""A plain CT series as DICOM files: one slice a file, uncompressed, the same bytes every time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ctlung.arrays import FloatArray, HUArray
from ctlung.geometry import Geometry

UID_ROOT = "2.25."


@dataclass(frozen=True)
class CTHeader:
    """What the files say of the patient, the visit and the scanner.

    Attributes:
        seed: all UIDs are hashes of it: same seed and visit, same UIDs.
        visit: tells studies of one seed apart.
        birth_date, study_date, acquisition_date: ``YYYYMMDD``; without an acquisition date
            the study date stands for it.
        sex: ``M``, ``F``, ``O`` or empty.
        contrast_agent: empty for an unenhanced scan.
    """

    seed: str
    visit: str = "1"
    patient_id: str = "PHANTOM"
    patient_name: str = "Phantom"
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    acquisition_date: str = ""
    acquisition_time: str = "120000"
    series_description: str = "Chest"
    manufacturer: str = "ctlung"
    model: str = "simulation"
    kernel: str = "STANDARD"
    slice_thickness_mm: float | None = None
    kvp: float = 120.0
    patient_position: str = "HFS"
    contrast_agent: str = ""
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")


def hashed_uid(*parts: str) -> str:
    """A UID under 2.25 (PS3.5 B.2) made from ``parts``; the same parts give the same UID."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return UID_ROOT + str(int.from_bytes(digest[:16], "big"))


def write_ct_series(
    hu: HUArray,
    geometry: Geometry,
    folder: Path,
    header: CTHeader,
    *,
    intercept: int = -1024,
    slope: int = 1,
    encoding: Literal["explicit", "deflated"] = "explicit",
) -> tuple[Path, ...]:
    """Write ``hu`` as CT Image Storage files ``0001.dcm`` (feet) upward and return their paths.

    Args:
        hu: int16 ``[z, y, x]``, canonical LPS, HU.
        geometry: its grid; uneven slice positions and sheared stacks are kept.
        folder: made if missing.
        header: what the files say.
        intercept, slope: stored = (HU - intercept) / slope, which must come out whole and in
            0..65535.
        encoding: explicit VR little endian, plain or deflated.

    Raises:
        ValueError: the array does not fit the grid, or the HU do not fit the rescale.
    """
    if hu.shape != geometry.shape:
        raise ValueError(f"hu has shape {hu.shape} but its geometry says {geometry.shape}")
    stored, rest = np.divmod(hu.astype(np.int32) - intercept, slope)
    if rest.any() or stored.min() < 0 or stored.max() > 65535:
        raise ValueError(f"HU do not fit 16 unsigned bits with {slope} x stored + {intercept}")
    folder.mkdir(parents=True, exist_ok=True)
    common = _common(geometry, header, intercept, slope)
    paths = []
    for k, position in enumerate(_positions(geometry)):
        dataset = Dataset()
        dataset.update(common)
        dataset.SOPInstanceUID = hashed_uid(header.seed, header.visit, "slice", str(k))
        dataset.InstanceNumber = k + 1
        dataset.ImagePositionPatient = [_decimal(v) for v in position]
        dataset.PixelData = stored[k].astype("<u2").tobytes()
        _write(dataset, folder / f"{k + 1:04d}.dcm", encoding)
        paths.append(folder / f"{k + 1:04d}.dcm")
    return tuple(paths)


def _common(geometry: Geometry, header: CTHeader, intercept: int, slope: int) -> Dataset:
    dataset = Dataset()
    _patient_and_study(dataset, header)
    _series(dataset, header)
    _plane(dataset, geometry, header)
    _pixels(dataset, geometry, intercept, slope)
    return dataset


def _patient_and_study(dataset: Dataset, header: CTHeader) -> None:
    dataset.SOPClassUID = CTImageStorage
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = header.birth_date
    dataset.PatientSex = header.sex
    dataset.StudyInstanceUID = hashed_uid(header.seed, header.visit, "study")
    dataset.StudyDate = header.study_date
    dataset.StudyTime = header.acquisition_time if header.study_date else ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = header.visit
    dataset.AccessionNumber = ""


def _series(dataset: Dataset, header: CTHeader) -> None:
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = hashed_uid(header.seed, header.visit, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = header.series_description
    dataset.FrameOfReferenceUID = hashed_uid(header.seed, header.visit, "frame")
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = header.patient_position
    dataset.Manufacturer = header.manufacturer
    dataset.ManufacturerModelName = header.model
    dataset.AcquisitionNumber = 1
    acquired = header.acquisition_date or header.study_date
    if acquired:
        dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = acquired
        dataset.SeriesTime = dataset.AcquisitionTime = header.acquisition_time
        dataset.ContentTime = header.acquisition_time
    dataset.ConvolutionKernel = header.kernel
    dataset.KVP = _decimal(header.kvp)
    dataset.ContrastBolusAgent = header.contrast_agent
    dataset.ImageType = list(header.image_type)
    dataset.PatientOrientation = ""


def _plane(dataset: Dataset, geometry: Geometry, header: CTHeader) -> None:
    dz, dy, dx = geometry.spacing_mm
    row = geometry.matrix[:3, 2] / dx
    column = geometry.matrix[:3, 1] / dy
    dataset.PixelSpacing = [_decimal(dy), _decimal(dx)]
    dataset.ImageOrientationPatient = [_decimal(v) for v in (*row, *column)]
    dataset.SliceThickness = _decimal(header.slice_thickness_mm or dz)


def _pixels(dataset: Dataset, geometry: Geometry, intercept: int, slope: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = geometry.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = str(intercept)
    dataset.RescaleSlope = str(slope)
    dataset.RescaleType = "HU"


def _positions(geometry: Geometry) -> FloatArray:
    """LPS mm of the first pixel of each slice, at its true place along the normal."""
    index = np.zeros((geometry.shape[0], 3))
    index[:, 0] = np.arange(geometry.shape[0])
    even = geometry.to_mm(index)
    shift = np.asarray(geometry.slice_positions_mm) - even @ geometry.normal
    places: FloatArray = even + shift[:, None] * geometry.normal
    return places


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters, never ``-0``."""
    text = f"{value + 0.0:.10g}"
    if len(text) > 16:
        text = f"{value:.8g}"
    return "0" if float(text) == 0.0 else text


def _write(dataset: Dataset, path: Path, encoding: str) -> None:
    meta = FileMetaDataset()
    if encoding == "deflated":
        meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    else:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = UID(hashed_uid("ctlung", "implementation"))
    meta.ImplementationVersionName = "CTLUNG"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    dcmwrite(path, dataset, enforce_file_format=True)
