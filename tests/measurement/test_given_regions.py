"""Regions that a user hands in: against the slow way, by their names, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

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
)

from ctlung.arrays import BoolArray
from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.measurement.given_regions import given_regions
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings
from ctlung.vocabulary import ADDITIVE_MEASURES, LOBES, MEASURES, REGIONS, region_word
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


class _OneRegion(Oracle):
    """The slow way in a region that is a mask."""

    def __init__(self, item: Measured, mask: BoolArray) -> None:
        super().__init__(item)
        self.mask = mask.tolist()

    def region(self, name: str) -> list[tuple[int, int, int]]:
        return [v for v in self._voxels() if self.mask[v[0]][v[1]][v[2]]]


def _map(item: Measured, labels: np.ndarray, **names: int) -> LabelMap:
    numbered = {number: name.replace("__", " ") for name, number in names.items()}
    return LabelMap(labels.astype(np.uint8), item.scan.geometry, numbered)


def _analyze(
    item: Measured, *maps: LabelMap, notices: tuple[Notice, ...] = (), settings: Settings = OPEN
) -> ScanReport:
    return analyze(
        item.scan,
        item.lungs,
        item.lesions,
        notices,
        settings=settings,
        lobes=item.lobes,
        regions=maps,
        calibration=KNOWN,
    )


def _rows(report: ScanReport, region: str) -> dict[str, tuple[float | None, str | None]]:
    return {m.measure: (m.value, m.reason) for m in report.measurements if m.region == region}


@pytest.mark.parametrize("seed", range(6))
def test_every_measure_is_that_of_the_slow_way(seed: int) -> None:
    item = random_lobes(seed)
    rng = np.random.default_rng(seed)
    shape = item.scan.hu.shape
    one, two = rng.integers(0, 4, shape), rng.integers(0, 2, shape) * 9
    report = _analyze(item, _map(item, one, a=1, b=2, c=3), _map(item, two, across=9))
    masks = {"user_a": one == 1, "user_b": one == 2, "user_c": one == 3, "user_across": two == 9}
    for name, mask in masks.items():
        for measure, value in _OneRegion(item, mask).all(name).items():
            got = report[measure, name]
            assert got.value == pytest.approx(value, rel=1e-9, abs=1e-9), (measure, name)


@pytest.mark.parametrize("seed", range(3))
def test_they_change_nothing_else_and_come_last(seed: int) -> None:
    item = random_lobes(seed)
    labels = np.random.default_rng(seed).integers(0, 3, item.scan.hu.shape)
    plain, report = _analyze(item), _analyze(item, _map(item, labels, a=1, b=2))
    assert report.measurements[: len(plain.measurements)] == plain.measurements
    assert [(m.region, m.measure) for m in report.measurements] == [
        (region, measure)
        for region in (*REGIONS, *LOBES, "user_a", "user_b")
        for measure in MEASURES
    ]
    assert (plain.slices, plain.lesions, plain.scores) == (
        report.slices,
        report.lesions,
        report.scores,
    )


@pytest.mark.parametrize("seed", range(3))
def test_parts_add_up_and_a_region_that_is_the_lungs_has_their_numbers(seed: int) -> None:
    item = random_scan(seed)
    cut = np.random.default_rng(seed).integers(1, 4, item.scan.hu.shape)
    report = _analyze(item, _map(item, cut, a=1, b=2, c=3), _map(item, 0 * cut + 5, all=5))
    for measure in ADDITIVE_MEASURES:
        parts = sum(report.value(measure, f"user_{n}") or 0.0 for n in "abc")
        assert parts == pytest.approx(report.value(measure), rel=1e-12), measure
    for measure in MEASURES:
        whole = report.value(measure)
        assert report.value(measure, "user_all") == pytest.approx(whole, rel=1e-9), measure


def test_overlapping_regions_are_measured_in_full() -> None:
    item = two_boxes()
    inner, outer = np.zeros(item.scan.hu.shape), np.zeros(item.scan.hu.shape)
    outer[2:8, 6:20, 6:16], inner[3:6, 8:12, 8:12] = 1, 1
    report = _analyze(item, _map(item, inner, gtv=1), _map(item, outer, ptv=1))
    assert report.value("lung_volume_ml", "user_gtv") == pytest.approx(48 * 0.045)
    assert report.value("lung_volume_ml", "user_ptv") == pytest.approx(840 * 0.045)
    only = _analyze(item, _map(item, outer, ptv=1))
    assert _rows(report, "user_ptv") == _rows(only, "user_ptv")


def test_a_mirrored_scan_has_the_same_regions() -> None:
    item = random_scan(3)
    even = Geometry.from_spacing(item.scan.hu.shape, (2.0, 1.1, 0.9))
    labels = np.random.default_rng(9).integers(0, 3, item.scan.hu.shape)

    def report(flip: bool) -> ScanReport:
        def turned(a: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(np.flip(a, 2)) if flip else np.array(a)

        lungs = turned(item.lungs.labels)
        lungs = np.array([0, 2, 1], np.uint8)[lungs] if flip else lungs
        one = measured(turned(item.scan.hu), lungs, turned(item.lesions.labels), even)
        return _analyze(one, _map(one, turned(labels), a=1, b=2))

    plain, mirrored = report(False), report(True)
    assert plain.value("lung_volume_ml", "core")
    for region in ("user_a", "user_b", "core", "rim"):
        for measure in MEASURES:
            value = plain.value(measure, region)
            assert mirrored.value(measure, region) == pytest.approx(value, rel=1e-9), measure


def test_thicker_storage_keeps_the_numbers() -> None:
    thick = two_boxes((12, 30, 40), (4.0, 3.0, 3.0))
    labels = np.zeros(thick.scan.hu.shape)
    labels[2:9, 6:22, 6:30] = 1

    def fine(a: np.ndarray) -> np.ndarray:
        return np.repeat(a, 2, axis=0)

    geometry = Geometry.from_spacing((24, 30, 40), (2.0, 3.0, 3.0))
    thin = measured(
        fine(thick.scan.hu), fine(thick.lungs.labels), fine(thick.lesions.labels), geometry
    )
    one = _analyze(thick, _map(thick, labels, spot=1))
    two = _analyze(thin, _map(thin, fine(labels), spot=1))
    assert one.value("lung_volume_ml", "user_spot") == pytest.approx(7 * 16 * 20 * 0.036)
    for region in ("user_spot", "core", "rim"):
        for measure in ("lung_volume_ml", "lung_mean_hu", "lung_weight_g"):
            value = one.value(measure, region)
            assert two.value(measure, region) == pytest.approx(value, rel=1e-9), (measure, region)


# names


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("GTV-1", "gtv_1"),
        ("  Tumour (left) ", "tumour_left"),
        ("Lésion dorsale", "lesion_dorsale"),
        ("../../etc/passwd", "etc_passwd"),
        ("a,b\n=c", "a_b_c"),
        ("肿瘤", ""),
        ("", ""),
        ("___", ""),
        ("x" * 60, "x" * 40),
    ],
)
def test_what_may_stand_in_a_name(text: str, word: str) -> None:
    assert region_word(text) == word


def test_names_are_unique_and_never_those_of_ctlung() -> None:
    item = two_boxes()
    labels = np.zeros(item.scan.hu.shape)
    names = {1: "lungs", 2: "GTV", 3: "gtv", 4: "gtv_2", 7: "肿瘤", 200: "core", 0: "background"}
    again = {1: "gtv!", 2: "rul"}
    maps = [LabelMap(labels.astype(np.uint8), item.scan.geometry, n) for n in (names, again)]
    found = given_regions(maps, Settings())
    assert [(r.name, r.number, r.label) for r in found] == [
        ("user_lungs", 0, 1),
        ("user_gtv", 0, 2),
        ("user_gtv_2", 0, 3),
        ("user_gtv_2_2", 0, 4),
        ("user_label_7", 0, 7),
        ("user_core", 0, 200),
        ("user_gtv_3", 1, 1),
        ("user_rul", 1, 2),
    ]
    assert not any(name.startswith("user_") for name in (*REGIONS, *LOBES))


def test_too_many_and_another_grid() -> None:
    item = two_boxes()
    labels = _map(item, np.zeros(item.scan.hu.shape), a=1, b=2)
    with pytest.raises(ValueError, match=r"2 regions are more than max_regions \(1\)"):
        _analyze(item, labels, settings=Settings(max_regions=1))
    moved = Geometry.from_spacing(item.scan.hu.shape, (5.0, 3.0, 3.0), (1, 0, 0))
    with pytest.raises(GeometryMismatch, match="does not lie on the grid of the scan"):
        _analyze(item, LabelMap(labels.labels, moved, labels.names))


def test_one_label_map_may_stand_alone() -> None:
    item = two_boxes()
    labels = _map(item, item.lungs.labels, a=1, b=2)
    alone = analyze(item.scan, item.lungs, item.lesions, regions=labels)
    assert alone == analyze(item.scan, item.lungs, item.lesions, regions=[labels])
    assert alone.value("lung_volume_ml", "user_a") == pytest.approx(126.0)


# what is said


def _spot(item: Measured, *, rows: slice = slice(6, 20)) -> LabelMap:
    labels = np.zeros(item.scan.hu.shape)
    labels[2:8, rows, 6:16] = 1
    return _map(item, labels, Big__spot=1)


def test_a_region_inside_the_lungs_is_noted() -> None:
    item = two_boxes()
    (said,) = _analyze(item, _spot(item)).notices
    assert (said.code, said.effect, said.regions) == ("given_regions", "note", ("user_big_spot",))
    assert "1 region(s) were given" in said.sentence
    assert "user_big_spot ('Big spot') (sha256 of the regions " in said.sentence
    other = _analyze(item, _spot(item, rows=slice(7, 20))).notices[0]
    assert other.sentence != said.sentence
    assert _analyze(item).notices == ()


@pytest.mark.parametrize(("limit", "effect"), [(21.4, "warn"), (21.5, "note")])
def test_what_lies_outside_the_lungs_is_told(limit: float, effect: str) -> None:
    item = two_boxes()
    # Rows 2 to 4 of 14 lie in front of the lungs: 180 of 840 voxels of 45 mm3.
    report = _analyze(
        item,
        _spot(item, rows=slice(2, 16)),
        settings=replace(OPEN, region_outside_warn_percent=limit),
    )
    said = report.notices[1]
    assert (said.code, said.effect, said.unit) == ("given_regions", effect, "ml")
    assert said.measured == pytest.approx(180 * 0.045)
    assert said.regions == ("user_big_spot",)
    assert "Outside the lungs, and not measured, lie 8.1 ml (21 %) of user_big" in said.sentence
    assert report.value("lung_volume_ml", "user_big_spot") == pytest.approx(660 * 0.045)


def test_the_most_is_named_first_and_many_are_counted() -> None:
    item = two_boxes()
    labels = np.zeros(item.scan.hu.shape)
    for n in range(1, 21):
        labels[3, 0, 0 : n + 1] = n
        labels[3 + n // 12, n % 4, n : n + 2] = n
    names = {f"n{n}": n for n in range(1, 21)}
    said = _analyze(item, _map(item, labels, **names)).notices
    assert said[0].sentence.count("user_n") == said[1].sentence.count("user_n") == 12
    assert "and 8 more" in said[0].sentence
    assert len(said[0].regions) == 20
    amounts = [np.count_nonzero(labels == names[r.removeprefix("user_")]) for r in said[1].regions]
    assert amounts == sorted(amounts, reverse=True)
    assert said[1].measured == pytest.approx(amounts[0] * 0.045)


def test_padding_is_no_part_of_a_region() -> None:
    item = two_boxes()
    outside = np.zeros(item.scan.hu.shape, bool)
    outside[:, :10] = True
    item = replace(item, scan=replace(item.scan, outside_fov=outside))
    report = _analyze(item, _spot(item))
    assert report.value("lung_volume_ml", "user_big_spot") == pytest.approx(600 * 0.045)
    assert report.notices[1].measured == pytest.approx(240 * 0.045)


def test_a_region_without_lung_has_no_numbers() -> None:
    item = two_boxes()
    labels = np.zeros(item.scan.hu.shape)
    labels[:, :2] = 1
    report = _analyze(item, _map(item, labels, front=1, nowhere=2))
    for name in ("user_front", "user_nowhere"):
        assert {reason for _, reason in _rows(report, name).values()} == {"no_lung"}
    assert report.notices[1].regions == ("user_front",)
    assert "(100 %) of user_front" in report.notices[1].sentence


# what is withheld


def test_a_notice_on_one_lung_speaks_of_the_regions_in_it() -> None:
    item = two_boxes()
    labels = np.zeros(item.scan.hu.shape)
    labels[3, 8, 6:10], labels[4, 8, 24:28], labels[5, 8, 6:30] = 1, 2, 3
    cut = Notice("coverage_top", "null", "s", affects=("volumes", "thirds"), regions=("left_lung",))
    report = _analyze(item, _map(item, labels, right=1, left=2, both=3), notices=(cut,))
    reasons = {n: report["lung_volume_ml", f"user_{n}"].reason for n in ("right", "left", "both")}
    assert reasons == {"right": None, "left": "coverage_top", "both": "coverage_top"}
    # A region that is partly in view is still that region: unlike a third, or core and rim.
    assert report["lung_mean_hu", "user_left"].reason is None
    for depth in ("core", "rim"):
        assert report["lung_mean_hu", depth].reason == "coverage_top"


def test_slices_withheld_count_for_no_largest_area() -> None:
    item = two_boxes()
    lesions = np.zeros(item.scan.hu.shape)
    lesions[3, 6:16, 6:16], lesions[4, 6:12, 6:16] = 1, 1
    item = measured(item.scan.hu, item.lungs.labels, lesions, item.scan.geometry)
    cut = Notice(
        "fov_truncation", "null", "s", affects=("tails",), regions=("right_lung",), slices=(3,)
    )
    report = _analyze(item, _spot(item), notices=(cut,))
    assert report.value("lesion_area_max_slice", "user_big_spot") == 4.0
    assert report["lung_sd_hu", "user_big_spot"].reason == "fov_truncation"


def test_one_slice_has_areas_and_what_lies_outside_in_cm2() -> None:
    item = two_boxes()
    geometry = Geometry.from_spacing((1, 30, 40), (5.0, 3.0, 3.0))
    k = slice(5, 6)
    lesions = np.zeros((1, 30, 40))
    lesions[0, 8:18, 6:16] = 1
    one = measured(item.scan.hu[k], item.lungs.labels[k], lesions, geometry)
    labels = np.zeros((1, 30, 40))
    labels[0, 2:14, 6:16] = 1
    report = _analyze(one, _map(one, labels, spot=1))
    assert report["lung_volume_ml", "user_spot"].reason == "single_slice"
    assert report.value("lesion_area_max_cm2", "user_spot") == pytest.approx(60 * 0.09)
    said = report.notices[1]
    assert (said.unit, said.measured) == ("cm2", pytest.approx(30 * 0.09))
