"""How Sphinx makes the site out of docs/; `bash scripts/docs` runs it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import ctlung

ROOT = Path(__file__).resolve().parent.parent
LOG = logging.getLogger(__name__)

project = "ctlung"
author = "The ctlung developers"
version = release = ctlung.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
highlight_language = "none"

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 78
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = [("Attributes", "params_style")]

html_theme = "furo"
html_title = f"ctlung {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # It fetches pages, which a browser refuses from a folder.
html_theme_options = {
    "announcement": "For research use only. Not a medical device.",
    "top_of_page_buttons": [],
}

MODEL_CARDS = "<!-- the cards of models/ -->"
COMMANDS = "<!-- the help of each command -->"
ARRAYS = {
    r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]": r"ndarray[\1]",
    r"_Buffer \| _SupportsArray\[.*?\| _NestedSequence\[complex \| bytes \| str\]": "ArrayLike",
    r"tuple\[(tuple\[float, float, float, float\](, )?){4}\]": "Affine",
}
LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


def model_cards() -> str:
    """Every card of ``models/``, one below the other."""
    cards = sorted((ROOT / "models").glob("*/CARD.md"))
    return "\n\n".join(
        f"```{{include}} {Path('..') / card.relative_to(ROOT)}\n:heading-offset: 1\n```"
        for card in cards
    )


def commands() -> str:
    """The help of each command, as Markdown."""
    from typer.main import get_command

    from ctlung.cli import app

    group: Any = get_command(app)
    return "\n\n".join(_command(name, group.commands[name]) for name in group.commands)


def _command(name: str, command: Any) -> str:
    text = re.sub(r"\n\n(?=  ctlung)", "\n", command.help)
    text = re.sub(r"((?:^  ctlung .*\n?)+)", r"\n```sh\n\1```\n", text, flags=re.MULTILINE)
    rows = ["| argument or option | what | default |", "| --- | --- | --- |"]
    for p in command.params:
        names = " ".join(f"`{one}`" for one in [*p.opts, *p.secondary_opts])
        if p.param_type_name == "argument":
            names = f"`{p.metavar}`"
        elif p.metavar:
            names += f" `{p.metavar}`"
        default = f"`{p.default}`" if isinstance(p.default, str) and p.default else ""
        rows.append(" | ".join(["", names.replace("|", r"\|"), p.help or "", default, ""]).strip())
    return f"## ctlung {name}\n\n{text}\n\n" + "\n".join(rows)


def notebook(text: str) -> str:
    """A notebook as Markdown: its words and its code, without outputs."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        code = cell["cell_type"] == "code"
        parts.append(f"```python\n{source}\n```" if code else source)
    return "\n\n".join(parts)


def read_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn notebooks into Markdown, and put in what is written elsewhere."""
    if app.env.doc2path(name).suffix == ".ipynb":
        source[0] = notebook(source[0])
    if MODEL_CARDS in source[0]:
        source[0] = source[0].replace(MODEL_CARDS, model_cards())
    if COMMANDS in source[0]:
        source[0] = source[0].replace(COMMANDS, commands())


def shorten(text: str | None) -> str | None:
    """A signature in the words of the code: types without their modules, arrays by their name."""
    if text is None:
        return None
    text = re.sub(r"(?<![\w.])~?(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)
    for pattern, name in ARRAYS.items():
        text = re.sub(pattern, name, text)
    return text.replace("<factory>", "...")


def process_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, args: str | None, gives: str | None
) -> tuple[str | None, str | None]:
    """Called by autodoc for everything that has a signature."""
    return shorten(args), shorten(gives)


def keep_whole(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Napoleon takes what stands before the first colon of a property for its type."""
    if what == "property":
        lines.insert(0, "")


def say_roles(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """What Sphinx and the theme leave out for keyboards and screen readers."""
    menu = "furo_navigation_tree"
    if menu in context:
        context[menu] = context[menu].replace('role="heading"', 'role="heading" aria-level="2"')
    if "body" in context:
        body = (
            context["body"]
            .replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
            .replace("<pre>", '<pre tabindex="0">')
        )
        context["body"] = re.sub(r"<dl>\n(?:<dd>.*?</dd>\n)+</dl>", _plain_list, body, flags=re.S)


def _plain_list(found: re.Match[str]) -> str:
    """The parameters of a signature: laid out as a list of definitions, and none."""
    return re.sub(r"<(dl|dd)>", r'<\1 role="presentation">', found.group())


class _Loads(HTMLParser):
    """What a page has its browser load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADING.get(tag, "")) or ""
        if re.match(r"(https?:)?//", address):
            self.found.append(address)


def loaded_from_elsewhere(page: str) -> list[str]:
    """Addresses of scripts, pictures, styles and fonts that are not the site's own."""
    styles = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", page)
    return _Loads(page).found + styles


def check_pages(app: Sphinx, error: Exception | None) -> None:
    """Warn of every page that would ask another machine for anything."""
    for path in sorted(Path(app.outdir).rglob("*")):
        if error is None and path.suffix in (".html", ".css"):
            for address in loaded_from_elsewhere(path.read_text(encoding="utf-8")):
                LOG.warning("%s loads %s; keep it in the site", path.name, address)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read_source)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-process-docstring", keep_whole, priority=400)
    app.connect("html-page-context", say_roles, priority=900)
    app.connect("build-finished", check_pages)
