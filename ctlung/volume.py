"""The nouns: a scan, a label map, the anatomy found on the way. They know nobody above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ctlung.arrays import BoolArray, Box, HUArray, LabelArray, read_only
from ctlung.errors import GeometryMismatch
from ctlung.geometry import Affine, Geometry
from ctlung.notices import Notice

HU_MIN, HU_MAX = -1024, 3071
"""Limits of stored HU; what lies beyond is clipped at loading (FIELD 3.2)."""

KernelClass = Literal["soft", "medium", "sharp", "unknown"]
SourceKind = Literal["dicom", "nifti", "nrrd", "metaimage", "array"]


@dataclass(frozen=True)
class Acquisition:
    """How the scan was taken, as far as its header says; ``None`` where it is silent.

    Dates are ``YYYYMMDD``. ``date_source`` names the tag the date came from. ``contrast_agent``
    is the header's word; an empty tag is ``None``.
    """

    manufacturer: str | None = None
    model: str | None = None
    kernel: str | None = None
    kernel_class: KernelClass = "unknown"
    slice_thickness_mm: float | None = None
    kvp: float | None = None
    contrast_agent: str | None = None
    patient_position: str | None = None
    acquisition_date: str | None = None
    date_source: str | None = None
    sex: str | None = None
    image_type: tuple[str, ...] = ()
    series_description: str | None = None
    lossy: bool = False


@dataclass(frozen=True)
class Identifiers:
    """Who and what, in the clear. Kept out of ``repr`` and of every file unless asked for."""

    patient_id: str | None = field(default=None, repr=False)
    patient_name: str | None = field(default=None, repr=False)
    birth_date: str | None = field(default=None, repr=False)
    study_uid: str | None = field(default=None, repr=False)
    series_uid: str | None = field(default=None, repr=False)
    sop_uids: tuple[str, ...] = field(default=(), repr=False)
    """SOP Instance UID of each canonical slice (for multi-frame: ``UID#frame``), or empty."""


@dataclass(frozen=True)
class StoredGrid:
    """How the file's own array becomes the canonical one, so that masks can go back.

    The file's array is indexed ``[i, j, k]`` (NIfTI and ITK order, first axis fastest).
    ``canonical = flip(transpose(file, order))``: canonical axis ``a`` is the file's axis
    ``order[a]``, reversed where ``flipped[a]``. ``affine`` takes ``(i, j, k, 1)`` to LPS mm.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    affine: Affine

    def to_canonical(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Canonical ``[z, y, x]`` view of a file's array ``[i, j, k]``."""
        steps = tuple(slice(None, None, -1 if f else 1) for f in self.flipped)
        return stored.transpose(self.order)[steps]

    def to_stored(self, canonical: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The file's ``[i, j, k]`` view of a canonical array ``[z, y, x]``."""
        steps = tuple(slice(None, None, -1 if f else 1) for f in self.flipped)
        return canonical[steps].transpose(tuple(int(v) for v in np.argsort(self.order)))


@dataclass(frozen=True)
class Source:
    """Where a scan came from. ``digest`` is a sha256 over HU, geometry and padding.

    ``chosen_because`` says, in one sentence, why this series and no other was read.
    """

    kind: SourceKind
    digest: str
    identifiers: Identifiers = field(default_factory=Identifiers)
    stored: StoredGrid | None = None
    chosen_because: str = ""
    n_files: int = 0


@dataclass(frozen=True, eq=False)
class Scan:
    """A chest CT in Hounsfield units on the canonical grid.

    Attributes:
        hu: int16 ``[z, y, x]``, within [-1024, 3071], read-only. Padding is -1024.
        geometry: its grid.
        acquisition: how it was taken.
        source: where it came from.
        outside_fov: bool ``[z, y, x]``: padding, where nothing was measured; ``None`` if none.
        notices: what reading had to say.
    """

    hu: HUArray
    geometry: Geometry
    acquisition: Acquisition = field(default_factory=Acquisition)
    source: Source = field(default_factory=lambda: Source("array", ""))
    outside_fov: BoolArray | None = None
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16:
            raise TypeError(f"hu must be int16, not {self.hu.dtype}")
        _check_shape(self.hu.shape, self.geometry, "hu")
        object.__setattr__(self, "hu", read_only(self.hu))
        if self.outside_fov is not None:
            _check_shape(self.outside_fov.shape, self.geometry, "outside_fov")
            object.__setattr__(self, "outside_fov", read_only(self.outside_fov))

    def crop(self, box: Box) -> Scan:
        """The part of the scan in ``box``; views, no copies."""
        outside = self.outside_fov
        return replace(
            self,
            hu=self.hu[box],
            geometry=self.geometry.crop(box),
            outside_fov=None if outside is None else outside[box],
        )

    def __reduce__(self) -> tuple[Callable[..., Scan], tuple[Any, ...]]:
        # NumPy forgets the read-only flag when pickled; the constructor sets it again.
        return (
            Scan,
            (
                np.asarray(self.hu),
                self.geometry,
                self.acquisition,
                self.source,
                self.outside_fov,
                self.notices,
            ),
        )


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Whole numbers with names, on the grid of a scan.

    Attributes:
        labels: uint8 ``[z, y, x]``, read-only; 0 is background; every other number is in
            ``names``.
        geometry: the grid.
        names: number to region or tissue name.
    """

    labels: LabelArray
    geometry: Geometry
    names: Mapping[int, str]

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8:
            raise TypeError(f"labels must be uint8, not {self.labels.dtype}")
        _check_shape(self.labels.shape, self.geometry, "labels")
        unknown = _unnamed(self.labels, self.names)
        if unknown:
            raise ValueError(f"labels {unknown} have no name; known are {dict(self.names)}")
        object.__setattr__(self, "labels", read_only(self.labels))
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def __reduce__(self) -> tuple[Callable[..., LabelMap], tuple[Any, ...]]:
        return (LabelMap, (np.asarray(self.labels), self.geometry, dict(self.names)))

    def crop(self, box: Box) -> LabelMap:
        """The part of the labels in ``box``; a view, no copy."""
        return LabelMap(self.labels[box], self.geometry.crop(box), self.names)

    def require_grid_of(self, other: Geometry) -> None:
        """Raise :class:`GeometryMismatch` unless both lie on one grid."""
        if not self.geometry.matches(other):
            raise GeometryMismatch(
                f"The label map ({self.geometry.shape} voxels, spacing "
                f"{_mm(self.geometry.spacing_mm)} mm) does not lie on the grid of the scan "
                f"({other.shape}, {_mm(other.spacing_mm)} mm); resample it to the scan with "
                "nearest-neighbour interpolation first."
            )


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What else was recognised on the way; ``None`` where nobody looked.

    Attributes:
        airways: bool ``[z, y, x]``: lumen of trachea and bronchi.
        vessels: bool ``[z, y, x]``: vessels inside the lungs.
    """

    airways: BoolArray | None = None
    vessels: BoolArray | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmenter returns.

    Attributes:
        lungs: 1 right lung, 2 left lung.
        anatomy: airways and whatever else was found.
        lobes: 1 lul, 2 lll, 3 rul, 4 rml, 5 rll, ``None`` where nobody told them apart.
        notices: where the segmenter doubts itself.
        segmenter: its name, with version.
        weights_sha256: of its weights, ``None`` if it has none.
        device: where it ran.
    """

    lungs: LabelMap
    anatomy: Anatomy = field(default_factory=Anatomy)
    lobes: LabelMap | None = None
    notices: tuple[Notice, ...] = ()
    segmenter: str = ""
    weights_sha256: str | None = None
    device: str = "cpu"


def _unnamed(labels: LabelArray, names: Mapping[int, str]) -> list[int]:
    top = int(labels.max(initial=0))
    # Names without a gap answer it at once; counting every voxel takes a second on a thorax.
    if all(n in names for n in range(1, top + 1)):
        return []
    return [int(n) for n in np.unique(labels) if n != 0 and int(n) not in names]


def _check_shape(shape: tuple[int, ...], geometry: Geometry, name: str) -> None:
    if shape != geometry.shape:
        raise GeometryMismatch(
            f"{name} has {shape} voxels but its geometry says {geometry.shape}; "
            "arrays are [z, y, x]."
        )


def _mm(values: tuple[float, ...]) -> str:
    return " x ".join(f"{v:.3g}" for v in values)
