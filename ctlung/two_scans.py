"""Two scans of one patient, from whatever holds them to one comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ctlung.alignment import Alignment
from ctlung.api import Progress, segment
from ctlung.change_records import Comparison
from ctlung.comparison.compare import compare_reports, unaligned, with_voxels
from ctlung.identity import Key
from ctlung.reading.finished import has_scan, is_result, read_report, read_result
from ctlung.records import ScanReport, ScanResult
from ctlung.registration.register import FEWEST_SLICES, register
from ctlung.settings import Settings
from ctlung.writing.comparisons import write_comparison

__all__ = ["align", "compare", "write_comparison"]

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
            report, or whatever :func:`ctlung.segment` measures.
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
    settings, say = settings or Settings(), progress or _silent
    visits = [
        _visit(source, number, device, settings, key, say)
        for number, source in enumerate((baseline, followup))
    ]
    say("comparing", 0.60)
    found = compare_reports(
        visits[0].report,
        visits[1].report,
        settings,
        same_person=same_person,
        infusion=infusion,
        onset=onset,
    )
    if not voxelwise:
        return found
    results = [visit.result() for visit in visits]
    if results[0] is None or results[1] is None:
        return unaligned(found, "there are no images beside at least one of the reports")
    slices = min(result.scan.geometry.shape[0] for result in results if result is not None)
    if slices < FEWEST_SLICES:
        return unaligned(found, f"one scan has {slices} slices only")
    alignment = align(results[0], results[1], lambda stage, done: say(stage, 0.60 + 0.35 * done))
    say("comparing voxel by voxel", 0.95)
    return with_voxels(found, results[0], results[1], alignment, settings)


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


def _visit(
    source: Source, number: int, device: str, settings: Settings, key: Key | None, say: Progress
) -> _Visit:
    if isinstance(source, ScanReport):
        return _Visit(source, lambda: None)
    if isinstance(source, ScanResult):
        return _Visit(source.report, lambda: source)
    if is_result(Path(source)):
        return _Visit(
            read_report(source), lambda: read_result(source, settings) if has_scan(source) else None
        )
    word = ("baseline", "follow-up")[number]
    result = segment(
        source,
        uncertainty=True,
        device=device,
        settings=settings,
        key=key,
        progress=lambda stage, done: say(f"{word}: {stage}", 0.30 * (number + done)),
    )
    return _Visit(result.report, lambda: result)


def _silent(stage: str, fraction: float) -> None:
    """Say nothing."""
