"""The documentation says what the code says."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from ctlung.settings import Settings
from ctlung.vocabulary import (
    FACTS,
    MEASURES,
    NOTICES,
    PAIR_MEASURES,
    PAIR_NOTICES,
    REASONS,
    REGIONS,
)

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*.md")]
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_measures_is_in_step(script: ModuleType) -> None:
    written = script.MEASURES_FILE.read_text(encoding="utf-8")
    assert written == script.measures_page(), "run: python scripts/make_docs.py"


def test_every_word_is_on_it(script: ModuleType) -> None:
    page = script.measures_page()
    names = [
        *MEASURES,
        *PAIR_MEASURES,
        *FACTS,
        *REGIONS,
        *REASONS,
        *NOTICES,
        *(f.name for f in fields(Settings)),
    ]
    assert [n for n in names if f"`{n}`" not in page] == []


def test_every_notice_code_in_the_code_is_explained() -> None:
    """Notices are made with their code as the first argument."""
    used: set[str] = set()
    for path in (ROOT / "ctlung").rglob("*.py"):
        used.update(re.findall(r'\bNotice\(\s*(?:code=)?"(\w+)"', path.read_text("utf-8")))
    assert used
    assert used - set(NOTICES) - set(PAIR_NOTICES) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    broken = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert broken == []


def test_each_decision_says_choice_alternatives_and_price() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9][0-9][0-9][0-9]-*.md"))
    assert len(decisions) >= 5
    numbers = [int(p.name[:4]) for p in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert all(f"**{word}.**" in text for word in ("Choice", "Alternatives", "Price")), path
