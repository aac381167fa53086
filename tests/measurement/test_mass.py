"""Tissue, gas and the mass of lesions (FIELD 2.4, model A)."""

from __future__ import annotations

import numpy as np
import pytest
from support.measured_scans import Measured, measured, two_boxes

from ctlung.geometry import Geometry
from ctlung.measurement import mass
from ctlung.measurement.analyze import analyze
from ctlung.measurement.tally import BINS
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings
from ctlung.volume import HU_MIN


def _breath(lesion_ml: int, lesion_hu: int, other_ml: int, other_hu: int) -> Measured:
    """One right lung of voxels of 1 ml, 100 in a slice; the lesion is ground-glass."""
    n = lesion_ml + other_ml
    shape = (n // 100 + 2, 12, 12)
    lungs, lesions = np.zeros((2, *shape), np.uint8)
    lungs[1:-1, 1:11, 1:11] = 1
    flat = np.flatnonzero(lungs)
    assert len(flat) == n
    lesions.flat[flat[:lesion_ml]] = 1
    hu = np.where(lesions > 0, lesion_hu, np.where(lungs > 0, other_hu, 40))
    return measured(hu, lungs, lesions, Geometry.from_spacing(shape, (10.0, 10.0, 10.0)))


def _report(item: Measured, *notices: Notice, settings: Settings | None = None) -> ScanReport:
    return analyze(item.scan, item.lungs, item.lesions, notices, settings=settings)


def test_the_mass_of_a_lesion_is_not_moved_by_breathing_out() -> None:
    full = _report(_breath(500, -400, 4500, -860))
    out = _report(_breath(500, -400, 3500, -820))
    for report in (full, out):
        assert report.value("lesion_mass_g") == pytest.approx(300.0)
        assert report.value("lung_weight_g") == pytest.approx(930.0)
        assert report.value("tissue_volume_ml") == pytest.approx(930.0)
        assert report.value("lesion_mass_percent") == pytest.approx(100 * 300 / 930)
        assert f"{report.value('lesion_mass_percent'):.1f}" == "32.3"
    assert full.value("lesion_percent") == pytest.approx(10.0)
    assert out.value("lesion_percent") == pytest.approx(12.5)
    assert full.value("gas_volume_ml") == pytest.approx(5000 - 930)
    assert out.value("gas_volume_ml") == pytest.approx(4000 - 930)
    assert full.value("gas_tissue_ratio") == pytest.approx(4070 / 930)
    assert full["lung_weight_g"].n_voxels == 5000
    assert full["lesion_mass_g"].n_voxels == 500
    assert full["lung_weight_g"].unit == "g"
    assert full["gas_tissue_ratio"].unit == "ml/g"


def test_tissue_and_gas_fill_the_lung() -> None:
    report = _report(_breath(300, -250, 1700, -871))
    parts = report.value("tissue_volume_ml"), report.value("gas_volume_ml")
    assert sum(v or 0.0 for v in parts) == pytest.approx(report.value("lung_volume_ml"))


def _volumes(**ml: float) -> np.ndarray:
    volumes = np.zeros(BINS)
    for hu, volume in ml.items():
        volumes[int(hu.replace("m", "-").removeprefix("hu")) - HU_MIN] = volume
    return volumes


def test_noise_about_air_and_water_leaves_the_sums() -> None:
    # -1024 counts negative and 60 counts as more than water: no voxel is clipped.
    assert mass.tissue_g(_volumes(hum1024=100.0, hum976=100.0)) == pytest.approx(0.0)
    assert mass.gas_ml(_volumes(hum1024=100.0, hum976=100.0)) == pytest.approx(200.0)
    assert mass.gas_ml(_volumes(hum60=100.0, hu60=100.0)) == 0.0
    assert mass.gas_ml(_volumes(hum90=100.0, hu60=100.0)) == pytest.approx(3.0)
    assert mass.gas_ml(_volumes(hum30=100.0, hu60=100.0)) == 0.0
    assert mass.tissue_g(_volumes(hum30=100.0, hu60=100.0)) == pytest.approx(203.0)


def test_a_part_denser_than_water_holds_no_gas() -> None:
    item = two_boxes()
    hu = np.where(item.lungs.labels == 2, 30, item.scan.hu)
    report = _report(measured(hu, item.lungs.labels, item.lesions.labels, item.scan.geometry))
    assert report.value("gas_volume_ml", "left_lung") == 0.0
    assert report.value("gas_tissue_ratio", "left_lung") == 0.0
    assert report.value("gas_volume_ml", "right_lung") == pytest.approx(126 * 0.85)
    # The sum over both lungs decides for both: what the left has too much goes off.
    assert report.value("gas_volume_ml") == pytest.approx(126 * 0.85 - 126 * 0.03)
    assert report.value("lung_weight_g") == pytest.approx(126 * 0.15 + 126 * 1.03)


def test_no_lesion_weighs_nothing() -> None:
    report = _report(_breath(0, 0, 3000, -850))
    assert report.value("lesion_mass_g") == 0.0
    assert report.value("lesion_mass_percent") == 0.0
    assert report.value("high_opacity_percent") == 0.0
    assert report["consolidation_fraction"].reason == "no_lesion"


def test_under_a_gram_there_is_no_gas_per_tissue() -> None:
    for hu, reason in ((-1000, "little_tissue"), (-992, "little_tissue"), (-991, None)):
        item = two_boxes()
        air = np.where(item.lungs.labels > 0, hu, 40)
        report = _report(measured(air, item.lungs.labels, item.lesions.labels, item.scan.geometry))
        # 126 ml a lung: 1.008 g at -992, 1.134 g at -991.
        tight = _report(
            measured(air, item.lungs.labels, item.lesions.labels, item.scan.geometry),
            settings=Settings(min_tissue_g=1.1),
        )
        assert tight["gas_tissue_ratio", "left_lung"].reason == reason
        assert tight["lesion_mass_percent", "left_lung"].reason == reason
        assert (report["gas_tissue_ratio"].reason is None) == (hu > -1000)
        assert report.value("lung_weight_g") == pytest.approx(252 * (hu + 1000) / 1000)


def test_tissue_below_nothing_has_no_ratio_whatever_the_limit() -> None:
    item = two_boxes()
    hu = np.where(item.lungs.labels > 0, -1010, 40)
    item = measured(hu, item.lungs.labels, item.lesions.labels, item.scan.geometry)
    report = _report(item, settings=Settings(min_tissue_g=0.0))
    assert report["gas_tissue_ratio"].reason == "little_tissue"
    assert report["lesion_mass_percent"].reason == "little_tissue"
    assert report.value("lung_weight_g") == pytest.approx(-2.52)


def test_small_regions_have_no_share_of_mass() -> None:
    report = _report(two_boxes())
    for measure in ("lesion_mass_percent", "high_opacity_percent"):
        assert report[measure, "right_lung_upper"].reason is None
        assert report[measure, "right_lung_lower"].reason == "region_small"
    assert report.value("gas_tissue_ratio", "right_lung_lower") == pytest.approx(0.85 / 0.15)
    assert report.value("lung_weight_g", "right_lung_lower") == pytest.approx(37.8 * 0.15)


def test_one_slice_has_gas_per_tissue_but_no_mass() -> None:
    item = two_boxes()
    k = slice(5, 6)
    geometry = Geometry.from_spacing((1, 30, 40), (5.0, 3.0, 3.0))
    one = measured(item.scan.hu[k], item.lungs.labels[k], item.lesions.labels[k], geometry)
    # As a slice of 1 mm it would hold 0.76 g.
    report = _report(one)
    assert report.value("gas_tissue_ratio") == pytest.approx(0.85 / 0.15)
    for measure in ("lung_weight_g", "tissue_volume_ml", "gas_volume_ml", "lesion_mass_g"):
        assert report[measure].reason == "single_slice"
    assert report["lesion_mass_percent"].reason == "single_slice"
    assert report["high_opacity_percent"].reason == "single_slice"


def test_opacity_and_consolidation() -> None:
    item = _breath(1000, -500, 4000, -850)
    hu, lesions = np.array(item.scan.hu), np.array(item.lesions.labels)
    places = np.flatnonzero(lesions)
    hu.flat[places[:400]] = -200
    hu.flat[places[400:600]] = -201
    lesions.flat[places[:250]] = 2
    # High density outside the lesions is no high opacity.
    hu.flat[np.flatnonzero(item.lungs.labels)[-300:]] = 50
    report = _report(measured(hu, item.lungs.labels, lesions, item.scan.geometry))
    assert report.value("high_opacity_percent") == pytest.approx(100 * 400 / 5000)
    assert report.value("consolidation_fraction") == pytest.approx(0.25)
    assert report["consolidation_fraction"].n_voxels == 1000


def test_what_notices_take() -> None:
    item = _breath(500, -400, 4500, -860)
    cut = _report(item, Notice("coverage_top", "null", "s", affects=("volumes", "thirds")))
    gone = ("lung_weight_g", "tissue_volume_ml", "gas_volume_ml", "lesion_mass_g")
    for measure in (*gone, "lesion_mass_percent", "high_opacity_percent", "band_aerated_ml"):
        assert cut[measure].reason == "coverage_top"
    for measure in ("gas_tissue_ratio", "consolidation_fraction", "band_aerated_percent"):
        assert cut[measure].reason is None
    assert cut["lung_perc15_hu"].reason is None
    lesions = _report(item, Notice("noise", "null", "s", affects=("lesions",)))
    for measure in ("lesion_mass_g", "lesion_mass_percent", "high_opacity_percent"):
        assert lesions[measure].reason == "noise"
    assert lesions["consolidation_fraction"].reason == "noise"
    assert lesions["lung_weight_g"].reason is None
