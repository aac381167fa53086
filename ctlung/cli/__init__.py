"""The command line: a thin skin over the Python API, one file per command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ctlung.cli.batch import batch, manifest
from ctlung.cli.check import check
from ctlung.cli.cohort import cohort
from ctlung.cli.compare import compare
from ctlung.cli.segment import segment
from ctlung.version import __version__
from ctlung.vocabulary import EXIT_INTERRUPTED, RESEARCH_USE

app = typer.Typer(
    name="ctlung",
    help=(
        "Inflammatory area and CT number of the lungs from chest CT.\n\n"
        "Start with [bold]ctlung check FOLDER[/bold] to see what a folder holds, then "
        "[bold]ctlung segment FOLDER -o OUT[/bold] to measure it, and "
        "[bold]ctlung compare BEFORE AFTER -o OUT[/bold] to see what changed. A whole trial goes "
        "through [bold]ctlung manifest[/bold], [bold]ctlung batch[/bold] and "
        "[bold]ctlung cohort[/bold].\n\n"
        f"{RESEARCH_USE}"
    ),
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment)
app.command()(check)
app.command()(compare)
app.command()(manifest)
app.command()(batch)
app.command()(cohort)


def _version(asked: bool) -> None:
    if asked:
        print(f"ctlung {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Carry --version; the commands do the work."""


def main() -> None:
    """Entry point of ``ctlung`` and ``python -m ctlung``."""
    try:
        app()
    except KeyboardInterrupt:
        print("ctlung: interrupted; nothing was left half written.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
