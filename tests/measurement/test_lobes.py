"""Lobes in the report: against the slow way, and what is said of lobes that cannot be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.measured_scans import (
    KNOWN,
    Measured,
    Oracle,
    measured,
    random_lobes,
    random_scan,
    two_boxes,
    with_lobes,
)

from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings
from ctlung.vocabulary import ADDITIVE_MEASURES, LOBES, LOBES_OF, MEASURES, REGIONS
from ctlung.volume import LabelMap

OPEN = Settings(
    min_voxels_null=1,
    min_voxels_warn=0,
    min_lesion_ml_null=0.0,
    min_lesion_ml_warn=0.0,
    min_region_ml=0.0,
    min_tissue_g=0.0,
    min_density_shape_voxels=1,
    lobe_warn_ml=0.0,
    without_lobe_warn_percent=100.0,
)
"""Limits out of the way: the formulas alone."""
LARGE = Settings(lobe_warn_ml=20.0)
"""The boxes below hold 126 ml a lung; their lobes are small."""


def _analyze(item: Measured, *notices: Notice, settings: Settings | None = None) -> ScanReport:
    return analyze(
        item.scan,
        item.lungs,
        item.lesions,
        notices,
        settings=settings,
        lobes=item.lobes,
        calibration=KNOWN,
    )


def _boxes(item: Measured | None = None) -> Measured:
    """Upper lobes in slices 6 to 10, lll and rll below, rml before rll."""
    item = item or two_boxes()
    lobes = np.zeros(item.scan.hu.shape, np.uint8)
    right, left = (item.lungs.labels == n for n in (1, 2))
    lobes[right], lobes[left] = 5, 2
    lobes[:6, :15][right[:6, :15]] = 4
    lobes[6:][right[6:]], lobes[6:][left[6:]] = 3, 1
    return with_lobes(item, lobes)


@pytest.mark.parametrize("seed", range(12))
def test_every_measure_is_that_of_the_slow_way(seed: int) -> None:
    item = random_lobes(seed)
    report, oracle = _analyze(item, settings=OPEN), Oracle(item)
    for region in (*REGIONS, *LOBES):
        for measure, value in oracle.all(region).items():
            got = report[measure, region]
            assert got.value == pytest.approx(value, rel=1e-9, abs=1e-9), (measure, region)


def test_known_numbers() -> None:
    report = _analyze(_boxes(), settings=LARGE)
    # 14 columns of 45 mm3: five slices x 20 rows, and below five x 10 rows.
    volumes = {lobe: report.value("lung_volume_ml", lobe) for lobe in LOBES}
    assert volumes == pytest.approx(
        {"rul": 63.0, "rml": 31.5, "rll": 31.5, "lul": 63.0, "lll": 63.0}
    )
    assert report.notices == ()


def test_lobes_come_after_the_other_regions_and_only_where_given() -> None:
    item = _boxes()
    assert [(m.region, m.measure) for m in _analyze(item).measurements] == [
        (region, measure) for region in (*REGIONS, *LOBES) for measure in MEASURES
    ]
    assert {m.region for m in _analyze(two_boxes()).measurements} == set(REGIONS)


@pytest.mark.parametrize("seed", range(4))
def test_lobes_change_nothing_else(seed: int) -> None:
    plain = _analyze(random_scan(seed), settings=OPEN)
    report = _analyze(random_lobes(seed), settings=OPEN)
    for one, other in zip(plain.measurements, report.measurements, strict=False):
        assert (one.measure, one.region, one.reason) == (other.measure, other.region, other.reason)
        assert one.n_voxels == other.n_voxels
        # Weights of uneven slices are summed in another order.
        assert one.value == pytest.approx(other.value, rel=1e-12)
    assert (plain.slices, plain.lesions) == (report.slices, report.lesions)


def test_lobes_add_up_to_their_lung_where_they_fill_it() -> None:
    report = _analyze(_boxes())
    for lung, lobes in LOBES_OF.items():
        for measure in ADDITIVE_MEASURES:
            total = sum(report.value(measure, lobe) or 0.0 for lobe in lobes)
            assert total == pytest.approx(report.value(measure, lung)), measure


def test_small_lobes_are_told_and_removed_ones_too() -> None:
    item = _boxes()
    assert item.lobes is not None
    labels = np.where(item.lobes.labels == 4, 5, item.lobes.labels)
    report = _analyze(with_lobes(item, labels))
    (notice,) = report.notices
    assert (notice.code, notice.effect) == ("lobes", "warn")
    assert notice.regions == LOBES
    assert (notice.measured, notice.limit, notice.unit) == (0.0, 100.0, "ml")
    assert "unusually small: rul 63 ml, rml 0 ml, rll 63 ml, lul 63 ml" in notice.sentence
    assert {m.reason for m in report.measurements if m.region == "rml"} == {"no_lung"}


def test_one_lobe_under_the_limit() -> None:
    report = _analyze(_boxes(), settings=Settings(lobe_warn_ml=31.6))
    (notice,) = report.notices
    assert notice.regions == ("rml", "rll")
    assert _analyze(_boxes(), settings=Settings(lobe_warn_ml=31.4)).notices == ()


def test_a_lobe_that_is_cut_off_is_not_called_small() -> None:
    cut = Notice("coverage_top", "null", "s", affects=("volumes", "thirds"), regions=("left_lung",))
    report = _analyze(_boxes(), cut)
    assert report.notices[1].regions == ("rul", "rml", "rll")
    for lobe in ("lul", "lll"):
        assert report["lung_volume_ml", lobe].reason == "coverage_top"
        # A lobe that is partly in view is still that lobe: unlike a third.
        assert report["lung_mean_hu", lobe].reason is None
    assert report["lung_volume_ml", "rul"].reason is None


@pytest.mark.parametrize(("rows", "told"), [(1, False), (2, True)])
def test_much_lung_without_a_lobe_is_told(rows: int, told: bool) -> None:
    item = _boxes()
    assert item.lobes is not None
    labels = np.array(item.lobes.labels)
    # Of 20 rows each lung has: 5 % is the limit, not beyond it.
    labels[:, 5 : 5 + rows] = 0
    report = _analyze(with_lobes(item, labels), settings=LARGE)
    assert [n.code for n in report.notices] == (["lobes"] if told else [])
    if told:
        assert report.notices[0].measured == pytest.approx(10.0)
        assert "10 % of the lungs are in no lobe of their side" in report.notices[0].sentence
    share = sum(report.value("lung_volume_ml", lobe) or 0.0 for lobe in LOBES) / 252.0
    assert share == pytest.approx(1 - rows / 20)
    assert report.value("lung_volume_ml") == pytest.approx(252.0)


def test_lobes_of_the_wrong_side_count_for_none() -> None:
    item = _boxes()
    assert item.lobes is not None
    swapped = np.array([0, 3, 5, 1, 2, 2], np.uint8)[item.lobes.labels]
    report = _analyze(with_lobes(item, swapped))
    assert {m.reason for m in report.measurements if m.region in LOBES} == {"no_lung"}
    assert [n.measured for n in report.notices] == pytest.approx([0.0, 100.0])


def test_lobes_beyond_the_lungs_are_left_out() -> None:
    item = _boxes()
    assert item.lobes is not None
    labels = np.where(item.lobes.labels == 0, 3, item.lobes.labels)
    assert _analyze(with_lobes(item, labels)).measurements == _analyze(item).measurements


def test_padding_is_in_no_lobe() -> None:
    item = _boxes()
    outside = np.zeros(item.scan.hu.shape, bool)
    outside[:, :10] = True
    scan = dataclasses.replace(item.scan, outside_fov=outside)
    report = _analyze(dataclasses.replace(item, scan=scan), settings=LARGE)
    assert report.value("lung_volume_ml", "rul") == pytest.approx(63.0 * 15 / 20)
    assert [n.code for n in report.notices] == ["lobes"]
    assert report.notices[0].regions == ("rml",)


def test_one_slice_has_lobe_areas_but_no_lobe_volumes() -> None:
    item = _boxes()
    assert item.lobes is not None
    k = slice(5, 6)
    geometry = Geometry.from_spacing((1, 30, 40), (5.0, 3.0, 3.0))
    lesions = np.zeros((1, 30, 40), np.uint8)
    lesions[0, 8:18, 6:16] = 1
    hu = np.where(lesions == 1, -500, item.scan.hu[k])
    one = with_lobes(measured(hu, item.lungs.labels[k], lesions, geometry), item.lobes.labels[k])
    report = _analyze(one)
    assert report["lung_volume_ml", "rml"].reason == "single_slice"
    # Rows 8 to 14 of ten columns of 9 mm2 lie in rml, 15 to 17 in rll.
    assert report.value("lesion_area_max_cm2", "rml") == pytest.approx(6.3)
    assert report.value("lesion_area_max_cm2", "rll") == pytest.approx(2.7)
    assert report.value("ct_number_lesion_hu", "rml") == -500.0
    # No volumes, so no lobe is called small.
    assert [n.code for n in report.notices] == ["lesion_small"]


def test_no_lung_at_all_says_nothing_of_lobes() -> None:
    item = _boxes()
    nothing = np.zeros(item.scan.hu.shape, np.uint8)
    empty = measured(item.scan.hu, nothing, nothing, item.scan.geometry)
    report = _analyze(with_lobes(empty, nothing))
    assert report.notices == ()
    assert {m.reason for m in report.measurements} == {"no_lung"}


def test_little_lesion_is_told_in_a_lobe() -> None:
    item = two_boxes()
    lesions = np.array(item.lesions.labels)
    lesions[3:9, 8:20, 6:16] = 1
    lesions[5, 8:14, 24:31] = 1
    hu = np.where(lesions == 1, -500, item.scan.hu)
    item = measured(hu, item.lungs.labels, lesions, item.scan.geometry)
    notice = _analyze(_boxes(item), settings=LARGE).notices[0]
    assert notice.code == "lesion_small"
    assert notice.regions == ("left_lung", "left_lung_middle", "lll")


def test_other_grids_and_labels_are_refused() -> None:
    item = _boxes()
    assert item.lobes is not None
    moved = Geometry.from_spacing(item.scan.hu.shape, (5.0, 3.0, 3.0), (1, 0, 0))
    lobes = LabelMap(item.lobes.labels, moved, item.lobes.names)
    with pytest.raises(GeometryMismatch, match="does not lie on the grid"):
        analyze(item.scan, item.lungs, item.lesions, lobes=lobes)
    lobes = LabelMap(item.lobes.labels, item.scan.geometry, {**item.lobes.names, 3: "upper"})
    with pytest.raises(ValueError, match=r"label 3 \('upper'\) of the lobes .* known are 1 lul, 2"):
        analyze(item.scan, item.lungs, item.lesions, lobes=lobes)
