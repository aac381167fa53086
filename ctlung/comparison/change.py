"""What changed, measure by measure, and whether it is more than noise (FIELD 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ctlung.notices import Notice
from ctlung.records import Change, Measurement, ScanReport
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
    }
)
"""Provisional repeatability floors (FIELD 6): a smaller change is within noise. They are choices,
not measurements; ``lesion_mass_percent`` has that of ``lesion_percent``."""


@dataclass(frozen=True)
class _Pair:
    baseline: Measurement
    followup: Measurement


def changes(
    baseline: ScanReport,
    followup: ScanReport,
    notices: Sequence[Notice] = (),
    days: int | None = None,
) -> tuple[Change, ...]:
    """Follow-up minus baseline of every measure in every region that both reports have.

    A change is withheld, with its reason, where either number is, and where a notice of the pair
    says so. The interval of a change adds the two scans' intervals as squares (they share no
    noise); it knows nothing of a second scan of an unchanged patient, which the floor stands for.
    ``within_noise`` is true where the change is not above the floor; ``claimed`` where it is above
    and its interval leaves 0 out.

    Args:
        baseline: the earlier report.
        followup: the later report.
        notices: of :func:`~ctlung.comparison.pair.check_pair`.
        days: between the scans.

    Source: FIELD 6.
    """
    later = {(m.region, m.measure): m for m in followup.measurements}
    taken = [n for n in notices if n.effect == "null"]
    found = []
    for m in baseline.measurements:
        other = later.get((m.region, m.measure))
        if other is not None:
            found.append(_change(_Pair(m, other), taken, days))
    return tuple(found)


def _change(pair: _Pair, taken: Sequence[Notice], days: int | None) -> Change:
    b, f = pair.baseline, pair.followup
    why = b.reason or f.reason or _withheld(b.measure, b.region, taken)
    if why is not None or b.value is None or f.value is None:
        return Change(b.measure, b.region, b.value, f.value, reason=why)
    delta = f.value - b.value
    low, high = _interval(pair, delta)
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
    )


def _withheld(measure: str, region: str, taken: Sequence[Notice]) -> str | None:
    for notice in taken:
        if measure in expand(notice.affects):
            return notice.code
        if notice.code == "position_pair" and region in THIRDS:
            return notice.code
    return None


def _interval(pair: _Pair, delta: float) -> tuple[float | None, float | None]:
    b, f = pair.baseline, pair.followup
    ends = (b.low, b.high, f.low, f.high)
    if b.value is None or f.value is None or any(end is None for end in ends):
        return None, None
    b_low, b_high, f_low, f_high = (float(end) for end in ends if end is not None)
    low = math.hypot(f.value - f_low, b_high - b.value)
    high = math.hypot(f_high - f.value, b.value - b_low)
    return delta - low, delta + high


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
