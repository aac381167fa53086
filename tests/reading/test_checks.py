"""``check_scan``: each notice where it belongs, and silence where it does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from support.chest import chest, with_acquisition

from ctlung.geometry import Geometry
from ctlung.notices import Notice
from ctlung.reading.checks import check_scan, muscle_peak_hu
from ctlung.settings import Settings
from ctlung.vocabulary import GROUPS, MEASURES, NOTICES
from ctlung.volume import HU_MAX, HU_MIN, Scan


def _with_hu(scan: Scan, hu: np.ndarray) -> Scan:
    return dataclasses.replace(scan, hu=np.clip(np.rint(hu), HU_MIN, HU_MAX).astype(np.int16))


def _shifted(by: float) -> Scan:
    scan = chest().scan
    return _with_hu(scan, scan.hu.astype(float) + by)


def _said(scan: Scan, code: str, settings: Settings | None = None) -> Notice | None:
    found = [n for n in check_scan(scan, settings) if n.code == code]
    assert len(found) <= 1
    return found[0] if found else None


def _one(scan: Scan, code: str, effect: str, settings: Settings | None = None) -> Notice:
    notice = _said(scan, code, settings)
    assert notice is not None, f"no notice {code}"
    assert notice.effect == effect
    assert notice.sentence.endswith(".")
    assert notice.sentence[0].isupper()
    return notice


def test_a_good_scan_has_nothing_to_say() -> None:
    assert check_scan(chest().scan) == ()


def test_what_reading_said_is_passed_on() -> None:
    said = Notice("tilt", "warn", "The gantry was tilted.")
    scan = dataclasses.replace(chest().scan, notices=(said,))
    assert check_scan(scan) == (said,)


# not HU: intercept forgotten, applied twice, pictures


def test_intercept_forgotten_is_refused() -> None:
    """Stored values as they are: air 0, muscle 1074."""
    notice = _one(_shifted(1024), "hu_range", "refuse")
    assert "are not Hounsfield units" in notice.sentence
    assert "rescale slope and intercept" in notice.sentence


def test_intercept_forgotten_with_noise_below_zero_is_refused() -> None:
    effects = {n.code: n.effect for n in check_scan(_shifted(1000))}
    assert "refuse" in effects.values()
    notice = _one(_shifted(1000), "hu_range", "refuse")
    assert "hardly any lie below -300" in notice.sentence


def test_intercept_applied_twice_is_refused() -> None:
    """Air clips at -1024, muscle lies at -974: all looks like air."""
    scan = _shifted(-1024)
    assert "refuse" in {n.effect for n in check_scan(scan)}


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_a_wrong_slope_is_refused(slope: float) -> None:
    scan = chest().scan
    wrong = _with_hu(scan, (scan.hu.astype(float) + 1024) * slope - 1024)
    assert "refuse" in {n.effect for n in check_scan(wrong)}


def test_eight_bit_pictures_are_refused() -> None:
    scan = chest().scan
    picture = np.clip((scan.hu.astype(float) + 1350) / 1500 * 255, 0, 255)
    notice = _one(_with_hu(scan, picture), "hu_range", "refuse")
    assert notice.limit == 500
    assert isinstance(notice.measured, float)
    assert notice.measured < 256
    assert notice.affects == ("all",)


def test_pictures_turned_back_to_hu_are_told() -> None:
    scan = chest().scan
    levels = np.round(np.clip((scan.hu.astype(float) + 1200) / 1400, 0, 1) * 150)
    notice = _one(_with_hu(scan, levels / 150 * 1400 - 1200), "few_grey_levels", "warn")
    assert isinstance(notice.measured, float)
    assert 100 < notice.measured <= 151
    assert notice.limit == 256
    assert "windowed pictures" in notice.sentence


def test_a_narrow_range_is_refused() -> None:
    scan = chest().scan
    notice = _one(_with_hu(scan, np.clip(scan.hu, -200, 250)), "hu_range", "refuse")
    assert notice.measured == 450
    assert "-200 to 250" in notice.sentence


def test_nothing_but_padding_is_refused() -> None:
    scan = chest().scan
    blank = dataclasses.replace(
        scan,
        hu=np.full(scan.hu.shape, HU_MIN, np.int16),
        outside_fov=np.ones(scan.hu.shape, bool),
    )
    assert "nothing but padding" in _one(blank, "hu_range", "refuse").sentence


# air


@pytest.mark.parametrize(
    ("air", "effect"),
    [(-1000, None), (-975, None), (-960, "warn"), (-910, "warn"), (-890, "refuse")],
)
def test_air_outside_the_body(air: int, effect: str | None) -> None:
    scan = chest(noise_hu=6.0).scan
    moved = _with_hu(scan, np.where(scan.hu < -940, scan.hu + (air + 1000), scan.hu))
    if effect is None:
        assert _said(moved, "hu_air") is None
        return
    notice = _one(moved, "hu_air", effect)
    assert notice.measured == pytest.approx(air, abs=3)
    assert notice.limit == (100 if effect == "refuse" else 30)
    assert notice.unit == "HU"
    assert "it should be -1000" in notice.sentence


def test_air_clipped_at_the_lower_end_is_no_fault() -> None:
    scan = chest(noise_hu=6.0).scan
    clipped = _with_hu(scan, np.where(scan.hu < -940, HU_MIN, scan.hu))
    assert _said(clipped, "hu_air") is None


def test_padding_is_not_measured_as_air() -> None:
    scan = chest(fov_mm=345.0).scan
    assert scan.outside_fov is not None
    odd = np.where(scan.outside_fov, -850, scan.hu).astype(np.int16)
    assert _said(dataclasses.replace(scan, hu=odd), "hu_air") is None
    thin = np.where(scan.hu < -900, -850, scan.hu).astype(np.int16)
    assert _said(dataclasses.replace(scan, hu=thin), "hu_air") is not None


def test_lung_at_the_edge_of_a_narrow_field_is_not_measured_as_air() -> None:
    """No room air is in view at all: nothing can be said of it."""
    scan = chest(x_mm=(-100, 100), y_mm=(-84, 84)).scan
    assert _said(scan, "hu_air") is None


# soft tissue


@pytest.mark.parametrize(
    ("muscle", "effect"), [(50, None), (30, None), (85, None), (5, "warn"), (110, "warn")]
)
def test_muscle(muscle: int, effect: str | None) -> None:
    scan = chest(noise_hu=6.0).scan
    soft = (scan.hu > 0) & (scan.hu < 120)
    moved = _with_hu(scan, np.where(soft, scan.hu + (muscle - 50), scan.hu))
    if effect is None:
        assert _said(moved, "hu_soft_tissue") is None
        return
    notice = _one(moved, "hu_soft_tissue", effect)
    assert notice.measured == pytest.approx(muscle, abs=8)
    assert notice.limit == "20..90"
    assert "muscle should lie near +50" in notice.sentence


def test_all_of_the_body_too_dense_is_refused() -> None:
    """Everything but air 300 HU too dense, as after a wrong intercept of one part."""
    scan = chest(noise_hu=6.0).scan
    moved = _with_hu(scan, np.where(scan.hu > -300, scan.hu + 300, scan.hu))
    notice = _one(moved, "hu_soft_tissue", "refuse")
    assert notice.limit == "-50..150"


def test_contrast_does_not_move_the_muscle() -> None:
    assert _said(chest(blood_hu=300).scan, "hu_soft_tissue") is None


def test_muscle_peak_by_itself() -> None:
    rng = np.random.default_rng(0)
    muscle = rng.normal(52, 20, 20_000)
    fat = rng.normal(-100, 20, 30_000)
    lung = rng.normal(-860, 30, 200_000)
    values = np.rint(np.concatenate([muscle, fat, lung])).astype(np.int16)
    assert muscle_peak_hu(values) == pytest.approx(52, abs=6)
    assert muscle_peak_hu(np.rint(lung[:1500]).astype(np.int16)) is None
    assert muscle_peak_hu(np.full(5000, -1000, np.int16)) is None


# header


@pytest.mark.parametrize(
    ("mm", "effect", "limit", "affects"),
    [
        (1.0, None, 0, ()),
        (3.0, None, 0, ()),
        (4.0, "warn", 3.0, ("tails", "lesions")),
        (5.0, "warn", 3.0, ("tails", "lesions")),
        (7.0, "null", 5.0, ("tails",)),
        (10.0, "null", 5.0, ("tails",)),
        (12.0, "null", 10.0, ("volumes", "tails")),
    ],
)
def test_thickness(mm: float, effect: str | None, limit: float, affects: tuple[str, ...]) -> None:
    scan = with_acquisition(chest().scan, slice_thickness_mm=mm)
    if effect is None:
        assert _said(scan, "thickness") is None
        return
    notice = _one(scan, "thickness", effect)
    assert (notice.measured, notice.limit, notice.unit) == (mm, limit, "mm")
    assert set(affects) <= set(notice.affects)
    assert f"{mm:.2g} mm thick (limit {limit:g} mm)" in notice.sentence


def test_thickness_is_taken_from_the_spacing_where_the_header_is_silent() -> None:
    scan = with_acquisition(chest().scan, slice_thickness_mm=None)
    notice = _one(scan, "thickness_assumed", "note")
    assert notice.measured == pytest.approx(4.0)
    assert "does not state a slice thickness" in notice.sentence
    assert _one(scan, "thickness", "warn").measured == pytest.approx(4.0)
    assert _said(chest().scan, "thickness_assumed") is None


def test_a_single_slice_without_thickness_says_nothing_of_it() -> None:
    scan = with_acquisition(chest(z_mm=(128, 131)).scan, slice_thickness_mm=None)
    assert scan.hu.shape[0] == 1
    codes = {n.code for n in check_scan(scan)}
    assert not codes & {"thickness", "thickness_assumed"}


@pytest.mark.parametrize(
    ("kernel", "kind", "effect", "words"),
    [
        ("B30f", "soft", None, ""),
        ("STANDARD", "medium", None, ""),
        ("B70f", "sharp", "null", "The sharp kernel B70f"),
        ("XYZ", "unknown", "warn", "The kernel 'XYZ' is not in the table"),
        (None, "unknown", "warn", "No kernel is stated"),
    ],
)
def test_kernel(kernel: str | None, kind: str, effect: str | None, words: str) -> None:
    scan = with_acquisition(chest().scan, kernel=kernel, kernel_class=kind)
    if effect is None:
        assert _said(scan, "kernel") is None
        return
    notice = _one(scan, "kernel", effect)
    assert notice.affects == ("tails",)
    assert notice.limit == "soft or medium"
    assert words in notice.sentence


def test_contrast_in_the_header() -> None:
    notice = _one(with_acquisition(chest().scan, contrast_agent="Iopromide"), "contrast", "warn")
    assert "The header states a contrast agent" in notice.sentence
    assert "Iopromide" not in notice.sentence
    assert _said(chest().scan, "contrast") is None


@pytest.mark.parametrize(
    ("position", "effect", "words"),
    [
        ("HFS", None, ""),
        ("FFS", None, ""),
        ("HFP", "warn", "The patient position is HFP, not supine"),
        ("FFDR", "warn", "The patient position is FFDR, not supine"),
        (None, "note", "does not say how the patient lay"),
    ],
)
def test_position(position: str | None, effect: str | None, words: str) -> None:
    scan = with_acquisition(chest().scan, patient_position=position)
    if effect is None:
        assert _said(scan, "position") is None
        return
    assert words in _one(scan, "position", effect).sentence


# all of them


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hu_air_warn": 0.01}, "hu_air"),
        ({"hu_soft_tissue_warn_low": 60.0}, "hu_soft_tissue"),
        ({"hu_range_refuse": 5000.0}, "hu_range"),
        ({"grey_levels_warn": 5000}, "few_grey_levels"),
        ({"thickness_warn_mm": 1.0}, "thickness"),
    ],
)
def test_every_limit_is_a_setting(changes: dict[str, Any], code: str) -> None:
    scan = _shifted(3) if code == "hu_air" else chest().scan
    assert _said(scan, code) is None
    assert _said(scan, code, Settings(**changes)) is not None


def test_codes_and_groups_are_those_of_the_vocabulary() -> None:
    scan = with_acquisition(
        _shifted(60),
        kernel=None,
        kernel_class="unknown",
        patient_position="HFP",
        slice_thickness_mm=12.0,
        contrast_agent="yes",
    )
    notices = check_scan(scan)
    assert len(notices) >= 5
    for notice in notices:
        assert notice.code in NOTICES
        assert set(notice.affects) <= {*GROUPS, *MEASURES, "thirds"}


def test_checks_are_the_same_each_time_and_fast_on_many_slices() -> None:
    scan = chest(noise_hu=60.0).scan
    assert check_scan(scan) == check_scan(scan)


def test_a_tiny_scan_raises_nothing() -> None:
    geometry = Geometry.from_spacing((1, 3, 3), (1.0, 1.0, 1.0))
    check_scan(Scan(np.arange(-900, 900, 200, dtype=np.int16).reshape(1, 3, 3), geometry))


@pytest.mark.parametrize(("pixel", "warned"), [(2.4, False), (5.0, True)])
def test_wide_pixels(pixel: float, warned: bool) -> None:
    scan = chest().scan
    wide = Geometry.from_spacing(scan.hu.shape, (2.0, pixel, pixel))
    said = [
        n for n in check_scan(dataclasses.replace(scan, geometry=wide)) if "Pixels" in n.sentence
    ]
    assert [n.effect for n in said] == ["warn"] * warned
