"""``ctlung cohort``: a trial's result from the table of a batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctlung.cli.console import sentences
from ctlung.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.trial.result import Cohort
    from ctlung.trial.selection import Schedule


def cohort(
    results: Annotated[
        Path | None,
        typer.Argument(metavar="RESULTS", readable=False, help="Folder that `ctlung batch` wrote."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", "-m", metavar="CSV", readable=False, help="With the arms."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="OUT", help="Folder of the result; made new."),
    ] = None,
    treated: Annotated[
        str | None, typer.Option(metavar="ARM", help="Name of the treated arm.")
    ] = None,
    planned_day: Annotated[
        int | None,
        typer.Option(help="Planned day of the follow-up, after infusion or else baseline."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=0, help="Days that the follow-up may be off.")
    ] = None,
    randomised: Annotated[
        bool, typer.Option("--randomised", help="Patients were put into arms by chance.")
    ] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Leave the arms out until the results are locked.")
    ] = False,
    lock: Annotated[
        bool, typer.Option("--lock", help="Lock the results: no scan will be measured again.")
    ] = False,
    power: Annotated[
        str | None,
        typer.Option(
            metavar="SD,DIFFERENCE",
            help="Only say how many patients per arm a trial needs (power 80 %, two-sided 5 %).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier result in OUT.")
    ] = False,
) -> None:
    """Treated against control, baseline against follow-up: what a trial shows.

    Writes into OUT: cohort.csv with every estimate, test and count. The two primary measures are
    the inflammatory area in percent of the lung and the CT number of the lung that was inflamed at
    baseline; they are adjusted for each other (Holm). All others are exploratory.

    Examples:

      ctlung cohort results -m manifest.csv -o results/cohort

      ctlung cohort results -m manifest.csv -o blinded --blind

      ctlung cohort results --lock

      ctlung cohort --power 6.0,4.0

    Exit code: 0 done, 1 refused (the sentence says why), 2 wrong usage.
    """
    if power is not None:
        _power(power)
        return
    if results is None:
        raise typer.BadParameter("give the folder of a batch", param_hint="RESULTS")
    if lock:
        with sentences():
            from ctlung.trial.blinding import lock_results

            print(f"Locked: sha256 {lock_results(results)}")
        return
    if manifest is None or out is None:
        raise typer.BadParameter("give --manifest and --out", param_hint="RESULTS")
    with sentences():
        from ctlung.trial.selection import Schedule

        run_cohort(
            results,
            manifest,
            out,
            treated=treated,
            schedule=Schedule(planned_day, window),
            randomised=randomised,
            blind=blind,
            force=force,
        )
    sys.stdout.write(RESEARCH_USE + "\n")


def run_cohort(
    results: Path,
    manifest: Path,
    out: Path,
    *,
    treated: str | None = None,
    schedule: Schedule | None = None,
    randomised: bool = False,
    blind: bool = False,
    force: bool = True,
) -> None:
    """Analyse, write, show."""
    from ctlung.trial.cohort import analyse
    from ctlung.trial.cohort_files import write_cohort

    found = analyse(
        results,
        manifest,
        treated=treated,
        schedule=schedule,
        randomised=randomised,
        blind=blind,
    )
    write_cohort(found, out, force=force)
    _show(found, out)


def _show(found: Cohort, out: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for row in found.rows:
        if row.section == "flow" and row.n is not None and not row.text:
            arm = f"{row.arm}: " if row.arm else ""
            console.print(Text(f"{arm}{row.what}: {row.n}"))
    for row in found.rows:
        if row.section == "words":
            console.print(Text(row.text), soft_wrap=True)
    console.print(Text(f"Results in {out}."), soft_wrap=True)


def _power(text: str) -> None:
    from ctlung.trial.statistics import sample_size

    try:
        sd, difference = (float(part) for part in text.split(","))
        n = sample_size(sd, difference)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not SD,DIFFERENCE, such as 6.0,4.0", param_hint="--power"
        ) from None
    print(
        f"{n} patients per arm find a true difference of {difference:g} with 80 % power at a "
        f"standard deviation of {sd:g} (two-sided 5 %, t test of changes)."
    )
