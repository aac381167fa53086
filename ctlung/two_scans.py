"""Two scans of one patient, from whatever holds them to one comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
            arguments these are too. A scan is measured once.

    Returns:
        Numbers of the earlier and the later visit, counted from 1, and their comparison.

    Raises:
        ValueError: fewer than two visits.
        NotComparable, InputError, UnreadableFile: as :func:`compare`.
    """
    if len(visits) < 2:
        raise ValueError("a comparison needs at least two visits")
    limits, say = settings or Settings(), progress or _silent
    there = [
        _visit(source, (k, len(visits)), device, limits, key, say)
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
            one = _with_voxels(one, there[a], there[b], limits, _within(say, start, share))
        found.append((a + 1, b + 1, one))
    return tuple(found)


def _with_voxels(
    found: Comparison, first: _Visit, second: _Visit, settings: Settings, say: Progress
) -> Comparison:
    baseline, followup = first.result(), second.result()
    if baseline is None or followup is None:
        return unaligned(found, "there are no images beside at least one of the reports")
    slices = min(r.scan.geometry.shape[0] for r in (baseline, followup))
    if slices < FEWEST_SLICES:
        return unaligned(found, f"one scan has {slices} slices only")
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


def _visit(
    source: Source,
    which: tuple[int, int],
    device: str,
    settings: Settings,
    key: Key | None,
    say: Progress,
) -> _Visit:
    if isinstance(source, ScanReport):
        return _Visit(source, lambda: None)
    if isinstance(source, ScanResult):
        return _Visit(source.report, lambda: source)
    if is_result(Path(source)):
        return _Visit(
            read_report(source), lambda: read_result(source, settings) if has_scan(source) else None
        )
    number, count = which
    word = "baseline" if number == 0 else "follow-up" if count == 2 else f"visit {number + 1}"
    result = segment(
        source,
        uncertainty=True,
        device=device,
        settings=settings,
        key=key,
        progress=lambda stage, done: say(f"{word}: {stage}", 0.60 * (number + done) / count),
    )
    return _Visit(result.report, lambda: result)


def _within(say: Progress, start: float, share: float) -> Progress:
    """Progress of a part of the whole."""
    return lambda stage, done: say(stage, start + share * done)


def _silent(stage: str, fraction: float) -> None:
    """Say nothing."""
