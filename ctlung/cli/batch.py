"""``ctlung manifest`` and ``ctlung batch``: a whole trial's scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctlung.cli.console import progress, require_device, sentences, settings_from
from ctlung.vocabulary import EXIT_PARTIAL, RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.trial.store import Tally

MOST_SHOWN = 20


def manifest(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", readable=False, help="Holds the scans of all patients."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="CSV", help="File to make; without it, on stdout."),
    ] = None,
) -> None:
    """Draft the list of a trial's scans from their DICOM headers.

    A row per scan: patient, visit, path, date, arm, series, infusion, onset. Patients are named
    P001, P002 ... and never by their own names; look at the paths to see who is who, and fill in
    arm, infusion and onset.

    Example:

      ctlung manifest scans/ -o manifest.csv

    Exit code: 0 done, 1 refused, 2 wrong usage.
    """
    with sentences():
        from ctlung.errors import OutputError
        from ctlung.trial.manifest import draft_manifest, manifest_as_csv

        if out is not None and out.exists():
            raise OutputError(
                f"{out} exists already and was left as it is; name another file.",
                code="output_exists",
            )
        rows, left_out = draft_manifest(folder)
        text = manifest_as_csv(rows, None if out is None else out.parent)
        if out is None:
            sys.stdout.write(text)
        else:
            out.write_text(text, encoding="utf-8")
            print(f"{len(rows)} scans of {len({r.patient for r in rows})} patients in {out}.")
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)


def batch(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST|FOLDER",
            readable=False,
            help="A manifest (CSV, see `ctlung manifest`), or a folder of DICOM studies.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="OUT", help="Folder of the results; may be begun."),
    ],
    with_cohort: Annotated[
        bool, typer.Option("--cohort", help="Go on to the trial's result (see `ctlung cohort`).")
    ] = False,
    segmenter: Annotated[
        str, typer.Option(metavar="NAME", help="Lung segmenter, as in `ctlung segment`.")
    ] = "default",
    finder: Annotated[
        str, typer.Option(metavar="NAME", help="Lesion finder: network or rule.")
    ] = "default",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where the networks run: auto, cpu, cuda, cuda:N.")
    ] = "auto",
    same_person: Annotated[
        bool,
        typer.Option("--same-person", help="The manifest is right about who is who."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default as many as cores and memory bear."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster, tcp://HOST:PORT."),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override a limit."),
    ] = None,
) -> None:
    """Measure every scan of a trial and compare every visit with the patient's first.

    Writes into OUT: scans/ and pairs/ with a folder each, as `ctlung segment` and `ctlung compare`
    make them, and the table results.csv and results.parquet. What is finished stays: start the
    same command again after any interruption. A scan that cannot be measured stops nothing; it is
    a row with its reason.

    Examples:

      ctlung manifest scans/ -o manifest.csv

      ctlung batch manifest.csv -o results

      ctlung batch manifest.csv -o results --cohort

    Exit code: 0 done, 1 refused, 2 wrong usage, 3 done but for some scans, 130 interrupted.
    """
    settings = settings_from(override or [])
    require_device(device)
    if with_cohort and source.suffix.lower() != ".csv":
        raise typer.BadParameter(
            "the arms stand in a manifest; draft one with `ctlung manifest`", param_hint="--cohort"
        )
    with sentences():
        from ctlung.trial import batch as work
        from ctlung.trial.store import tally_of

        with progress() as say:
            table = work.batch(
                source,
                out,
                segmenter=segmenter,
                finder=finder,
                device=device,
                same_person=same_person,
                settings=settings,
                workers=workers,
                dask=dask,
                progress=say,
            )
        tally = tally_of(table)
        _tell(tally, out)
        if with_cohort:
            from ctlung.cli.cohort import run_cohort

            run_cohort(out, source, out / "cohort")
    sys.stdout.write(RESEARCH_USE + "\n")
    if tally.troubles:
        raise typer.Exit(EXIT_PARTIAL)


def _tell(tally: Tally, out: Path) -> None:
    print(f"{tally.measured} of {tally.scans} scans were measured; results in {out}.")
    for line in tally.troubles[:MOST_SHOWN]:
        print(f"  {line}")
    if len(tally.troubles) > MOST_SHOWN:
        print(f"  and {len(tally.troubles) - MOST_SHOWN} more, see results.csv")
