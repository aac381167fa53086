"""Two reports to one comparison."""

from __future__ import annotations

from datetime import date

from ctlung.comparison.change import changes
from ctlung.comparison.pair import check_pair, days_between, days_since
from ctlung.errors import NotComparable
from ctlung.records import Comparison, ScanReport
from ctlung.settings import Settings


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

    Numbers of whole lungs and regions are compared as they stand in the two reports; nothing is
    registered, so there is no CT number inside the baseline's inflammatory area here.

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


def _since(
    event: date | None, baseline: ScanReport, followup: ScanReport
) -> tuple[int, int] | None:
    if event is None:
        return None
    first, second = days_since(event, baseline), days_since(event, followup)
    return None if first is None or second is None else (first, second)
