"""A report in the few words that people read first: on the picture and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ctlung.change_records import Change, Comparison
from ctlung.notices import Notice
from ctlung.records import Measurement, ScanReport
from ctlung.vocabulary import (
    LOBES,
    MEASURES,
    NOTICES,
    PAIR_MEASURES,
    PAIR_NOTICES,
    REASONS,
    Measure,
)

UNITS_FOR_PEOPLE = {"cm2": "cm²", "slice": "", "1": ""}
EFFECT_ORDER = {"refuse": 0, "null": 1, "warn": 2, "note": 3}
NOT_GIVEN = "not given"


@dataclass(frozen=True)
class Figure:
    """One headline: what it is, the number with its unit, and what stands beside it.

    ``given`` is false where ``number`` is "not given" and ``beside`` says why.
    """

    measure: str
    title: str
    number: str
    beside: str
    given: bool


@dataclass(frozen=True)
class RegionRow:
    """One region's line in the small table: lung ml, lesion ml, lesion percent, CT number."""

    region: str
    cells: tuple[str, ...]


TABLE_MEASURES = ("lung_volume_ml", "lesion_volume_ml", "lesion_percent", "ct_number_lesion_hu")
TABLE_HEADS = ("lung ml", "area ml", "area %", "CT no. HU")
TABLE_REGIONS = ("lungs", "right_lung", "left_lung")


def headline(report: ScanReport) -> tuple[Figure, ...]:
    """The figures that the trial asks for, for both lungs, rounded as FIELD says."""
    found = (
        _figure(report, "lung_volume_ml", _in_view(report, "lung_volume")),
        _figure(report, "lesion_percent", _of_volume(report)),
        _figure(report, "lesion_volume_ml", _tissues(report)),
        _figure(report, "lesion_area_max_cm2", _where(report)),
        _figure(report, "ct_number_lesion_hu", _spread(report)),
        _figure(report, "lung_mean_hu", ""),
    )
    return tuple(figure for figure in found if figure is not None)


def region_table(report: ScanReport) -> tuple[RegionRow, ...]:
    """Lung volume, inflammatory area in ml and percent, and CT number, by side, and by lobe."""
    rows = []
    lobes = tuple(name for name in LOBES if _find(report, TABLE_MEASURES[0], name))
    for region in TABLE_REGIONS + lobes:
        found = [_find(report, measure, region) for measure in TABLE_MEASURES]
        cells = tuple("–" if m is None or m.value is None else rounded(m) for m in found)
        rows.append(RegionRow(region.upper() if region in LOBES else words(region), cells))
    return tuple(rows)


def notices_by_weight(report: ScanReport) -> tuple[Notice, ...]:
    """The notices, the gravest first; equals keep their order."""
    return tuple(sorted(report.notices, key=lambda notice: EFFECT_ORDER[notice.effect]))


def short_notice(notice: Notice) -> str:
    """A notice in one line: what, with the measured value and the limit."""
    text = NOTICES.get(notice.code, notice.code)
    measured = _quantity(notice.measured, notice.unit)
    limit = _quantity(notice.limit, notice.unit)
    if measured and limit:
        return f"{text} ({measured}, limit {limit})"
    return f"{text} ({measured})" if measured else text


def reason_words(reason: str) -> str:
    """A reason code as words."""
    told = REASONS.get(reason) or NOTICES.get(reason) or PAIR_NOTICES.get(reason)
    return told or words(reason)


def rounded(measurement: Measurement) -> str:
    """The value as a person reads it, with a true minus sign and without its unit."""
    return _in_figures(float(measurement.value or 0.0), MEASURES[measurement.measure].decimals)


def _in_figures(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def _about(measure: str) -> Measure:
    return MEASURES.get(measure) or PAIR_MEASURES[measure]


def words(name: str) -> str:
    """A snake_case name as words."""
    return name.replace("_", " ")


CHANGE_MEASURES = (
    "lung_volume_ml",
    "lesion_percent",
    "lesion_volume_ml",
    "lesion_area_max_cm2",
    "ct_number_lesion_hu",
    "ct_number_baseline_region_hu",
    "lesion_mass_percent",
    "lung_mean_hu",
)


@dataclass(frozen=True)
class ChangeRow:
    """One change as words: what, then and now, the change with its interval, what to make of it.

    ``given`` is false where there is no change, and ``verdict`` then says why.
    """

    title: str
    baseline: str
    followup: str
    delta: str
    verdict: str
    given: bool


def change_rows(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    """Title, baseline, follow-up, change with its interval, and what to make of it."""
    there = {c.measure for c in comparison.changes}
    rows = (change_row(comparison[m]) for m in CHANGE_MEASURES if m in there)
    return tuple((r.title, r.baseline, r.followup, r.delta, r.verdict) for r in rows)


SURVIVORS = (
    "The CT number of the current area can rise while lungs heal: thin ground-glass clears first "
    "and leaves the area, what stays is denser. The CT number in the baseline's area follows the "
    "same lung."
)
"""Why the two CT numbers may go apart (FIELD 1.4)."""


def restoration_lines(comparison: Comparison) -> tuple[str, ...]:
    """What became of the lung that was inflamed, in sentences; none without voxel answers."""
    found = comparison.voxelwise
    if found is None:
        return ()
    r = found.restoration
    if r.index is None:
        return (f"Restoration index: {NOT_GIVEN}; {reason_words(r.reason or '')}.",)
    lines = [
        f"Restoration index {_signed(r.index, 2)} (0 as at baseline, 1 as the patient's own "
        f"aerated lung: {_signed(r.reference_baseline_hu, 0)} HU then, "
        f"{_signed(r.reference_followup_hu, 0)} HU now)."
    ]
    current = comparison["ct_number_lesion_hu"].delta
    carried = comparison["ct_number_baseline_region_hu"].delta
    if current is not None and carried is not None and current > 0 > carried:
        lines.append(SURVIVORS)
    return tuple(lines)


def _signed(value: float | None, decimals: int) -> str:
    text = "–" if value is None else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def change_row(change: Change) -> ChangeRow:
    """A change as a person reads it."""

    def shown(value: float | None, sign: bool = False) -> str:
        if value is None:
            return NOT_GIVEN
        text = _in_figures(value, _about(change.measure).decimals)
        return f"+{text}" if sign and value > 0 else text

    unit = UNITS_FOR_PEOPLE.get(change.unit, change.unit)
    title = f"{_about(change.measure).title}, {unit}"
    ends = (shown(change.baseline), shown(change.followup))
    if change.delta is None:
        return ChangeRow(title, *ends, NOT_GIVEN, reason_words(change.reason or ""), given=False)
    delta = shown(change.delta, sign=True)
    if change.low is not None and change.high is not None:
        delta += f" ({shown(change.low, sign=True)} to {shown(change.high, sign=True)})"
    return ChangeRow(title, *ends, delta, _verdict(change), given=True)


def _verdict(change: Change) -> str:
    if change.within_noise is None:
        return ""
    if change.within_noise:
        return "within noise (provisional)"
    if change.claimed is None:
        why = "no interval" if change.low is None else "perhaps of another place in the lung"
        return f"above the floor; {why}"
    return "more than noise" if change.claimed else "above the floor, but the interval holds 0"


def _figure(report: ScanReport, measure: str, beside: str) -> Figure | None:
    measurement = _find(report, measure)
    if measurement is None:
        return None
    title = MEASURES[measure].title
    if measurement.value is None:
        why = reason_words(measurement.reason or "")
        extra = f"; {beside}" if beside.startswith("in view") else ""
        return Figure(measure, title, NOT_GIVEN, why + extra, given=False)
    number = _with_unit(measurement) + _interval(measurement)
    return Figure(measure, title, number, beside, given=True)


def _with_unit(measurement: Measurement) -> str:
    unit = UNITS_FOR_PEOPLE.get(measurement.unit, measurement.unit)
    return f"{rounded(measurement)} {unit}".rstrip()


def _interval(measurement: Measurement) -> str:
    """The interval where there is one, as `` (10.1 to 14.8)``."""
    if measurement.low is None or measurement.high is None:
        return ""
    ends = (replace(measurement, value=end) for end in (measurement.low, measurement.high))
    return " ({} to {})".format(*(rounded(end) for end in ends))


def _find(report: ScanReport, measure: str, region: str = "lungs") -> Measurement | None:
    try:
        return report[measure, region]
    except KeyError:
        return None


def _given(report: ScanReport, measure: str, region: str = "lungs") -> str | None:
    measurement = _find(report, measure, region)
    if measurement is None or measurement.value is None:
        return None
    return _with_unit(measurement)


def _in_view(report: ScanReport, quantity: str) -> str:
    whole = _given(report, f"{quantity}_ml")
    part = _given(report, f"{quantity}_measured_ml")
    if whole is None:
        return f"in view: {part}" if part else ""
    right = _given(report, f"{quantity}_ml", "right_lung")
    left = _given(report, f"{quantity}_ml", "left_lung")
    return f"right {right}, left {left}" if right and left else ""


def _of_volume(report: ScanReport) -> str:
    parts = []
    for side in ("right", "left"):
        share = _given(report, "lesion_percent", f"{side}_lung")
        if share:
            parts.append(f"{side} {share}")
    return ", ".join(parts)


def _tissues(report: ScanReport) -> str:
    if _given(report, "lesion_volume_ml") is None:
        return _in_view(report, "lesion_volume")
    parts = []
    for tissue in ("ground_glass", "consolidation"):
        volume = _given(report, f"{tissue}_volume_ml")
        if volume:
            parts.append(f"{words(tissue)} {volume}")
    return ", ".join(parts)


def _where(report: ScanReport) -> str:
    number = _given(report, "lesion_area_max_slice")
    share = _given(report, "lesion_area_max_percent")
    if number is None:
        return ""
    return f"slice {number}" + (f", {share} of the lung there" if share else "")


def _spread(report: ScanReport) -> str:
    spread = _given(report, "ct_number_lesion_sd_hu")
    median = _given(report, "ct_number_lesion_median_hu")
    return ", ".join([f"SD {spread}"] * bool(spread) + [f"median {median}"] * bool(median))


def _quantity(value: float | str | None, unit: str) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else f"{value:.4g}".replace("-", "−")
    return f"{text} {UNITS_FOR_PEOPLE.get(unit, unit)}".rstrip()
