"""The manifest of a trial: one row per scan, read from CSV or drafted from DICOM headers."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from ctlung.errors import ManifestError
from ctlung.reading.choose import choose_series
from ctlung.reading.files import is_image_file
from ctlung.reading.listing import SeriesInfo, SeriesListing
from ctlung.reading.series import find_series
from ctlung.settings import Settings

Day: TypeAlias = date
REQUIRED = ("patient", "visit", "path")
_DAYS = ("date", "infusion", "onset")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True)
class ManifestRow:
    """One scan of a trial.

    Attributes:
        patient: the trial's own name of the patient: letters, digits, ``.``, ``_``, ``-``.
        visit: whole number; a patient's lowest is the baseline.
        path: what ``ctlung.segment`` reads; relative paths are relative to the manifest.
        date: of the scan, where the header has none or a wrong one.
        arm: of the patient; empty where it is not known or hidden.
        series: Series Instance UID where the folder holds several.
        infusion, onset: days of the patient.
    """

    patient: str
    visit: int
    path: Path
    date: Day | None = None
    arm: str = ""
    series: str = ""
    infusion: Day | None = None
    onset: Day | None = None

    @property
    def name(self) -> str:
        """Of its folder in the results."""
        return f"{self.patient}-visit{self.visit}"


COLUMNS = tuple(f.name for f in fields(ManifestRow))


def read_manifest(path: str | Path) -> tuple[ManifestRow, ...]:
    """Read and check a manifest; rows in the order of patients and visits.

    Raises:
        ManifestError: with every fault of every row, each with its line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise ManifestError(
                f"{path} is too large for a manifest; it is a CSV file, a row a scan."
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"The manifest {path} cannot be read ({type(error).__name__}); give a CSV file in "
            "UTF-8, as `ctlung manifest FOLDER` drafts one."
        ) from None
    lines = list(csv.DictReader(io.StringIO(text), dialect=_dialect(text)))
    found = set(lines[0]) if lines else set()
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise ManifestError(
            f"The manifest {path} has no column {' and no column '.join(missing)}; its first line "
            f"names the columns: {', '.join(COLUMNS)}."
        )
    unknown = sorted(str(name) for name in found - set(COLUMNS))
    faults = [f"there is no column {name!r} in a manifest" for name in unknown]
    rows = []
    for number, line in enumerate(lines, start=2):
        row, wrong = _row({k: (v or "").strip() for k, v in line.items() if k}, path.parent)
        faults += [f"line {number}: {fault}" for fault in wrong]
        if row is not None:
            rows.append(row)
    faults += _contradictions(rows)
    if faults:
        raise ManifestError(f"The manifest {path} has faults:\n  " + "\n  ".join(faults))
    return tuple(sorted(rows, key=lambda r: (r.patient, r.visit)))


def manifest_as_csv(rows: Sequence[ManifestRow], folder: Path | None = None) -> str:
    """The CSV text of a manifest; paths relative to ``folder`` where they lie in it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        place = row.path
        if folder is not None and place.is_relative_to(folder):
            place = place.relative_to(folder)
        cells: Mapping[str, object] = {**vars(row), "path": place.as_posix()}
        writer.writerow(["" if cells[name] is None else str(cells[name]) for name in COLUMNS])
    return out.getvalue()


def draft_manifest(
    folder: str | Path, settings: Settings | None = None
) -> tuple[tuple[ManifestRow, ...], tuple[str, ...]]:
    """A manifest from what DICOM headers say, and what could not be put into it, in sentences.

    A study of a patient is a visit; each image file (NIfTI, NRRD, MetaImage) is a patient of its
    own, for nothing in it says whose it is. Patients are named P001, P002 ... in the order of
    their folders, never by their own names; visits are numbered by date from 0. Arms and days of
    infusion and onset are the user's to fill in.

    Raises:
        ManifestError: there is no scan in the folder.
        UnreadableFile: there is no such folder.
    """
    root = Path(folder)
    listing = find_series(root, settings=settings)
    visits: dict[tuple[str, tuple[str, str]], list[SeriesInfo]] = defaultdict(list)
    for series in listing.usable:
        if series.kind == "dicom" and series.role == "inspiration":
            visits[series.patient_key, series.study_key].append(series)
    left_out = [
        f"series {s.series_uid} ({s.n_slices} slices): {s.reason}"
        for s in listing.series
        if not s.usable
    ]
    left_out += [
        f"{a.n} x {a.sentence}"
        for a in listing.set_aside
        if a.kind not in ("not_dicom", "directory")
    ]
    scans = []
    for (patient, _), mine in visits.items():
        place = _common_folder(mine)
        others = [s for key in visits if visits[key] is not mine for s in visits[key]]
        alone = not any(file.is_relative_to(place) for s in others for file in s.files)
        uid = "" if alone else _best_uid(mine, listing)
        day = min((s.acquisition_date or "" for s in mine), default="")
        scans.append((patient, _Scan(place, day, uid)))
    for file in _image_files(root):
        scans.append((f"file {file}", _Scan(file, "", "")))
    if not scans:
        raise ManifestError(f"No scan was found in {root}; give the folder that holds the scans.")
    return _numbered(scans), tuple(left_out)


@dataclass(frozen=True, order=True)
class _Scan:
    path: Path
    day: str
    series: str


def _numbered(scans: Sequence[tuple[str, _Scan]]) -> tuple[ManifestRow, ...]:
    of: dict[str, list[_Scan]] = defaultdict(list)
    for patient, scan in sorted(scans, key=lambda s: s[1]):
        of[patient].append(scan)
    rows = []
    for number, mine in enumerate(of.values(), start=1):
        for visit, scan in enumerate(sorted(mine, key=lambda s: (s.day, s))):
            day = _dicom_day(scan.day)
            rows.append(ManifestRow(f"P{number:03d}", visit, scan.path, day, series=scan.series))
    return tuple(rows)


def _common_folder(series: Sequence[SeriesInfo]) -> Path:
    """The lowest folder that holds all files; the file itself where there is one only."""
    files = {file for s in series for file in s.files}
    if len(files) == 1:
        return files.pop()
    return Path(os.path.commonpath([str(file.parent) for file in files]))


def _best_uid(mine: Sequence[SeriesInfo], listing: SeriesListing) -> str:
    chosen, _ = choose_series(replace(listing, series=tuple(mine)))
    return chosen.series_uid


def _image_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if is_image_file(root) else []
    return sorted(p for p in root.rglob("*") if is_image_file(p))


def _row(cells: Mapping[str, str], folder: Path) -> tuple[ManifestRow | None, list[str]]:
    wrong = []
    patient = cells.get("patient", "")
    if not _NAME.fullmatch(patient):
        wrong.append(
            f"{patient!r} is no name of a patient; use letters, digits, '.', '_' and '-', at most "
            "64, the trial's own and not the patient's"
        )
    visit = cells.get("visit", "")
    if not re.fullmatch(r"\d{1,4}", visit):
        wrong.append(f"{visit!r} is no visit; number them, the baseline lowest")
    days: dict[str, Day | None] = {}
    for name in _DAYS:
        text = cells.get(name, "")
        days[name] = _day(text)
        if text and days[name] is None:
            wrong.append(f"{text!r} is no day of {name}; write it as 2020-02-12")
    path = cells.get("path", "")
    if not path:
        wrong.append("it has no path")
    if wrong:
        return None, wrong
    place = Path(path).expanduser()
    return (
        ManifestRow(
            patient,
            int(visit),
            place if place.is_absolute() else folder / place,
            days["date"],
            cells.get("arm", ""),
            cells.get("series", ""),
            days["infusion"],
            days["onset"],
        ),
        [],
    )


def _contradictions(rows: Iterable[ManifestRow]) -> list[str]:
    faults = []
    of: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        of[row.patient].append(row)
    names: dict[str, str] = {}
    for patient, mine in of.items():
        other = names.setdefault(patient.lower(), patient)
        if other != patient:
            faults.append(f"patients {other} and {patient} differ in capitals only; rename one")
        visits = [r.visit for r in mine]
        for visit in sorted({v for v in visits if visits.count(v) > 1}):
            faults.append(f"patient {patient} has visit {visit} more than once")
        for name in ("arm", "infusion", "onset"):
            said = {getattr(r, name) for r in mine} - {None, ""}
            if len(said) > 1:
                listed = " and ".join(sorted(map(str, said)))
                faults.append(f"patient {patient} has more than one {name}: {listed}")
        dated = sorted((r.visit, r.date) for r in mine if r.date is not None)
        if any(a[1] > b[1] for a, b in pairwise(dated)):
            faults.append(f"the dates of patient {patient} do not follow the visits' order")
    return faults


def _dialect(text: str) -> type[csv.Dialect]:
    """Comma, semicolon (where spreadsheets write so) or tab, by the first line."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)

    class Found(csv.excel):
        pass

    Found.delimiter = delimiter
    return Found


def _day(text: str) -> Day | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def _dicom_day(text: str) -> Day | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
