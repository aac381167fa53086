"""``check_pair``: may two scans be compared, and what not (FIELD 5, pairs)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from ctlung.comparison.person import by_identifiers
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings

HU_MEASURES = (
    "ct_number_lesion_hu",
    "ct_number_lesion_sd_hu",
    "ct_number_lesion_median_hu",
    "ct_number_lesion_perc10_hu",
    "ct_number_lesion_perc90_hu",
    "lung_mean_hu",
    "lung_median_hu",
    "lung_weight_g",
    "lesion_mass_percent",
)
"""Averages of CT numbers and masses; with ``tails`` and ``bands`` all that contrast moves."""

FEWEST_SLICES = 5
"""With fewer, two scans need not show the same lung, and cannot be laid on one another."""
_NONE = "none"


def check_pair(
    baseline: ScanReport,
    followup: ScanReport,
    settings: Settings | None = None,
    *,
    same_person: bool = False,
) -> tuple[Notice, ...]:
    """What the two reports say about whether their difference means anything.

    Each notice carries both values, the baseline's first. ``refuse``: there is no comparison;
    ``null``: the changes of its ``affects`` are withheld.

    Args:
        baseline: of the earlier scan.
        followup: of the later scan.
        settings: limits.
        same_person: the user vouches that both are of one patient.

    Source: FIELD 5.
    """
    limits = settings or Settings()
    b, f = baseline.provenance.acquisition, followup.provenance.acquisition
    return (
        *by_identifiers(baseline, followup, same_person),
        *_order(b, f, limits),
        *_kernel(b, f),
        *_thickness(baseline, followup, limits),
        *_inspiration(baseline, followup, limits),
        *_contrast(baseline, followup),
        *_maker(b, f),
        *_position(b, f),
        *_slices(baseline, followup),
        *_method(baseline, followup),
    )


def days_between(baseline: ScanReport, followup: ScanReport) -> int | None:
    """Days from the baseline's acquisition to the follow-up's; ``None`` without both dates."""
    first = _date(baseline.provenance.acquisition)
    second = _date(followup.provenance.acquisition)
    return None if first is None or second is None else (second - first).days


def days_since(event: date, report: ScanReport) -> int | None:
    """Days from an event to a scan; ``None`` without the scan's date."""
    taken = _date(report.provenance.acquisition)
    return None if taken is None else (taken - event).days


def _date(facts: Mapping[str, Any]) -> date | None:
    try:
        return datetime.strptime(str(facts.get("acquisition_date") or ""), "%Y%m%d").date()
    except ValueError:
        return None


def _order(b: Mapping[str, Any], f: Mapping[str, Any], settings: Settings) -> tuple[Notice, ...]:
    first, second = _date(b), _date(f)
    if first is None or second is None:
        return (
            Notice(
                "interval",
                "warn",
                "The date of at least one scan is not known: no change per day, and the order is "
                "the one that you gave.",
                str(first or _NONE),
                str(second or _NONE),
            ),
        )
    days = (second - first).days
    both = (str(first), str(second))
    if days < 0:
        return (
            Notice(
                "order",
                "refuse",
                f"The follow-up ({second}) was taken before the baseline ({first}); give them in "
                "the order of their dates.",
                *both,
                affects=("all",),
            ),
        )
    if days == 0:
        sentence = f"Both scans were taken on one day ({first}); which came first is your choice."
        return (Notice("order", "warn", sentence, *both),)
    if days <= settings.interval_warn_days:
        return ()
    return (
        Notice(
            "interval",
            "warn",
            f"{days} days lie between the scans: more may have happened than the treatment.",
            float(days),
            float(settings.interval_warn_days),
            "days",
        ),
    )


def _kernel(b: Mapping[str, Any], f: Mapping[str, Any]) -> tuple[Notice, ...]:
    mine, theirs = (str(facts.get("kernel_class") or "unknown") for facts in (b, f))
    names = tuple(str(facts.get("kernel") or "unknown") for facts in (b, f))
    if mine == theirs and (names[0] == names[1] or mine != "unknown"):
        return ()
    far = {mine, theirs} == {"soft", "sharp"}
    withheld = "; changes of tails of the histogram are withheld" if far else ""
    return (
        Notice(
            "kernel_pair",
            "null" if far else "warn",
            f"The scans were reconstructed with different kernels ({names[0]}, {mine}; "
            f"{names[1]}, {theirs}): CT numbers and small structures differ by that "
            f"alone{withheld}.",
            f"{names[0]} ({mine})",
            f"{names[1]} ({theirs})",
            affects=("tails",),
        ),
    )


def _thickness(
    baseline: ScanReport, followup: ScanReport, settings: Settings
) -> tuple[Notice, ...]:
    mine, theirs = (_thickness_mm(report) for report in (baseline, followup))
    if min(mine, theirs) <= 0:
        return ()
    ratio = max(mine, theirs) / min(mine, theirs)
    if ratio <= settings.thickness_pair_warn:
        return ()
    far = ratio > settings.thickness_pair_null
    withheld = " Changes of tails of the histogram are withheld." if far else ""
    return (
        Notice(
            "thickness_pair",
            "null" if far else "warn",
            f"The slices are {mine:g} and {theirs:g} mm thick: thick ones blur small lesions and "
            f"edges.{withheld}",
            f"{mine:g} mm",
            f"{theirs:g} mm",
            affects=("tails",),
        ),
    )


def _thickness_mm(report: ScanReport) -> float:
    said = report.provenance.acquisition.get("slice_thickness_mm")
    return float(said) if said else float(report.provenance.spacing_mm[0])


def _inspiration(
    baseline: ScanReport, followup: ScanReport, settings: Settings
) -> tuple[Notice, ...]:
    mine, theirs = (_value(report, "lung_volume_ml") for report in (baseline, followup))
    if not mine or theirs is None:
        return ()
    percent = 100.0 * (theirs - mine) / mine
    if abs(percent) <= settings.inspiration_pair_warn_percent:
        return ()
    far = abs(percent) > settings.inspiration_pair_null_percent
    withheld = (
        " Changes of density and bands are withheld; mass and its percentage stay." if far else ""
    )
    return (
        Notice(
            "inspiration_pair",
            "null" if far else "warn",
            f"The lungs hold {mine:.0f} and {theirs:.0f} ml ({percent:+.0f} %): the breath "
            "differs, or lung was lost or regained; both change density and every percentage of "
            f"lung.{withheld}",
            f"{mine:.0f} ml",
            f"{theirs:.0f} ml",
            affects=("lung_mean_hu", "lung_median_hu", "bands", "tails"),
        ),
    )


def _value(report: ScanReport, measure: str) -> float | None:
    try:
        return report.value(measure)
    except KeyError:
        return None


def _contrast(baseline: ScanReport, followup: ScanReport) -> tuple[Notice, ...]:
    mine, theirs = (
        any(n.code == "contrast" for n in report.notices) for report in (baseline, followup)
    )
    if mine == theirs:
        return ()
    words = {True: "given", False: "not given"}
    return (
        Notice(
            "contrast_pair",
            "null",
            f"Contrast agent was {words[mine]} for the baseline and {words[theirs]} for the "
            "follow-up: changes of CT numbers and masses are withheld.",
            words[mine],
            words[theirs],
            affects=(*HU_MEASURES, "bands", "tails"),
        ),
    )


def _maker(b: Mapping[str, Any], f: Mapping[str, Any]) -> tuple[Notice, ...]:
    found = []
    for code, names, words in (
        ("vendor_pair", ("manufacturer", "model"), "scanners"),
        ("kvp_pair", ("kvp",), "tube voltages"),
    ):
        mine, theirs = (
            " ".join(str(facts.get(name) or "") for name in names).strip() for facts in (b, f)
        )
        if mine and theirs and mine != theirs:
            sentence = f"The scans were made with different {words} ({mine}; {theirs})."
            found.append(Notice(code, "warn", sentence, mine, theirs))
    return tuple(found)


def _position(b: Mapping[str, Any], f: Mapping[str, Any]) -> tuple[Notice, ...]:
    mine, theirs = (_lying(str(facts.get("patient_position") or "")) for facts in (b, f))
    if mine is None or theirs is None or mine == theirs:
        return ()
    return (
        Notice(
            "position_pair",
            "null",
            f"The patient lay {mine} for the baseline and {theirs} for the follow-up: what hangs "
            "on gravity differs, and changes of density and of regions are withheld.",
            mine,
            theirs,
            affects=(*HU_MEASURES, "bands", "tails"),
        ),
    )


def _lying(position: str) -> str | None:
    """DICOM's patient position as a word; ``None`` where it says nothing."""
    words = {"S": "supine", "P": "prone", "DR": "on the right side", "DL": "on the left side"}
    return words.get(position[2:].upper()) if len(position) in (3, 4) else None


def _slices(baseline: ScanReport, followup: ScanReport) -> tuple[Notice, ...]:
    mine, theirs = (report.provenance.shape[0] for report in (baseline, followup))
    if min(mine, theirs) >= FEWEST_SLICES or min(mine, theirs) == 0:
        return ()
    return (
        Notice(
            "few_slices_pair",
            "warn",
            f"The scans have {mine} and {theirs} slices: whether both show the same part of the "
            "lungs is not known, so a difference between them may be one of place. No change is "
            "claimed.",
            mine,
            theirs,
            "slices",
            affects=("all",),
        ),
    )


def _method(baseline: ScanReport, followup: ScanReport) -> tuple[Notice, ...]:
    b, f = baseline.provenance, followup.provenance
    apart = []
    for name, mine, theirs in (
        ("version of ctlung", b.version, f.version),
        ("lung segmenter", b.segmenter, f.segmenter),
        ("its weights", b.weights_sha256, f.weights_sha256),
        ("lesion finder", b.lesion_method, f.lesion_method),
        ("its weights", b.lesion_weights_sha256, f.lesion_weights_sha256),
        ("settings", dict(b.settings), dict(f.settings)),
    ):
        if mine != theirs:
            apart.append(name)
    if not apart:
        return ()
    listed = ", ".join(dict.fromkeys(apart))
    return (
        Notice(
            "method_pair",
            "refuse",
            f"The two scans were not measured in the same way ({listed} differ): their difference "
            "would be partly that of the methods. Measure both again with the same command.",
            affects=("all",),
        ),
    )
