"""What reading has to say about a stack, as Notices (FIELD 3.2 to 3.6)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.notices import Notice
from ctlung.reading.dicom import Voxels
from ctlung.reading.kinds import is_derived, is_mixed_energy, odd_rescale_type
from ctlung.reading.listing import SeriesInfo, SeriesListing, SetAside
from ctlung.reading.pixels import is_lossy
from ctlung.reading.stack import Stack
from ctlung.settings import Settings

VOLUMES = ("volumes_and_parts",)


def stack_notices(
    stack: Stack, thickness_mm: float | None, settings: Settings
) -> tuple[Notice, ...]:
    """How the slices lie: tilt, oblique, copies, single, gaps, uneven, sparse (FIELD 3.4)."""
    return (
        *_turned(stack, settings),
        *_copies(stack),
        *spacing_notices(stack.geometry.slice_positions_mm, thickness_mm, settings),
    )


def spacing_notices(
    positions_mm: tuple[float, ...], thickness_mm: float | None, settings: Settings
) -> tuple[Notice, ...]:
    """Gaps, uneven spacing and sparse stacks, from slice positions in mm, ascending.

    One slice: volumes are withheld. In a gap notice, ``slices`` are the slices just below
    the gaps, and ``measured`` is the widest.
    """
    if len(positions_mm) == 1:
        return (
            Notice(
                "single_slice",
                "null",
                "There is one slice only: areas and CT numbers are given, volumes are not.",
                measured=1,
                limit=2,
                unit="slices",
                affects=VOLUMES,
            ),
        )
    steps = np.diff(np.asarray(positions_mm, dtype=np.float64))
    middle = float(np.median(steps))
    found = [*_gaps(steps, middle, settings), *_uneven(steps, middle, settings)]
    if thickness_mm is not None:
        found.extend(_sparse(middle, thickness_mm, settings))
    return tuple(found)


def value_notices(voxels: Voxels, settings: Settings) -> tuple[Notice, ...]:
    """What the values went through: padding, clipping, rescale type, loss, derivation."""
    return (*_padding(voxels), *_clipped(voxels, settings), *_origin(voxels))


def choice_notices(listing: SeriesListing, chosen: SeriesInfo, why: str) -> tuple[Notice, ...]:
    """What else was there and was not read."""
    found = []
    if len(listing.usable) > 1:
        found.append(Notice("series_choice", "note", why, measured=len(listing.usable)))
    siblings = [s for s in listing.series if s.series_uid == chosen.series_uid and s != chosen]
    if siblings:
        n = sum(s.n_slices for s in siblings)
        found.append(
            Notice(
                "mixed_series",
                "warn",
                f"The series holds {len(siblings) + 1} stacks under one number; the one of "
                f"{chosen.n_slices} slices was read ({chosen.part}), {n} other slices were not.",
                measured=len(siblings) + 1,
                limit=1,
                unit="stacks",
            )
        )
    found.extend(_aside(a) for a in listing.set_aside if a.kind != "directory")
    return tuple(found)


def date_notices(date: str | None, source: str | None) -> tuple[Notice, ...]:
    """Whether the day of the scan is known, and from which tag (FIELD 5 ``dates``)."""
    if date is None:
        text = "The header states no date of acquisition, series or study: no time can be told."
        return (Notice("dates", "warn", text),)
    if source != "AcquisitionDate":
        text = f"The header states no AcquisitionDate; {source} stands for it."
        return (Notice("dates", "warn", text, measured=source, limit="AcquisitionDate"),)
    return ()


def _aside(aside: SetAside) -> Notice:
    files = "file" if aside.n == 1 else "files"
    text = f"{aside.n} {files} set aside: {aside.sentence}"
    if aside.kind in ("damaged", "denied"):
        return Notice(
            "set_aside", "warn", f"{text}; slices of this scan may be among them.", aside.n
        )
    return Notice("set_aside", "note", f"{text}.", aside.n)


def _n(count: int, noun: str, verb: str = "") -> str:
    plural = "" if count == 1 else "s"
    return f"{count} {noun}{plural} {verb or ('is' if count == 1 else 'are')}"


def _turned(stack: Stack, settings: Settings) -> Iterator[Notice]:
    if stack.tilt_degrees > 0:
        yield Notice(
            "tilt",
            "warn",
            f"The gantry was tilted by {stack.tilt_degrees:.1f} degrees: the slices are sheared. "
            "Volumes along the slice normal stay exact; pictures look sheared.",
            measured=stack.tilt_degrees,
            limit=settings.tilt_degrees,
            unit="degrees",
        )
    if stack.oblique_degrees > settings.oblique_degrees:
        yield Notice(
            "oblique",
            "warn",
            f"The slices lie {stack.oblique_degrees:.0f} degrees off the body axis; thirds by "
            "height follow the slices, not the body.",
            measured=stack.oblique_degrees,
            limit=settings.oblique_degrees,
            unit="degrees",
        )


def _copies(stack: Stack) -> Iterator[Notice]:
    if stack.n_duplicates:
        yield Notice(
            "duplicates",
            "note",
            f"{_n(stack.n_duplicates, 'slice', 'came')} twice, with identical pixels; each was "
            "read once.",
            measured=stack.n_duplicates,
            limit=0,
            unit="slices",
        )


def _gaps(steps: FloatArray, middle: float, settings: Settings) -> Iterator[Notice]:
    wide = np.flatnonzero(steps > settings.gap_factor * middle)
    if not len(wide):
        return
    missing = int(np.sum(np.rint(steps[wide] / middle) - 1))
    widest = float(steps[wide].max())
    small = missing <= settings.gap_max_missing and widest <= settings.gap_max_mm
    verdict = (
        "each neighbour stands for half of the gap"
        if small
        else "volumes are withheld, areas of the slices that are there are kept"
    )
    yield Notice(
        "slice_gap",
        "warn" if small else "null",
        f"About {_n(missing, 'slice')} missing in {len(wide)} "
        f"{'place' if len(wide) == 1 else 'places'} (widest step {widest:.1f} mm, "
        f"usual step {middle:.2f} mm): {verdict}. Get the whole series from the archive.",
        measured=widest,
        limit=min(settings.gap_max_mm, settings.gap_factor * middle),
        unit="mm",
        affects=("volumes",) if small else VOLUMES,
        slices=tuple(int(i) for i in wide),
    )


def _uneven(steps: FloatArray, middle: float, settings: Settings) -> Iterator[Notice]:
    allowed = max(settings.jitter_mm, settings.jitter_fraction * middle)
    # Steps wider than a gap have a notice of their own; the rest may still be uneven.
    near = steps[steps <= settings.gap_factor * middle]
    worst = float(np.abs(near - middle).max())
    if worst > allowed:
        yield Notice(
            "uneven_spacing",
            "warn",
            f"Slice spacing is uneven: {near.min():.2f} to {near.max():.2f} mm around "
            f"{middle:.2f} mm; each slice is weighted by its own place.",
            measured=worst,
            limit=allowed,
            unit="mm",
        )


def _sparse(middle: float, thickness: float, settings: Settings) -> Iterator[Notice]:
    if middle <= settings.sparse_factor * thickness:
        return
    too_far = middle > settings.sparse_null_mm
    verdict = "volumes are withheld" if too_far else "volumes rest on few slices"
    yield Notice(
        "sparse",
        "null" if too_far else "warn",
        f"Slices of {thickness:.3g} mm lie {middle:.3g} mm apart, so most of the lung was not "
        f"imaged: {verdict}.",
        measured=middle,
        limit=settings.sparse_null_mm if too_far else settings.sparse_factor * thickness,
        unit="mm",
        affects=VOLUMES if too_far else (),
    )


def _padding(voxels: Voxels) -> Iterator[Notice]:
    n = voxels.n_padded_by_tag + voxels.n_padded_by_fill
    if not n:
        return
    how = "named by the header" if not voxels.n_padded_by_fill else "a constant below -1024 HU"
    if voxels.n_padded_by_tag and voxels.n_padded_by_fill:
        how = "partly named by the header, partly a constant below -1024 HU"
    percent = 100.0 * n / voxels.hu.size
    yield Notice(
        "padding",
        "note",
        f"{percent:.1f} % of the voxels are padding outside the field of view ({how}); they are "
        "left out of every measure.",
        measured=percent,
        unit="%",
    )


def _clipped(voxels: Voxels, settings: Settings) -> Iterator[Notice]:
    low, high = (100.0 * n / voxels.hu.size for n in (voxels.n_low, voxels.n_high))
    if low + high > settings.clipped_warn_percent:
        yield Notice(
            "clipped",
            "note",
            f"{low:.2f} % of the voxels lay below -1024 HU and {high:.2f} % above 3071 HU; they "
            "were set to these limits.",
            measured=low + high,
            limit=settings.clipped_warn_percent,
            unit="%",
        )


def _origin(voxels: Voxels) -> Iterator[Notice]:
    headers = voxels.headers
    odd = sorted({kind for h in headers if (kind := odd_rescale_type(h))})
    if odd:
        text = f"RescaleType is {odd[0]!r}, which is not a known unit; the values are taken as HU."
        yield Notice("rescale_type", "warn", text, measured=odd[0], limit="HU")
    n_lossy = sum(map(is_lossy, headers))
    if n_lossy:
        text = f"{n_lossy} of {len(headers)} slices were compressed with loss: HU are not exact."
        yield Notice("lossy", "warn", text, measured=n_lossy, limit=0, unit="slices")
    if any(map(is_derived, headers)):
        text = "The slices are derived, not as the scanner made them; prefer the original series."
        yield Notice("derived", "warn", text)
    if any(map(is_mixed_energy, headers)):
        text = "Two energies were mixed to look like 120 kVp; HU may differ from a plain scan's."
        yield Notice("dual_energy", "warn", text)
    if len({h.frame_of_reference for h in headers}) > 1:
        text = "Every slice names a frame of reference of its own; positions are taken as one."
        yield Notice("orientation", "note", text)
