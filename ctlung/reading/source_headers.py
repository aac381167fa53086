"""The headers of the slices that a result was measured from, read again without their pixels.

What comes out of a file made by others is cleaned here: a text that DICOM would not take again is
cut to what it takes, and an identifier that cannot be told again as it stands is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydicom.dataset import Dataset

from ctlung.errors import GeometryMismatch, InputError, UnreadableFile
from ctlung.geometry import Geometry
from ctlung.reading.archive import FileRef, Opener, list_files
from ctlung.reading.dataset import Attributes, Damaged, NotDicom, guarded, read_dataset
from ctlung.reading.headers import SliceHeader, slice_headers
from ctlung.reading.kinds import aside_kind
from ctlung.reading.multiframe import is_multiframe
from ctlung.reading.pixels import is_lossy
from ctlung.reading.stack import InPlane, arrange
from ctlung.settings import Settings

OTHER_SOURCE = "other_source"
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_UID_LONGEST: Final = 64
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_SHORT, _LONG, _NAME = "SH", "LO", "PN"
_LONGEST: Final = MappingProxyType({_SHORT: 16, _LONG: 64, _NAME: 64})
_KEPT: Final = MappingProxyType(
    {
        "PatientName": _NAME,
        "IssuerOfPatientID": _LONG,
        "DeidentificationMethod": _LONG,
        "ReferringPhysicianName": _NAME,
        "StudyDescription": _LONG,
    }
)
"""What is said of patient and study: too long a text is cut."""
_WHOLE: Final = MappingProxyType({"StudyID": _SHORT, "AccessionNumber": _SHORT})
"""Numbers that would be others if they were cut: too long a one is left out."""
_SEXES: Final = ("M", "F", "O")
_WHEN: Final = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)


@dataclass(frozen=True)
class SourceSlice:
    """One slice as it is stored: its object, its frame (from 1) in it, and where it lies.

    ``position`` is the LPS mm of the stored first pixel, as the file says it.
    """

    sop_class: str
    sop_uid: str = field(repr=False)
    frame: int | None
    position: tuple[float, ...]


@dataclass(frozen=True)
class SourceHeaders:
    """What objects derived from a scan must repeat of it.

    Attributes:
        study_uid, series_uid: of all slices.
        frame_of_reference_uid: ``None`` where the files have no valid one.
        series_number: 0 where the files have none.
        patient_and_study: DICOM keyword to text, cleaned; absent where the files are silent.
        date, time: when the scan was taken, ``YYYYMMDD`` and ``HHMMSS``; empty where unknown.
        rows, columns: of every stored slice.
        orientation, pixel_spacing, thickness: of every stored slice, in mm and LPS, as the file
            says them; ``pixel_spacing`` is (between rows, between columns).
        lossy: whether the pixels were compressed with loss.
        lossy_ratios, lossy_methods: how, as far as the files say.
        slices: in the order of the canonical slices, feet first.
        in_plane: how a stored slice was turned.
    """

    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    frame_of_reference_uid: str | None
    series_number: int
    patient_and_study: Mapping[str, str] = field(repr=False)
    date: str
    time: str
    rows: int
    columns: int
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    thickness: float
    lossy: bool
    lossy_ratios: tuple[float, ...]
    lossy_methods: tuple[str, ...]
    slices: tuple[SourceSlice, ...]
    in_plane: InPlane

    def stored(self, plane: Any) -> Any:
        """The stored ``[row, column]`` view of a canonical slice ``[y, x]``."""
        flip_y = slice(None, None, -1 if self.in_plane.flip_y else 1)
        flip_x = slice(None, None, -1 if self.in_plane.flip_x else 1)
        turned = plane[flip_y, flip_x]
        return turned.T if self.in_plane.transposed else turned


def read_source_headers(
    path: str | Path,
    wanted: Sequence[str],
    geometry: Geometry,
    *,
    known_as: Callable[[str], str | None] = lambda uid: uid,
    settings: Settings | None = None,
) -> SourceHeaders:
    """Find the slices of a scan again, and read what their headers say.

    Args:
        path: the folder, DICOM file or .zip that the scan was read from.
        wanted: for each canonical slice, what it is known as.
        geometry: the scan's grid.
        known_as: from SOP Instance UID (of a frame, ``UID#frame``) to that.
        settings: limits.

    Raises:
        UnreadableFile: nothing there, or not permitted.
        InputError: slices are missing, or their headers cannot be repeated.
        GeometryMismatch: the slices do not lie where they lay when they were measured.
    """
    settings = settings or Settings()
    places = {name: k for k, name in enumerate(wanted)}
    if len(places) != len(wanted):
        raise InputError(
            "Several slices of this scan share one SOP Instance UID, so nothing can refer to one "
            "of them; export the series again.",
            code="bad_uid",
        )
    found, first = _collect(Path(path), places, known_as, settings)
    if len(found) < len(wanted):
        raise InputError(
            f"{len(wanted) - len(found)} of the {len(wanted)} slices of this result are not in "
            f"{path}; name the folder, file or .zip that it was measured from.",
            code=OTHER_SOURCE,
        )
    stack = arrange([found[k] for k in range(len(wanted))], settings)
    kept = [slot[0] for slot in stack.slots]
    in_order = [places.get(known_as(_name(h)) or "") for h in kept] == list(range(len(wanted)))
    if not in_order or not stack.geometry.matches(geometry):
        raise GeometryMismatch(
            f"The slices in {path} do not lie where they lay when they were measured: their "
            "headers were changed since; measure the scan again."
        )
    assert first is not None
    with guarded():
        return _described(first, kept, stack.in_plane, stack.geometry)


def _collect(
    path: Path,
    places: Mapping[str, int],
    known_as: Callable[[str], str | None],
    settings: Settings,
) -> tuple[dict[int, SliceHeader], Dataset | None]:
    """The header of each wanted slice, and the data set of the one that comes first."""
    found: dict[int, SliceHeader] = {}
    first: tuple[int, Dataset] | None = None
    with Opener() as opener:
        for ref in list_files(path, settings).files:
            for dataset, header in _headers(ref, opener, settings, places, known_as):
                k = places[known_as(_name(header)) or ""]
                if k in found:
                    continue
                found[k] = header
                if first is None or k < first[0]:
                    first = k, dataset
            if len(found) == len(places):
                break
    return found, first[1] if first else None


def _headers(
    ref: FileRef,
    opener: Opener,
    settings: Settings,
    places: Mapping[str, int],
    known_as: Callable[[str], str | None],
) -> Iterator[tuple[Dataset, SliceHeader]]:
    """What of a file is wanted; files that are no DICOM or damaged hold nothing."""
    with suppress(NotDicom, Damaged, OSError, UnreadableFile):
        with guarded(), opener.open(ref) as stream:
            dataset = read_dataset(stream, settings, pixels=False)
            top = Attributes([dataset])
            one = None if is_multiframe(top) else top.text("SOPInstanceUID") or ""
            if one is not None and known_as(one) not in places:
                return
            headers = slice_headers(dataset, ref, settings)
        for header in headers:
            if known_as(_name(header)) in places and aside_kind(header) is None:
                yield dataset, header


def _name(header: SliceHeader) -> str:
    return header.sop_uid if header.frame is None else f"{header.sop_uid}#{header.frame + 1}"


def _described(
    dataset: Dataset, kept: Sequence[SliceHeader], in_plane: InPlane, geometry: Geometry
) -> SourceHeaders:
    top, first = Attributes([dataset]), kept[0]
    if len({(h.study_uid, h.series_uid) for h in kept}) > 1:
        raise InputError(
            "The slices of this scan are said to be of several studies or series, so no object "
            "can refer to them as one; export the series again.",
            code="mixed_series",
        )
    for uid in (first.study_uid, first.series_uid, *(h.sop_uid for h in kept)):
        _require_uid(uid)
    reference = {h.frame_of_reference for h in kept}
    frame_of_reference = reference.pop() if len(reference) == 1 else ""
    number = top.whole("SeriesNumber") or 0
    date, time = _when(top)
    assert first.orientation is not None
    assert first.pixel_spacing is not None
    return SourceHeaders(
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=frame_of_reference if _is_uid(frame_of_reference) else None,
        series_number=number if 0 < number < 2**31 else 0,
        patient_and_study=MappingProxyType(_patient_and_study(top)),
        date=date,
        time=time,
        rows=first.rows,
        columns=first.columns,
        orientation=first.orientation,
        pixel_spacing=first.pixel_spacing,
        thickness=first.thickness or geometry.spacing_mm[0],
        lossy=any(map(is_lossy, kept)),
        lossy_ratios=_ratios(top),
        lossy_methods=tuple(m for m in top.texts("LossyImageCompressionMethod") if _is_code(m)),
        slices=tuple(
            SourceSlice(
                h.sop_class,
                h.sop_uid,
                None if h.frame is None else h.frame + 1,
                h.position or (),
            )
            for h in kept
        ),
        in_plane=in_plane,
    )


def _ratios(top: Attributes) -> tuple[float, ...]:
    with suppress(ValueError):
        found = tuple(float(text) for text in top.texts("LossyImageCompressionRatio"))
        return tuple(ratio for ratio in found if 0 < ratio < 1e6)
    return ()


def _is_code(text: str) -> bool:
    return re.fullmatch(r"[A-Z0-9_ ]{1,16}", text) is not None


def _is_uid(text: str) -> bool:
    return len(text) <= _UID_LONGEST and _UID.fullmatch(text) is not None


def _require_uid(uid: str) -> None:
    if not _is_uid(uid):
        raise InputError(
            "A Study, Series or SOP Instance UID of this scan is no valid UID, so no DICOM object "
            "can refer to it; export the series again from the archive.",
            code="bad_uid",
        )


def _patient_and_study(top: Attributes) -> dict[str, str]:
    found = {keyword: _clean(top.text(keyword), vr) for keyword, vr in _KEPT.items()}
    for keyword, vr in _WHOLE.items():
        text = _line(top.text(keyword))
        found[keyword] = text if len(text) <= _LONGEST[vr] else ""
    found["PatientID"] = _line(top.text("PatientID"))
    if len(found["PatientID"]) > _LONGEST[_LONG]:
        raise InputError(
            "The Patient ID of this scan is longer than the 64 characters that DICOM allows, and a "
            "shorter one would be another patient's; correct it in the series first.",
            code="patient_id",
        )
    found["PatientBirthDate"] = _day(top.text("PatientBirthDate"))
    sex = (top.text("PatientSex") or "").upper()
    found["PatientSex"] = sex if sex in _SEXES else ""
    found["StudyDate"] = _day(top.text("StudyDate"))
    found["StudyTime"] = _hour(top.text("StudyTime"))
    if not found["DeidentificationMethod"]:
        codes = top.get("DeidentificationMethodCodeSequence") or []
        meanings = (Attributes([item]).text("CodeMeaning") or "" for item in codes)
        found["DeidentificationMethod"] = _clean("; ".join(filter(None, meanings)), _LONG)
    if found["DeidentificationMethod"] and top.text("PatientIdentityRemoved") == "YES":
        found["PatientIdentityRemoved"] = "YES"
    return {keyword: text for keyword, text in found.items() if text}


def _clean(text: str | None, vr: str) -> str:
    line = _line(text)
    if vr != _NAME:
        return line[: _LONGEST[vr]].strip()
    groups = [group.strip()[: _LONGEST[vr]] for group in line.split("=")[:3]]
    return "=".join("^".join(group.split("^")[:5]) for group in groups).rstrip("=")


def _line(text: str | None) -> str:
    """One line of letters, signs and blanks: no control character, none that splits values."""
    return "".join(c if _may_stand(c) else " " for c in text or "").strip()


def _may_stand(character: str) -> bool:
    blank = unicodedata.category(character) == "Zs"
    return (character.isprintable() or blank) and character != "\\"


def _day(text: str | None) -> str:
    with suppress(ValueError):
        if re.fullmatch(r"[12]\d{7}", text or ""):
            return datetime.strptime(text or "", "%Y%m%d").strftime("%Y%m%d")
    return ""


def _hour(text: str | None) -> str:
    return text if text and _TIME.fullmatch(text) else ""


def _when(top: Attributes) -> tuple[str, str]:
    """Date and time of the scan, as far as its header knows them."""
    for date, time in _WHEN:
        if day := _day(top.text(date)):
            return day, (_hour(top.text(time)) or "000000").ljust(6, "0")[:6]
    moment = top.text("AcquisitionDateTime") or ""
    if day := _day(moment[:8]):
        return day, (_hour(moment[8:14]) or "000000").ljust(6, "0")
    return "", ""
