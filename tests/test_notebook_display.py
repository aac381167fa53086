"""Scans, reports, results and comparisons in IPython: a picture, a table, nothing of a person's."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.known_pair import BOX, CORE, OTHER, blocks, compared
from support.small_result import empty_result, small_result

from ctlung import notebook
from ctlung.change_records import Comparison
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.vocabulary import RESEARCH_USE
from ctlung.volume import Acquisition, Identifiers, Scan
from ctlung.writing import notebooks
from ctlung.writing.headline import change_rows, headline

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e\x00&amp;'\""
RUN = """
import io, json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import ctlung
quick = [m for m in ("numpy", "matplotlib", "pandas", "torch") if m in sys.modules]
sys.path.insert(0, {tests!r})
from support.small_result import small_result
result = small_result()
shown = [shell.display_formatter.format(thing)[0] for thing in (result.scan, result.report, result)]
print(json.dumps([quick, [sorted(x) for x in shown], [x["text/plain"][:10] for x in shown]]))
"""


class _Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def pair() -> Comparison:
    return compared(blocks((BOX, -600), (CORE, -100)), blocks((CORE, -500), (OTHER, -450)))


@pytest.fixture(
    params=[
        lambda pair: notebooks.scan_html(small_result().scan),
        lambda pair: notebooks.report_html(small_result().report),
        lambda pair: notebooks.result_html(small_result()),
        notebooks.comparison_html,
    ],
    ids=["scan", "report", "result", "comparison"],
)
def shown(request: pytest.FixtureRequest, pair: Comparison) -> str:
    view: Callable[[Comparison], str] = request.param
    return view(pair)


def _pixels(text: str) -> np.ndarray[Any, Any]:
    (image,) = _Page(text).of("img")
    data = str(image["src"]).removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_each_has_a_named_picture_a_table_and_the_warning(shown: str) -> None:
    page = _Page(shown)
    assert page.open == []
    assert type(shown) is str
    pictures = [tag.get("alt") or tag.get("aria-label") for tag in page.of("img") + page.of("svg")]
    assert len(pictures) == 1
    assert len(str(pictures[0])) > 30
    assert page.of("table")
    assert RESEARCH_USE in page.text


def test_it_takes_the_colours_of_the_notebook(shown: str) -> None:
    tables = _Page(shown).of("table") + _Page(shown).of("div")
    assert all("color:inherit;background:transparent" in str(tag["style"]) for tag in tables)


def test_it_is_small_and_fetches_nothing(shown: str) -> None:
    page = _Page(shown)
    assert len(shown) < 400_000
    assert page.of("script") == page.of("link") == []
    assert all(str(tag["src"]).startswith("data:") for tag in page.of("img"))


def test_rows_and_columns_are_headed(shown: str) -> None:
    assert {tag.get("scope") for tag in _Page(shown).of("th")} <= {"row", "col"}
    assert _Page(shown).of("th")


def test_the_same_twice(pair: Comparison) -> None:
    assert notebooks.result_html(small_result()) == notebooks.result_html(small_result())
    assert notebooks.comparison_html(pair) == notebooks.comparison_html(pair)


def test_a_result_shows_the_figures_of_the_report_and_coloured_outlines() -> None:
    text = notebooks.result_html(small_result())
    for figure in headline(small_result().report):
        assert figure.number in _Page(text).text
    pixels = _pixels(text)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    assert (spread > 80).sum() > 200
    bare = _pixels(notebooks.scan_html(small_result().scan))
    assert (bare.max(axis=2) - bare.min(axis=2)).max() < 40


def test_the_picture_says_its_numbers_to_those_who_do_not_see_it() -> None:
    (image,) = _Page(notebooks.result_html(small_result())).of("img")
    assert "percent of lung: 2.6 %" in str(image["alt"])
    assert str(image["alt"]).startswith("Slices 8, 15 and 24 of a chest CT")


def test_a_comparison_shows_every_change_and_the_key_to_its_colours(pair: Comparison) -> None:
    text = _Page(notebooks.comparison_html(pair)).text
    for row in change_rows(pair):
        assert all(cell in text for cell in row)
    assert "green resolved" in text
    assert "Restoration index" in text


def test_a_comparison_of_reports_alone_has_no_picture(pair: Comparison) -> None:
    page = _Page(notebooks.comparison_html(replace(pair, voxelwise=None)))
    assert page.of("img") == []
    assert page.of("table")


def test_without_lungs_there_is_still_something_to_see() -> None:
    page = _Page(notebooks.result_html(empty_result()))
    (image,) = page.of("img")
    assert str(image["alt"]).startswith("Slices 0 and 1 of a chest CT")
    assert notebooks.report_html(ScanReport(())).count("<svg") == 0


def test_one_slice_is_one_slice() -> None:
    whole = small_result().scan
    box = (slice(15, 16), slice(None), slice(None))
    one = Scan(
        whole.hu[box].copy(), whole.geometry.crop((slice(15, 16), slice(0, 64), slice(0, 80)))
    )
    (image,) = _Page(notebooks.scan_html(one)).of("img")
    assert str(image["alt"]).startswith("Slice 0 of a chest CT")


def test_withheld_numbers_and_notices_are_said() -> None:
    report = small_result().report
    notice = Notice("contrast", "warn", "A sentence about contrast.")
    note = Notice("position", "note", "A sentence about the position.")
    text = _Page(notebooks.report_html(replace(report, notices=(notice, note)))).text
    assert "contrast agent was given" in text
    assert "A sentence about the position." in text
    assert "No warnings." in _Page(notebooks.report_html(replace(report, notices=()))).text


def test_what_a_file_says_is_never_markup(pair: Comparison) -> None:
    scan = small_result().scan
    acquisition = Acquisition(manufacturer=HOSTILE, kernel=HOSTILE, contrast_agent=HOSTILE)
    notices = (Notice("note", "note", HOSTILE), Notice("same_person", "warn", HOSTILE))
    odd = replace(scan, acquisition=acquisition, notices=notices)
    report = replace(small_result().report, notices=notices)
    for text in (
        notebooks.scan_html(odd),
        notebooks.report_html(report),
        notebooks.result_html(replace(small_result(), scan=odd, report=report)),
        notebooks.comparison_html(replace(pair, notices=notices)),
    ):
        page = _Page(text)
        assert page.open == []
        assert page.of("script") == []
        assert all("onerror" not in tag for tag in page.of("img"))
        assert not set(text) & {"\x1b", "\u202e", "\x00"}
        assert "alert(1)" in page.text
    assert not set(notebooks.scan_text(odd)) & {"\x1b", "\u202e", "\x00"}


def test_nothing_of_a_person_is_shown() -> None:
    scan = small_result().scan
    who = Identifiers("ID-4711", "Doe^Jane", "19600101", "1.2.3.4", "1.2.3.5", ("1.2.3.6",))
    acquisition = replace(scan.acquisition, series_description="Jane", acquisition_date="20200210")
    source = replace(scan.source, identifiers=who)
    odd = replace(scan, source=source, acquisition=acquisition)
    both = notebooks.scan_html(odd) + notebooks.scan_text(odd)
    for secret in ("4711", "Doe", "Jane", "1960", "20200210", "1.2.3"):
        assert secret not in _Page(both).text


def test_in_a_terminal_there_are_words(pair: Comparison) -> None:
    assert notebooks.scan_text(small_result().scan).startswith("Scan: voxels 30 slices of 80 × 64")
    assert notebooks.result_text(small_result()).startswith("ScanResult\n  lung volume: 3181 ml;")
    lines = notebooks.comparison_text(pair).splitlines()
    assert len(lines) == len(change_rows(pair)) + 2
    assert lines[-1].endswith(RESEARCH_USE)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What a new interpreter with a shell of IPython's finds."""
    folder = tmp_path_factory.mktemp("ipython")
    code = RUN.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "IPYTHONDIR": str(folder)},
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_import_in_a_shell_registers_and_stays_light(fresh: Any) -> None:
    quick, kinds, words = fresh
    assert quick == []
    assert kinds == [["text/html", "text/plain"]] * 3
    assert words == ["Scan: voxe", "ScanReport", "ScanResult"]


def test_without_a_shell_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    notebook.register()
    assert "IPython" not in sys.modules


def test_the_types_are_where_they_are_said_to_be() -> None:
    import importlib

    for (home, name), kind in notebook.KINDS.items():
        assert getattr(importlib.import_module(home), name).__module__ == home
        assert callable(getattr(notebooks, f"{kind}_html"))
        assert callable(getattr(notebooks, f"{kind}_text"))
