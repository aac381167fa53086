"""``ctlung compare``: what changed between two scans of one patient."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctlung.cli.console import progress, require_device, sentences, settings_from
from ctlung.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.change_records import Comparison


def compare(
    visits: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE FOLLOWUP...",
            readable=False,
            help="Two or more visits in the order of their dates: folders that `ctlung segment` "
            "made, or scans to measure.",
        ),
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
    page: Annotated[
        bool,
        typer.Option("--page/--no-page", help="Write report.html, the page to look at and print."),
    ] = True,
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
    picture change.png. report.html shows it all in a browser. Folders that `ctlung segment
    --uncertainty` made are compared in under a minute; scans are measured first. Of more than two
    visits each is compared with the first and with the one before it, in folders of OUT named
    2-against-1, 3-against-1, 3-against-2 ...

    Examples:

      ctlung compare results/p07-baseline results/p07-day10 -o results/p07-change

      ctlung compare p07/20200210 p07/20200220 -o out --infusion 2020-02-12

      ctlung compare results/day0 results/day10 results/day28 -o results/p07

    Exit code: 0 done, 1 refused (the sentence says why), 2 wrong usage, 130 interrupted.
    """
    settings = settings_from(override or [])
    require_device(device)
    if len(visits) < 2:
        raise typer.BadParameter("give at least two visits", param_hint="BASELINE FOLLOWUP...")
    if as_json and len(visits) > 2:
        raise typer.BadParameter("it prints one comparison; give two visits", param_hint="--json")
    days = _day(infusion, "--infusion"), _day(onset, "--onset")
    with sentences():
        from ctlung import api, two_scans
        from ctlung.writing.comparisons import comparison_as_json, require_comparison_output

        places = _places(out, len(visits))
        for place in places.values():
            require_comparison_output(place, force=force)
        with progress() as say:
            found = two_scans.compare_visits(
                visits,
                voxelwise=voxelwise,
                same_person=same_person,
                infusion=days[0],
                onset=days[1],
                device=device,
                settings=settings,
                key=api.load_key(),
                progress=say,
            )
            for first, second, one in found:
                two_scans.write_comparison(one, places[first, second], force=force, with_page=page)
        for first, second, one in found:
            if as_json:
                sys.stdout.write(comparison_as_json(one))
            else:
                _show(one, places[first, second], (first, second) if len(found) > 1 else None)
        if not as_json:
            sys.stdout.write(RESEARCH_USE + "\n")


def _places(out: Path, count: int) -> dict[tuple[int, int], Path]:
    """The folder of each comparison."""
    if count == 2:
        return {(1, 2): out}
    pairs = [(1, k) for k in range(2, count + 1)] + [(k - 1, k) for k in range(3, count + 1)]
    return {(a, b): out / f"{b}-against-{a}" for a, b in pairs}


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no day; write it as 2020-02-12", param_hint=option
        ) from None


def _show(found: Comparison, folder: Path, which: tuple[int, int] | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ctlung.writing.headline import change_rows, restoration_lines

    console = Console(highlight=False)
    heads = ("baseline", "follow-up")
    if which is not None:
        heads = (f"visit {which[0]}", f"visit {which[1]}")
    table = Table("", *heads, "change", "", box=None, pad_edge=False)
    for row in change_rows(found):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for line in restoration_lines(found):
        console.print(Text(line), soft_wrap=True)
    for notice in found.notices:
        console.print(Text(f"{notice.effect:>4}: {notice.sentence}"), soft_wrap=True)
    console.print(Text(f"Results in {folder}."), soft_wrap=True)
