from __future__ import annotations

import math

import pytest

from ctlung.change_records import Change
from ctlung.comparison.change import APART, CHANGED, FACTORS, FLOORS, changes
from ctlung.notices import Notice
from ctlung.records import Measurement, ScanReport, Uncertainty
from ctlung.vocabulary import MEASURES, PAIR_MEASURES

Moves = tuple[float, float]
"""How far a scan's number moves with the lesions' edge, and with noise."""


def _report(*measurements: Measurement, moves: Moves | None = None) -> ScanReport:
    if moves is None:
        return ScanReport(measurements)
    (m,) = measurements
    edge, noise = (moves[0], moves[0]), (moves[1], moves[1])
    none = (0.0, 0.0)
    one = Uncertainty(m.measure, m.region, 0.0, 0.0, 1.0, none, edge, none, noise)
    return ScanReport(measurements, uncertainty=(one,))


def _one(
    measure: str,
    baseline: float,
    followup: float,
    moves: tuple[Moves, Moves] | None = None,
    notices: tuple[Notice, ...] = (),
    days: int | None = None,
    region: str = "lungs",
) -> Change:
    (b, f) = moves or (None, None)
    (change,) = changes(
        _report(Measurement(measure, region, baseline), moves=b),
        _report(Measurement(measure, region, followup), moves=f),
        notices,
        days,
    )
    return change


def test_a_change_is_followup_minus_baseline() -> None:
    change = _one("lesion_volume_ml", 100.0, 40.0, days=12)
    assert change.delta == -60.0
    assert change.delta_percent == -60.0
    assert change.log_ratio == pytest.approx(math.log(41.0 / 101.0))
    assert change.delta_per_day == -5.0
    assert (change.baseline, change.followup, change.unit) == (100.0, 40.0, "ml")


def test_one_report_against_itself_is_exactly_zero() -> None:
    change = _one("lesion_volume_ml", 123.4, 123.4, ((20.0, 3.0), (20.0, 3.0)), days=3)
    assert (change.delta, change.delta_percent, change.log_ratio) == (0.0, 0.0, 0.0)
    assert change.within_noise is True
    assert change.claimed is False


def test_what_both_scans_have_in_common_does_not_widen_the_interval() -> None:
    change = _one("lesion_volume_ml", 100.0, 60.0, ((20.0, 3.0), (8.0, 4.0)))
    apart = 12.0**2 + APART**2 * (20.0**2 + 8.0**2) + 3.0**2 + 4.0**2
    reach = FACTORS["lesion_volume_ml"] * math.sqrt(apart)
    assert change.low == pytest.approx(
        -40.0 - math.hypot(reach, CHANGED["lesion_volume_ml"] * 40.0)
    )
    assert change.high == pytest.approx(-40.0 + reach)
    common = _one("lesion_volume_ml", 100.0, 60.0, ((20.0, 3.0), (20.0, 4.0)))
    assert common.high is not None
    assert change.high is not None
    assert common.high < change.high


def test_a_change_may_be_larger_than_seen_whichever_way_it_goes() -> None:
    up, down, none = (
        _one("lesion_volume_ml", 100.0, f, ((20.0, 3.0), (20.0, 3.0))) for f in (150, 50, 100)
    )
    assert up.high is not None
    assert up.low is not None
    assert (up.low, up.high) == (pytest.approx(-(down.high or 0)), pytest.approx(-(down.low or 0)))
    assert up.high - 50.0 > 50.0 - up.low
    assert none.high == -(none.low or 0)


def test_the_interval_opens_where_it_may_be_breath() -> None:
    def both(volume: float) -> Change:
        first, second = (
            ScanReport(
                (
                    Measurement("lung_volume_ml", "lungs", v),
                    Measurement("lesion_volume_ml", "lungs", m),
                ),
                uncertainty=_report(
                    Measurement("lesion_volume_ml", "lungs", m), moves=(4.0, 3.0)
                ).uncertainty,
            )
            for v, m in ((4000.0, 100.0), (volume, 60.0))
        )
        return changes(first, second)[1]

    still, out, deep = both(4000.0), both(3200.0), both(4800.0)
    assert (still.breath, out.breath, deep.breath) == (
        0.0,
        pytest.approx(-20.0),
        pytest.approx(20.0),
    )
    assert still.low is not None
    assert still.high is not None
    assert (out.low, out.high) == (still.low, pytest.approx(still.high + 20.0))
    assert (deep.low, deep.high) == (pytest.approx(still.low - 20.0), still.high)


def test_without_both_intervals_there_is_none() -> None:
    change = _one("lesion_volume_ml", 100.0, 40.0)
    assert (change.low, change.high, change.claimed) == (None, None, None)
    assert change.within_noise is False


@pytest.mark.parametrize(
    ("measure", "baseline", "floor"),
    [
        ("lesion_volume_ml", 20.0, 10.0),
        ("lesion_volume_ml", 200.0, 40.0),
        ("lesion_percent", 10.0, 2.0),
        ("lung_volume_ml", 4000.0, 400.0),
        ("lung_mean_hu", -800.0, 20.0),
        ("ct_number_lesion_hu", -500.0, 30.0),
        ("laa_950_percent", 5.0, 3.7),
    ],
)
def test_floors_are_those_of_the_field(measure: str, baseline: float, floor: float) -> None:
    below = _one(measure, baseline, baseline - 0.99 * floor)
    above = _one(measure, baseline, baseline - 1.01 * floor)
    assert below.floor == pytest.approx(floor)
    assert below.within_noise is True
    assert above.within_noise is False


def test_every_floor_is_of_a_measure() -> None:
    assert set(FLOORS) <= set(MEASURES) | set(PAIR_MEASURES)
    assert set(FACTORS) <= set(MEASURES) | set(PAIR_MEASURES)


def test_claimed_needs_the_floor_and_the_interval() -> None:
    wide, narrow = ((90.0, 9.0), (20.0, 9.0)), ((5.0, 2.0), (5.0, 2.0))
    assert _one("lesion_volume_ml", 100.0, 40.0, wide).claimed is False
    assert _one("lesion_volume_ml", 100.0, 40.0, narrow).claimed is True
    small = ((0.1, 0.1), (0.1, 0.1))
    assert _one("lesion_volume_ml", 100.0, 92.0, small).claimed is False


def test_a_measure_without_a_floor_claims_nothing() -> None:
    change = _one("lung_kurtosis_excess", 3.0, 9.0, ((0.1, 0.1), (0.1, 0.1)))
    assert (change.floor, change.within_noise, change.claimed) == (None, None, None)


@pytest.mark.parametrize(
    ("measure", "baseline", "given"),
    [
        ("lesion_volume_ml", 4.9, False),
        ("lesion_volume_ml", 5.1, True),
        ("lesion_percent", 0.9, False),
        ("lesion_percent", 1.1, True),
        ("lung_volume_ml", 4000.0, True),
        ("ct_number_lesion_hu", -500.0, False),
        ("lesion_area_max_cm2", 3.0, True),
        ("lesion_area_max_slice", 30.0, False),
    ],
)
def test_percent_only_above_the_detection_limit(measure: str, baseline: float, given: bool) -> None:
    assert (_one(measure, baseline, baseline + 1.0).delta_percent is not None) == given


def test_no_logarithm_of_hu() -> None:
    assert _one("ct_number_lesion_hu", -500.0, -400.0).log_ratio is None


def test_what_is_withheld_in_a_scan_is_withheld_in_the_change() -> None:
    b = Measurement("lesion_percent", "lungs", reason="coverage_top")
    f = Measurement("lesion_percent", "lungs", 3.0)
    (change,) = changes(_report(b), _report(f))
    assert (change.delta, change.reason, change.followup) == (None, "coverage_top", 3.0)


def test_a_notice_of_the_pair_withholds() -> None:
    contrast = Notice("contrast_pair", "null", "x", affects=("ct_number_lesion_hu",))
    change = _one("ct_number_lesion_hu", -500.0, -400.0, notices=(contrast,))
    assert (change.delta, change.reason) == (None, "contrast_pair")
    warned = Notice("contrast_pair", "warn", "x", affects=("ct_number_lesion_hu",))
    assert _one("ct_number_lesion_hu", -500.0, -400.0, notices=(warned,)).delta == 100.0


def test_lying_otherwise_withholds_regions() -> None:
    turned = Notice("position_pair", "null", "x", affects=("bands",))
    third = _one("lesion_volume_ml", 50.0, 20.0, notices=(turned,), region="left_lung_lower")
    assert third.reason == "position_pair"
    assert _one("lesion_volume_ml", 50.0, 20.0, notices=(turned,)).reason is None


def test_regions_that_only_one_has_are_left_out() -> None:
    b = _report(
        Measurement("lesion_percent", "rul", 1.0), Measurement("lesion_percent", "lungs", 1.0)
    )
    f = _report(Measurement("lesion_percent", "lungs", 2.0))
    assert [c.region for c in changes(b, f)] == ["lungs"]


def test_a_change_is_a_number_or_a_reason() -> None:
    with pytest.raises(ValueError, match="value or a reason"):
        Change("lesion_percent", "lungs", 1.0, 2.0)
