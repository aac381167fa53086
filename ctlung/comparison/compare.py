"""Two reports to one comparison."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from ctlung.alignment import Alignment
from ctlung.change_records import Change, Comparison, Restoration, Voxelwise
from ctlung.comparison.change import changes
from ctlung.comparison.gate import gate
from ctlung.comparison.pair import check_pair, days_between, days_since
from ctlung.comparison.voxelwise import voxelwise
from ctlung.errors import NotComparable
from ctlung.notices import Notice
from ctlung.records import ScanReport, ScanResult
from ctlung.settings import Settings
from ctlung.vocabulary import PAIR_MEASURES


def compare_reports(
    baseline: ScanReport,
    followup: ScanReport,
    settings: Settings | None = None,
    *,
    same_person: bool = False,
    infusion: date | None = None,
    onset: date | None = None,
) -> Comparison:
    """What changed from baseline to follow-up, measure by measure and region by region.

    Numbers of whole lungs and regions are compared as they stand in the two reports; what needs
    both scans laid on one another is added by :func:`with_voxels`.

    Args:
        baseline: the earlier report.
        followup: the later report.
        settings: limits.
        same_person: the user vouches that both are of one patient.
        infusion: day of the infusion.
        onset: day of the first symptoms.

    Raises:
        NotComparable: the two may not be compared; the sentence says why.
    """
    notices = check_pair(baseline, followup, settings, same_person=same_person)
    for notice in notices:
        if notice.effect == "refuse":
            raise NotComparable(notice.sentence, code=notice.code)
    days = days_between(baseline, followup)
    return Comparison(
        baseline,
        followup,
        changes(baseline, followup, notices, days),
        notices,
        days,
        _since(infusion, baseline, followup),
        _since(onset, baseline, followup),
    )


def unaligned(comparison: Comparison, why: str) -> Comparison:
    """The comparison with a notice that, and why, nothing can be said voxel by voxel."""
    notice = Notice(
        "registration",
        "null",
        f"The two scans were not laid on one another, for {why}: nothing is said voxel by voxel; "
        "numbers of whole lungs and regions stay.",
        affects=tuple(PAIR_MEASURES),
    )
    changes = tuple(Change(m, "lungs", None, None, reason="not_registered") for m in PAIR_MEASURES)
    return replace(
        comparison,
        changes=(*comparison.changes, *changes),
        notices=(*comparison.notices, notice),
        voxelwise=Voxelwise(
            restoration=Restoration(reason="not_registered"), reason="not_registered"
        ),
    )


def with_voxels(
    comparison: Comparison,
    baseline: ScanResult,
    followup: ScanResult,
    alignment: Alignment,
    settings: Settings | None = None,
) -> Comparison:
    """The comparison with what two scans laid on one another say beside it.

    Args:
        comparison: of the two reports.
        baseline: whose report it was.
        followup: likewise.
        alignment: of the two; whether it is good enough is judged here.
        settings: limits.
    """
    limits = settings or Settings()
    notices = (*comparison.notices, *gate(alignment, baseline, followup, limits))
    found, more = voxelwise(baseline, followup, alignment, notices, limits)
    return replace(
        comparison, changes=(*comparison.changes, *more), notices=notices, voxelwise=found
    )


def _since(
    event: date | None, baseline: ScanReport, followup: ScanReport
) -> tuple[int, int] | None:
    if event is None:
        return None
    first, second = days_since(event, baseline), days_since(event, followup)
    return None if first is None or second is None else (first, second)
