"""A folder that appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.small_result import small_result

from ctlung.errors import OutputError
from ctlung.writing.folder import require_free, whole_folder
from ctlung.writing.results import require_output, write_result

RULES: dict[str, Any] = {
    "schema": "ctlung.scan/1",
    "files": ("report.json", "a.csv"),
    "report": "report.json",
}


def _write(out: Path, *, force: bool = False, text: str = "new") -> None:
    with whole_folder(out, force=force, **RULES) as place:
        (place / "report.json").write_text(json.dumps({"schema": "ctlung.scan/1", "text": text}))
        (place / "a.csv").write_text(text)


def _all(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_a_new_folder_with_its_parents(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "b")
    assert _all(tmp_path) == ["a", "a/b", "a/b/a.csv", "a/b/report.json"]


def test_nothing_is_seen_before_it_is_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out", force=False, **RULES) as place:
        (place / "a.csv").write_text("half")
        assert not (tmp_path / "out").exists()
        assert place.parent == tmp_path
        assert place.name.startswith(".")
    assert _all(tmp_path) == ["out", "out/a.csv"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no more"):
        _half(tmp_path / "out")
    assert _all(tmp_path) == []


def _half(out: Path, error: BaseException | None = None, *, force: bool = False) -> None:
    with whole_folder(out, force=force, **RULES) as place:
        (place / "a.csv").write_text("half")
        raise error or RuntimeError("no more")


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _half(tmp_path / "out", KeyboardInterrupt())
    assert _all(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence(tmp_path: Path, number: int) -> None:
    with pytest.raises(
        OutputError, match=r"The disk that holds .*out is full; nothing was left there\. Free"
    ) as caught:
        _half(tmp_path / "out", OSError(number, os.strerror(number)))
    assert caught.value.code == "disk_full"
    assert _all(tmp_path) == []


def test_another_failure_of_the_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"could not be written \(input/output error\); name"):
        _half(tmp_path / "out", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert _all(tmp_path) == []


def test_a_failed_replacement_keeps_the_earlier_result(tmp_path: Path) -> None:
    _write(tmp_path / "out", text="old")
    with pytest.raises(OutputError, match="is full"):
        _half(tmp_path / "out", OSError(errno.ENOSPC, "full"), force=True)
    assert (tmp_path / "out" / "a.csv").read_text() == "old"
    assert _all(tmp_path) == ["out", "out/a.csv", "out/report.json"]


def test_a_rename_that_fails_brings_the_earlier_result_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "out", text="old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if target.name == "out" and "-earlier" not in self.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OutputError, match="could not be written"):
        _write(tmp_path / "out", force=True)
    assert (tmp_path / "out" / "a.csv").read_text() == "old"
    assert _all(tmp_path) == ["out", "out/a.csv", "out/report.json"]


# what may be replaced


def test_what_exists_is_left(tmp_path: Path) -> None:
    _write(tmp_path / "out", text="old")
    with pytest.raises(
        OutputError, match="exists already and was left as it is; name another folder, or give"
    ) as caught:
        _write(tmp_path / "out")
    assert caught.value.code == "output_exists"
    assert (tmp_path / "out" / "a.csv").read_text() == "old"


def test_even_an_empty_folder_is_left(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        _write(tmp_path)


def test_force_replaces_an_earlier_result(tmp_path: Path) -> None:
    _write(tmp_path / "out", text="old")
    _write(tmp_path / "out", force=True)
    assert (tmp_path / "out" / "a.csv").read_text() == "new"
    assert _all(tmp_path) == ["out", "out/a.csv", "out/report.json"]


def test_force_fills_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _write(tmp_path / "out", force=True)
    assert _all(tmp_path / "out") == ["a.csv", "report.json"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"thesis.doc": "ten years"}, "holds files but is not an earlier result of ctlung"),
        ({"report.json": "{}"}, "is not an earlier result"),
        ({"report.json": "no json"}, "is not an earlier result"),
        ({"report.json": '{"schema": "ctlung.comparison/1"}'}, "is not an earlier result"),
        (
            {"report.json": '{"schema": "ctlung.scan/1"}', "notes.txt": "mine"},
            r"an earlier result and 1 other file\(s\) or folder\(s\), the first 'notes.txt'",
        ),
    ],
)
def test_force_never_deletes_anything_else(
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name, text in files.items():
        (out / name).write_text(text)
    with pytest.raises(OutputError, match=words):
        _write(out, force=True)
    assert {p.name: p.read_text() for p in out.iterdir()} == files


def test_force_does_not_follow_a_folder_inside(tmp_path: Path) -> None:
    _write(tmp_path / "out", text="old")
    (tmp_path / "out" / "a.csv").unlink()
    (tmp_path / "out" / "a.csv").mkdir()
    with pytest.raises(OutputError, match=r"the first 'a\.csv'"):
        _write(tmp_path / "out", force=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match="is a file, not a folder"):
            _write(tmp_path / "out", force=force)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_file_is_no_parent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"file is a file; name another|may not|could not"):
        _write(tmp_path / "file" / "out")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    _write(tmp_path / "real", text="old")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    _write(tmp_path / "out", force=True)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real" / "a.csv").read_text() == "new"


def _overtaken(out: Path) -> None:
    with whole_folder(out, force=False, **RULES) as place:
        (place / "a.csv").write_text("new")
        out.mkdir()
        (out / "theirs").write_text("theirs")


def test_somebody_made_it_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        _overtaken(tmp_path / "out")
    assert _all(tmp_path) == ["out", "out/theirs"]


def test_the_place_is_looked_at_before_the_work(tmp_path: Path) -> None:
    assert require_free(tmp_path / "new", force=False, **RULES) == (tmp_path / "new").resolve()
    write_result(small_result(), tmp_path / "there", with_scan=False)
    with pytest.raises(OutputError, match="exists already"):
        require_output(tmp_path / "there")
    require_output(tmp_path / "there", force=True)


# in another process

_SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[2])
from support.small_result import small_result
from ctlung.writing import results
def slow(*args):
    print("writing", flush=True)
    time.sleep(60)
results.draw_overlay = slow
results.write_result(small_result(), sys.argv[1])
"""
TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_no_half_result(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(out), str(TESTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        assert not out.exists()
        child.send_signal(number)
        assert child.wait(30) != 0
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
    assert not out.exists()
    left = [p.name for p in tmp_path.iterdir()]
    assert all(name.startswith(".ctlung-") for name in left)
    if number == signal.SIGINT:
        assert left == []
    started = time.monotonic()
    write_result(small_result(), out, with_scan=False)
    assert time.monotonic() - started < 30
