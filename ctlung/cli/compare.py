"""``ctlung compare``: what changed between two scans of one patient."""

from __future__ import annotations

import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctlung.cli.console import progress, sentences, settings_from
from ctlung.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.change_records import Comparison


def compare(
    baseline: Annotated[
        Path,
        typer.Argument(
            metavar="BASELINE",
            readable=False,
            help="The earlier scan: a folder that `ctlung segment` made, or a scan to measure.",
        ),
    ],
    followup: Annotated[
        Path,
        typer.Argument(metavar="FOLLOWUP", readable=False, help="The later scan, likewise."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the results; made new.")
    ],
    infusion: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the infusion.")
    ] = None,
    onset: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the first symptoms.")
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person", help="You know that both are of one patient, whatever they say."
        ),
    ] = False,
    voxelwise: Annotated[
        bool,
        typer.Option(
            "--voxelwise/--no-voxelwise",
            help="Lay the scans on one another; without, whole lungs are compared in a second.",
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where the networks run: auto, cpu, cuda, cuda:N.")
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier comparison in OUT.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override a limit."),
    ] = None,
) -> None:
    """Compare baseline and follow-up: every measure, its change, and whether it is noise.

    Writes into OUT: comparison.json and changes.csv; and, where the follow-up's lungs could be
    laid on the baseline's, transitions.csv, change.nii.gz, followup_on_baseline.nii.gz and the
    picture change.png. Folders that `ctlung segment --uncertainty` made are compared in under a
    minute; scans are measured first.

    Examples:

      ctlung compare results/p07-baseline results/p07-day10 -o results/p07-change

      ctlung compare p07/20200210 p07/20200220 -o out --infusion 2020-02-12

    Exit code: 0 done, 1 refused (the sentence says why), 2 wrong usage, 130 interrupted.
    """
    settings = settings_from(override or [])
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(
            f"there is no device {device!r}; known are auto, cpu, cuda and cuda:N",
            param_hint="--device",
        )
    days = _day(infusion, "--infusion"), _day(onset, "--onset")
    with sentences():
        from ctlung import api, two_scans
        from ctlung.writing.comparisons import comparison_as_json, require_comparison_output

        require_comparison_output(out, force=force)
        with progress() as say:
            found = two_scans.compare(
                baseline,
                followup,
                voxelwise=voxelwise,
                same_person=same_person,
                infusion=days[0],
                onset=days[1],
                device=device,
                settings=settings,
                key=api.load_key(),
                progress=say,
            )
            folder = two_scans.write_comparison(found, out, force=force)
        if as_json:
            sys.stdout.write(comparison_as_json(found))
        else:
            _show(found, folder)


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no day; write it as 2020-02-12", param_hint=option
        ) from None


def _show(found: Comparison, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ctlung.writing.headline import change_rows, restoration_lines

    console = Console(highlight=False)
    table = Table("", "baseline", "follow-up", "change", "", box=None, pad_edge=False)
    for row in change_rows(found):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for line in restoration_lines(found):
        console.print(Text(line), soft_wrap=True)
    for notice in found.notices:
        console.print(Text(f"{notice.effect:>4}: {notice.sentence}"), soft_wrap=True)
    console.print(Text(f"Results in {folder}."), soft_wrap=True)
    console.print(RESEARCH_USE)
