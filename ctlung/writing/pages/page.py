"""From a template to one file: everything inside, everything escaped, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from ctlung.vocabulary import MEASURES, PAIR_MEASURES, RESEARCH_USE, Measure
from ctlung.writing.headline import UNITS_FOR_PEOPLE
from ctlung.writing.pages.frames import Stack, window_table

TARGET_BYTES = 7_400_000
"""What pictures and outlines of a page may take up together; a page stays under 8 MB."""
LUNG_WINDOW, SOFT_WINDOW = (-600.0, 1500.0), (40.0, 400.0)
"""Level and width, HU."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TEMPLATES = ("base.html.j2", "parts.html.j2", "scan.html.j2", "comparison.html.j2")


@dataclass(frozen=True)
class Panel:
    """One picture of the viewer.

    Attributes:
        name: what it shows, where there is more than one.
        picture: which picture of a frame.
        paths: number of a path in a frame, and its name.
        filled: whether outlines are filled.
        covered: whether all but the lungs is covered, for nothing is known there.
    """

    name: str
    picture: int
    paths: tuple[tuple[int, str], ...]
    filled: bool = False
    covered: bool = False


@dataclass(frozen=True)
class Definition:
    """What a measure is, for the little window that its name opens."""

    name: str
    measure: Measure
    unit: str


def render(template: str, title: str, **context: Any) -> str:
    """One whole page. Every text is escaped, characters that steer are replaced.

    Markup goes in as ``markupsafe.Markup`` only: SVG that ctlung itself has drawn.
    """
    script = _file("viewer.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return _environment().get_template(template).render(
        title=title,
        style=Markup(_file("style.css")),
        script=Markup(script),
        script_digest=digest,
        research_use=RESEARCH_USE,
        lung_table=window_table(*LUNG_WINDOW),
        soft_table=window_table(*SOFT_WINDOW),
        **context,
    )  # fmt: skip


def as_json(stacks: tuple[Stack, ...]) -> Markup:
    """The frames for the page's script; nothing in it can end the element that holds it."""
    document = [
        {
            "kind": s.kind,
            "width": s.width,
            "height": s.height,
            "edges": s.edges,
            "start": s.start,
            "frames": [
                {"title": clean(f.title), "words": clean(f.words), "p": f.pictures, "d": f.paths}
                for f in s.frames
            ],
        }
        for s in stacks
    ]
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def svg(drawing: str | None, words: str) -> Markup | None:
    """A drawing of ours as an element with a name for those who do not see it."""
    if drawing is None:
        return None
    label = Markup('<svg role="img" aria-label="{}"').format(words)
    return Markup(drawing.replace("<svg", str(label), 1))


def definition(name: str) -> Definition:
    """The definition of a measure of scans or of pairs."""
    measure = MEASURES.get(name) or PAIR_MEASURES[name]
    return Definition(name, measure, UNITS_FOR_PEOPLE.get(measure.unit, measure.unit))


def clean(text: str) -> str:
    """Text of a file or a person without characters that steer instead of being read."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=DictLoader({name: _file(name) for name in _TEMPLATES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalized,
    )


def _finalized(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value)
    return value


@cache
def _file(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")
