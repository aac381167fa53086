"""What is in a folder: its CT series, whether each can be measured, and what was set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ctlung.errors import UnreadableFile, UnsupportedGeometry
from ctlung.reading.archive import Contents, FileRef, Opener, list_files
from ctlung.reading.dataset import Damaged, NotDicom, guarded, read_dataset
from ctlung.reading.files import image_entry, is_image_file
from ctlung.reading.grouping import Part, parts_of
from ctlung.reading.headers import SliceHeader, slice_headers
from ctlung.reading.kernels import kernel_class
from ctlung.reading.kinds import (
    ASIDE,
    Problem,
    aside_kind,
    is_derived,
    role_of,
    value_problem,
)
from ctlung.reading.listing import SeriesInfo, SeriesListing, SetAside
from ctlung.reading.stack import arrange, orientation_name
from ctlung.settings import Settings

Progress = Callable[[int, int], None]


@dataclass
class _Tally:
    """What the walk has met so far."""

    slices: dict[tuple[str, str], list[SliceHeader]] = field(
        default_factory=lambda: defaultdict(list)
    )
    aside: dict[tuple[str, str], list[SliceHeader]] = field(
        default_factory=lambda: defaultdict(list)
    )
    not_dicom: int = 0
    images: int = 0
    damaged: int = 0
    denied: int = 0
    why_damaged: str = ""


def find_series(
    path: str | Path, *, settings: Settings | None = None, progress: Progress | None = None
) -> SeriesListing:
    """List the CT series under ``path`` and say which can be measured (FIELD 3.6).

    Args:
        path: a folder (searched to the bottom), one DICOM file, a .zip, or one NIfTI, NRRD or
            MetaImage file.
        settings: limits.
        progress: called with the number of files seen and of all.

    Raises:
        UnreadableFile: nothing there, no permission for any of it, or a zip beyond the limits.
    """
    settings = settings or Settings()
    path = Path(path)
    if is_image_file(path):
        return SeriesListing((image_entry(path),), ())
    contents = list_files(path, settings)
    tally = _Tally(denied=contents.denied, damaged=contents.bad_archives)
    with Opener() as opener:
        for done, ref in enumerate(contents.files, start=1):
            _look(ref, opener, tally, settings)
            if progress is not None:
                progress(done, len(contents.files))
    return SeriesListing(_series(tally, settings), _set_aside(tally), _n_files(contents))


def _n_files(contents: Contents) -> int:
    return len(contents.files) + contents.denied + contents.bad_archives


def _look(ref: FileRef, opener: Opener, tally: _Tally, settings: Settings) -> None:
    try:
        with guarded(), opener.open(ref) as stream:
            dataset = read_dataset(stream, settings, pixels=False)
            headers = slice_headers(dataset, ref, settings)
    except NotDicom:
        tally.not_dicom += 1
        tally.images += is_image_file(ref.path) and ref.member is None
        return
    except PermissionError:
        tally.denied += 1
        return
    except (Damaged, UnreadableFile, OSError) as e:
        tally.damaged += 1
        tally.why_damaged = str(e)
        return
    for header in headers:
        kind = aside_kind(header)
        if kind is None and is_derived(header) and _orientation(header) in ("coronal", "sagittal"):
            kind = "mpr"
        if kind is None:
            tally.slices[header.study_uid, header.series_uid].append(header)
        else:
            modality = header.modality or "unnamed" if kind == "not_ct" else ""
            tally.aside[kind, modality].append(header)


def _orientation(header: SliceHeader) -> str:
    return orientation_name(header.orientation)


def _series(tally: _Tally, settings: Settings) -> tuple[SeriesInfo, ...]:
    found = [
        _info(part, settings)
        for headers in tally.slices.values()
        for part in parts_of(headers, settings.duplicate_mm)
    ]
    return tuple(sorted(found, key=lambda s: (s.series_uid, -s.n_slices, s.part)))


def _info(part: Part, settings: Settings) -> SeriesInfo:
    headers = part.headers
    first = min(headers, key=lambda h: (h.sop_uid, h.frame or 0))
    problem = _size_problem(headers, settings) or _first_problem(headers) or _scattered(part)
    n_slices, spacing, shape, extent = len(headers), None, None, 0.0
    try:
        stack = arrange(headers, settings)
    except UnsupportedGeometry as e:
        problem = problem or Problem(e.code, str(e))
    else:
        n_slices, shape = stack.geometry.shape[0], stack.geometry.shape
        spacing = stack.geometry.spacing_mm
        positions = stack.geometry.slice_positions_mm
        extent = positions[-1] - positions[0]
    role = role_of(first)
    reason = problem.sentence if problem else _role_reason(role)
    return SeriesInfo(
        series_uid=first.series_uid,
        n_slices=n_slices,
        shape=shape,
        spacing_mm=spacing,
        kernel=first.kernel,
        kernel_class=kernel_class(first.kernel, first.manufacturer),
        slice_thickness_mm=first.thickness,
        acquisition_date=first.date,
        description=first.description,
        contrast_agent=first.contrast_agent,
        patient_position=first.patient_position,
        orientation=_orientation(first),
        kind="dicom",
        usable=problem is None,
        reason=reason,
        code=problem.code if problem else None,
        role=role,
        derived=is_derived(first),
        part=_part_name(part, first),
        extent_mm=extent,
        patient_key=_patient_key(first),
        study_key=(first.study_uid, first.study_date or ""),
        files=tuple(dict.fromkeys(h.ref.path for h in headers)),
        headers=headers,
    )


def _scattered(part: Part) -> Problem | None:
    if not part.scattered:
        return None
    return Problem(
        "mixed_series",
        "The slices of this series share neither size, spacing nor direction, and none of its "
        "parts holds half of them; export the original series again.",
    )


def _part_name(part: Part, first: SliceHeader) -> str:
    if part.told_by == "kernel":
        return f"kernel {first.kernel or 'unnamed'}"
    if part.told_by == "acquisition number":
        return f"acquisition {first.acquisition_number or 'unnumbered'}"
    return part.told_by


def _patient_key(header: SliceHeader) -> str:
    name = header.patient_id or header.patient_name
    return "\0".join((name, header.birth_date or "")) if name else f"study {header.study_uid}"


def _role_reason(role: str) -> str | None:
    return {
        "expiration": "Taken in expiration by its description: used only when named.",
        "prone": "Taken prone by its description: used only when named.",
        "average": "An average of thinner slices: used only when named.",
    }.get(role)


def _first_problem(headers: Iterable[SliceHeader]) -> Problem | None:
    return next((p for p in map(value_problem, headers) if p is not None), None)


def _size_problem(headers: tuple[SliceHeader, ...], settings: Settings) -> Problem | None:
    first, most = headers[0], settings.max_rows
    rows, columns = first.rows, first.columns
    advice = "the header is damaged, or this is no CT of a patient"
    if not (2 <= rows <= most and 2 <= columns <= most):
        text = f"The slices claim {rows} rows and {columns} columns (limit {most} each)"
        return Problem("absurd_size", f"{text}: {advice}.")
    if len(headers) > settings.max_slices or rows * columns * len(headers) > settings.max_voxels:
        text = f"The series claims {len(headers)} slices of {rows} x {columns}"
        limit = f"limit {settings.max_slices} slices and {settings.max_voxels} voxels"
        return Problem("absurd_size", f"{text} ({limit}): {advice}.")
    if first.frame is None and any(h.frames > 1 for h in headers):
        return Problem(
            "no_geometry",
            "Several frames in one file without functional groups: nothing says where they "
            "lie; export the original series again.",
        )
    return None


def _set_aside(tally: _Tally) -> tuple[SetAside, ...]:
    found = []
    for (kind, modality), headers in sorted(tally.aside.items()):
        uids = tuple(sorted({h.series_uid for h in headers}))
        sentence = f"{modality}, not CT" if kind == "not_ct" else ASIDE[kind]
        n = len({h.ref for h in headers})
        found.append(SetAside(kind, n, sentence, uids))
    if tally.not_dicom:
        text = "not DICOM"
        if tally.images:
            text += f" ({tally.images} of them NIfTI, NRRD or MetaImage: give such a file itself)"
        found.append(SetAside("not_dicom", tally.not_dicom, text))
    if tally.damaged:
        found.append(SetAside("damaged", tally.damaged, f"damaged: {tally.why_damaged}"))
    if tally.denied:
        found.append(SetAside("denied", tally.denied, "no permission to read"))
    return tuple(found)
