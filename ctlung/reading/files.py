"""Image files that are one scan each: recognised by name, listed by their header."""

from __future__ import annotations

import os
from pathlib import Path

from ctlung.reading.archive import denied_error
from ctlung.reading.listing import SeriesInfo
from ctlung.volume import SourceKind

_ENDINGS: tuple[tuple[str, SourceKind], ...] = (
    (".nii", "nifti"),
    (".nii.gz", "nifti"),
    (".nrrd", "nrrd"),
    (".nhdr", "nrrd"),
    (".mha", "metaimage"),
    (".mhd", "metaimage"),
)


def image_kind(path: Path) -> SourceKind | None:
    """The format that a file name stands for, or ``None``."""
    name = path.name.lower()
    return next((kind for ending, kind in _ENDINGS if name.endswith(ending)), None)


def is_image_file(path: Path) -> bool:
    """Whether a path is a NIfTI, NRRD or MetaImage file, by its name."""
    try:
        return image_kind(path) is not None and path.is_file()
    except PermissionError:  # the folder may not be searched; whoever opens the path will say so
        return False


def image_entry(path: Path) -> SeriesInfo:
    """The one entry that an image file is; what it holds shows when it is read.

    Raises:
        UnreadableFile: no permission.
    """
    kind = image_kind(path)
    assert kind is not None
    if not os.access(path, os.R_OK):
        raise denied_error("this file")
    return SeriesInfo(
        series_uid=path.name,
        n_slices=0,
        shape=None,
        spacing_mm=None,
        kernel=None,
        kernel_class="unknown",
        slice_thickness_mm=None,
        acquisition_date=None,
        description=None,
        contrast_agent=None,
        patient_position=None,
        orientation="unknown",
        kind=kind,
        usable=True,
        files=(path,),
    )
