from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from support.measured_scans import KNOWN, Measured, Oracle, measured, random_scan, two_boxes

from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.notices import Notice
from ctlung.records import Provenance, ScanReport
from ctlung.settings import Settings
from ctlung.vocabulary import (
    ADDITIVE_MEASURES,
    AREA_MEASURES,
    DEPTHS,
    GROUPS,
    MEASURED_PART,
    MEASURES,
    NOTICES,
    REASONS,
    REGIONS,
    THIRDS,
    VOLUME_MEASURES,
)
from ctlung.volume import LabelMap, Scan

OPEN = Settings(
    min_voxels_null=1,
    min_voxels_warn=0,
    min_lesion_ml_null=0.0,
    min_lesion_ml_warn=0.0,
    min_region_ml=0.0,
    min_tissue_g=0.0,
    min_density_shape_voxels=1,
)
"""Limits out of the way: the formulas alone."""


def _analyze(item: Measured, *notices: Notice, settings: Settings | None = None) -> ScanReport:
    return analyze(
        item.scan, item.lungs, item.lesions, notices, settings=settings, calibration=KNOWN
    )


def _with(item: Measured, lesions: np.ndarray) -> Measured:
    hu = np.where(lesions == 1, -500, np.where(lesions == 2, 0, item.scan.hu))
    return measured(hu, item.lungs.labels, lesions, item.scan.geometry, item.scan.outside_fov)


def _blob(item: Measured, *boxes: tuple[tuple[int, int], ...], tissue: int = 1) -> Measured:
    lesions = np.array(item.lesions.labels)
    for box in boxes:
        lesions[tuple(slice(*b) for b in box)] = tissue
    return _with(item, lesions)


def _reasons(report: ScanReport, region: str) -> dict[str, str | None]:
    return {m.measure: m.reason for m in report.measurements if m.region == region}


LARGE = ((3, 9), (8, 20), (6, 16))
"""A ground-glass box in the right lung: 720 voxels, 32.4 ml."""


@pytest.mark.parametrize("seed", range(12))
def test_every_measure_is_that_of_the_slow_way(seed: int) -> None:
    item = random_scan(seed)
    report, oracle = _analyze(item, settings=OPEN), Oracle(item)
    for region in REGIONS:
        expected = oracle.all(region)
        assert expected.keys() == MEASURES.keys()
        for measure, value in expected.items():
            got = report[measure, region]
            assert got.value == pytest.approx(value, rel=1e-9, abs=1e-9), (measure, region)


@pytest.mark.parametrize("seed", range(4))
def test_slices_are_those_of_the_slow_way(seed: int) -> None:
    item = random_scan(seed)
    oracle = Oracle(item)
    rows = _analyze(item, settings=OPEN).slices
    assert [r.slice for r in rows] == list(range(len(oracle.s)))
    voxels = oracle.region("lungs")
    for k, row in enumerate(rows):
        here = [v for v in voxels if v[0] == k]
        lesion = oracle.lesion(here)
        cm2 = oracle.pixel_mm2 / 100
        assert row.position_mm == oracle.s[k]
        assert row.weight_mm == pytest.approx(oracle.w[k])
        assert row.lung_area_cm2 == pytest.approx(len(here) * cm2)
        assert row.lesion_area_cm2 == pytest.approx(len(lesion) * cm2)
        assert row.ground_glass_area_cm2 == pytest.approx(len(oracle.lesion(here, 1)) * cm2)
        assert row.consolidation_area_cm2 == pytest.approx(len(oracle.lesion(here, 2)) * cm2)
        if lesion:
            assert row.ct_number_lesion_hu == pytest.approx(oracle.mean(lesion))
        else:
            assert (row.ct_number_lesion_hu, row.reason) == (None, "no_lesion")


def test_slices_without_lesion_have_no_mean_even_where_every_voxel_is_enough() -> None:
    report = _analyze(_blob(two_boxes(), LARGE), settings=replace(OPEN, min_voxels_null=0))
    assert {r.reason for r in report.slices if not r.lesion_area_cm2} == {"no_lesion"}
    assert report.slices[4].ct_number_lesion_hu == -500.0


@pytest.mark.parametrize("seed", range(6))
def test_parts_add_up_to_the_whole(seed: int) -> None:
    report = _analyze(random_scan(seed), settings=OPEN)
    for measure in ADDITIVE_MEASURES:
        cuts = (REGIONS[1:3], THIRDS, DEPTHS)
        parts = [sum(report.value(measure, r) or 0.0 for r in regions) for regions in cuts]
        assert parts == pytest.approx([report.value(measure)] * 3, rel=1e-12)
    both = report.value("ground_glass_volume_ml"), report.value("consolidation_volume_ml")
    assert sum(v or 0.0 for v in both) == pytest.approx(report.value("lesion_volume_ml"))
    assert sum(r.lung_area_cm2 * r.weight_mm / 10 for r in report.slices) == pytest.approx(
        report.value("lung_volume_ml")
    )


def test_known_numbers() -> None:
    report = _analyze(_blob(two_boxes(), LARGE))
    # 10 slices x 20 x 14 voxels of 45 mm3 in each lung; the lesion is 6 x 12 x 10 of them.
    assert report.value("lung_volume_ml") == pytest.approx(252.0)
    assert report.value("lung_volume_ml", "right_lung") == pytest.approx(126.0)
    assert report.value("lesion_volume_ml") == pytest.approx(32.4)
    assert report.value("lesion_percent") == pytest.approx(100 * 32.4 / 252)
    assert report.value("lesion_percent", "right_lung") == pytest.approx(100 * 32.4 / 126)
    assert report.value("lesion_area_max_cm2") == pytest.approx(10.8)
    assert report.value("lesion_area_max_slice") == 3.0
    assert report.value("lesion_area_max_position_mm") == 15.0
    assert report.value("lesion_area_max_percent") == pytest.approx(100 * 120 / 560)
    assert report.value("lesion_area_max_percent", "right_lung") == pytest.approx(100 * 120 / 280)
    assert report.value("ct_number_lesion_hu") == -500.0
    assert report.value("ct_number_lesion_sd_hu") == 0.0
    assert report.value("consolidation_volume_ml") == 0.0
    assert report.value("lung_median_hu") == -850.0
    assert report["ct_number_lesion_hu"].n_voxels == 720
    assert report["lesion_area_max_cm2"].n_voxels == 120
    assert report["lung_volume_ml", "left_lung"].n_voxels == 2800
    assert report.notices == ()


def test_every_measure_in_every_region_once_and_in_order() -> None:
    report = _analyze(two_boxes())
    assert [(m.region, m.measure) for m in report.measurements] == [
        (region, measure) for region in REGIONS for measure in MEASURES
    ]
    assert all(m.low is None and m.high is None for m in report.measurements)


def test_the_same_twice() -> None:
    first, second = (_analyze(random_scan(3)) for _ in range(2))
    assert first == second


def test_reversed_axes_give_the_same_numbers() -> None:
    item = random_scan(5)
    mirrored = measured(
        np.flip(item.scan.hu, 1),
        np.flip(item.lungs.labels, 1),
        np.flip(item.lesions.labels, 1),
        item.scan.geometry,
        np.flip(item.scan.outside_fov, 1),
    )
    assert _analyze(item).measurements == _analyze(mirrored).measurements


def test_padding_is_in_no_measure() -> None:
    item = _blob(two_boxes(), LARGE)
    outside = np.zeros(item.scan.hu.shape, bool)
    outside[:, :10] = True
    hu = np.where(outside, -1024, item.scan.hu)
    report = _analyze(
        measured(hu, item.lungs.labels, item.lesions.labels, item.scan.geometry, outside)
    )
    assert report.value("lung_volume_ml") == pytest.approx(252 * 15 / 20)
    assert report.value("lesion_volume_ml") == pytest.approx(32.4 * 10 / 12)
    assert report.value("lung_perc10_hu") == -850.0
    assert report.lesions[0].volume_ml == pytest.approx(27.0)


def test_no_lesion_is_an_area_of_zero_and_no_ct_number() -> None:
    report = _analyze(two_boxes())
    for measure in ("lesion_volume_ml", "lesion_percent", "lesion_area_max_cm2"):
        assert report.value(measure) == 0.0
    for measure in (*AREA_MEASURES[1:], "ct_number_lesion_hu", "ct_number_lesion_perc90_hu"):
        assert report[measure].reason == "no_lesion"
    assert report.lesions == ()
    assert {r.reason for r in report.slices} == {"no_lesion"}
    assert {r.lesion_area_cm2 for r in report.slices} == {0.0}
    assert report.slices[0].lung_area_cm2 == 0.0
    assert [n.code for n in report.notices] == []


def test_nineteen_voxels_have_no_ct_number_and_twenty_have_one() -> None:
    row = two_boxes(spacing=(5.0, 6.0, 6.0))
    nineteen = _analyze(_blob(row, ((5, 6), (6, 25), (8, 9))))
    assert nineteen["ct_number_lesion_hu"].reason == "lesion_small"
    assert nineteen["ct_number_lesion_hu"].n_voxels == 19
    assert nineteen.slices[5].reason == "lesion_small"
    assert nineteen.value("lesion_volume_ml") == pytest.approx(19 * 0.18)
    assert nineteen.notices == ()
    twenty = _analyze(_blob(row, ((5, 6), (5, 25), (8, 9))))
    assert twenty.value("ct_number_lesion_hu") == -500.0
    assert twenty.slices[5].ct_number_lesion_hu == -500.0


def test_under_a_tenth_of_a_millilitre_there_is_no_ct_number() -> None:
    fine = two_boxes((40, 60, 80), (1.0, 0.9, 0.9))
    report = _analyze(_blob(fine, ((5, 10), (8, 12), (8, 12))))
    assert report["ct_number_lesion_hu"].reason == "lesion_small"
    assert report["ct_number_lesion_hu"].n_voxels == 80
    assert report.value("lesion_volume_ml") == pytest.approx(80 * 0.00081)


def test_little_lesion_is_told_where_it_is() -> None:
    report = _analyze(_blob(two_boxes(), LARGE, ((5, 6), (8, 14), (24, 31))))
    (notice,) = report.notices
    assert (notice.code, notice.effect, notice.unit) == ("lesion_small", "warn", "ml")
    assert notice.regions == ("left_lung", "left_lung_middle")
    assert notice.measured == pytest.approx(42 * 0.045)
    assert "less than 1 ml or 100 voxels) in left lung, left lung middle" in notice.sentence
    assert report.value("ct_number_lesion_hu", "left_lung") == -500.0


def test_regions_under_fifty_millilitres_have_no_percent() -> None:
    report = _analyze(_blob(two_boxes(), LARGE))
    # Ten slices: three, three and, with the one on the border, four.
    volumes = [report.value("lung_volume_ml", r) for r in THIRDS[:3]]
    assert volumes == pytest.approx([50.4, 37.8, 37.8])
    assert report["lesion_percent", "right_lung_upper"].reason is None
    for region in THIRDS[1:3]:
        assert report["lesion_percent", region].reason == "region_small"
        assert report.value("lesion_volume_ml", region) is not None
    assert report.value("lesion_percent", "left_lung") == 0.0


def test_few_voxels_of_lung() -> None:
    item = two_boxes()
    lungs = np.array(item.lungs.labels)
    lungs[lungs == 2] = 0
    lungs[5:10, 10:12, 24:30] = 2
    item = measured(item.scan.hu, lungs, item.lesions.labels, item.scan.geometry)
    report = _analyze(item)
    assert report.value("lung_mean_hu", "left_lung") == -850.0
    assert report["lung_median_hu", "left_lung"].reason == "few_voxels"
    assert report["lung_sd_hu", "left_lung"].n_voxels == 60
    lungs[lungs == 2] = 0
    lungs[5, 10, 24:30] = 2
    report = _analyze(measured(item.scan.hu, lungs, item.lesions.labels, item.scan.geometry))
    assert report["lung_mean_hu", "left_lung"].reason == "few_voxels"


def test_a_lung_that_is_not_there_has_no_numbers() -> None:
    item = two_boxes()
    lungs = np.where(item.lungs.labels == 2, 0, item.lungs.labels)
    report = _analyze(measured(item.scan.hu, lungs, item.lesions.labels, item.scan.geometry))
    assert set(_reasons(report, "left_lung").values()) == {"no_lung"}
    assert set(_reasons(report, "left_lung_upper").values()) == {"no_lung"}
    assert report.value("lung_volume_ml") == pytest.approx(126.0)
    nothing = _analyze(measured(item.scan.hu, 0 * lungs, 0 * lungs, item.scan.geometry))
    assert {m.reason for m in nothing.measurements} == {"no_lung"}
    assert {r.lung_area_cm2 for r in nothing.slices} == {0.0}


def _one_slice() -> Measured:
    item = _blob(two_boxes(), LARGE)
    k = slice(5, 6)
    geometry = Geometry.from_spacing((1, 30, 40), (5.0, 3.0, 3.0))
    return measured(item.scan.hu[k], item.lungs.labels[k], item.lesions.labels[k], geometry)


def test_one_slice_has_areas_and_ct_numbers_but_no_volume() -> None:
    report = _analyze(_one_slice())
    for region in REGIONS[:3]:
        reasons = _reasons(report, region)
        for measure in (*VOLUME_MEASURES, *MEASURED_PART):
            assert reasons[measure] == "single_slice"
    for region in (*THIRDS, *DEPTHS):
        assert set(_reasons(report, region).values()) == {"single_slice"}
    assert report.value("lesion_area_max_cm2") == pytest.approx(10.8)
    assert report.value("ct_number_lesion_hu") == -500.0
    assert report.value("lung_mean_hu") is not None
    (lesion,) = report.lesions
    assert (lesion.volume_ml, lesion.ground_glass_ml) == (None, None)
    assert lesion.mean_hu == pytest.approx(-500.0)
    assert lesion.largest_area_cm2 == pytest.approx(10.8)


def test_lung_in_four_slices_has_no_volume_but_its_part_in_view() -> None:
    item = two_boxes()
    for n, reason in ((4, "few_slices"), (5, None)):
        lungs = np.array(item.lungs.labels)
        lungs[n + 1 :] = 0
        report = _analyze(measured(item.scan.hu, lungs, 0 * lungs, item.scan.geometry))
        assert report["lung_volume_ml"].reason == reason
        assert report["lesion_percent", "left_lung"].reason == reason
        for region in DEPTHS:
            assert report["lung_mean_hu", region].reason == reason
        assert report.value("lung_volume_measured_ml") == pytest.approx(n * 25.2)
        assert report.value("lesion_area_max_cm2") == 0.0


def _null(code: str, *affects: str, **how: object) -> Notice:
    return Notice(code, "null", "For the test.", affects=affects, **how)  # type: ignore[arg-type]


def test_a_notice_takes_its_measures_away() -> None:
    report = _analyze(_blob(two_boxes(), LARGE), _null("coverage_bottom", "volumes"))
    for region in REGIONS:
        reasons = _reasons(report, region)
        for measure in VOLUME_MEASURES:
            assert reasons[measure] == "coverage_bottom"
        assert reasons["lung_volume_measured_ml"] is None
    assert report.value("lesion_volume_measured_ml") == pytest.approx(32.4)
    assert report.value("ct_number_lesion_hu") == -500.0
    assert report.lesions[0].volume_ml == pytest.approx(32.4)
    assert [n.code for n in report.notices] == ["coverage_bottom"]


def test_notes_and_warnings_take_nothing_away() -> None:
    notices = [Notice("kernel", e, "s", affects=("all",)) for e in ("note", "warn")]
    plain = _analyze(_blob(two_boxes(), LARGE))
    assert _analyze(_blob(two_boxes(), LARGE), *notices).measurements == plain.measurements


def test_a_notice_on_one_lung_speaks_of_its_thirds_and_of_both_lungs() -> None:
    report = _analyze(two_boxes(), _null("coverage_top", "volumes", regions=("right_lung",)))
    for region in REGIONS:
        touched = not region.startswith("left")
        assert (report["lung_volume_ml", region].reason == "coverage_top") is touched, region


def test_a_notice_on_a_third_speaks_of_what_it_is_part_of() -> None:
    report = _analyze(two_boxes(), _null("motion", "tails", regions=("left_lung_lower",)))
    touched = {r for r in REGIONS if report["lung_sd_hu", r].reason == "motion"}
    assert touched == {"lungs", "left_lung", "left_lung_lower", *DEPTHS}


def test_a_notice_on_both_lungs_together_leaves_each_lung() -> None:
    report = _analyze(two_boxes(), _null("lung_mask", "volumes", regions=("lungs",)))
    assert report["lung_volume_ml"].reason == "lung_mask"
    assert report.value("lung_volume_ml", "left_lung") == pytest.approx(126.0)


def test_the_first_notice_gives_the_reason() -> None:
    notices = (_null("inspiration", "lesions"), _null("noise", "all"))
    report = _analyze(two_boxes(), *notices)
    assert report["lesion_volume_ml"].reason == "inspiration"
    assert report["lung_mean_hu"].reason == "noise"


def test_a_notice_comes_before_no_lesion() -> None:
    # A rule that cannot be trusted has not shown that there is no lesion.
    report = _analyze(two_boxes(), _null("inspiration", "lesions"))
    assert {report[m].reason for m in GROUPS["lesions"]} == {"inspiration"}


def test_withheld_lesions_are_withheld_everywhere() -> None:
    report = _analyze(_blob(two_boxes(), LARGE), _null("inspiration", "lesions"))
    assert report.lesions == ()
    for row in report.slices:
        areas = (row.lesion_area_cm2, row.ground_glass_area_cm2, row.consolidation_area_cm2)
        assert (*areas, row.ct_number_lesion_hu) == (None,) * 4
        assert row.reason == "inspiration"
        assert row.lung_area_cm2 is not None


def test_withheld_volumes_leave_a_lesion_its_area() -> None:
    (lesion,) = _analyze(_blob(two_boxes(), LARGE), _null("slice_gap", "volumes_and_parts")).lesions
    assert (lesion.volume_ml, lesion.ground_glass_ml, lesion.consolidation_ml) == (None,) * 3
    assert lesion.largest_area_cm2 == pytest.approx(10.8)
    (lesion,) = _analyze(
        _blob(two_boxes(), LARGE), _null("contrast", "ct_number_lesion_hu")
    ).lesions
    assert lesion.mean_hu is None


def test_withheld_slices_are_no_candidates_for_the_largest_area() -> None:
    item = _blob(two_boxes(), LARGE, ((5, 6), (8, 24), (6, 16)))
    assert _analyze(item).value("lesion_area_max_slice") == 5.0
    report = _analyze(item, _null("fov_truncation", "volumes", slices=(3, 5)))
    assert report.value("lesion_area_max_slice") == 4.0
    assert report["lesion_volume_ml"].reason == "fov_truncation"
    for k in (3, 5):
        row = report.slices[k]
        assert (row.lung_area_cm2, row.lesion_area_cm2, row.reason) == (
            None,
            None,
            "fov_truncation",
        )
    assert report.slices[4].lesion_area_cm2 == pytest.approx(10.8)


def test_no_slice_left_means_no_largest_area() -> None:
    item = _blob(two_boxes(), LARGE)
    lesion_slices = _null("fov_truncation", slices=tuple(range(3, 9)))
    report = _analyze(item, lesion_slices)
    # 0 cm2 in the slices that remain would hide the lesion in the others.
    assert {report[m].reason for m in AREA_MEASURES} == {"fov_truncation"}
    assert report.value("lesion_area_max_cm2", "left_lung") == 0.0
    everywhere = _analyze(two_boxes(), _null("fov_truncation", slices=tuple(range(12))))
    assert everywhere["lesion_area_max_cm2"].reason == "fov_truncation"
    assert {r.lung_area_cm2 for r in everywhere.slices} == {None}


def test_slices_withheld_in_one_lung() -> None:
    item = _blob(two_boxes(), LARGE, ((2, 4), (8, 20), (24, 34)))
    notice = _null("fov_truncation", slices=(3,), regions=("right_lung",))
    report = _analyze(item, notice)
    assert report.value("lesion_area_max_slice", "right_lung") == 4.0
    assert report.value("lesion_area_max_slice", "left_lung") == 2.0
    assert report.slices[3].lung_area_cm2 is None


def test_dense_lung_begins_at_the_upper_edge_of_consolidation() -> None:
    item = two_boxes()
    hu = np.array(item.scan.hu)
    hu[5, 10, 6:10] = (99, 100, 199, 200)
    item = measured(hu, item.lungs.labels, item.lesions.labels, item.scan.geometry)
    voxel = 0.045
    assert _analyze(item).value("dense_ml") == pytest.approx(3 * voxel)
    contrast = Notice("contrast", "warn", "Contrast agent was given.")
    assert _analyze(item, contrast).value("dense_ml") == pytest.approx(voxel)
    given = analyze(item.scan, item.lungs, item.lesions, dense_from_hu=99)
    assert given.value("dense_ml") == pytest.approx(4 * voxel)


def test_lesions_outside_the_lungs_are_left_out_and_told() -> None:
    item = _blob(two_boxes(), ((3, 9), (8, 20), (15, 21)))
    report = _analyze(item)
    assert report.value("lesion_volume_ml") == pytest.approx(6 * 12 * 3 * 0.045)
    notice = report.notices[0]
    assert (notice.code, notice.effect, notice.measured) == ("lesions_outside_lungs", "warn", 216)
    assert "216 lesion voxels lie outside the lungs" in notice.sentence


def test_notices_of_the_scan_count_and_come_once() -> None:
    item = two_boxes()
    told = _null("hu_air", "all")
    scan = dataclasses.replace(item.scan, notices=(told,))
    report = analyze(scan, item.lungs, item.lesions, (told, Notice("lossy", "warn", "s")))
    assert [n.code for n in report.notices] == ["hu_air", "lossy"]
    assert {m.reason for m in report.measurements} == {"hu_air"}
    assert {r.lung_area_cm2 for r in report.slices} == {None}


def test_provenance_is_kept_or_names_the_overrides() -> None:
    item = two_boxes()
    given = Provenance("9.9")
    assert analyze(item.scan, item.lungs, item.lesions, provenance=given).provenance is given
    report = _analyze(item, settings=Settings(min_region_ml=10.0))
    assert report.provenance.settings == {"min_region_ml": 10.0}


def test_own_codes_are_in_the_vocabulary() -> None:
    report = _analyze(_blob(two_boxes(), ((5, 6), (8, 13), (14, 22))))
    assert [n.code for n in report.notices] == ["lesions_outside_lungs", "lesion_small"]
    assert {n.code for n in report.notices} <= NOTICES.keys()
    for made in (report, _analyze(_one_slice()), _analyze(two_boxes())):
        assert {m.reason for m in made.measurements if m.reason} <= REASONS.keys()


def test_other_grids_are_refused() -> None:
    item = two_boxes()
    moved = Geometry.from_spacing(item.scan.hu.shape, (5.0, 3.0, 3.0), (1, 0, 0))
    lungs = LabelMap(item.lungs.labels, moved, item.lungs.names)
    with pytest.raises(GeometryMismatch, match="does not lie on the grid"):
        analyze(item.scan, lungs, item.lesions)
    lesions = LabelMap(item.lesions.labels, moved, item.lesions.names)
    with pytest.raises(GeometryMismatch, match="does not lie on the grid"):
        analyze(item.scan, item.lungs, lesions)


def test_other_labels_are_refused() -> None:
    item = two_boxes()
    both = LabelMap((item.lungs.labels > 0).astype(np.uint8), item.lungs.geometry, {1: "lungs"})
    with pytest.raises(ValueError, match=r"label 1 \('lungs'\) of the lungs cannot be measured"):
        analyze(item.scan, both, item.lesions)
    lobes = LabelMap(item.lungs.labels * 2, item.lungs.geometry, {2: "left_lung", 4: "rml"})
    with pytest.raises(ValueError, match=r"label 4 \('rml'\) .* known are 1 right_lung"):
        analyze(item.scan, lobes, item.lesions)
    unused = LabelMap(item.lungs.labels, item.lungs.geometry, {**item.lungs.names, 9: "trachea"})
    analyze(item.scan, unused, item.lesions)


def test_hu_beyond_the_stored_range_are_refused() -> None:
    item = two_boxes()
    hu = np.array(item.scan.hu)
    hu[5, 10, 6] = -2048
    with pytest.raises(ValueError, match="HU from -1024 to 3071; slice 5 goes beyond"):
        analyze(Scan(hu, item.scan.geometry), item.lungs, item.lesions)
