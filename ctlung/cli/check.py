"""``ctlung check``: what is in a folder, what would be used, what is wrong with it."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctlung.cli.console import progress, sentences
from ctlung.errors import CtlungError
from ctlung.vocabulary import EXIT_REFUSED, RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.notices import Notice
    from ctlung.reading.listing import SeriesInfo, SeriesListing


def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            readable=False,  # reading says better what may not be read
            help="Folder, DICOM file, .zip, NIfTI, NRRD or MetaImage.",
        ),
    ],
    series: Annotated[
        str | None, typer.Option(metavar="UID", help="Check this series instead of the default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON and nothing else.")
    ] = False,
) -> None:
    """Show what a folder holds, which series would be measured and why, and what is wrong.

    Nothing is segmented and nothing is written.

    Examples:

      ctlung check patient07

      ctlung check export.zip --json

    Exit code: 0 something can be measured, 1 nothing can (the sentence says why).
    """
    with sentences():
        from ctlung import api

        with progress() as say:
            listing = api.find_series(path)
            refusal, chosen, notices = _try(path, series, say)
    if as_json:
        json.dump(_document(listing, refusal, chosen, notices), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _show(listing, refusal, chosen, notices)
    if refusal:
        print(f"ctlung: {refusal}", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED)


def _try(path: Path, series: str | None, say: Any) -> tuple[str, str, tuple[Notice, ...]]:
    """Read what would be read: the refusal, or why it was chosen and its notices."""
    from ctlung import api

    try:
        scan = api.read_scan(
            path, series, progress=lambda done, total: say("reading", done / max(1, total))
        )
    except CtlungError as error:
        return str(error), "", ()
    notices = api.check_scan(scan)
    refused = next((n.sentence for n in notices if n.effect == "refuse"), "")
    return refused, scan.source.chosen_because, notices


_SHOWN = (
    "series_uid",
    "n_slices",
    "spacing_mm",
    "slice_thickness_mm",
    "kernel",
    "acquisition_date",
    "description",
    "orientation",
    "role",
    "usable",
    "reason",
    "code",
)


def _document(
    listing: SeriesListing, refusal: str, chosen: str, notices: tuple[Notice, ...]
) -> dict[str, Any]:
    return {
        "schema": "ctlung.check/1",
        "research_use": RESEARCH_USE,
        "series": [{name: getattr(s, name) for name in _SHOWN} for s in listing.series],
        "set_aside": [
            {"kind": a.kind, "n": a.n, "sentence": a.sentence} for a in listing.set_aside
        ],
        "usable": not refusal,
        "refusal": refusal or None,
        "chosen_because": chosen or None,
        "notices": [{f.name: getattr(n, f.name) for f in fields(n)} for n in notices],
    }


def _show(listing: SeriesListing, refusal: str, chosen: str, notices: tuple[Notice, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for info in listing.series:
        console.print(Text(_line(info)), soft_wrap=True)
        if info.reason:
            console.print(Text(f"    {info.reason}"), soft_wrap=True)
    for aside in listing.set_aside:
        console.print(Text(f"set aside: {aside.sentence}"), soft_wrap=True)
    if chosen:
        console.print(Text(chosen), soft_wrap=True)
    for notice in notices:
        console.print(Text(f"{notice.effect:>6}: {notice.sentence}"), soft_wrap=True)
    if not refusal:
        console.print("This can be measured: ctlung segment PATH -o OUT")


def _line(info: SeriesInfo) -> str:
    spacing = " x ".join(f"{v:.2f}" for v in info.spacing_mm) if info.spacing_mm else "unknown"
    parts = [
        "usable" if info.usable else "not usable",
        f"series {info.series_uid}",
        f"{info.n_slices} slices",
        f"{spacing} mm",
        f"kernel {info.kernel or 'not stated'} ({info.kernel_class})",
        f"date {info.acquisition_date or 'not stated'}",
    ]
    if info.description:
        parts.append(info.description)
    return " | ".join(parts)
