"""Two scans of one patient, from whatever holds them to one comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from ctlung.alignment import Alignment
from ctlung.api import Progress, segment
from ctlung.change_records import Comparison
from ctlung.comparison.compare import compare_reports, unaligned, with_voxels
from ctlung.comparison.pair import FEWEST_SLICES
from ctlung.comparison.person import with_bones
from ctlung.errors import ModelError
from ctlung.identity import Key
from ctlung.lesions.load import load_finder
from ctlung.reading.choose_jointly import Look, choose_jointly
from ctlung.reading.files import is_image_file
from ctlung.reading.finished import has_scan, is_result, read_report, read_result
from ctlung.reading.scan import read_chosen
from ctlung.reading.series import find_series
from ctlung.records import ScanReport, ScanResult
from ctlung.registration.bones import bone_match
from ctlung.registration.register import register
from ctlung.settings import Settings
from ctlung.uncertainty import with_intervals
from ctlung.volume import Anatomy, Scan
from ctlung.writing.comparisons import write_comparison

__all__ = ["align", "compare", "compare_visits", "write_comparison"]

Source = str | Path | ScanResult | ScanReport


def compare(
    baseline: Source,
    followup: Source,
    *,
    voxelwise: bool = True,
    same_person: bool = False,
    infusion: date | None = None,
    onset: date | None = None,
    device: str = "auto",
    settings: Settings | None = None,
    key: Key | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """What changed from baseline to follow-up, each change with its interval.

    Args:
        baseline: the earlier scan: a folder that ``ctlung segment`` finished, a result or a
            report, or whatever :func:`ctlung.segment` measures. A result of the lesion network
            without intervals is given them, unless only reports are compared.
        followup: the later one.
        voxelwise: lay the follow-up's lungs onto the baseline's, for what only that can say: the
            CT number in the baseline's inflammatory area, the restoration index, what is
            resolved, persistent and new. Needs both images; a report has none.
        same_person: you know that both are of one patient, whatever their headers say.
        infusion: day of the infusion.
        onset: day of the first symptoms.
        device: where the networks run, for scans that are still to be measured.
        settings: limits.
        key: makes keyed hashes of scans that are still to be measured.
        progress: called with the stage's name and the finished fraction of the whole, 0 to 1.

    Raises:
        NotComparable: the two may not be compared; the sentence says why.
        InputError: a scan cannot be measured.
        UnreadableFile: a finished folder is damaged.
    """
    ((_, _, found),) = compare_visits(
        (baseline, followup),
        voxelwise=voxelwise,
        same_person=same_person,
        infusion=infusion,
        onset=onset,
        device=device,
        settings=settings,
        key=key,
        progress=progress,
    )
    return found


def compare_visits(
    visits: Sequence[Source],
    *,
    voxelwise: bool = True,
    same_person: bool = False,
    infusion: date | None = None,
    onset: date | None = None,
    device: str = "auto",
    settings: Settings | None = None,
    key: Key | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[int, int, Comparison], ...]:
    """Each visit against the first, and each against the one before it.

    Args:
        visits: two or more, in the order of their dates; each as in :func:`compare`, whose other
            arguments these are too. A scan is measured once. Where a folder holds several series,
            one is chosen that looks like those of the other visits
            (``ctlung.reading.choose_jointly``).

    Returns:
        Numbers of the earlier and the later visit, counted from 1, and their comparison.

    Raises:
        ValueError: fewer than two visits.
        NotComparable, InputError, UnreadableFile: as :func:`compare`.
    """
    if len(visits) < 2:
        raise ValueError("a comparison needs at least two visits")
    limits, say = settings or Settings(), progress or _silent
    readers = _readers(visits, limits)
    there = [
        _visit(source, readers.get(k), voxelwise, (k, len(visits)), device, limits, key, say)
        for k, source in enumerate(visits)
    ]
    pairs = [(0, k) for k in range(1, len(there))] + [(k - 1, k) for k in range(2, len(there))]
    found = []
    for number, (a, b) in enumerate(sorted(pairs, key=lambda pair: (pair[1], pair[0]))):
        one = compare_reports(
            there[a].report,
            there[b].report,
            limits,
            same_person=same_person,
            infusion=infusion,
            onset=onset,
        )
        if voxelwise:
            start, share = 0.60 + 0.38 * number / len(pairs), 0.38 / len(pairs)
            part = _within(say, start, share)
            one = _with_voxels(one, there[a], there[b], same_person, limits, part)
        found.append((a + 1, b + 1, one))
    return tuple(found)


def _with_voxels(
    found: Comparison,
    first: _Visit,
    second: _Visit,
    same_person: bool,
    settings: Settings,
    say: Progress,
) -> Comparison:
    baseline, followup = first.result(), second.result()
    if baseline is None or followup is None:
        return unaligned(found, "there are no images beside at least one of the reports")
    slices = min(r.scan.geometry.shape[0] for r in (baseline, followup))
    if slices < FEWEST_SLICES:
        return unaligned(found, f"one scan has {slices} slices only")
    if not same_person:
        say("comparing bones", 0.0)
        bones = bone_match(*((r.scan, r.lungs) for r in (baseline, followup)))
        found = with_bones(found, bones, same_person, settings)
    alignment = align(baseline, followup, lambda stage, done: say(stage, 0.9 * done))
    say("comparing voxel by voxel", 0.9)
    return with_voxels(found, baseline, followup, alignment, settings)


def align(
    baseline: ScanResult, followup: ScanResult, progress: Progress | None = None
) -> Alignment:
    """Map the baseline's lungs to the follow-up's (``ctlung.registration.register``)."""
    return register(
        (baseline.scan, baseline.lungs, baseline.lesions),
        (followup.scan, followup.lungs, followup.lesions),
        progress,
    )


@dataclass(frozen=True)
class _Visit:
    """A report, and how to get the result that it belongs to, should it be needed."""

    report: ScanReport
    result: Callable[[], ScanResult | None]


Reader = Callable[[Progress], Scan]


def _readers(visits: Sequence[Source], settings: Settings) -> Mapping[int, Reader]:
    """How to read each visit that is a folder of DICOM files, its series chosen with the others."""
    like = []
    listings = {}
    for k, source in enumerate(visits):
        if isinstance(source, ScanReport):
            like.append(_look(source))
        elif isinstance(source, ScanResult):
            like.append(_look(source.report))
        elif is_result(Path(source)):
            like.append(_look(read_report(source)))
        elif not is_image_file(Path(source)):
            listings[k] = find_series(source, settings=settings)
    chosen = choose_jointly(list(listings.values()), like, settings)

    def reader(k: int, number: int) -> Reader:
        series, why = chosen[number]
        return lambda say: read_chosen(
            listings[k], series, why, settings, lambda n, of: say("reading", 0.4 * n / max(1, of))
        )

    return {k: reader(k, number) for number, k in enumerate(listings)}


def _look(report: ScanReport) -> Look:
    provenance = report.provenance
    said = provenance.acquisition.get("slice_thickness_mm")
    return Look(
        str(provenance.acquisition.get("kernel_class") or "unknown"),
        float(said) if said else provenance.spacing_mm[0],
        any(n.code == "contrast" for n in report.notices),
    )


def _visit(
    source: Source,
    read: Reader | None,
    images: bool,
    which: tuple[int, int],
    device: str,
    settings: Settings,
    key: Key | None,
    say: Progress,
) -> _Visit:
    number, count = which
    word = "baseline" if number == 0 else "follow-up" if count == 2 else f"visit {number + 1}"
    if isinstance(source, ScanReport):
        return _Visit(source, lambda: None)
    if isinstance(source, ScanResult):
        return _sure(source, device) if images else _Visit(source.report, lambda: source)
    if is_result(Path(source)):
        report = read_report(source)
        if not (images and has_scan(source)):
            return _Visit(report, lambda: None)
        if report.uncertainty:
            return _Visit(report, lambda: read_result(source, settings))
        say(f"{word}: asking how sure", 0.60 * number / count)
        return _sure(read_result(source, settings), device)

    def so_far(stage: str, done: float) -> None:
        say(f"{word}: {stage}", 0.60 * (number + done) / count)

    result = segment(
        source if read is None else read(so_far),
        uncertainty=True,
        device=device,
        settings=settings,
        key=key,
        progress=so_far,
    )
    return _Visit(result.report, lambda: result)


def _sure(result: ScanResult, device: str) -> _Visit:
    """A visit measured without intervals, with them, if what found its lesions is at hand."""
    report = result.report
    p = report.provenance
    # The rule, which has no weights, also looks at the airways, which no result holds.
    if not report.uncertainty and p.lesion_weights_sha256 is not None:
        with suppress(ModelError):
            finder = load_finder("network", device)
            if (finder.name, finder.weights_sha256) == (p.lesion_method, p.lesion_weights_sha256):
                maps = result.lungs, result.lesions, Anatomy()
                settings = replace(Settings(), **p.settings)
                finder = finder.for_scan(result.scan)
                report = with_intervals(report, result.scan, *maps, finder, settings)
    sure = replace(result, report=report)
    return _Visit(report, lambda: sure)


def _within(say: Progress, start: float, share: float) -> Progress:
    """Progress of a part of the whole."""
    return lambda stage, done: say(stage, start + share * done)


def _silent(stage: str, fraction: float) -> None:
    """Say nothing."""
