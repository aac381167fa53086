from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ctlung.comparison.change import changes
from ctlung.comparison.pair import check_pair, days_between
from ctlung.notices import Notice
from ctlung.records import Measurement, Provenance, ScanReport, Uncertainty
from ctlung.settings import Settings
from ctlung.vocabulary import PAIR_NOTICES, expand

FACTS: dict[str, Any] = {
    "manufacturer": "SIEMENS",
    "model": "Definition",
    "kernel": "B30f",
    "kernel_class": "soft",
    "slice_thickness_mm": 1.5,
    "kvp": 120.0,
    "patient_position": "HFS",
    "acquisition_date": "20200301",
    "sex": "F",
    "patient_hash": "aaa",
    "birth_date_hash": "bbb",
}


def _report(
    lung_ml: float | None = 4000.0, notices: tuple[Notice, ...] = (), **facts: Any
) -> ScanReport:
    volume = Measurement("lung_volume_ml", "lungs", lung_ml, None if lung_ml else "coverage_top")
    provenance = Provenance(
        "1", acquisition=FACTS | facts, key_fingerprint="k", spacing_mm=(1.5, 0.7, 0.7)
    )
    return ScanReport((volume,), notices=notices, provenance=provenance)


BASE = _report()


def _check(followup: ScanReport, baseline: ScanReport = BASE, **how: Any) -> dict[str, Notice]:
    notices = check_pair(baseline, followup, **how)
    assert len({n.code for n in notices}) == len(notices)
    assert {n.code for n in notices} <= set(PAIR_NOTICES)
    return {n.code: n for n in notices}


def test_two_scans_alike_have_nothing_to_say() -> None:
    assert _check(_report(acquisition_date="20200310")) == {}


def test_days_are_counted_from_the_dates() -> None:
    assert days_between(BASE, _report(acquisition_date="20200310")) == 9
    assert days_between(BASE, _report(acquisition_date=None)) is None
    assert days_between(BASE, _report(acquisition_date="2020-03")) is None


@pytest.mark.parametrize("what", ["patient_hash", "birth_date_hash", "sex"])
def test_another_person_is_refused_unless_the_user_knows_better(what: str) -> None:
    other = _report(**{what: "other"}, acquisition_date="20200310")
    assert _check(other)["same_person"].effect == "refuse"
    assert _check(other, same_person=True)["same_person"].effect == "warn"


@pytest.mark.parametrize("missing", [{"patient_hash": None}, {"patient_hash": ""}])
def test_without_a_patient_id_it_warns(missing: dict[str, Any]) -> None:
    other = _report(**missing, acquisition_date="20200310")
    assert _check(other)["same_person"].effect == "warn"
    assert _check(other, same_person=True) == {}


def test_hashes_of_two_keys_are_not_compared() -> None:
    other = _report(acquisition_date="20200310", patient_hash="zzz")
    other = replace(other, provenance=replace(other.provenance, key_fingerprint="another"))
    assert _check(other)["same_person"].effect == "warn"


def test_the_order_of_dates() -> None:
    assert _check(_report(acquisition_date="20200229"))["order"].effect == "refuse"
    assert _check(_report(acquisition_date="20200301"))["order"].effect == "warn"
    notice = _check(_report(acquisition_date="20200629"))["interval"]
    assert (notice.effect, notice.measured, notice.limit) == ("warn", 120.0, 90.0)
    assert _check(_report(acquisition_date=None))["interval"].effect == "warn"


@pytest.mark.parametrize(
    ("kernel", "kind", "effect"),
    [
        ("B70f", "sharp", "null"),
        ("B50f", "medium", "warn"),
        ("B31f", "soft", None),
        ("", "unknown", "warn"),
    ],
)
def test_kernels(kernel: str, kind: str, effect: str | None) -> None:
    found = _check(_report(kernel=kernel, kernel_class=kind, acquisition_date="20200310"))
    if effect is None:
        assert found == {}
        return
    notice = found["kernel_pair"]
    assert notice.effect == effect
    assert "soft" in str(notice.measured)
    assert kind in str(notice.limit)
    assert "lung_perc15_hu" in expand(notice.affects)


@pytest.mark.parametrize(
    ("mm", "effect"), [(1.5, None), (2.2, None), (3.0, "warn"), (5.0, "null"), (0.4, "null")]
)
def test_thickness(mm: float, effect: str | None) -> None:
    found = _check(_report(slice_thickness_mm=mm, acquisition_date="20200310"))
    assert {c: n.effect for c, n in found.items()} == (
        {} if effect is None else {"thickness_pair": effect}
    )


def test_thickness_without_a_header_is_the_spacing() -> None:
    found = _check(_report(slice_thickness_mm=None, acquisition_date="20200310"))
    assert found == {}


@pytest.mark.parametrize(
    ("ml", "effect"),
    [(4000, None), (4390, None), (4500, "warn"), (3500, "warn"), (5100, "null"), (2900, "null")],
)
def test_breath(ml: float, effect: str | None) -> None:
    found = _check(_report(ml, acquisition_date="20200310"))
    assert {c: n.effect for c, n in found.items()} == (
        {} if effect is None else {"inspiration_pair": effect}
    )
    if effect:
        affected = expand(found["inspiration_pair"].affects)
        assert "lung_mean_hu" in affected
        assert not affected & {"lesion_mass_percent", "lesion_volume_ml", "lung_weight_g"}


def test_breath_is_not_asked_of_lungs_cut_off() -> None:
    assert _check(_report(None, acquisition_date="20200310")) == {}


def test_contrast_on_one_side_only() -> None:
    given = (Notice("contrast", "warn", "Contrast agent was given."),)
    other = _report(notices=given, acquisition_date="20200310")
    notice = _check(other)["contrast_pair"]
    assert (notice.effect, notice.measured, notice.limit) == ("null", "not given", "given")
    affected = expand(notice.affects)
    assert {"ct_number_lesion_hu", "lung_mean_hu", "lung_weight_g"} <= affected
    assert "lesion_volume_ml" not in affected
    assert _check(other, _report(notices=given)) == {}


def test_scanner_and_voltage() -> None:
    other = _report(manufacturer="GE", kvp=100.0, acquisition_date="20200310")
    found = _check(other)
    assert {c: n.effect for c, n in found.items()} == {"vendor_pair": "warn", "kvp_pair": "warn"}
    assert (found["kvp_pair"].measured, found["kvp_pair"].limit) == ("120.0", "100.0")
    assert (
        _check(_report(manufacturer=None, model=None, kvp=None, acquisition_date="20200310")) == {}
    )


@pytest.mark.parametrize(
    ("position", "effect"),
    [("HFP", "null"), ("FFS", None), ("FFP", "null"), ("HFDR", "null"), (None, None), ("X", None)],
)
def test_position(position: str | None, effect: str | None) -> None:
    found = _check(_report(patient_position=position, acquisition_date="20200310"))
    assert {c: n.effect for c, n in found.items()} == (
        {} if effect is None else {"position_pair": effect}
    )


@pytest.mark.parametrize(
    "other",
    [
        {"version": "2"},
        {"segmenter": "threshold"},
        {"weights_sha256": "x"},
        {"lesion_method": "rule-1"},
        {"lesion_weights_sha256": "x"},
        {"settings": {"rim_mm": 2.0}},
    ],
)
def test_measured_in_two_ways(other: dict[str, Any]) -> None:
    later = _report(acquisition_date="20200310")
    later = replace(later, provenance=replace(later.provenance, **other))
    assert _check(later)["method_pair"].effect == "refuse"


def test_limits_are_settings() -> None:
    loose = Settings(inspiration_pair_warn_percent=50.0, interval_warn_days=400)
    other = _report(5100, acquisition_date="20200901")
    assert _check(other, settings=loose) == {}


def test_a_slice_or_two_may_show_other_lung_so_nothing_is_claimed() -> None:
    def few(slices: int, report: ScanReport = BASE) -> ScanReport:
        provenance = replace(report.provenance, shape=(slices, 512, 512))
        return replace(report, provenance=provenance)

    later = _report(acquisition_date="20200310")
    assert _check(few(300, later), few(5)) == {}
    notice = _check(few(1, later), few(300))["few_slices_pair"]
    assert (notice.effect, notice.measured, notice.limit) == ("warn", 300, 1)
    sure = Uncertainty("lung_volume_ml", "lungs", 3900, 4100, 1.0, *[(1.0, 1.0)] * 4)
    for slices, claimed in ((5, True), (4, None)):
        a, b = few(slices), few(slices, _report(3000.0, acquisition_date="20200310"))
        pair = [replace(r, uncertainty=(sure,)) for r in (a, b)]
        (change,) = changes(*pair, check_pair(*pair))
        assert change.claimed is claimed
        assert change.delta == -1000.0
