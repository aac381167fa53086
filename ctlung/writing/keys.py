"""The key of a trial: from a file, or made once for this user."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from platformdirs import user_config_dir

from ctlung.errors import OutputError, UnreadableFile
from ctlung.identity import Key

KEY_VARIABLE = "CTLUNG_KEY_FILE"
_SHORTEST, _LONGEST = 16, 4096


def load_key() -> Key:
    """The key that turns identifiers into hashes (HOUSE 4).

    It is read from the file that ``CTLUNG_KEY_FILE`` names; without that, from ``key`` in the
    user's configuration folder, which is made on first use and readable by this user alone.
    Keep it: hashes made with another key do not match.

    Raises:
        UnreadableFile: the key file cannot be read, or is shorter than 16 or longer than 4096
            bytes.
        OutputError: the configuration folder cannot be written to.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return _read(Path(named).expanduser(), f"The key file {named} that {KEY_VARIABLE} names")
    path = Path(user_config_dir("ctlung", appauthor=False)) / "key"
    if not path.exists():
        _make(path)
    return _read(path, f"The key file {path}")


def _read(path: Path, name: str) -> Key:
    try:
        with path.open("rb") as file:
            secret = file.read(_LONGEST + 1).strip()
    except OSError as error:
        raise UnreadableFile(
            f"{name} cannot be read ({(error.strerror or 'no reason given').lower()}); name a "
            f"readable file of at least {_SHORTEST} bytes in {KEY_VARIABLE}.",
            code="key_file",
        ) from error
    if len(secret) < _SHORTEST:
        raise UnreadableFile(
            f"{name} holds {len(secret)} bytes, and a key needs at least {_SHORTEST}; name the "
            f"trial's key file in {KEY_VARIABLE}.",
            code="key_file",
        )
    if len(secret) > _LONGEST:
        raise UnreadableFile(
            f"{name} is longer than {_LONGEST} bytes and is no key; name the trial's key file "
            f"in {KEY_VARIABLE}.",
            code="key_file",
        )
    return Key(secret)


def _make(path: Path) -> None:
    """Make a key that is there whole or not at all, whoever else makes one at the same time."""
    draft = path.with_name(f".key-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
            _link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        why = (error.strerror or "no reason given").lower()
        raise OutputError(
            f"No key could be kept in {path.parent} ({why}); make a file of at least {_SHORTEST} "
            f"secret bytes and name it in {KEY_VARIABLE}.",
            code="key_file",
        ) from error


def _link(draft: Path, path: Path) -> None:
    # Where another process was first, its key is the key.
    with suppress(FileExistsError):
        os.link(draft, path)
