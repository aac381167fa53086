"""The documentation: its code samples run, its links lead somewhere, its reference is whole."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import ctlung
from ctlung.cli import app
from ctlung.vocabulary import RESEARCH_USE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
FIRST = "first_scan.md"
AFTER = {
    "how_to/cluster.md": ("how_to/batch.md",),
    "trial.md": ("how_to/batch.md",),
}
"""Pages whose samples go on where those of another end, besides the first."""
FENCED = re.compile(r"^( *)```(python|console|sh)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def _name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def _samples(page: Path) -> list[tuple[str, str]]:
    """Language and code of every block, in the order of the page."""
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [(language, textwrap.dedent(code)) for _, language, code in found]


def _with(*languages: str) -> list[str]:
    return [_name(p) for p in PAGES if any(lang in languages for lang, _ in _samples(p))]


class _Cluster:
    """Stands for dask-jobqueue's: nobody here has SLURM. The work is finished already."""

    scheduler_address = "tcp://127.0.0.1:8786"

    def __init__(self, *, cores: int, processes: int, memory: str, walltime: str) -> None:
        assert (cores, processes) == (1, 1)
        assert re.fullmatch(r"\d+GB", memory)
        assert re.fullmatch(r"\d\d:\d\d:\d\d", walltime)

    def scale(self, workers: int) -> None:
        assert workers > 0


class _Viewer:
    """Stands for napari's: takes layers that lie on one another."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None

    def _add(self, array: Any, *, scale: Any, **how: Any) -> None:
        assert len(scale) == array.ndim == 3
        assert self.shape in (None, array.shape)
        self.shape = array.shape

    add_image = add_labels = _add


def _loaded(path: str) -> None:
    """Stands for Slicer's loading of a file."""
    assert Path(path).is_file()


def _stand_ins() -> dict[str, ModuleType]:
    """Programs that are not installed here."""
    slicer: Any = ModuleType("slicer")
    slicer.util = SimpleNamespace(loadVolume=_loaded, loadSegmentation=_loaded)
    napari: Any = ModuleType("napari")
    napari.Viewer = _Viewer
    jobqueue: Any = ModuleType("dask_jobqueue")
    jobqueue.SLURMCluster = _Cluster
    return {"slicer": slicer, "napari": napari, "dask_jobqueue": jobqueue}


@dataclass
class Reader:
    """Somebody who types in what the pages show, in a folder with the sample scans."""

    walked: set[str] = field(default_factory=set)

    def walk(self, page: str) -> None:
        if page in self.walked:
            return
        self.walked.add(page)
        for language, code in _samples(DOCS / page):
            if language == "python":
                exec(compile(code, page, "exec"), {"__name__": "sample"})
            elif language == "console":
                self._type(code)

    @staticmethod
    def _type(code: str) -> None:
        for line in code.splitlines():
            prompt, program, *arguments = shlex.split(line)
            assert (prompt, program) == ("$", "ctlung")
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.stderr}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Has followed the first page."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "sample_scans").symlink_to(ROOT / "sample_scans")
    (folder / "key").write_bytes(b"a key of the tests, no secret")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTLUNG_KEY_FILE", str(folder / "key"))
        patch.chdir(folder)
        for name, module in _stand_ins().items():
            patch.setitem(sys.modules, name, module)
        found = Reader()
        found.walk(FIRST)
        yield found


def test_the_first_page_leads_to_results(reader: Reader) -> None:
    for file in ("baseline/report.html", "followup/report.json", "change/report.html"):
        assert (Path("results") / file).is_file()


@pytest.mark.parametrize("page", [p for p in _with("python", "console") if p != FIRST])
def test_samples_run(reader: Reader, page: str) -> None:
    for before in AFTER.get(page, ()):
        reader.walk(before)
    reader.walk(page)


@pytest.mark.parametrize("page", _with("sh", "console"))
def test_commands_and_options_are_there(page: str) -> None:
    commands: Any = get_command(app)
    for _, code in (s for s in _samples(DOCS / page) if s[0] != "python"):
        for name, rest in re.findall(r"(?:^|\s)ctlung ([a-z]+)\b(.*)", code):
            assert name in commands.commands, f"no command {name}"
            known = {o for p in commands.commands[name].params for o in p.opts + p.secondary_opts}
            used = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest))
            assert used <= known, f"ctlung {name} has no {used - known}"


@pytest.mark.parametrize("page", _with("sh"))
def test_scripts_are_there(page: str) -> None:
    code = "\n".join(code for language, code in _samples(DOCS / page) if language == "sh")
    for script in re.findall(r"\bscripts/\w+", code):
        assert (ROOT / script).is_file()


def _slugs(page: Path) -> set[str]:
    """Anchors of the headings, as MyST makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def _links(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return [x for x in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in x]


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=_name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for link in _links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), link
        assert target.is_relative_to(DOCS), f"{link} is not in the site"
        assert not anchor or anchor in _slugs(target), link


def test_every_picture_has_words() -> None:
    pictures = [x for p in PAGES for x in re.findall(r"!\[(.*?)\]\(", p.read_text("utf-8"))]
    assert len(pictures) >= 7
    assert all(len(words) > 30 for words in pictures)


def test_every_public_name_stands_once_in_the_reference() -> None:
    pages = (DOCS / "reference").glob("*.md")
    directive = re.compile(r"^\.\. auto(?:function|class|exception|data):: (\w+)$", re.MULTILINE)
    named = [name for p in pages for name in directive.findall(p.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(ctlung.__all__)


def test_every_benchmark_is_on_the_page_of_validation() -> None:
    linked = set(_links(DOCS / "validation.md"))
    files = {f"benchmarks/{p.name}" for p in (DOCS / "benchmarks").iterdir()}
    assert files - linked == set()


TRAPS = json.loads((DOCS / "traps" / "traps.json").read_text(encoding="utf-8"))


def test_the_numbers_of_the_traps_are_those_of_their_pictures() -> None:
    """Each CT number, litre, percent and ml of a paragraph under a picture is one of its facts."""
    page = (DOCS / "traps.md").read_text(encoding="utf-8")
    sections = {t: re.search(rf"\]\(traps/{t}\.png\)\n\n(.*?)\n\n", page, re.S) for t in TRAPS}
    for trap, found in sections.items():
        assert found is not None, trap
        facts = {f"{v:g}" for v in TRAPS[trap].values()}
        facts |= {f"{v:.0f}" for v in TRAPS[trap].values()}
        numbers = re.findall(r"−?\d+(?:\.\d+)?(?= (?:HU|l\b|ml|%|to))", found.group(1))
        said = {n.replace("−", "-") for n in numbers}
        limits = {"-750", "-300", "-780", "-740", "-950", "468"}
        assert said - facts - limits == set(), trap
        assert said & facts, trap


def test_the_picture_of_the_survivors_is_what_its_script_draws(tmp_path: Path) -> None:
    script = _module(ROOT / "scripts" / "make_trap_pictures.py")
    assert script.draw("survivors", tmp_path / "again.png") == TRAPS["survivors"]
    kept = (DOCS / "traps" / "survivors.png").read_bytes()
    assert (tmp_path / "again.png").read_bytes() == kept
    facts = TRAPS["survivors"]
    assert facts["current_followup"] > facts["current_baseline"] > facts["region_followup"]


def test_the_pictures_are_small() -> None:
    assert set(TRAPS) == {p.stem for p in (DOCS / "traps").glob("*.png")}
    assert all(p.stat().st_size < 150_000 for p in (DOCS / "traps").glob("*.png"))


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def conf() -> Any:
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    return _module(DOCS / "conf.py")


def test_every_model_card_is_in_the_site(conf: Any) -> None:
    cards = sorted((ROOT / "models").glob("*/CARD.md"))
    assert len(cards) >= 2
    assert conf.MODEL_CARDS in (DOCS / "model_cards.md").read_text(encoding="utf-8")
    included = re.findall(r"\{include\} (\S+)", conf.model_cards())
    assert [(DOCS / path).resolve() for path in included] == [card.resolve() for card in cards]


def test_every_command_is_in_the_site(conf: Any) -> None:
    assert conf.COMMANDS in (DOCS / "reference" / "command_line.md").read_text(encoding="utf-8")
    commands: Any = get_command(app)
    page = conf.commands()
    for name, command in commands.commands.items():
        assert f"## ctlung {name}\n" in page
        for option in (o for p in command.params for o in p.opts if o.startswith("--")):
            assert f"`{option}`" in page


def test_a_notebook_becomes_words_and_code(conf: Any) -> None:
    page = conf.notebook((DOCS / "notebooks" / "one_scan.ipynb").read_text(encoding="utf-8"))
    assert page.startswith("# One scan\n")
    assert "```python\nlisting = ctlung.find_series(" in page


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/css">', ["//fonts.example/css"]),
        ('<img src="http://a.example/p.png">', ["http://a.example/p.png"]),
        ("@import 'https://a.example/f.css';", ["https://a.example/f.css"]),
        ("a { background: url(https://a.example/p.png) }", ["https://a.example/p.png"]),
        ('<a href="https://example.org">a link is no load</a><img src="p.png">', []),
    ],
)
def test_what_a_page_would_load_is_seen(conf: Any, page: str, found: list[str]) -> None:
    assert conf.loaded_from_elsewhere(page) == found


def test_signatures_are_in_the_words_of_the_code(conf: Any) -> None:
    long = (
        "(hu: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~numpy.int16]], mm: float = 2.5)"
    )
    assert conf.shorten(long) == "(hu: ndarray[int16], mm: float = 2.5)"
    assert conf.shorten("(scan: ~ctlung.volume.Scan = <factory>)") == "(scan: Scan = ...)"
    assert conf.shorten(None) is None


def test_every_page_says_what_it_is_for(conf: Any) -> None:
    assert conf.html_theme_options["announcement"] == RESEARCH_USE


def test_the_site_is_built_strictly_and_by_ci() -> None:
    build = (ROOT / "scripts" / "docs").read_text(encoding="utf-8")
    assert "--fail-on-warning" in build
    assert "--fresh-env" in build
    assert "bash scripts/docs" in (ROOT / "scripts" / "test").read_text(encoding="utf-8")
