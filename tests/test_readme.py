"""What the README shows works as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ctlung.cli import app
from ctlung.vocabulary import NOTICES, RESEARCH_USE
from ctlung.writing.comparisons import COMPARISON_FILES, PAGE_FILE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def fresh_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the samples in it, where results may be written."""
    (tmp_path / "sample_scans").symlink_to(ROOT / "sample_scans")
    (tmp_path / "key").write_bytes(b"a key of the tests, no secret")
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    bash (\S+)", README, re.MULTILINE)
    assert commands == ["scripts/demo", "scripts/test"]
    assert README.index("bash scripts/demo") < 40
    for name in commands:
        assert (ROOT / name).is_file()


@pytest.mark.parametrize(
    "code",
    [*_blocks(README, "python"), *_blocks(_page("docs/coordinates.md"), "python")],
    ids=lambda code: code.strip().splitlines()[-1][:40],
)
def test_python_blocks_run(fresh_clone: Path, code: str) -> None:
    exec(compile(code, "block", "exec"), {})


def test_there_are_blocks() -> None:
    assert len(_blocks(README, "python")) == 2
    assert len(_blocks(README, "console")) == 1


def test_commands_run_in_their_order(fresh_clone: Path) -> None:
    (block,) = _blocks(README, "console")
    for line in block.splitlines():
        prompt, program, *arguments = shlex.split(line)
        assert (prompt, program) == ("$", "ctlung")
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
    written = {p.relative_to(fresh_clone).as_posix() for p in fresh_clone.glob("results/*/*")}
    named = set(
        re.findall(r"`([\w.]+\.(?:json|csv|nii\.gz|png|html|seg\.nrrd|label\.txt))`", README)
    )
    of_pairs = set(COMPARISON_FILES)
    assert named >= of_pairs
    assert written >= {f"results/baseline/{name}" for name in (named - of_pairs) | {PAGE_FILE}}
    assert written >= {f"results/change/{name}" for name in of_pairs}


def test_the_words_are_those_of_the_program() -> None:
    assert RESEARCH_USE in README
    assert "`dense_lung_lost`" in README
    assert "dense_lung_lost" in NOTICES
    for option in set(re.findall(r"`(--[a-z-]+)[`=]", README)) - {"--long"}:
        helped = CliRunner().invoke(app, ["segment", "--help"], env={"COLUMNS": "200"}).output
        assert option in helped


def test_the_picture_is_small_and_there() -> None:
    assert 50_000 < (ROOT / "docs" / "overlay.png").stat().st_size < 600_000
