"""``check_result``: each notice where it belongs, and silence where it does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from support.chest import LUNG_HU, VESSELS, Blob, Chest, chest, with_acquisition

from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.measurement.coverage import coverage_notices
from ctlung.measurement.quality import check_result, lung_areas_cm2
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.vocabulary import GROUPS, LUNG_LABELS, MEASURES, NOTICES, REGIONS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation


def _segmentation(c: Chest, lungs: np.ndarray | None = None) -> Segmentation:
    labels = c.lungs if lungs is None else lungs.astype(np.uint8)
    return Segmentation(
        LabelMap(labels, c.scan.geometry, LUNG_LABELS), Anatomy(airways=c.lumen), segmenter="truth"
    )


def _check(
    c: Chest, lungs: np.ndarray | None = None, scan: Scan | None = None, **changes: Any
) -> tuple[Notice, ...]:
    return check_result(scan or c.scan, _segmentation(c, lungs), Settings(**changes))


def _of(notices: tuple[Notice, ...], code: str) -> list[Notice]:
    return [n for n in notices if n.code == code]


def _one(notices: tuple[Notice, ...], code: str, effect: str) -> Notice:
    found = _of(notices, code)
    assert len(found) == 1, [n.code for n in notices]
    assert found[0].effect == effect
    assert found[0].sentence.endswith(".")
    return found[0]


def _boxes(
    right: tuple[int, int] = (0, 30),
    left: tuple[int, int] = (0, 30),
    *,
    slices: int = 30,
    positions: list[float] | None = None,
    spacing: tuple[float, float, float] = (5.0, 2.0, 2.0),
) -> Chest:
    """Two boxes of lung, 80 x 40 pixels, from one slice to another, in muscle."""
    shape = (slices, 100, 140)
    lungs = np.zeros(shape, np.uint8)
    lungs[right[0] : right[1], 10:90, 10:50] = 1
    lungs[left[0] : left[1], 10:90, 90:130] = 2
    hu = np.where(lungs > 0, LUNG_HU, 50).astype(np.int16)
    matrix = Geometry.from_spacing(shape, spacing).matrix
    geometry = Geometry.from_affine(shape, matrix, positions)
    empty = np.zeros(shape, bool)
    return Chest(Scan(hu, geometry), lungs, empty, empty.astype(np.uint8), empty)


# coverage


def test_complete_lungs_have_nothing_to_say() -> None:
    assert _check(chest()) == ()
    assert _check(chest(vessels=VESSELS)) == ()


@pytest.mark.parametrize(
    ("z_mm", "code", "end"),
    [((0, 170), "coverage_top", "top"), ((90, 240), "coverage_bottom", "bottom")],
)
def test_a_cut_through_the_lungs(z_mm: tuple[float, float], code: str, end: str) -> None:
    notices = _check(chest(z_mm=z_mm))
    found = _of(notices, code)
    assert {n.regions for n in found} == {("right_lung",), ("left_lung",)}
    for notice in found:
        assert notice.effect == "null"
        assert {"volumes", "thirds"} <= set(notice.affects)
        assert isinstance(notice.measured, float)
        assert 10 < notice.measured <= 100
        assert (notice.limit, notice.unit) == (10.0, "%")
        assert f"cut off at the {end} of the scan" in notice.sentence
        assert "incomplete" in notice.sentence
        assert "lung_volume_measured_ml and lesion_volume_measured_ml" in notice.sentence
    assert {n.code for n in notices} == {code}


def _end_area(percent: float, end: int) -> np.ndarray:
    areas = np.zeros((2, 20))
    areas[:, 2:18] = 100.0
    areas[0, end] = percent
    return areas


@pytest.mark.parametrize(("end", "code"), [(0, "coverage_bottom"), (-1, "coverage_top")])
@pytest.mark.parametrize(
    ("percent", "effect"), [(0.0, None), (0.9, None), (1.1, "warn"), (9.9, "warn"), (10.1, "null")]
)
def test_coverage_limits(percent: float, effect: str | None, end: int, code: str) -> None:
    notices = coverage_notices(_end_area(percent, end), Settings())
    if effect is None:
        assert notices == ()
        return
    notice = _one(notices, code, effect)
    assert notice.regions == ("right_lung",)
    assert notice.measured == pytest.approx(percent)
    assert notice.limit == (10.0 if effect == "null" else 1.0)
    assert "right lung" in notice.sentence
    if effect == "warn":
        assert "part in view" in notice.sentence
        assert "withheld" not in notice.sentence


def test_each_lung_is_judged_by_its_own_largest_slice() -> None:
    areas = _end_area(0.0, 0)
    areas[1] /= 100.0
    areas[1, 0] = 0.5  # half of its largest, and 0.5 % of the other lung's
    assert _one(coverage_notices(areas, Settings()), "coverage_bottom", "null").regions == (
        "left_lung",
    )


def test_one_slice_has_no_ends() -> None:
    assert coverage_notices(np.full((2, 1), 100.0), Settings()) == ()


# field of view


def test_columns_cut_off_at_the_edge_of_the_field() -> None:
    notices = _check(chest(x_mm=(-110, 176)))
    notice = _one(notices, "fov_truncation", "null")
    assert notice.regions == ("right_lung",)
    assert {"volumes", "thirds"} <= set(notice.affects)
    assert isinstance(notice.measured, float)
    assert notice.measured > 2.0
    assert (notice.limit, notice.unit) == (2.0, "%")
    assert "field of view cuts the right lung" in notice.sentence
    assert "larger field" in notice.sentence


def test_the_slices_named_are_those_that_are_cut() -> None:
    c = chest(x_mm=(-110, 176))
    notice = _one(_check(c), "fov_truncation", "null")
    cut = np.flatnonzero((c.lungs[:, :, 0] == 1).any(axis=1))
    assert notice.slices == tuple(int(k) for k in cut)


def test_lungs_beside_padding_are_cut_by_it() -> None:
    notices = _of(_check(chest(fov_mm=230.0)), "fov_truncation")
    assert {n.regions for n in notices} == {("right_lung",), ("left_lung",)}
    assert {n.effect for n in notices} == {"null"}
    assert _of(_check(chest(fov_mm=300.0)), "fov_truncation") == []


def test_a_grazing_cut_is_a_warning() -> None:
    c = chest()
    outside = np.zeros(c.scan.hu.shape, bool)
    edge = np.flatnonzero((c.lungs[30] == 1).any(axis=0))[0]
    outside[30, :, : edge + 1] = True
    lungs = np.where(outside, 0, c.lungs)
    scan = dataclasses.replace(c.scan, outside_fov=outside)
    notice = _one(_check(c, lungs, scan), "fov_truncation", "warn")
    assert isinstance(notice.measured, float)
    assert 0.1 < notice.measured < 2.0
    assert notice.slices == ()
    assert "slightly too small" in notice.sentence


# size and sides


def test_the_table_is_not_a_lung() -> None:
    c = _boxes((5, 6), (5, 6))
    few = np.where(np.arange(140)[None, None, :] < 15, c.lungs, 0)  # 8 cm2 at most
    notice = _one(_check(c, few), "lung_mask", "refuse")
    assert notice.measured == pytest.approx(80 * 5 * 4 / 100)
    assert (notice.limit, notice.unit) == (20.0, "cm2")
    assert "this is not a chest CT" in notice.sentence


def test_too_little_lung_is_refused() -> None:
    c = _boxes((3, 12), (3, 12), spacing=(2.0, 2.0, 2.0))  # 9 x 2 mm x 256 cm2 = 461 ml
    notice = _one(_check(c), "lung_mask", "refuse")
    assert notice.measured == pytest.approx(2 * 9 * 0.2 * 128.0)
    assert (notice.limit, notice.unit) == (500.0, "ml")
    assert "Only 461 ml of lung were found" in notice.sentence


@pytest.mark.parametrize(
    ("spacing", "limit"), [((2.0, 2.0, 2.0), 1500.0), ((16.0, 2.0, 2.0), 9000.0)]
)
def test_small_and_large_lungs_are_a_warning(
    spacing: tuple[float, float, float], limit: float
) -> None:
    c = _boxes((2, 26), (2, 26), spacing=spacing)
    notice = _one(_check(c), "lung_mask", "warn")
    assert notice.measured == pytest.approx(2 * 24 * spacing[0] / 10 * 128.0)
    assert notice.limit == limit
    assert "outside 1500 to 9000 ml" in notice.sentence


@pytest.mark.parametrize(
    ("right", "left", "smaller", "limit"),
    [
        ((2, 20), (2, 26), None, 0),
        ((2, 16), (2, 26), "right", 0.7),
        ((2, 26), (2, 14), "left", 1.8),
    ],
)
def test_unequal_lungs(
    right: tuple[int, int], left: tuple[int, int], smaller: str | None, limit: float
) -> None:
    notices = _check(_boxes(right, left))
    if smaller is None:
        assert _of(notices, "lung_mask") == []
        return
    notice = _one(notices, "lung_mask", "warn")
    assert f"The {smaller} lung is unusually small" in notice.sentence
    assert notice.limit == limit
    assert notice.measured == pytest.approx((right[1] - right[0]) / (left[1] - left[0]), abs=0.01)


def test_a_missing_lung_is_told_without_infinity() -> None:
    notice = _one(_check(_boxes((2, 26), (0, 0))), "lung_mask", "warn")
    assert "left lung is unusually small" in notice.sentence
    assert "inf" not in notice.sentence
    assert notice.measured == "no left lung"


def test_cut_off_lungs_are_not_judged_by_size() -> None:
    """Two thirds of a lung are not an unusually small lung."""
    notices = _check(_boxes((2, 12), (2, 8), slices=8))
    assert _of(notices, "coverage_top")
    assert _of(notices, "lung_mask") == []


# gaps


def test_a_gap_within_the_lungs_is_refused() -> None:
    positions = [5.0 * k + (60.0 if k >= 15 else 0.0) for k in range(30)]
    notice = _one(_check(_boxes((2, 28), (2, 28), positions=positions)), "slice_gap", "refuse")
    assert notice.measured == pytest.approx(100 * 60 / (25 * 5 + 60))
    assert notice.limit == 20.0
    assert "60 mm of 185 mm of lung" in notice.sentence
    assert "slices are missing" in notice.sentence


@pytest.mark.parametrize(
    ("gap_mm", "after"), [(20.0, 15), (60.0, 29), (60.0, 1)], ids=["small", "above", "below"]
)
def test_a_small_gap_or_one_outside_the_lungs_is_not_refused(gap_mm: float, after: int) -> None:
    positions = [5.0 * k + (gap_mm if k >= after else 0.0) for k in range(30)]
    assert _of(_check(_boxes((2, 28), (2, 28), positions=positions)), "slice_gap") == []


# motion and metal


def test_motion() -> None:
    c = _boxes((2, 28), (2, 28))
    lungs = np.array(c.lungs)
    lungs[::2, 10:14] = 0  # every other slice is 5 % smaller
    notice = _one(_check(c, lungs), "motion", "warn")
    assert notice.measured == pytest.approx(10.0, abs=0.5)
    assert (notice.limit, notice.unit) == (1.0, "%")
    assert "moved or breathed" in notice.sentence
    assert _of(_check(c), "motion") == []


def test_metal_in_the_slices_of_the_lungs() -> None:
    c = chest()
    hu = np.array(c.scan.hu)
    hu[30, 20:24, 78:83] = 3050
    notice = _one(_check(c, scan=dataclasses.replace(c.scan, hu=hu)), "metal", "warn")
    assert notice.measured == pytest.approx(20 * 4 * 2 * 2.2 / 1000)
    assert notice.limit == 0.1
    below = np.array(c.scan.hu)
    below[0, 20:24, 78:83] = 3050
    assert c.lungs[0].max() == 0
    assert _of(_check(c, scan=dataclasses.replace(c.scan, hu=below)), "metal") == []


# air, noise, breath, contrast


@pytest.mark.parametrize(
    ("air", "warned"), [(-1000, False), (-950, False), (-925, True), (-1024, True)]
)
def test_air_in_the_trachea(air: int, warned: bool) -> None:
    c = chest(noise_hu=3.0)
    hu = np.where(c.lumen, air, c.scan.hu).astype(np.int16)
    notices = _check(c, scan=dataclasses.replace(c.scan, hu=hu))
    if not warned:
        assert _of(notices, "trachea_hu") == []
        return
    notice = _one(notices, "trachea_hu", "warn")
    assert notice.measured == air
    assert notice.limit == "-1020..-940"
    assert f"Air in the trachea measures {air} HU" in notice.sentence


def test_no_airways_no_word_of_them() -> None:
    c = chest(noise_hu=200.0, airways=False)
    codes = {n.code for n in _check(c)}
    assert not codes & {"trachea_hu"}


@pytest.mark.parametrize(
    ("sd", "effect", "limit"), [(25, None, 0), (55, "warn", 40.0), (110, "null", 80.0)]
)
def test_noise(sd: float, effect: str | None, limit: float) -> None:
    """The stored range ends at -1024, 24 HU below air: half of the noise in air is cut away."""
    notices = _check(chest(noise_hu=sd, blur_mm=0.0))
    if effect is None:
        assert _of(notices, "noise") == []
        return
    notice = _one(notices, "noise", effect)
    assert notice.measured == pytest.approx(sd, rel=0.3)
    assert (notice.limit, notice.unit) == (limit, "HU")
    assert ("lesions" in notice.affects) == (effect == "warn")
    assert ("tails" in notice.affects) == (effect == "null")


@pytest.mark.parametrize("options", [{"noise_hu": 110.0, "blur_mm": 0.0}, {"lung_hu": -725}])
def test_what_density_alone_found_is_withheld_and_what_a_model_found_is_not(
    options: dict[str, Any],
) -> None:
    c = chest(**options)
    for by_density in (True, False):
        notices = check_result(c.scan, _segmentation(c), by_density=by_density)
        null = [n for n in notices if n.effect == "null"]
        assert null
        assert any("lesions" in n.affects for n in null) == by_density
        assert any("found by density" in n.sentence for n in null) == by_density


def test_a_drift_along_the_trachea_is_no_noise() -> None:
    c = chest(noise_hu=5.0)
    drift = np.linspace(0, 150, c.scan.hu.shape[0])[:, None, None]
    hu = np.where(c.lumen, c.scan.hu + drift, c.scan.hu).astype(np.int16)
    assert _of(_check(c, scan=dataclasses.replace(c.scan, hu=hu)), "noise") == []


@pytest.mark.parametrize(
    ("hu", "effect", "limit"),
    [(-860, None, 0), (-790, None, 0), (-765, "warn", -780.0), (-725, "null", -740.0)],
)
def test_breath(hu: int, effect: str | None, limit: float) -> None:
    notices = _check(chest(lung_hu=hu))
    if effect is None:
        assert _of(notices, "inspiration") == []
        return
    notice = _one(notices, "inspiration", effect)
    assert notice.measured == pytest.approx(hu, abs=4)
    assert (notice.limit, notice.unit) == (limit, "HU")
    assert notice.affects == (("bands",) if effect == "null" else ("lesions", "bands"))
    assert "shallow breath" in notice.sentence
    assert ("withheld" in notice.sentence) == (effect == "null")


def test_a_lesion_is_no_shallow_breath() -> None:
    """A third of the right lung consolidated: the rest was still breathed in."""
    c = chest(blobs=(Blob((120, 20, -80), (50, 60, 50), 20),))
    assert c.ml(c.lesions > 0) > 300
    assert _of(_check(c), "inspiration") == []


def test_without_aerated_lung_lesions_are_withheld() -> None:
    c = chest(lung_hu=-400)
    notice = _one(_check(c), "inspiration", "null")
    assert (notice.limit, notice.unit) == (200.0, "ml")
    assert "no healthy lung to tell lesions from" in notice.sentence


@pytest.mark.parametrize(("blood", "warned"), [(40, False), (75, False), (150, True), (320, True)])
def test_contrast_in_the_image(blood: int, warned: bool) -> None:
    notices = _check(chest(blood_hu=blood))
    if not warned:
        assert _of(notices, "contrast") == []
        return
    notice = _one(notices, "contrast", "warn")
    assert notice.measured == pytest.approx(blood, abs=25)
    assert notice.limit == 100.0
    assert "though the header does not say so" in notice.sentence


def test_contrast_that_the_header_states_is_not_said_twice() -> None:
    c = chest(blood_hu=220)
    scan = with_acquisition(c.scan, contrast_agent="yes")
    assert _of(_check(c, scan=scan), "contrast") == []


def test_noise_is_no_contrast() -> None:
    c = chest(noise_hu=90.0, blood_hu=40, spacing=(2.5, 1.0, 1.1), z_mm=(40, 200))
    assert _of(_check(c), "contrast") == []


def test_left_and_right_exchanged() -> None:
    notice = _one(_check(chest(mirrored=True)), "flipped", "warn")
    assert "left and right may be exchanged" in notice.sentence
    assert isinstance(notice.measured, float)
    assert isinstance(notice.limit, float)
    assert notice.measured < notice.limit


# the whole


def test_notices_of_the_segmenter_come_first() -> None:
    c = chest(z_mm=(0, 170))
    said = Notice("lungs_touch", "note", "Right and left lung touch.")
    segmentation = dataclasses.replace(_segmentation(c), notices=(said,))
    notices = check_result(c.scan, segmentation)
    assert notices[0] == said
    assert len(notices) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"z_mm": (0, 170), "blood_hu": 200},
        {"fov_mm": 230.0, "lung_hu": -730},
        {"mirrored": True, "noise_hu": 70.0},
    ],
    ids=["cut", "field", "mirrored"],
)
def test_words_are_those_of_the_vocabulary(options: dict[str, Any]) -> None:
    notices = _check(chest(**options))
    assert len(notices) >= 2
    for notice in notices:
        assert notice.code in NOTICES
        assert set(notice.affects) <= {*GROUPS, *MEASURES, "thirds"}
        assert set(notice.regions) <= set(REGIONS)


def test_a_single_slice_is_not_asked_what_only_a_stack_knows() -> None:
    c = chest(z_mm=(128, 131))
    assert c.scan.hu.shape[0] == 1
    codes = {n.code for n in _check(c)}
    assert not codes & {"coverage_top", "coverage_bottom", "motion", "inspiration", "lung_mask"}


def test_empty_lungs_are_refused() -> None:
    c = chest()
    notice = _one(_check(c, np.zeros(c.lungs.shape)), "lung_mask", "refuse")
    assert notice.affects == ("all",)


def test_areas() -> None:
    c = _boxes((2, 26), (4, 20))
    areas = lung_areas_cm2(_segmentation(c), c.scan)
    assert areas.shape == (2, 30)
    expected = np.zeros((2, 30))
    expected[0, 2:26] = expected[1, 4:20] = 128.0
    np.testing.assert_allclose(areas, expected)


def test_lungs_of_another_grid_are_refused() -> None:
    c = chest()
    other = Geometry.from_spacing(c.lungs.shape, (4.0, 2.0, 2.3))
    with pytest.raises(GeometryMismatch, match="does not lie on the grid of the scan"):
        check_result(c.scan, Segmentation(LabelMap(c.lungs, other, LUNG_LABELS)))
