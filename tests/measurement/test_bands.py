"""Bands of the lung: ctlung's own preset and the published ones (FIELD 2.2)."""

from __future__ import annotations

import numpy as np
import pytest
from support.measured_scans import PRINTED, Measured, measured, own_bands, random_scan, two_boxes

from ctlung.bands import BANDS, OWN, OWN_EDGES, PUBLISHED
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.measurement.band_extent import band_ml, band_percent
from ctlung.measurement.tally import BINS
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings
from ctlung.vocabulary import (
    BAND_MEASURES,
    GROUPS,
    LESION_MEASURES,
    MEASURES,
    REGIONS,
    TAIL_MEASURES,
)

OPEN = Settings(min_density_shape_voxels=1, min_voxels_null=1)
OWN_NAMES = tuple(band.stem for band in OWN)
CONTRAST = Notice("contrast", "warn", "Contrast agent was given.")


def _lung_of(values: list[int], counts: list[int]) -> Measured:
    """A right lung of one row a slice with these CT numbers, each in five slices."""
    row = np.repeat(values, counts)
    shape = (7, 3, len(row) + 2)
    lungs = np.zeros(shape, np.uint8)
    lungs[1:-1, 1, 1:-1] = 1
    hu = np.full(shape, 40)
    hu[1:-1, 1, 1:-1] = row
    return measured(hu, lungs, 0 * lungs, Geometry.from_spacing(shape, (5.0, 2.0, 2.0)))


def _report(item: Measured, *notices: Notice, settings: Settings | None = OPEN) -> ScanReport:
    return analyze(item.scan, item.lungs, item.lesions, notices, settings=settings)


def test_every_band_is_printed_and_every_name_is_one() -> None:
    assert [band.stem for band in BANDS] == [*own_bands(), *PRINTED]
    assert len(set(BAND_MEASURES)) == len(BAND_MEASURES) == len(BANDS) + len(OWN) + 1
    assert set(BAND_MEASURES) <= set(MEASURES)


@pytest.mark.parametrize("stem", [*own_bands(), *PRINTED])
def test_on_either_edge(stem: str) -> None:
    first, last = {**own_bands(), **PRINTED}[stem]
    around = {first - 1: 1, first: 2, last: 4, last + 1: 8}
    kept = {hu: n for hu, n in around.items() if -1024 <= hu <= 3071}
    report = _report(_lung_of(list(kept), list(kept.values())))
    expected = 100 * 6 / sum(kept.values())
    assert report.value(f"{stem}_percent") == pytest.approx(expected, rel=1e-12)


def test_one_voxel_of_every_ct_number() -> None:
    hu = np.arange(-1024, 3072).reshape(16, 16, 16)
    lungs = np.ones(hu.shape, np.uint8)
    item = measured(hu, lungs, 0 * lungs, Geometry.from_spacing(hu.shape, (1.0, 1.0, 1.0)))
    report = _report(item, settings=None)
    for stem, (first, last) in {**own_bands(), **PRINTED}.items():
        got = report.value(f"{stem}_percent")
        assert got == pytest.approx(100 * (last - first + 1) / 4096, rel=1e-12), stem
    assert report.value("band_aerated_ml") == pytest.approx(0.2)
    assert report.value("colombi_well_aerated_ml") == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(6))
def test_the_own_preset_is_a_partition(seed: int) -> None:
    report = _report(random_scan(seed))
    for region in REGIONS:
        shares = [report.value(f"{name}_percent", region) or 0.0 for name in OWN_NAMES]
        assert sum(shares) == pytest.approx(100.0, rel=1e-12)
        volumes = [report.value(f"{name}_ml", region) or 0.0 for name in OWN_NAMES]
        assert sum(volumes) == pytest.approx(report.value("lung_volume_ml", region))


@pytest.mark.parametrize("seed", range(3))
def test_how_published_bands_hang_together(seed: int) -> None:
    report = _report(random_scan(seed))

    def share(*names: str) -> float:
        return sum(report.value(f"{name}_percent") or 0.0 for name in names)

    hu = random_scan(seed)
    lung = (hu.lungs.labels > 0) & ~hu.scan.outside_fov
    weights = np.broadcast_to(hu.scan.geometry.slice_weights_mm[:, None, None], lung.shape)
    low, high = ((hu.scan.hu < -1000) & lung, (hu.scan.hu >= 101) & lung)
    left_out = 100 * (weights[low].sum() + weights[high].sum()) / weights[lung].sum()
    gattinoni = [b.stem for b in PUBLISHED if b.preset == "gattinoni"]
    assert share(*gattinoni) == pytest.approx(100 - left_out)
    assert share(*(b.stem for b in PUBLISHED if b.preset == "lcta")) == pytest.approx(100.0)
    compromised = share("gattinoni_poorly_aerated", "gattinoni_non_aerated")
    assert share("lanza_compromised") == pytest.approx(compromised)
    assert share("laa_950") == share("cip_laa_950") == share("band_hyperlucent")
    assert share("cip_haa_600") > share("haa_600_250")
    assert share("hyperinflated_900") > share("gattinoni_hyperinflated")


def test_edges_of_the_own_preset_are_settings() -> None:
    item = _lung_of([-941, -940, -701, -700, -251, -250, 119, 120], [1] * 8)
    moved = Settings(
        min_density_shape_voxels=1,
        hyperlucent_upper_hu=-940,
        ground_glass_lower_hu=-700,
        consolidation_lower_hu=-250,
        consolidation_upper_hu=120,
    )
    report = _report(item, settings=moved)
    shares = [report.value(f"{name}_percent") for name in OWN_NAMES]
    assert shares == pytest.approx([12.5, 25.0, 25.0, 25.0, 12.5])
    assert _report(item).value("band_hyperlucent_percent") == 0.0


def test_dense_lung_is_the_dense_band_with_and_without_contrast() -> None:
    item = _lung_of([-850, 99, 100, 199, 200], [10, 1, 2, 4, 8])
    voxel = 5 * 0.02
    for notices, dense in (((), 14), ((CONTRAST,), 8)):
        report = _report(item, *notices)
        assert report.value("band_dense_ml") == pytest.approx(dense * voxel)
        assert report.value("dense_ml") == report.value("band_dense_ml")
        assert report.value("band_consolidation_ml") == pytest.approx((15 - dense) * voxel)
        assert sum(report.value(f"{n}_percent") or 0.0 for n in OWN_NAMES) == pytest.approx(100)
    given = analyze(item.scan, item.lungs, item.lesions, settings=OPEN, dense_from_hu=-300)
    assert given.value("band_consolidation_ml") == 0.0
    with pytest.raises(ValueError, match=r"dense_from_hu \(-301\) lies below"):
        analyze(item.scan, item.lungs, item.lesions, dense_from_hu=-301)


@pytest.mark.parametrize(
    "crossed",
    [
        {"hyperlucent_upper_hu": -700},
        {"ground_glass_lower_hu": -200},
        {"consolidation_lower_hu": 101},
        {"consolidation_lower_hu": -760},
        {"consolidation_upper_contrast_hu": -400},
    ],
)
def test_edges_that_cross_are_refused(crossed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"_hu \(-?\d+\) lies above \w+_hu \(-?\d+\)"):
        Settings(**crossed)  # type: ignore[arg-type]


def test_edges_may_meet() -> None:
    report = _report(
        _lung_of([-850, -500], [3, 1]),
        settings=Settings(min_density_shape_voxels=1, consolidation_lower_hu=-750),
    )
    assert report.value("band_ground_glass_percent") == 0.0
    assert report.value("band_consolidation_percent") == 25.0


def test_a_thousand_voxels_make_a_share() -> None:
    for n, reason in ((199, "few_voxels"), (200, None)):
        report = _report(_lung_of([-850], [n]), settings=None)
        for name in ("band_aerated_percent", "laa_950_percent", "lung_perc15_hu"):
            assert report[name].reason == reason
        assert report.value("band_aerated_ml") == pytest.approx(n * 5 * 0.02)
        assert report["band_aerated_percent"].n_voxels == 5 * n


def test_no_lung_has_no_bands_even_without_limits() -> None:
    item = _lung_of([-850], [10])
    free = Settings(min_density_shape_voxels=0, min_region_ml=0.0, min_tissue_g=0.0)
    report = _report(item, settings=free)
    left = {m.reason for m in report.measurements if m.region == "left_lung"}
    assert left == {"no_lung"}


def test_lung_of_one_value_has_no_shape() -> None:
    report = _report(two_boxes(), settings=None)
    for measure in ("lung_skewness", "lung_kurtosis_excess"):
        assert report[measure].reason == "one_value"
    assert report.value("lung_sd_hu") == 0.0
    assert report.value("lung_perc15_hu") == -850.0
    assert report.value("perc15_density_g_l") == 150.0


def test_one_slice_has_shares_and_shape_but_no_volume_of_bands() -> None:
    item = two_boxes()
    k = slice(5, 6)
    hu = np.array(item.scan.hu[k])
    hu[:, :8] += 150
    geometry = Geometry.from_spacing((1, 30, 40), (5.0, 3.0, 3.0))
    report = _report(measured(hu, item.lungs.labels[k], item.lesions.labels[k], geometry))
    for measure in BAND_MEASURES:
        expected = "single_slice" if measure.endswith("_ml") else None
        assert report[measure].reason == expected, measure
    assert report.value("band_ground_glass_percent") == pytest.approx(15.0)
    assert report.value("lung_perc15_hu") == -850.0
    assert report.value("lung_skewness") == pytest.approx((1 - 2 * 0.15) / (0.15 * 0.85) ** 0.5)


def test_shallow_breath_takes_the_bands_and_a_sharp_kernel_the_tails() -> None:
    item = random_scan(1)
    breath = _report(item, Notice("inspiration", "null", "s", affects=("lesions", "bands")))
    taken = {m.measure for m in breath.measurements if m.reason == "inspiration"}
    assert taken == {*BAND_MEASURES, *LESION_MEASURES}
    kernel = _report(item, Notice("kernel", "null", "s", affects=("tails",)))
    taken = {m.measure for m in kernel.measurements if m.reason == "kernel"}
    assert taken == set(TAIL_MEASURES)


def test_which_bands_are_tails() -> None:
    tails = {n for n in TAIL_MEASURES if n in BAND_MEASURES}
    families = ("band_hyperlucent_", "cip_", "haa_", "laa_")
    assert tails >= {n for n in BAND_MEASURES if n.startswith(families)}
    assert not tails & {n for n in BAND_MEASURES if n.startswith(("covid_", "colombi_", "lanza_"))}
    assert {"lung_perc15_hu", "perc15_density_g_l", "lung_sd_hu"} <= set(TAIL_MEASURES)
    assert {"lung_skewness", "lung_kurtosis_excess"} <= set(GROUPS["tails"])


def test_definitions_are_made_from_the_bands() -> None:
    for band in BANDS:
        for name in band.measures:
            assert band.words in MEASURES[name].definition
            assert band.source in MEASURES[name].source
    text = MEASURES["gattinoni_poorly_aerated_percent"].definition
    assert text.startswith("100 x V(-500 <= HU < -100) / V(lung).")
    assert "HU >= -599" in MEASURES["cip_haa_600_percent"].definition
    assert all(f"{e}" in MEASURES["band_aerated_ml"].definition for e in OWN_EDGES[:2])
    assert "HU >= -200" in MEASURES["high_opacity_percent"].definition


def test_edges_beyond_the_stored_range() -> None:
    volumes = np.full(BINS, 0.5)
    assert band_ml(volumes, -1050, None) == band_ml(volumes, None, 9999) == 0.5 * BINS
    assert band_ml(volumes, 4000, 5000) == band_ml(volumes, None, -1024) == 0.0
    assert band_ml(volumes, -2000, -1024) == band_ml(volumes, 100, 50) == 0.0
    assert band_percent(volumes, 3071, None) == pytest.approx(100 / BINS)
