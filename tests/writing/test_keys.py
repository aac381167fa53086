"""The trial's key: named, made once, refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ctlung.errors import OutputError, UnreadableFile
from ctlung.identity import Key
from ctlung.writing.keys import load_key

SECRET = b"0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CTLUNG_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "ctlung"


def _named(path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    path.write_bytes(content)
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(path))


def test_the_named_file_is_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _named(tmp_path / "key", monkeypatch, SECRET + b"\n")
    assert load_key() == Key(SECRET)


def test_the_end_of_line_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _named(tmp_path / "key", monkeypatch, SECRET)
    bare = load_key().fingerprint
    _named(tmp_path / "key", monkeypatch, SECRET + b"\r\n")
    assert load_key().fingerprint == bare


def test_a_key_is_made_once_and_kept(home: Path) -> None:
    first = load_key()
    assert [p.name for p in home.iterdir()] == ["key"]
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert load_key() == first


def test_two_users_get_two_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_key()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent.parent / "another"))
    assert load_key().fingerprint != first.fingerprint


def test_a_key_that_another_process_made_meanwhile_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    link = os.link

    def slower(draft: Path, path: Path) -> None:
        path.write_bytes(SECRET)
        link(draft, path)

    monkeypatch.setattr("ctlung.writing.keys.os.link", slower)
    assert load_key() == Key(SECRET)
    assert [p.name for p in home.iterdir()] == ["key"]


def test_a_named_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path / "no"))
    with pytest.raises(
        UnreadableFile, match=r"that CTLUNG_KEY_FILE names cannot be read \(no such file"
    ) as caught:
        load_key()
    assert caught.value.code == "key_file"
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds 0 bytes, and a key needs at least 16"),
        (b"short\n", "holds 5 bytes, and a key needs at least 16"),
        (b"x" * 5000, "is longer than 4096 bytes and is no key"),
    ],
)
def test_a_file_that_is_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    _named(tmp_path / "key", monkeypatch, content)
    with pytest.raises(UnreadableFile, match=words) as caught:
        load_key()
    assert "short" not in str(caught.value).replace("shorter", "")


def test_a_folder_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path))
    with pytest.raises(UnreadableFile, match="is a directory"):
        load_key()


def test_no_place_to_keep_one(home: Path) -> None:
    home.parent.parent.mkdir(exist_ok=True)
    home.parent.write_text("a file where the folder should be")
    with pytest.raises(
        OutputError, match=r"No key could be kept in .*; make a file of at least 16 secret bytes"
    ) as caught:
        load_key()
    assert caught.value.code == "key_file"


def test_the_secret_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _named(tmp_path / "key", monkeypatch, SECRET)
    assert SECRET.decode() not in repr(load_key())
