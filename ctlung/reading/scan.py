"""``read_scan``: one chest CT in HU on the canonical grid, from whatever holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ctlung.errors import NoSeriesFound, UnreadableFile
from ctlung.reading.choose import choose_series
from ctlung.reading.dicom import Voxels, read_voxels
from ctlung.reading.files import is_image_file
from ctlung.reading.hounsfield import scan_digest
from ctlung.reading.images import read_image
from ctlung.reading.kernels import kernel_class
from ctlung.reading.listing import SeriesInfo, SeriesListing
from ctlung.reading.pixels import is_lossy
from ctlung.reading.remarks import (
    choice_notices,
    date_notices,
    stack_notices,
    value_notices,
)
from ctlung.reading.series import find_series
from ctlung.reading.stack import Stack, arrange
from ctlung.settings import Settings
from ctlung.volume import Acquisition, Identifiers, Scan, Source

Progress = Callable[[int, int], None]


def read_scan(
    path: str | Path,
    series: str | None = None,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Read one chest CT: int16 HU ``[z, y, x]``, LPS, padding told apart, facts as Notices.

    Args:
        path: a folder, a DICOM file, a .zip, or a NIfTI, NRRD or MetaImage file.
        series: Series Instance UID; without it the series is chosen (``choose_series``).
        settings: limits.
        progress: called with the number of slices read and of all.

    Raises:
        NoSeriesFound, SeveralVisits, NotChestCT, NotHounsfield, UnsupportedGeometry,
        IncompleteSeries, UnreadableFile: each a sentence that says what to do.
    """
    settings = settings or Settings()
    path = Path(path)
    if is_image_file(path):
        return _read_image(path, series, settings)
    listing = find_series(path, settings=settings)
    return read_chosen(listing, *choose_series(listing, series, settings), settings, progress)


def read_chosen(
    listing: SeriesListing,
    chosen: SeriesInfo,
    why: str,
    settings: Settings,
    progress: Progress | None = None,
) -> Scan:
    """Read one series of a listing, as :func:`read_scan` does.

    Args:
        listing: of :func:`find_series`.
        chosen: one of its usable series.
        why: it was chosen, in a sentence.
        settings: limits.
        progress: called with the number of slices read and of all.

    Raises:
        NotHounsfield, UnsupportedGeometry, IncompleteSeries, UnreadableFile: a sentence each.
    """
    if listing.count("denied"):
        raise UnreadableFile(
            f"{listing.count('denied')} files or folders here may not be read, and slices of "
            "this scan may be among them; ask their owner, or run as a user who may read them.",
            code="no_permission",
        )
    stack = arrange(chosen.headers, settings)
    voxels = read_voxels(stack, settings, progress)
    acquisition = _acquisition(voxels)
    notices = (
        *choice_notices(listing, chosen, why),
        *stack_notices(stack, acquisition.slice_thickness_mm, settings),
        *value_notices(voxels, settings),
        *date_notices(acquisition.acquisition_date, acquisition.date_source),
    )
    return Scan(
        voxels.hu,
        stack.geometry,
        acquisition,
        _source(stack, voxels, why, len(chosen.files)),
        voxels.outside_fov,
        notices,
    )


def _read_image(path: Path, series: str | None, settings: Settings) -> Scan:
    if series is not None:
        raise NoSeriesFound(
            "An image file holds one scan and no series numbers; leave the series out.",
            code="no_such_series",
        )
    scan = read_image(path, settings)
    if scan.source.chosen_because:
        return scan
    source = replace(scan.source, chosen_because="The file holds one scan.")
    return Scan(scan.hu, scan.geometry, scan.acquisition, source, scan.outside_fov, scan.notices)


def _acquisition(voxels: Voxels) -> Acquisition:
    first = voxels.headers[0]
    return Acquisition(
        manufacturer=first.manufacturer,
        model=first.model,
        kernel=first.kernel,
        kernel_class=kernel_class(first.kernel, first.manufacturer),
        slice_thickness_mm=first.thickness,
        kvp=first.kvp,
        contrast_agent=first.contrast_agent,
        patient_position=first.patient_position,
        acquisition_date=first.date,
        date_source=first.date_source,
        sex=first.sex,
        image_type=first.image_type,
        series_description=first.description,
        lossy=any(map(is_lossy, voxels.headers)),
    )


def _source(stack: Stack, voxels: Voxels, why: str, n_files: int) -> Source:
    first = voxels.headers[0]
    uids = tuple(
        h.sop_uid if h.frame is None else f"{h.sop_uid}#{h.frame + 1}" for h in voxels.headers
    )
    identifiers = Identifiers(
        patient_id=first.patient_id,
        patient_name=first.patient_name,
        birth_date=first.birth_date,
        study_uid=first.study_uid or None,
        series_uid=first.series_uid or None,
        sop_uids=uids,
    )
    return Source(
        "dicom",
        scan_digest(voxels.hu, stack.geometry, voxels.outside_fov),
        identifiers,
        chosen_because=why,
        n_files=n_files,
    )
