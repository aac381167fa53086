"""What changed, measure by measure, and whether it is more than noise (FIELD 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from ctlung.change_records import Change
from ctlung.notices import Notice
from ctlung.records import Measurement, ScanReport, Uncertainty
from ctlung.vocabulary import GROUPS, MEASURES, THIRDS, expand

DETECTION_ML, DETECTION_PERCENT = 5.0, 1.0
"""Least baseline lesion of which a relative change is given (FIELD 6)."""
LOG_SHIFT: Final = MappingProxyType({"ml": 1.0, "%": 0.1})
"""Added to both values before the logarithm, by unit."""

_Floor = Callable[[float, float], float]


def _absolute(floor: float) -> _Floor:
    return lambda b, f: floor


def _relative(percent: float, least: float = 0.0) -> _Floor:
    return lambda b, f: max(least, percent / 100.0 * max(abs(b), abs(f)))


FLOORS: Final[MappingProxyType[str, _Floor]] = MappingProxyType(
    {
        "lung_volume_ml": _relative(10.0),
        "lung_weight_g": _relative(10.0),
        "lung_mean_hu": _absolute(20.0),
        "lung_perc15_hu": _absolute(18.0),
        "lesion_percent": _absolute(2.0),
        "lesion_volume_ml": _relative(20.0, 10.0),
        "ground_glass_volume_ml": _relative(20.0, 10.0),
        "consolidation_volume_ml": _relative(20.0, 10.0),
        "ct_number_lesion_hu": _absolute(30.0),
        "ct_number_lesion_median_hu": _absolute(30.0),
        "laa_950_percent": _absolute(3.7),
        "haa_600_250_percent": _absolute(2.0),
        "lesion_mass_percent": _absolute(2.0),
        "ct_number_baseline_region_hu": _absolute(30.0),
    }
)
"""Provisional repeatability floors (FIELD 6): a smaller change is within noise. They are choices,
not measurements; ``lesion_mass_percent`` has that of ``lesion_percent``."""

FACTORS: Final = MappingProxyType(
    {
        "lung_volume_ml": 1.0,
        "lesion_percent": 1.4,
        "lesion_volume_ml": 1.4,
        "ground_glass_volume_ml": 1.4,
        "consolidation_volume_ml": 1.4,
        "lesion_area_max_cm2": 1.4,
        "ct_number_lesion_hu": 1.9,
        "lung_mean_hu": 1.0,
        "lung_weight_g": 1.0,
        "lesion_mass_percent": 1.7,
        "ct_number_baseline_region_hu": 1.0,
    }
)
"""What the movements of a change are stretched by: the smallest that held nine in ten pairs of the
training family without a change (scripts/calibrate_changes.py, 29 pairs with and without one), for
lungs 1, which is more than they needed. Area, ground-glass and consolidation have that of the
lesions' volume. In the baseline's area it is the factor towards 0; away from 0 it is
``WATERED_DOWN``."""
CHANGED: Final = MappingProxyType(
    {
        "lesion_percent": 0.6,
        "lesion_volume_ml": 0.6,
        "ground_glass_volume_ml": 0.6,
        "consolidation_volume_ml": 0.6,
        "lesion_area_max_cm2": 0.6,
        "ct_number_lesion_hu": 0.6,
    }
)
"""Which share of a change is not known away from 0: what came or went was found in one scan only,
so what the finder overlooks of it does not cancel: 0.52 to 0.58 held nine in ten of those 29 pairs
that changed. Shares of mass needed none, and towards 0 nothing did."""
WATERED_DOWN = 3.2
"""A region that holds what was no lesion waters a change down: the truth lies further from 0 than
what was measured much more often than nearer to it (the same pairs)."""
APART = 0.3
"""Which share of a movement the two scans do not have in common."""


@dataclass(frozen=True)
class _Pair:
    baseline: Measurement
    followup: Measurement
    sure: tuple[Uncertainty, Uncertainty] | None


def changes(
    baseline: ScanReport,
    followup: ScanReport,
    notices: Sequence[Notice] = (),
    days: int | None = None,
) -> tuple[Change, ...]:
    """Follow-up minus baseline of every measure in every region that both reports have.

    A change is withheld, with its reason, where either number is, and where a notice of the pair
    says so. The interval of a change is made of what moves both scans' numbers
    (:class:`~ctlung.records.Uncertainty`): a border drawn too wide is drawn too wide in both, so
    only the difference of the movements counts, and 0.3 of each; noise counts in full, and so
    does, away from 0, a share of the change itself (``CHANGED``). It opens
    on the side on which a difference in breath alone may have moved the measure
    (:func:`breath_effect`). It knows nothing of a second scan of an unchanged patient, which the
    floor stands for.
    ``within_noise`` is true where the change is not above the floor; ``claimed`` where it is above
    and its interval leaves 0 out; ``None`` where a scan has too few slices to show the same lung.

    Args:
        baseline: the earlier report.
        followup: the later report.
        notices: of :func:`~ctlung.comparison.pair.check_pair`.
        days: between the scans.

    Source: FIELD 6.
    """
    later = {(m.region, m.measure): m for m in followup.measurements}
    first, second = (
        {(u.region, u.measure): u for u in report.uncertainty} for report in (baseline, followup)
    )
    taken = [n for n in notices if n.effect == "null"]
    elsewhere = any(n.code == "few_slices_pair" for n in notices)
    found = []
    for m in baseline.measurements:
        other = later.get((m.region, m.measure))
        if other is not None:
            ratio = _inflation(baseline, followup, m.region)
            at = (m.region, m.measure)
            sure = (first[at], second[at]) if at in first and at in second else None
            change = _change(_Pair(m, other, sure), taken, days, ratio)
            found.append(replace(change, claimed=None) if elsewhere else change)
    return tuple(found)


def _inflation(baseline: ScanReport, followup: ScanReport, region: str) -> float | None:
    """Lung volume at follow-up per lung volume at baseline: of the region's own lung, or both."""
    side = next((r for r in ("right_lung", "left_lung") if region.startswith(r)), "lungs")
    try:
        mine, theirs = (r.value("lung_volume_ml", side) for r in (baseline, followup))
    except KeyError:
        return None
    return theirs / mine if mine and theirs else None


def breath_effect(measure: str, baseline: float, followup: float, ratio: float) -> float | None:
    """What breathing alone may have done to a measure, were the lungs inflated evenly.

    Lesions in ml grow and shrink with the lungs; CT numbers of lesions move against them, their
    mass kept. That is the most that can be: consolidated lung hardly takes part. Shares of mass do
    not move. Volumes, percentages and densities of whole lungs do, and are meant to tell.
    """
    if measure in ("lesion_volume_ml", "ground_glass_volume_ml", "consolidation_volume_ml"):
        return baseline * (ratio - 1.0)
    if measure in ("ct_number_lesion_hu", "ct_number_lesion_median_hu"):
        return (followup + 1000.0) * (1.0 - ratio)
    return None


def with_breath(
    ends: tuple[float | None, float | None], breath: float | None
) -> tuple[float | None, float | None]:
    """An interval of a change, opened on the side on which it may be breath."""
    low, high = ends
    if breath is None or low is None or high is None:
        return ends
    return low - max(0.0, breath), high - min(0.0, breath)


def _change(pair: _Pair, taken: Sequence[Notice], days: int | None, ratio: float | None) -> Change:
    b, f = pair.baseline, pair.followup
    why = b.reason or f.reason or _withheld(b.measure, b.region, taken)
    if why is not None or b.value is None or f.value is None:
        return Change(b.measure, b.region, b.value, f.value, reason=why)
    delta = f.value - b.value
    breath = None if ratio is None else breath_effect(b.measure, b.value, f.value, ratio)
    low, high = with_breath(_interval(pair, delta), breath)
    floor_of = FLOORS.get(b.measure)
    floor = None if floor_of is None else floor_of(b.value, f.value)
    within = None if floor is None else abs(delta) <= floor
    apart = None if low is None or high is None else not low <= 0.0 <= high
    claimed = None if within is None or apart is None else apart and not within
    unit = MEASURES[b.measure].unit
    shift = LOG_SHIFT.get(unit)
    return Change(
        b.measure,
        b.region,
        b.value,
        f.value,
        delta,
        low,
        high,
        _percent(b.measure, b.value, delta),
        None if shift is None else math.log((f.value + shift) / (b.value + shift)),
        None if not days else delta / days,
        floor,
        within,
        claimed,
        breath,
    )


def _withheld(measure: str, region: str, taken: Sequence[Notice]) -> str | None:
    for notice in taken:
        if measure in expand(notice.affects):
            return notice.code
        if notice.code == "position_pair" and region in THIRDS:
            return notice.code
    return None


def _interval(pair: _Pair, delta: float) -> tuple[float | None, float | None]:
    if pair.sure is None:
        return None, None
    b, f = pair.sure
    squares = max(b.noise) ** 2 + max(f.noise) ** 2
    for name in ("lung_edge", "lesion_edge", "band"):
        mine, theirs = getattr(b, name), getattr(f, name)
        squares += max(abs(y - x) for x, y in zip(mine, theirs, strict=True)) ** 2
        squares += APART**2 * (max(mine) ** 2 + max(theirs) ** 2)
    reach = FACTORS.get(pair.baseline.measure, 1.0) * math.sqrt(squares)
    far = math.hypot(reach, CHANGED.get(pair.baseline.measure, 0.0) * delta)
    return (delta - reach, delta + far) if delta > 0 else (delta - far, delta + reach)


def _percent(measure: str, baseline: float, delta: float) -> float | None:
    """Relative change; none below the detection limit, and none of CT numbers or places."""
    unit = MEASURES[measure].unit
    if unit not in ("ml", "g", "%", "cm2") or baseline <= 0.0:
        return None
    if measure in GROUPS["lesions"]:
        least = DETECTION_PERCENT if unit == "%" else DETECTION_ML
        if unit in ("ml", "%") and baseline < least:
            return None
    return 100.0 * delta / baseline
