from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from support.chest import Blob, Chest, chest

from ctlung.geometry import Geometry
from ctlung.lesions.finder import find_lesions
from ctlung.lesions.rules import RuleFinder
from ctlung.measurement.analyze import analyze
from ctlung.measurement.headline_values import HEADLINE, SIDES, headline_values
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings
from ctlung.uncertainty import FACTORS, floor_of, noise_hu, with_intervals
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.writing.tables import report_as_json

GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
DENSE = Blob((120, 20, 85), (20, 20, 20), 20)
CROSS = ndimage.generate_binary_structure(3, 1)


@pytest.fixture(scope="module")
def sick() -> Chest:
    return chest(blobs=(GLASS, DENSE), spacing=(4.0, 2.0, 2.2), z_mm=(60, 210), noise_hu=12.0)


@pytest.fixture(scope="module")
def lesions(sick: Chest) -> LabelMap:
    return find_lesions(RuleFinder(), sick.scan, sick.lung_map, Anatomy(airways=sick.lumen))


@pytest.fixture(scope="module")
def sure(sick: Chest, lesions: LabelMap) -> ScanReport:
    return _sure(sick.scan, sick.lung_map, lesions, Anatomy(airways=sick.lumen))


def _sure(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    anatomy: Anatomy | None = None,
    notices: tuple[Notice, ...] = (),
) -> ScanReport:
    settings = Settings()
    report = analyze(scan, lungs, lesions, notices, settings=settings)
    return with_intervals(
        report, scan, lungs, lesions, anatomy or Anatomy(), RuleFinder(), settings
    )


def test_every_headline_measure_has_an_interval_around_it(sure: ScanReport) -> None:
    assert {(u.measure, u.region) for u in sure.uncertainty} == {
        (m, r) for m in HEADLINE for r in SIDES
    }
    for u in sure.uncertainty:
        m = sure[u.measure, u.region]
        assert (m.low, m.high) == (u.low, u.high)
        assert u.low <= m.value < u.high  # type: ignore[operator]
        assert u.factor == FACTORS[u.measure]


def test_nothing_else_has_an_interval(sure: ScanReport) -> None:
    for m in sure.measurements:
        if m.measure not in HEADLINE or m.region not in SIDES:
            assert m.low is None
            assert m.high is None


def test_the_true_volume_lies_in_the_interval(sure: ScanReport) -> None:
    for region, blob in (("right_lung", GLASS), ("left_lung", DENSE)):
        m = sure["lesion_volume_ml", region]
        assert m.low < blob.volume_ml < m.high  # type: ignore[operator]


@pytest.mark.parametrize("region", SIDES)
def test_the_whole_is_put_together_from_its_parts(sure: ScanReport, region: str) -> None:
    values = {(m.measure, m.region): m.value for m in sure.measurements}
    for u in sure.uncertainty:
        if u.region != region or not u.measure.startswith(("ct_number", "lung_")):
            continue  # the others may be cut at 0
        value = sure.value(u.measure, region)
        assert value is not None
        floor = floor_of(u.measure, region, values)
        for way, end in ((0, u.low), (1, u.high)):
            parts = [p[way] for p in (u.lung_edge, u.lesion_edge, u.band, u.noise)]
            expected = u.factor * np.sqrt(sum(p**2 for p in parts) + floor**2)
            assert abs(end - value) == pytest.approx(expected, rel=1e-9)


def test_the_floor_is_one_lesion_of_5_ml() -> None:
    values = {("lung_volume_ml", "lungs"): 4000.0, ("lung_weight_g", "lungs"): 800.0}
    assert floor_of("lesion_volume_ml", "lungs", values) == 5.0
    assert floor_of("lesion_percent", "lungs", values) == pytest.approx(0.125)
    assert floor_of("lesion_mass_percent", "lungs", values) == pytest.approx(0.3125)
    assert floor_of("lesion_area_max_cm2", "lungs", values) == pytest.approx(3.536, abs=0.001)
    assert floor_of("ct_number_lesion_hu", "lungs", values) == 30.0
    assert floor_of("lung_volume_ml", "lungs", values) == 0.0


def test_edges_are_moved_by_one_voxel_over_faces(
    sick: Chest, lesions: LabelMap, sure: ScanReport
) -> None:
    inside, found = sick.lungs > 0, lesions.labels > 0
    larger = ndimage.binary_dilation(found, CROSS) & inside
    smaller = ndimage.binary_erosion(found | ~inside, CROSS, border_value=1) & found
    lungs_larger = ndimage.binary_dilation(inside, CROSS)
    lungs_smaller = ndimage.binary_erosion(inside, CROSS, border_value=1)
    now = sick.ml(found), sick.ml(inside)
    of = {u.measure: u for u in sure.uncertainty if u.region == "lungs"}
    lesion, lung = of["lesion_volume_ml"], of["lung_volume_ml"]
    assert lesion.lesion_edge == pytest.approx(
        (now[0] - sick.ml(smaller), sick.ml(larger) - now[0]), rel=1e-9
    )
    assert lung.lung_edge == pytest.approx(
        (now[1] - sick.ml(lungs_smaller), sick.ml(lungs_larger) - now[1]), rel=1e-9
    )
    assert lesion.lung_edge == pytest.approx(
        (sick.ml(found & ~lungs_smaller), 0.0), rel=1e-9, abs=1e-9
    )
    assert lung.lesion_edge == (0.0, 0.0)


def test_a_lower_band_finds_more(sick: Chest, lesions: LabelMap, sure: ScanReport) -> None:
    lower = Settings(ground_glass_lower_hu=-775, consolidation_lower_hu=-325)
    more = find_lesions(
        RuleFinder(), sick.scan, sick.lung_map, Anatomy(airways=sick.lumen), settings=lower
    )
    for label, name in ((1, "ground_glass_volume_ml"), (2, "consolidation_volume_ml")):
        band = next(u.band for u in sure.uncertainty if (u.measure, u.region) == (name, "lungs"))
        change = sick.ml(more.labels == label) - sick.ml(lesions.labels == label)
        assert change in (pytest.approx(band[1]), pytest.approx(-band[0]))


def test_noise_is_read_from_soft_tissue() -> None:
    for sd in (8.0, 30.0):
        quiet = chest(z_mm=(80, 140), spacing=(4.0, 1.0, 1.1), noise_hu=sd)
        assert noise_hu(quiet.scan) == pytest.approx(sd, rel=0.15)


def test_more_noise_moves_more(sick: Chest) -> None:
    def moved(sd: float) -> float:
        c = chest(blobs=(GLASS,), spacing=(4.0, 2.0, 2.2), z_mm=(60, 210), noise_hu=sd)
        found = find_lesions(RuleFinder(), c.scan, c.lung_map)
        report = _sure(c.scan, c.lung_map, found)
        return next(u.noise[0] for u in report.uncertainty if u.measure == "lesion_volume_ml")

    assert moved(60.0) > 2 * moved(10.0)


def test_twice_the_same(sick: Chest, lesions: LabelMap, sure: ScanReport) -> None:
    again = _sure(sick.scan, sick.lung_map, lesions, Anatomy(airways=sick.lumen))
    assert report_as_json(again) == report_as_json(sure)


def test_a_withheld_measure_has_no_interval(sick: Chest, lesions: LabelMap) -> None:
    notice = Notice("inspiration", "null", "Shallow.", affects=("lesions",))
    report = _sure(sick.scan, sick.lung_map, lesions, notices=(notice,))
    assert report["lesion_percent"].low is None
    assert report["lung_volume_ml"].low is not None
    assert {u.measure for u in report.uncertainty} == {
        "lung_volume_ml",
        "lung_mean_hu",
        "lung_weight_g",
    }


def test_without_lungs_there_is_nothing_to_move() -> None:
    geometry = Geometry.from_spacing((6, 20, 20), (5, 3, 3))
    empty = np.zeros((6, 20, 20), np.uint8)
    scan = Scan(np.full((6, 20, 20), 40, np.int16), geometry)
    lungs = LabelMap(empty, geometry, {1: "right_lung", 2: "left_lung"})
    lesions = LabelMap(empty, geometry, {1: "ground_glass", 2: "consolidation"})
    assert _sure(scan, lungs, lesions).uncertainty == ()


def test_one_slice_has_no_volume_but_an_area(sick: Chest) -> None:
    k = round((130 - 60) / 4.0)
    _, rows, columns = sick.scan.hu.shape
    box = (slice(k, k + 1), slice(0, rows), slice(0, columns))
    scan, lungs = sick.scan.crop(box), sick.lung_map.crop(box)
    lesions = find_lesions(RuleFinder(), scan, lungs)
    report = _sure(scan, lungs, lesions)
    assert report["lesion_volume_ml"].low is None
    area = report["lesion_area_max_cm2"]
    assert area.low < area.value < area.high  # type: ignore[operator]


def test_shares_stay_between_0_and_100(sure: ScanReport) -> None:
    for m in sure.measurements:
        if m.low is not None and m.unit == "%":
            assert 0.0 <= m.low <= m.high <= 100.0  # type: ignore[operator]


def test_a_healthy_lung_has_an_interval_from_zero() -> None:
    c = chest(z_mm=(60, 210), noise_hu=10.0)
    found = LabelMap(np.zeros_like(c.lungs, dtype=np.uint8), c.scan.geometry, {1: "ground_glass"})
    report = _sure(c.scan, c.lung_map, found)
    m = report["lesion_volume_ml"]
    assert m.value == 0.0
    assert m.low == 0.0
    assert m.high > 0.0  # type: ignore[operator]
    assert report["ct_number_lesion_hu"].low is None


def test_headline_values_are_those_of_the_report(
    sick: Chest, lesions: LabelMap, sure: ScanReport
) -> None:
    values = headline_values(sick.scan, sick.lung_map, lesions, Settings())
    assert list(values) == [(m, r) for r in SIDES for m in _in_order(sure)]
    for (measure, region), value in values.items():
        assert value == pytest.approx(sure.value(measure, region), rel=1e-12)


def _in_order(report: ScanReport) -> list[str]:
    return [m.measure for m in report.measurements if m.region == "lungs" and m.measure in HEADLINE]


def test_the_report_says_what_moved_what(sure: ScanReport) -> None:
    document = json.loads(report_as_json(replace(sure)))
    first = document["uncertainty"][0]
    assert set(first) == {
        "measure",
        "region",
        "low",
        "high",
        "factor",
        "lung_edge",
        "lesion_edge",
        "band",
        "noise",
        "published_floor",
    }
    floors = {(u["measure"], u["region"]): u["published_floor"] for u in document["uncertainty"]}
    assert {key for key, floor in floors.items() if floor} == {("lung_volume_ml", "lungs")}
