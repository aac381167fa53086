"""A folder that appears whole or not at all.

Everything is written into a hidden sibling on the same file system and renamed at the end, so a
run that is killed leaves no half result under the name that was asked for.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ctlung.errors import OutputError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REPORT_LIMIT = 200_000_000


@contextmanager
def whole_folder(
    out: Path, *, force: bool, schema: str, files: Collection[str], report: str
) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes ``out`` when the block ends without an error.

    Raises:
        OutputError: ``out`` exists (and ``force`` is not given, or it holds more than an
            earlier result), the disk is full, or the place may not be written to.
    """
    target = require_free(out, force=force, schema=schema, files=files, report=report)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.parent / f".ctlung-{secrets.token_hex(8)}"
        staging.mkdir()
    except OSError as error:
        raise output_error(error, out) from error
    try:
        yield staging
        require_free(out, force=force, schema=schema, files=files, report=report)
        _swap(staging, target)
    except OSError as error:
        raise output_error(error, out) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_free(
    out: Path, *, force: bool, schema: str, files: Collection[str], report: str
) -> Path:
    """The place that ``out`` names, links followed, if a result may be put there.

    With ``force`` an empty folder and an earlier result (its report has ``schema``, and it
    holds nothing but ``files``) may be replaced, and nothing else ever.

    Raises:
        OutputError: it may not.
    """
    try:
        target = out.resolve()
        if not target.exists():
            _require_writable(target, out)
            return target
        if not target.is_dir():
            raise OutputError(
                f"{out} is a file, not a folder; name a folder that does not exist yet.",
                code="output_exists",
            )
        inside = sorted(entry.name for entry in target.iterdir())
    except OSError as error:
        raise output_error(error, out) from error
    if not force:
        raise OutputError(
            f"{out} exists already and was left as it is; name another folder, or give --force "
            "(force=True) to replace an earlier result.",
            code="output_exists",
        )
    if inside and not _is_result(target / report, schema):
        raise OutputError(
            f"{out} holds files but is not an earlier result of ctlung, so it was not replaced; "
            "name another folder.",
            code="output_exists",
        )
    strange = [name for name in inside if name not in files or (target / name).is_dir()]
    if strange:
        raise OutputError(
            f"{out} holds an earlier result and {len(strange)} other file(s) or folder(s), the "
            f"first {strange[0]!r}, so it was not replaced; move them or name another folder.",
            code="output_exists",
        )
    _require_writable(target, out)
    return target


def output_error(error: OSError, out: Path) -> OutputError:
    """The sentence for what the file system said about ``out``."""
    if error.errno in _NO_SPACE:
        return OutputError(
            f"The disk that holds {out} is full; nothing was left there. Free some space or "
            "name a folder on another disk.",
            code="disk_full",
        )
    if error.errno in _FORBIDDEN:
        return OutputError(
            f"{out} may not be written ({_words(error)}); name a folder that you may write to.",
            code="output_forbidden",
        )
    return OutputError(
        f"{out} could not be written ({_words(error)}); name another folder.",
        code="output",
    )


def _swap(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    aside = staging.with_name(staging.name + "-earlier")
    target.rename(aside)
    try:
        staging.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _require_writable(target: Path, out: Path) -> None:
    """Tell before minutes of work, not after, that a result cannot be put here."""
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(
            f"{out} cannot be made, for {parent} is a file; name another folder.",
            code="output_forbidden",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise output_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), out)


def _is_result(report: Path, schema: str) -> bool:
    try:
        if report.stat().st_size > _REPORT_LIMIT:
            return False
        document = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("schema") == schema


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
