"""Scans, reports, results and comparisons show themselves in IPython and Jupyter.

``import ctlung`` calls :func:`register` where IPython is loaded, and only there. Types are named
and not imported, and what draws is loaded when something is shown first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

KINDS = {
    ("ctlung.volume", "Scan"): "scan",
    ("ctlung.records", "ScanReport"): "report",
    ("ctlung.records", "ScanResult"): "result",
    ("ctlung.change_records", "Comparison"): "comparison",
}
"""Module and name of a type, to the first word of the functions that show it."""


def register() -> None:
    """Tell the running IPython shell how these types look; without a shell, nothing happens."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return
    formatters = shell.display_formatter.formatters
    for (home, name), kind in KINDS.items():
        formatters["text/html"].for_type_by_name(home, name, _view(f"{kind}_html"))
        formatters["text/plain"].for_type_by_name(home, name, _printed(_view(f"{kind}_text")))


def _view(name: str) -> Callable[[Any], str]:
    """The function of ``ctlung.writing.notebooks`` of that name, loaded when it is called."""

    def show(thing: Any) -> str:
        from ctlung.writing import notebooks

        view: Callable[[Any], str] = getattr(notebooks, name)
        return view(thing)

    return show


def _printed(view: Callable[[Any], str]) -> Callable[[Any, Any, bool], None]:
    """As IPython's plain text formatter wants it: the thing, its printer, whether it recurs."""
    return lambda thing, printer, _: printer.text(view(thing))
