"""``ctlung segment``: measure one scan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctlung.cli.console import progress, require_device, sentences, settings_from
from ctlung.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from ctlung.identity import Key
    from ctlung.records import ScanReport, ScanResult
    from ctlung.settings import Settings


def segment(
    scan: Annotated[
        Path,
        typer.Argument(
            metavar="SCAN",
            readable=False,  # reading says better what may not be read
            help="Folder with a DICOM series, a DICOM file, a .zip, or a NIfTI, NRRD or "
            "MetaImage file in HU.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the results; made new.")
    ],
    series: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Measure this series (see `ctlung check`)."),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Lung segmenter: network (the default), threshold, or, where installed with "
            "their weights, lungmask, lungmask-lobes, totalsegmentator.",
        ),
    ] = None,
    lungs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Lungs or lobes of this scan that you have already, used instead of a "
            "segmenter: a NIfTI, NRRD or MetaImage label map (1 right and 2 left lung, or one "
            "label, or lobes 1 to 5), a DICOM SEG or an RTSTRUCT.",
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Regions of this scan to be measured by themselves, as far as they lie in the "
            "lungs: any label map, DICOM SEG or RTSTRUCT. Each label, segment or structure is "
            "the region user_NAME of the report.",
        ),
    ] = None,
    finder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What finds lesions: network (the default) or rule."),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Give the headline measures an interval: how far they move with the masks' "
            "edges, the bands and noise. Takes some ten seconds more.",
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="Where the networks run: auto, cpu, cuda or cuda:N."),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier result of ctlung in OUT.")
    ] = False,
    scan_file: Annotated[
        bool,
        typer.Option(
            "--scan/--no-scan",
            help="Write scan.nii.gz; without it a later comparison needs the DICOM again.",
        ),
    ] = True,
    page: Annotated[
        bool,
        typer.Option("--page/--no-page", help="Write report.html, the page to look at and print."),
    ] = True,
    identifiers: Annotated[
        bool,
        typer.Option(
            "--identifiers", help="Write patient and study identifiers into report.json in clear."
        ),
    ] = False,
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Write lungs_and_lesions.seg.dcm (DICOM SEG) and measurements.sr.dcm (DICOM SR) "
            "too. Both carry the patient's name, ID and birth date and the study's numbers in "
            "clear, as SCAN has them, for an archive files them by these.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON and nothing else.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override a limit; kept in the report."),
    ] = None,
) -> None:
    """Measure a chest CT: lungs, inflammatory area, CT number of the inflammatory area.

    Writes into OUT: report.json, measurements.csv, slices.csv, lungs.nii.gz, lesions.nii.gz,
    scan.nii.gz, overlay.png and report.html. Look at one of the last two before you use a number.

    Examples:

      ctlung segment patient07/baseline -o results/patient07-baseline

      ctlung segment export.zip -o out --series 1.2.840.113619.2.55.3

      ctlung segment scan.nii.gz -o out --json > report.json

      ctlung segment patient07/baseline -o out --lungs drawn/rtstruct.dcm

      ctlung segment patient07/baseline -o out --regions drawn/tumour.seg.nrrd

      ctlung segment patient07/baseline -o out --dicom

    Exit code: 0 done, 1 refused (the sentence says why), 2 wrong usage, 130 interrupted.
    """
    settings = settings_from(override or [])
    _require_usage(segmenter, lungs, device)
    with sentences():
        from ctlung import api
        from ctlung.writing.results import require_output
        from ctlung.writing.tables import report_as_json

        require_output(out, force=force)
        if dicom:
            from ctlung.exchange import require_dicom

            require_dicom(scan)
        key = api.load_key()
        loaded = None
        if lungs is None:
            try:
                loaded = api.load_segmenter(segmenter or "default", device)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--segmenter") from None
        try:
            looker = api.load_finder(finder or "default", device)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--finder") from None
        with progress() as say:
            result = api.segment(
                scan,
                series=series,
                segmenter=loaded,
                lungs=lungs,
                regions=() if regions is None else regions,
                finder=looker,
                uncertainty=uncertainty,
                settings=settings,
                key=key,
                identifiers=identifiers,
                progress=lambda stage, done: say(stage, 0.9 * done),
            )
            say("writing", 0.9)
            folder = api.write_result(result, out, force=force, with_scan=scan_file, with_page=page)
            if dicom:
                say("writing DICOM", 0.95)
                _write_dicom(result, scan, folder, key, settings)
        if as_json:
            sys.stdout.write(report_as_json(result.report))
        else:
            _show(result.report, folder)


def _require_usage(segmenter: str | None, lungs: Path | None, device: str) -> None:
    if lungs is not None and segmenter is not None:
        raise typer.BadParameter(
            "lungs that are given are not looked for; leave --segmenter out", param_hint="--lungs"
        )
    require_device(device)


def _write_dicom(
    result: ScanResult, scan: Path, folder: Path, key: Key, settings: Settings
) -> None:
    from ctlung.errors import CtlungError
    from ctlung.exchange import write_dicom

    try:
        write_dicom(result, scan, folder, key=key, settings=settings)
    except CtlungError as error:
        raise type(error)(f"{error} All else is written, in {folder}.", code=error.code) from error


def _show(report: ScanReport, folder: Path) -> None:
    """The headline, the notices and where the files are, for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ctlung.writing.headline import headline, notices_by_weight
    from ctlung.writing.results import OVERLAY_FILE, PAGE_FILE

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    for figure in headline(report):
        table.add_row(figure.title, Text(figure.number, style="bold"), figure.beside)
    console.print(table)
    if report.provenance.chosen_because:
        console.print(Text(report.provenance.chosen_because), soft_wrap=True)
    for notice in notices_by_weight(report):
        console.print(Text(f"{notice.effect:>4}: {notice.sentence}"), soft_wrap=True)
    look = folder / PAGE_FILE if (folder / PAGE_FILE).is_file() else folder / OVERLAY_FILE
    console.print(Text(f"Results in {folder}; look at {look} first."), soft_wrap=True)
    console.print(RESEARCH_USE)
