"""DICOM files as scanners, archives and accidents write them: the test side of ``reading``.

Written from the standard, not with the code under test: canonical HU in, files out, with any
in-plane orientation, sign, bit depth, padding, rescale, transfer syntax, and file order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    HTJ2K,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

AXIAL = {(t, fy, fx) for t in (False, True) for fy in (False, True) for fx in (False, True)}
"""The eight in-plane orientations: (transposed, rows run forward, columns run to the right)."""

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big_endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_lossless": JPEGLosslessSV1,
    "jpeg_ls": JPEGLSLossless,
    "jpeg_2000": JPEG2000Lossless,
    "htj2k_lossless": HTJ2KLossless,
    "htj2k": HTJ2K,
}


def uid(*parts: object) -> str:
    """The same UID for the same parts."""
    text = "/".join(str(p) for p in parts)
    return "2.25." + str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:15], "big"))


def phantom(shape: tuple[int, int, int] = (7, 12, 10), seed: int = 1) -> np.ndarray[Any, Any]:
    """HU ``[z, y, x]`` without any symmetry: noise, and a bright corner (feet, front, right)."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 200, size=shape).astype(np.int16)
    hu[0, :3, :2] = 1500
    return hu


@dataclass(frozen=True)
class Store:
    """How canonical slices become stored ones.

    ``rescale`` gives (slope, intercept) for a slice number; ``padding`` is (mask, stored
    value); ``tags`` are set last (``None`` deletes), ``slice_tags`` as well, for one slice.
    """

    transposed: bool = False
    flip_y: bool = False
    flip_x: bool = False
    signed: bool = False
    bits_stored: int = 16
    syntax: str = "explicit"
    spacing: tuple[float, float, float] = (2.5, 0.7, 0.8)
    origin: tuple[float, float, float] = (-30.0, -40.0, 100.0)
    positions: Sequence[float] | None = None
    shear: float = 0.0
    tilt_degrees: float = 0.0
    rescale: Callable[[int], tuple[float, float]] = lambda k: (1.0, -1024.0)
    padding: tuple[np.ndarray[Any, Any], int] | None = None
    series: str = "series"
    study: str = "study"
    patient: str = "patient"
    tags: Mapping[str, Any] = field(default_factory=dict)
    slice_tags: Callable[[int], Mapping[str, Any]] = lambda k: {}


def canonical_axes(store: Store) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Canonical y and x directions in LPS; a tilted gantry turns y about x."""
    angle = np.radians(store.tilt_degrees)
    return np.array([0.0, np.cos(angle), -np.sin(angle)]), np.array([1.0, 0.0, 0.0])


def stored_plane(store: Store, plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A canonical slice as the file holds it."""
    turned = plane[:: -1 if store.flip_y else 1, :: -1 if store.flip_x else 1]
    return turned.T if store.transposed else turned


def plane_tags(store: Store, k: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Orientation, position and spacing of slice ``k``."""
    dz, dy, dx = store.spacing
    y, x = canonical_axes(store)
    along = store.positions[k] if store.positions is not None else k * dz
    first = np.array(store.origin) + along * np.array([0.0, store.shear, 1.0])
    if store.flip_y:
        first = first + y * dy * (shape[1] - 1)
    if store.flip_x:
        first = first + x * dx * (shape[2] - 1)
    y_way, x_way = (-y if store.flip_y else y), (-x if store.flip_x else x)
    row, column = (y_way, x_way) if store.transposed else (x_way, y_way)
    spacing = (dx, dy) if store.transposed else (dy, dx)
    return {
        "ImageOrientationPatient": [round(float(v), 9) + 0.0 for v in (*row, *column)],
        "ImagePositionPatient": [round(float(v), 6) + 0.0 for v in first],
        "PixelSpacing": list(spacing),
    }


def stored_values(store: Store, hu: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
    """Stored values of slice ``k``, as the file's own type, in the file's own orientation."""
    slope, intercept = store.rescale(k)
    values = np.rint((hu[k].astype(np.float64) - intercept) / slope).astype(np.int64)
    if store.padding is not None:
        values = np.where(store.padding[0][k], store.padding[1], values)
    plane = stored_plane(store, values)
    return np.ascontiguousarray(plane.astype(np.int16 if store.signed else np.uint16))


def slice_dataset(store: Store, hu: np.ndarray[Any, Any], k: int) -> Dataset:
    """One CT Image Storage data set, pixels encoded."""
    dataset = Dataset()
    _patient(dataset, store)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid(store.study, store.series, k)
    dataset.InstanceNumber = k + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SliceThickness = store.spacing[0]
    dataset.ConvolutionKernel = "B30f"
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    slope, intercept = store.rescale(k)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    for keyword, value in plane_tags(store, k, hu.shape).items():
        setattr(dataset, keyword, value)
    plane = stored_values(store, hu, k)
    _pixel_tags(dataset, store, plane.shape)
    _set_pixels(dataset, store, [plane])
    _apply(dataset, store.tags)
    _apply(dataset, store.slice_tags(k))
    return dataset


def write_series(
    folder: Path,
    hu: np.ndarray[Any, Any],
    store: Store | None = None,
    *,
    order: str = "ascending",
    name: Callable[[int], str] = lambda i: f"{i:03d}.dcm",
) -> list[Path]:
    """Write one file per slice; ``order`` is ascending, descending or shuffled by position."""
    store = store or Store()
    folder.mkdir(parents=True, exist_ok=True)
    numbers = list(range(hu.shape[0]))
    if order == "descending":
        numbers.reverse()
    elif order == "shuffled":
        random.Random(3).shuffle(numbers)
    paths = []
    for i, k in enumerate(numbers):
        dataset = slice_dataset(store, hu, k)
        if "InstanceNumber" not in store.tags:
            dataset.InstanceNumber = i + 1
        write(dataset, folder / name(i))
        paths.append(folder / name(i))
    return paths


def write_enhanced(
    path: Path,
    hu: np.ndarray[Any, Any],
    store: Store | None = None,
    *,
    frames: Sequence[int] | None = None,
    legacy: bool = False,
    rescale_type: str = "HU",
    shared_position: bool = False,
    frame_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
    content: Callable[[int], Mapping[str, Any]] = lambda k: {},
) -> Path:
    """Write an enhanced (or legacy converted) multi-frame CT; ``frames`` orders the slices."""
    store = store or Store()
    frames = list(frames) if frames is not None else list(range(hu.shape[0]))
    dataset = Dataset()
    _patient(dataset, store)
    dataset.SOPClassUID = (
        LegacyConvertedEnhancedCTImageStorage if legacy else EnhancedCTImageStorage
    )
    dataset.SOPInstanceUID = uid(store.study, store.series, "enhanced")
    dataset.InstanceNumber = 1
    dataset.ImageType = list(frame_type)
    dataset.NumberOfFrames = len(frames)
    planes = [stored_values(store, hu, k) for k in frames]
    _pixel_tags(dataset, store, planes[0].shape)
    shared = Dataset()
    shared.CTImageFrameTypeSequence = Items([_item(FrameType=list(frame_type))])
    if not legacy:
        shared.CTReconstructionSequence = Items([_item(ConvolutionKernel="B30f")])
    else:
        shared.UnassignedSharedConvertedAttributesSequence = Items(
            [_item(ConvolutionKernel="B30f")]
        )
    first = plane_tags(store, frames[0], hu.shape)
    orientation = _item(ImageOrientationPatient=first["ImageOrientationPatient"])
    shared.PlaneOrientationSequence = Items([orientation])
    measures = _item(PixelSpacing=first["PixelSpacing"], SliceThickness=store.spacing[0])
    shared.PixelMeasuresSequence = Items([measures])
    slope, intercept = store.rescale(frames[0])
    # Per-frame values go before shared ones; these would be wrong for any other frame.
    shared.PixelValueTransformationSequence = Items([_transform(slope, intercept, rescale_type)])
    per_frame = []
    for k in frames:
        item = Dataset()
        position = plane_tags(store, k, hu.shape)["ImagePositionPatient"]
        if not shared_position:
            item.PlanePositionSequence = Items([_item(ImagePositionPatient=position)])
        slope, intercept = store.rescale(k)
        transform = _transform(slope, intercept, rescale_type)
        item.PixelValueTransformationSequence = Items([transform])
        item.FrameContentSequence = Items([_item(**content(k))])
        per_frame.append(item)
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items(per_frame)
    _set_pixels(dataset, store, planes)
    _apply(dataset, store.tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(dataset, path)
    return path


def write(dataset: Dataset, path: Path) -> None:
    """Write a data set as it is, whatever is wrong with it."""
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    dataset.preamble = b"\0" * 128
    dcmwrite(
        path,
        dataset,
        implicit_vr=dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian,
        little_endian=not big,
        enforce_file_format=True,
    )


def other_object(path: Path, sop_class: str, modality: str, **tags: Any) -> Path:
    """A DICOM object without pixels: a report, a picture, a plan."""
    dataset = Dataset()
    _patient(dataset, Store(series=str(path)))
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid(path, "other")
    dataset.Modality = modality
    dataset.file_meta = _meta(dataset, "explicit")
    _apply(dataset, tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(dataset, path)
    return path


def _patient(dataset: Dataset, store: Store) -> None:
    dataset.Modality = "CT"
    dataset.PatientName = f"Doe^{store.patient}"
    dataset.PatientID = store.patient
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID = uid(store.patient, store.study)
    dataset.SeriesInstanceUID = uid(store.patient, store.study, store.series)
    dataset.FrameOfReferenceUID = uid(store.patient, store.study, "frame")
    dataset.StudyDate = dataset.AcquisitionDate = "20200401"
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer = "SIEMENS"


def _pixel_tags(dataset: Dataset, store: Store, shape: tuple[int, ...]) -> None:
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = 16, store.bits_stored
    dataset.HighBit = store.bits_stored - 1
    dataset.PixelRepresentation = int(store.signed)


def _set_pixels(dataset: Dataset, store: Store, planes: list[np.ndarray[Any, Any]]) -> None:
    dataset.file_meta = _meta(dataset, store.syntax)
    if store.syntax in ("implicit", "explicit", "deflated"):
        dataset.PixelData = b"".join(p.tobytes() for p in planes)
    elif store.syntax == "big_endian":
        dataset.PixelData = b"".join(p.astype(p.dtype.newbyteorder(">")).tobytes() for p in planes)
    else:
        dataset.PixelData = encapsulate([_encoded(dataset, store, p) for p in planes])
    dataset["PixelData"].VR = "OW"


def _encoded(dataset: Dataset, store: Store, plane: np.ndarray[Any, Any]) -> bytes:
    import imagecodecs

    if store.syntax == "rle":
        return _rle(plane)
    unsigned = plane.view(np.uint16)
    if store.syntax == "jpeg_lossless":
        return bytes(imagecodecs.ljpeg_encode(unsigned, bitspersample=16))
    if store.syntax == "jpeg_ls":
        return bytes(imagecodecs.jpegls_encode(unsigned))
    if store.syntax == "jpeg_2000":
        return bytes(imagecodecs.jpeg2k_encode(plane, codecformat="j2k", reversible=True, level=0))
    return bytes(imagecodecs.htj2k_encode(plane, reversible=True))


def _rle(plane: np.ndarray[Any, Any]) -> bytes:
    """PS3.5 G, literal runs only: high bytes first, then low bytes."""
    words = plane.view(np.uint16)
    segments = [_literal((words >> 8).astype(np.uint8)), _literal((words & 255).astype(np.uint8))]
    header = np.zeros(16, dtype="<u4")
    header[0] = 2
    header[1], header[2] = 64, 64 + len(segments[0])
    return header.tobytes() + b"".join(segments)


def _literal(rows: np.ndarray[Any, Any]) -> bytes:
    out = b""
    for row in rows:
        for start in range(0, len(row), 128):
            run = row[start : start + 128].tobytes()
            out += bytes([len(run) - 1]) + run
    return out + b"\0" * (len(out) % 2)


def _meta(dataset: Dataset, syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = SYNTAXES[syntax]
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return meta


def _item(**tags: Any) -> Dataset:
    item = Dataset()
    _apply(item, tags)
    return item


def _transform(slope: float, intercept: float, kind: str) -> Dataset:
    return _item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType=kind)


def _apply(dataset: Dataset, tags: Mapping[str, Any]) -> None:
    for keyword, value in tags.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)


def add_series(
    folder: Path, name: str, hu: np.ndarray | None = None, study: str = "s", **tags: object
) -> str:
    """Write a series, 25 mm tall unless ``hu`` is given, and return its UID."""
    thickness = float(tags.get("SliceThickness", 2.5))  # type: ignore[arg-type]
    hu = phantom((round(25 / thickness), 6, 5)) if hu is None else hu
    patient = str(tags.pop("PatientID", "p"))
    spacing = (thickness, 0.7, 0.8)
    store = Store(patient=patient, study=study, series=name, tags=tags, spacing=spacing)
    write_series(folder / name, hu, store)
    return uid(patient, study, name)
