"""NIfTI, NRRD and MetaImage files as scans."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from ctlung.errors import UnreadableFile
from ctlung.reading.hounsfield import scan_digest
from ctlung.reading.image_file import StoredImage, readable_file
from ctlung.reading.image_grid import place
from ctlung.reading.image_values import to_hu
from ctlung.reading.itk_file import load_itk
from ctlung.reading.nifti_file import load_nifti
from ctlung.settings import Settings
from ctlung.volume import Scan, Source

_KINDS: dict[str, Literal["nifti", "nrrd", "metaimage"]] = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
}
IMAGE_SUFFIXES = tuple(_KINDS)


def is_image_file(path: Path) -> bool:
    """Whether the name of a file is that of a NIfTI, NRRD or MetaImage."""
    return _suffix(path) is not None


def read_image(path: Path, settings: Settings | None = None) -> Scan:
    """Read one volume in HU on the canonical grid.

    Any axis order and direction is read; nothing is resampled, and ``source.stored`` leads back
    to the file's own grid. Values below -1024 HU in a constant fill, NaN and infinity become
    padding. These formats say nothing of scanner and date: ``acquisition`` is empty.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd; upper or lower case.
        settings: limits.

    Raises:
        UnreadableFile: not there, not permitted, damaged, too large, of another format.
        UnsupportedGeometry: several volumes, colours, no usable place in the patient.
        NotHounsfield: the values are not HU.

    Source: FIELD 3.1, 3.2, 3.4.
    """
    limits = settings or Settings()
    path = Path(path)
    try:
        return _scan(load_image(path, limits), path.name, limits)
    except MemoryError:
        raise UnreadableFile(
            f"{path.name} does not fit into memory; use a machine with more, or a scan with fewer "
            "voxels.",
            code="too_large",
        ) from None


def load_image(path: Path, settings: Settings) -> StoredImage:
    """Read a file as it is stored; the format is taken from the end of its name.

    Raises:
        UnreadableFile, UnsupportedGeometry: as :func:`read_image`.
    """
    suffix = _suffix(path)
    if suffix is None:
        readable_file(path)
        raise UnreadableFile(
            f"{path.name} is none of {', '.join(IMAGE_SUFFIXES)}; give one of these, or a folder "
            "with DICOM files.",
            code="unknown_format",
        )
    kind = _KINDS[suffix]
    return load_nifti(path, settings) if kind == "nifti" else load_itk(path, kind, settings)


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((s for s in IMAGE_SUFFIXES if name.endswith(s)), None)


def _scan(image: StoredImage, name: str, settings: Settings) -> Scan:
    placed = place(image.values.shape, image.affine, name, settings)
    values = np.ascontiguousarray(placed.stored.to_canonical(image.values))
    hu, outside, padding = to_hu(values, image.slope, image.intercept, name, settings)
    return Scan(
        hu,
        placed.geometry,
        source=Source(
            image.kind,
            scan_digest(hu, placed.geometry, outside),
            stored=placed.stored,
            chosen_because="It is the only scan in the file.",
            n_files=1,
        ),
        outside_fov=outside,
        notices=(*image.notices, *placed.notices, *padding),
    )
