"""Every file under a path: a folder, one file, a .zip, or a .zip in a folder.

Nothing is ever unpacked to disk, names of zip members are never used as paths, links to
folders are not followed, and what is not a regular file is not opened.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from ctlung.errors import UnreadableFile
from ctlung.settings import Settings

ZIP_SMALL_BYTES = 16_000_000
"""A member below this size is harmless whatever its ratio: a black slice packs very well."""


@dataclass(frozen=True)
class FileRef:
    """One file: its number in the walk, and how to open it (a zip member by its index)."""

    number: int
    path: Path = field(repr=False)
    member: int | None = None


@dataclass(frozen=True)
class Contents:
    """What a walk found; ``denied`` counts files and folders that may not be read."""

    files: tuple[FileRef, ...]
    denied: int = 0
    bad_archives: int = 0


def list_files(path: Path, settings: Settings) -> Contents:
    """All regular files under ``path``, zip members among them, in a fixed order.

    Raises:
        UnreadableFile: nothing is there, it may not be read, or a zip breaks the limits of
            ``settings`` (members, total size, ratio).
    """
    if not _exists(path):
        raise UnreadableFile(
            f"There is nothing at {path}; give a folder, a DICOM file, a .zip, or a NIfTI, "
            "NRRD or MetaImage file.",
            code="not_found",
        )
    if path.is_dir():
        return _list_folder(path, settings)
    if not os.access(path, os.R_OK):
        raise denied_error("this file")
    if is_zip(path):
        return Contents(tuple(FileRef(i, path, m) for i, m in enumerate(_members(path, settings))))
    return Contents((FileRef(0, path),))


def denied_error(what: str) -> UnreadableFile:
    """The error for what the file system does not let us read."""
    return UnreadableFile(
        f"No permission to read {what}; ask its owner, or run as a user who may read it.",
        code="no_permission",
    )


def is_zip(path: Path) -> bool:
    """Whether a file starts as a zip archive does."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


class Opener:
    """Opens files one after the other; keeps the last zip open. Use it in a ``with``."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._zip: zipfile.ZipFile | None = None
        self._infos: list[zipfile.ZipInfo] = []

    def __enter__(self) -> Opener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def open(self, ref: FileRef) -> BinaryIO:
        """A seekable binary stream.

        Raises:
            OSError: the file system refuses.
            UnreadableFile: a zip member is encrypted or damaged.
        """
        if ref.member is None:
            return ref.path.open("rb")
        archive = self._archive(ref.path)
        info = self._infos[ref.member]
        try:
            if info.file_size <= ZIP_SMALL_BYTES:
                return io.BytesIO(archive.read(info))
            return cast(BinaryIO, archive.open(info))
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError, ValueError) as e:
            raise UnreadableFile(
                f"Entry {ref.member + 1} of the zip archive is encrypted or damaged; unpack it "
                "yourself and give the folder.",
                code="bad_archive",
            ) from e

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if self._zip is None or self._path != path:
            self._close()
            self._zip = zipfile.ZipFile(path)
            self._infos = self._zip.infolist()
            self._path = path
        return self._zip

    def _close(self) -> None:
        if self._zip is not None:
            self._zip.close()
        self._zip, self._path, self._infos = None, None, []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        raise denied_error("this path") from None


def _list_folder(path: Path, settings: Settings) -> Contents:
    refused: list[OSError] = []
    found: list[FileRef] = []
    denied = bad = 0
    for file in _walk(path, refused):
        if not os.access(file, os.R_OK):
            denied += 1
        elif file.suffix.lower() == ".zip" and is_zip(file):
            try:
                members = _members(file, settings)
            except UnreadableFile as e:
                if e.code != "bad_archive":
                    raise
                bad += 1
                continue
            found.extend(FileRef(len(found) + i, file, m) for i, m in enumerate(members))
        else:
            found.append(FileRef(len(found), file))
    denied += sum(isinstance(e, PermissionError) for e in refused)
    if denied and not found:
        raise denied_error("what is in this folder")
    return Contents(tuple(found), denied, bad)


def _walk(path: Path, refused: list[OSError]) -> Iterator[Path]:
    for folder, folders, names in os.walk(path, onerror=refused.append):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            try:
                mode = file.stat().st_mode
            except OSError as e:
                refused.append(e)
                continue
            if stat.S_ISREG(mode):
                yield file


def _members(path: Path, settings: Settings) -> list[int]:
    """Indices of the files in a zip, after its sizes were checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as e:
        raise UnreadableFile("The zip archive is damaged; get it again.", code="bad_archive") from e
    _check_sizes(infos, settings)
    return [i for i, info in enumerate(infos) if not info.is_dir()]


def _check_sizes(infos: list[zipfile.ZipInfo], settings: Settings) -> None:
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    worst = max(
        (i.file_size / max(1, i.compress_size) for i in infos if i.file_size > ZIP_SMALL_BYTES),
        default=0.0,
    )
    if total > ZIP_SMALL_BYTES:
        worst = max(worst, total / max(1, packed))
    problem = None
    if len(infos) > settings.max_zip_members:
        problem = f"holds {len(infos)} entries (limit {settings.max_zip_members})"
    elif total > settings.max_zip_bytes:
        problem = f"unpacks to {total / 1e9:.1f} GB (limit {settings.max_zip_bytes / 1e9:.1f} GB)"
    elif worst > settings.max_zip_ratio:
        problem = f"unpacks to {worst:.0f} times its size (limit {settings.max_zip_ratio:.0f})"
    if problem:
        raise UnreadableFile(
            f"The zip archive {problem}, which no chest CT does; unpack it yourself, "
            "look at what it holds, and give the folder of the series.",
            code="zip_limits",
        )
