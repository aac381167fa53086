"""Which of several series is measured, and why (FIELD 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ctlung.errors import (
    CtlungError,
    IncompleteSeries,
    InputError,
    NoSeriesFound,
    NotChestCT,
    NotHounsfield,
    SeveralVisits,
    UnreadableFile,
    UnsupportedGeometry,
)
from ctlung.reading.kinds import is_elsewhere
from ctlung.reading.listing import SeriesInfo, SeriesListing
from ctlung.settings import Settings

FULL_CHEST_MM = 200.0
"""A stack this tall can hold both lungs. Headers do not tell where in the body it lies."""

COMPARABLE_EXTENT = 0.9
THIN_MM, MEDIUM_MM, THICK_MM = 1.0, 1.5, 3.0
MAX_LISTED = 20
N_BEFORE_LOOKS = 3
"""How many criteria come before what a pair must share: original, lying, field of view."""

_ERRORS: dict[str, type[InputError]] = {
    "not_hu": NotHounsfield,
    "no_rescale": NotHounsfield,
    "spectral": NotHounsfield,
    "no_geometry": UnsupportedGeometry,
    "not_axial": UnsupportedGeometry,
    "tilt": UnsupportedGeometry,
    "no_line": UnsupportedGeometry,
    "mixed_series": IncompleteSeries,
    "absurd_size": UnreadableFile,
    "perfusion": NotHounsfield,
    "subtraction": NotHounsfield,
    "screen_save": NotHounsfield,
    "secondary_capture": NotHounsfield,
    "not_ct": NotChestCT,
    "localizer": NotChestCT,
    "damaged": UnreadableFile,
}
_KERNEL_ORDER = {"soft": 0, "medium": 1, "sharp": 2, "unknown": 3}

_Criterion = tuple[str, Callable[[SeriesInfo], tuple[object, ...]]]


def choose_series(
    listing: SeriesListing, series_uid: str | None = None, settings: Settings | None = None
) -> tuple[SeriesInfo, str]:
    """The series to measure, and one sentence that says why it and no other.

    Named by ``series_uid``, or else by rank within one study: original before derived, not
    prone, field of view (from the header: height of the stack and words on the body part; the
    lungs themselves are not looked for here), kernel class, thickness, no contrast agent, more
    slices, UID.

    Raises:
        SeveralVisits: more than one patient, study or study date, and none named.
        NoSeriesFound: nothing can be measured; or, where all fail for one reason, the error
            of that reason (``NotHounsfield``, ``NotChestCT``, ``UnsupportedGeometry``,
            ``UnreadableFile``).
    """
    if series_uid is not None:
        return _named(listing, series_uid)
    usable = _by_itself(listing)
    if not usable:
        raise _nothing(listing)
    visits = {(s.patient_key, s.study_key) for s in usable}
    if len(visits) > 1:
        raise _several(usable, len(visits))
    named = len(listing.usable) - len(usable)
    kept = f", {named} more are used only when named" if named else ""
    return _best(usable, f"the only usable series of {_and_others(listing)}{kept}")


def candidates(listing: SeriesListing) -> tuple[SeriesInfo, ...]:
    """Series that are as good as the chosen one but for kernel, thickness and contrast agent.

    They are original where that one is, cover as much of the lungs, and the patient lies alike;
    best first. Empty where :func:`choose_series` finds nothing.
    """
    usable = _by_itself(listing)
    if not usable:
        return ()
    first = _criteria(max(s.extent_mm for s in usable))[:N_BEFORE_LOOKS]
    ranked = _ranked(usable)
    best = [measure(ranked[0]) for _, measure in first]
    return tuple(s for s in ranked if [measure(s) for _, measure in first] == best)


def _by_itself(listing: SeriesListing) -> list[SeriesInfo]:
    """What may be chosen without being named."""
    usable = [s for s in listing.usable if s.role == "inspiration"]
    if listing.n_files == 1 and not usable:
        return list(listing.usable)  # whoever gives one file has named it
    return usable


def _named(listing: SeriesListing, series_uid: str) -> tuple[SeriesInfo, str]:
    named = [s for s in listing.series if s.series_uid == series_uid]
    usable = [s for s in named if s.usable]
    if usable:
        return _best(usable, "named by the user")
    for info in named:
        raise _error(info.code, f"The series named cannot be measured: {info.reason}")
    for aside in listing.set_aside:
        if series_uid in aside.series_uids:
            raise _error(aside.kind, f"The series named is no chest CT series: {aside.sentence}.")
    raise NoSeriesFound(
        f"There is no series with the UID {series_uid}; " + _offer(listing.usable),
        code="no_such_series",
    )


def _best(usable: list[SeriesInfo], alone: str) -> tuple[SeriesInfo, str]:
    criteria = _criteria(max(s.extent_mm for s in usable))
    ranked = _ranked(usable)
    best = ranked[0]
    if len(ranked) == 1:
        return best, f"Chosen as {alone}: {describe(best)}."
    why = next(
        (name for name, measure in criteria if measure(best) != measure(ranked[1])), "its number"
    )
    others = "1 other" if len(ranked) == 2 else f"{len(ranked) - 1} others"
    return best, f"Chosen before {others} for {why}: {describe(best)}."


def _ranked(usable: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    criteria = _criteria(max(s.extent_mm for s in usable))
    return sorted(usable, key=lambda info: [measure(info) for _, measure in criteria])


def _criteria(tallest_mm: float) -> tuple[_Criterion, ...]:
    enough = min(FULL_CHEST_MM, COMPARABLE_EXTENT * tallest_mm)

    def coverage(s: SeriesInfo) -> tuple[object, ...]:
        elsewhere = bool(s.headers) and is_elsewhere(s.headers[0])
        full = s.extent_mm >= enough
        return elsewhere, not full, 0.0 if full else -s.extent_mm

    def thickness(s: SeriesInfo) -> tuple[object, ...]:
        mm = s.slice_thickness_mm or (s.spacing_mm[0] if s.spacing_mm else THICK_MM)
        return mm > THICK_MM, max(THIN_MM - mm, mm - MEDIUM_MM, 0.0)

    return (
        ("being original, not derived", lambda s: (s.derived,)),
        ("the patient not lying prone", lambda s: (s.patient_position in ("HFP", "FFP"),)),
        ("its field of view along the body (by its header)", coverage),
        ("its kernel class", lambda s: (_KERNEL_ORDER[s.kernel_class],)),
        ("its slice thickness", thickness),
        ("having no contrast agent", lambda s: (s.contrast_agent is not None,)),
        ("having more slices", lambda s: (-s.n_slices,)),
        ("its UID, all else being equal", lambda s: (s.series_uid, s.part)),
    )


def describe(s: SeriesInfo) -> str:
    """A series in words."""
    parts = [f"{s.n_slices} slices" if s.n_slices != 1 else "1 slice"]
    if s.spacing_mm is not None and s.n_slices > 1:
        parts[0] += f" every {s.spacing_mm[0]:.3g} mm"
    if s.kernel:
        parts.append(f"kernel {s.kernel} ({s.kernel_class})")
    parts.append("contrast agent given" if s.contrast_agent else "no contrast agent noted")
    if s.part:
        parts.append(f"told apart by {s.part}")
    return ", ".join(parts)


def _and_others(listing: SeriesListing) -> str:
    n = len(listing.series)
    aside = sum(s.n for s in listing.set_aside)
    text = f"{n} CT series"
    return f"{text}, {aside} files or objects set aside" if aside else text


def _several(usable: list[SeriesInfo], n_visits: int) -> SeveralVisits:
    patients = {key: i for i, key in enumerate(sorted({s.patient_key for s in usable}), start=1)}
    ordered = sorted(
        usable, key=lambda s: (patients[s.patient_key], s.acquisition_date or "", s.series_uid)
    )
    lines = [
        f"  patient {patients[s.patient_key]}, {_date(s)}: --series {s.series_uid} ({describe(s)})"
        for s in ordered[:MAX_LISTED]
    ]
    if len(ordered) > MAX_LISTED:
        lines.append(f"  and {len(ordered) - MAX_LISTED} more")
    who = "1 patient" if len(patients) == 1 else f"{len(patients)} patients"
    return SeveralVisits(
        f"There are {n_visits} visits of {who} here; name the series to measure:\n"
        + "\n".join(lines)
    )


def _date(s: SeriesInfo) -> str:
    day = s.acquisition_date
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else "no date"


def _offer(usable: Iterable[SeriesInfo]) -> str:
    uids = sorted({s.series_uid for s in usable})[:MAX_LISTED]
    return f"usable are: {', '.join(uids)}." if uids else "nothing here can be measured."


def _nothing(listing: SeriesListing) -> CtlungError:
    """The error for a listing without a series to choose by itself."""
    if listing.usable:
        roles = sorted({s.role for s in listing.usable})
        return NoSeriesFound(
            f"Only series of another kind are here ({', '.join(roles)}), which are used only "
            f"when named; {_offer(listing.usable)}",
            code="only_other_roles",
        )
    found = _counted(listing)
    codes = {s.code for s in listing.series}
    if len(codes) == 1:
        first = listing.series[0]
        return _error(first.code, f"No series here can be measured. {first.reason}{found}")
    objects = {a.kind for a in listing.set_aside} - {"not_dicom", "directory"}
    if codes:
        reasons = " ".join(sorted({s.reason or "" for s in listing.series}))
        return NoSeriesFound(f"No series here can be measured. {reasons}{found}")
    if not objects:
        return NoSeriesFound(
            f"There is no DICOM file here.{found} Give the folder of a chest CT series, a .zip, "
            "or a NIfTI, NRRD or MetaImage file."
        )
    if objects == {"denied"} or "denied" in objects:
        return UnreadableFile(
            f"Some files may not be read and no CT series is among the rest.{found} Ask their "
            "owner, or run as a user who may read them.",
            code="no_permission",
        )
    message = f"There is no chest CT series here.{found} Give the folder of an axial chest CT."
    kind = next(iter(objects)) if len(objects) == 1 else None
    return _error(kind, message)


def _counted(listing: SeriesListing) -> str:
    if not listing.set_aside:
        return "" if listing.n_files else " The folder is empty."
    items = "; ".join(f"{a.n} x {a.sentence}" for a in listing.set_aside)
    return f" Set aside: {items}."


def _error(code: str | None, message: str) -> InputError:
    return _ERRORS.get(code or "", NoSeriesFound)(message, code=code or "no_series")
