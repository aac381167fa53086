"""Hiding the arms until the table of results is locked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ctlung.errors import NotUnblinded, UnreadableFile
from ctlung.trial.store import TABLE

BLIND_FILE, LOCK_FILE = "blind.json", "lock.json"


def lock_results(folder: str | Path) -> str:
    """Lock a batch's table: from now on its digest stands, and hidden arms may be opened.

    Returns:
        The sha256 of ``results.csv``.

    Raises:
        UnreadableFile: there is no table.
        NotUnblinded: it was locked before and has changed since.
    """
    place = Path(folder)
    digest = _digest(place)
    before = _read(place / LOCK_FILE)
    if before is not None and before != digest:
        raise NotUnblinded(_changed(place))
    (place / LOCK_FILE).write_text(json.dumps({"results_sha256": digest}) + "\n", encoding="utf-8")
    return digest


def require_open(source: Path, *, blind: bool) -> None:
    """Remember that a table is looked at blindly; refuse its arms until it is locked.

    Raises:
        NotUnblinded: the arms are hidden, and the table is not locked or has changed since.
    """
    folder = source if source.is_dir() else source.parent
    if blind:
        (folder / BLIND_FILE).write_text('{"blind": true}\n', encoding="utf-8")
        return
    locked = _read(folder / LOCK_FILE)
    if locked is not None and locked != _digest(folder):
        raise NotUnblinded(_changed(folder))
    if locked is None and (folder / BLIND_FILE).is_file():
        raise NotUnblinded(
            f"The arms of {folder} are hidden until its results are locked; when no scan will be "
            "measured again, lock them (ctlung cohort --lock), then open the arms."
        )


def _changed(folder: Path) -> str:
    return (
        f"The results in {folder} are not those that were locked; whatever was measured again "
        f"after the arms were open must be told. Remove {LOCK_FILE} yourself if that is so."
    )


def _digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / f"{TABLE}.csv").read_bytes()).hexdigest()
    except OSError:
        raise UnreadableFile(
            f"{folder} holds no {TABLE}.csv; give the folder that `ctlung batch` wrote.",
            code="no_table",
        ) from None


def _read(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["results_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
