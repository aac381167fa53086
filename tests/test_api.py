"""The whole way on a chest made of formulas."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.chest import VESSELS, WHO, Blob, Chest, chest, with_acquisition
from support.nifti_files import store, write_nifti
from support.small_result import COARSE, Drawn

from ctlung import api
from ctlung.errors import (
    CtlungError,
    GeometryMismatch,
    IncompleteSeries,
    InputError,
    NotChestCT,
    NotHounsfield,
    UnreadableFile,
)
from ctlung.geometry import Geometry
from ctlung.identity import Key
from ctlung.records import ScanResult
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.settings import Settings
from ctlung.vocabulary import LOBE_LABELS, LOBES, MEASURES, REGIONS, VOLUME_MEASURES
from ctlung.volume import HU_MAX, HU_MIN, LabelMap, Scan, Segmentation
from ctlung.weights import LUNG_MODEL, load_weights, models_folder

BY_DENSITY = ThresholdSegmenter()
"""Numbers of chests made of formulas: their heart and diaphragm are nothing that a network has
learned, and a segmenter by density knows them exactly."""

GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
SOLID = Blob((120, 20, 85), (20, 20, 20), 20)
KEY = Key(b"a secret of the trial")


def _sick(**options: Any) -> Chest:
    return chest(blobs=(GLASS, SOLID), vessels=VESSELS, **options)


@pytest.fixture(scope="module")
def sick() -> ScanResult:
    return api.segment(_sick().scan, segmenter=BY_DENSITY)


def _codes(result: ScanResult) -> set[str]:
    return {n.code for n in result.report.notices}


def _secrets() -> list[str]:
    return [str(v) for v in (WHO.patient_id, WHO.patient_name, WHO.birth_date, WHO.study_uid)] + [
        "1.2.3.5"
    ]


def test_volume_area_and_ct_number_are_those_of_the_formulas(sick: ScanResult) -> None:
    c = _sick()
    value = sick.report.value
    assert value("lung_volume_ml") == pytest.approx(c.ml(c.lungs > 0), rel=0.02)
    assert value("lung_volume_ml", "right_lung") == pytest.approx(c.ml(c.lungs == 1), rel=0.02)
    assert value("lung_volume_ml", "left_lung") == pytest.approx(c.ml(c.lungs == 2), rel=0.02)
    total = GLASS.volume_ml + SOLID.volume_ml
    assert value("lesion_volume_ml") == pytest.approx(total, rel=0.05)
    assert value("lesion_volume_ml", "right_lung") == pytest.approx(GLASS.volume_ml, rel=0.06)
    assert value("ground_glass_volume_ml", "right_lung") == pytest.approx(GLASS.volume_ml, rel=0.06)
    assert value("consolidation_volume_ml", "left_lung") == pytest.approx(SOLID.volume_ml, rel=0.2)
    assert value("lesion_percent") == pytest.approx(100 * total / c.ml(c.lungs > 0), rel=0.05)
    assert value("ct_number_lesion_hu", "right_lung") == pytest.approx(-500, abs=20)
    largest = np.pi * 22 * 20 / 100
    assert value("lesion_area_max_cm2", "right_lung") == pytest.approx(largest, rel=0.07)
    position = value("lesion_area_max_position_mm", "right_lung")
    assert position == pytest.approx(GLASS.centre[0], abs=8)
    assert value("lung_mean_hu") == pytest.approx(c.scan.hu[c.lungs > 0].mean(), abs=5)


def test_a_healthy_chest_has_area_zero_and_no_ct_number() -> None:
    report = api.segment(chest(vessels=VESSELS).scan, segmenter=BY_DENSITY).report
    assert report.value("lesion_volume_ml") == 0.0
    assert report.value("lesion_percent") == 0.0
    assert report.value("lesion_area_max_cm2") == 0.0
    assert report["ct_number_lesion_hu"].reason == "no_lesion"
    assert report.lesions == ()


def test_the_report_has_every_measure_in_every_region_and_every_slice(sick: ScanResult) -> None:
    c, result = _sick(), sick
    pairs = [(m.region, m.measure) for m in result.report.measurements]
    assert sorted(pairs) == sorted((r, m) for r in REGIONS for m in MEASURES)
    assert [row.slice for row in result.report.slices] == list(range(c.scan.hu.shape[0]))
    assert result.scan is c.scan
    assert result.lungs.geometry == result.lesions.geometry == c.scan.geometry
    assert not (result.lesions.labels[result.lungs.labels == 0] > 0).any()


def test_two_runs_are_equal(sick: ScanResult) -> None:
    one, two = sick, api.segment(_sick().scan, segmenter=BY_DENSITY)
    np.testing.assert_array_equal(one.lungs.labels, two.lungs.labels)
    np.testing.assert_array_equal(one.lesions.labels, two.lesions.labels)
    assert one.report == two.report
    assert repr(one.report) == repr(two.report)


def test_the_scan_given_is_not_changed() -> None:
    c = _sick()
    before = c.scan.hu.copy()
    api.segment(c.scan)
    np.testing.assert_array_equal(c.scan.hu, before)
    with pytest.raises(ValueError, match="read-only"):
        c.scan.hu[0, 0, 0] = 1


# refusals


def _hu(scan: Scan, hu: np.ndarray) -> Scan:
    return replace(scan, hu=np.clip(np.rint(hu), HU_MIN, HU_MAX).astype(np.int16))


def _stored_values(scan: Scan) -> Scan:
    return _hu(scan, scan.hu.astype(float) + 1024)


def _picture(scan: Scan) -> Scan:
    return _hu(scan, (scan.hu.astype(float) + 1350) / 1500 * 255)


def _wrong_air(scan: Scan) -> Scan:
    return _hu(scan, np.where(scan.hu < -940, scan.hu + 130, scan.hu))


def _dense_body(scan: Scan) -> Scan:
    return _hu(scan, np.where(scan.hu > -300, scan.hu + 300, scan.hu))


def _no_chest(scan: Scan) -> Scan:
    return _hu(scan, np.where((scan.hu < -500) & _middle(scan), 50, scan.hu))


def _middle(scan: Scan) -> np.ndarray:
    """Inside the body's outline."""
    _, height, width = scan.hu.shape
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((y / 0.8) ** 2 + (x / 0.86) ** 2 < 1)[None]


def _gap(scan: Scan) -> Scan:
    positions = [p + (80.0 if k >= 30 else 0.0) for k, p in enumerate(_positions(scan))]
    geometry = Geometry.from_affine(scan.geometry.shape, scan.geometry.matrix, positions)
    return replace(scan, geometry=geometry)


def _positions(scan: Scan) -> tuple[float, ...]:
    return scan.geometry.slice_positions_mm


@pytest.mark.parametrize(
    ("make", "error", "code", "words"),
    [
        (_stored_values, NotHounsfield, "hu_range", "are not Hounsfield units"),
        (_picture, NotHounsfield, "hu_range", "are not Hounsfield units"),
        (_wrong_air, NotHounsfield, "hu_air", "Air outside the body measures"),
        (_dense_body, NotHounsfield, "hu_soft_tissue", "muscle should lie near"),
        (_no_chest, NotChestCT, "not_chest_ct", "No lungs were found"),
        (_gap, IncompleteSeries, "slice_gap", "slices are missing"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    make: Any, error: type[InputError], code: str, words: str
) -> None:
    scan = make(chest().scan)
    with pytest.raises(error, match=words) as caught:
        api.segment(scan)
    assert caught.value.code == code
    assert isinstance(caught.value, CtlungError)
    assert not [s for s in _secrets() if s in str(caught.value)]


def test_too_little_lung_is_refused() -> None:
    """A child's doll: everything a third as large."""
    c = chest()
    small = Geometry.from_spacing(c.scan.hu.shape, (1.6, 0.9, 1.0))
    with pytest.raises(NotChestCT, match=r"ml of lung were found|No lungs were found") as caught:
        api.segment(replace(c.scan, geometry=small))
    assert caught.value.code in ("lung_mask", "not_chest_ct")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="There is nothing at"):
        api.segment(tmp_path / "no")
    with pytest.raises(UnreadableFile, match="There is nothing at"):
        api.segment(str(tmp_path / "no"))


def test_a_segmenter_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no segmenter 'nonsense'"):
        api.segment(chest().scan, segmenter="nonsense")


# who


def test_without_a_key_there_are_no_hashes_and_no_names() -> None:
    report = api.segment(chest().scan).report
    facts = report.provenance.acquisition
    assert [facts[n] for n in facts if n.endswith("_hash")] == [None] * 4
    assert report.provenance.key_fingerprint is None
    assert report.provenance.identifiers is None
    assert {row.sop_hash for row in report.slices} == {None}
    assert not [s for s in _secrets() if s in repr(report)]


def test_with_a_key_there_are_hashes_and_no_names() -> None:
    scan = chest().scan
    report = api.segment(scan, key=KEY).report
    facts = report.provenance.acquisition
    assert facts["patient_hash"] == KEY.digest("patient", WHO.patient_id)
    assert facts["birth_date_hash"] == KEY.digest("birth_date", WHO.birth_date)
    assert facts["study_hash"] == KEY.digest("study", WHO.study_uid)
    assert facts["series_hash"] == KEY.digest("series", WHO.series_uid)
    assert report.provenance.key_fingerprint == KEY.fingerprint
    uids = scan.source.identifiers.sop_uids
    assert [r.sop_hash for r in report.slices] == [KEY.digest("sop", u) for u in uids]
    assert len({r.sop_hash for r in report.slices}) == len(uids)
    assert report.provenance.identifiers is None
    assert not [s for s in _secrets() if s in repr(report)]
    assert "secret of the trial" not in repr(report)


def test_another_key_gives_other_hashes() -> None:
    scan = chest().scan
    one = api.segment(scan, key=KEY).report.provenance
    two = api.segment(scan, key=Key(b"another secret of 16")).report.provenance
    assert one.acquisition["patient_hash"] != two.acquisition["patient_hash"]
    assert one.key_fingerprint != two.key_fingerprint


def test_a_scan_without_identifiers_has_no_hashes() -> None:
    c = chest()
    bare = Scan(c.scan.hu, c.scan.geometry, c.scan.acquisition)
    report = api.segment(bare, key=KEY).report
    assert report.provenance.acquisition["patient_hash"] is None
    assert {row.sop_hash for row in report.slices} == {None}


def test_identifiers_only_when_asked() -> None:
    report = api.segment(chest().scan, identifiers=True).report
    stated = report.provenance.identifiers
    assert stated is not None
    assert stated["patient_id"] == WHO.patient_id
    assert stated["patient_name"] == WHO.patient_name
    assert stated["birth_date"] == WHO.birth_date
    assert list(stated["sop_uids"]) == list(chest().scan.source.identifiers.sop_uids)


# how


def test_provenance_repeats_the_run() -> None:
    c = chest()
    provenance = api.segment(c.scan).report.provenance
    assert provenance.settings == {}
    assert provenance.segmenter == LUNG_MODEL
    assert provenance.weights_sha256 == load_weights(models_folder() / LUNG_MODEL).sha256
    assert provenance.device == "cpu" or provenance.device.startswith("cuda")
    assert provenance.lesion_method
    assert provenance.shape == c.scan.geometry.shape
    assert provenance.spacing_mm == c.scan.geometry.spacing_mm
    assert provenance.acquisition["kernel"] == "B30f"
    assert provenance.acquisition["acquisition_date"] == "20200301"
    assert provenance.created is None


def test_a_setting_that_differs_is_in_the_report_and_has_its_effect() -> None:
    c = _sick()
    settings = Settings(ground_glass_lower_hu=-400)
    report = api.segment(c.scan, settings=settings, segmenter=BY_DENSITY, finder="rule").report
    assert report.provenance.settings == {"ground_glass_lower_hu": -400}
    assert report.value("lesion_volume_ml", "right_lung") == 0.0
    assert report.value("lesion_volume_ml", "left_lung") == pytest.approx(SOLID.volume_ml, rel=0.1)


def test_settings_reach_the_checks() -> None:
    c = with_acquisition(chest().scan, slice_thickness_mm=2.0)
    assert "thickness" not in {n.code for n in api.segment(c).report.notices}
    strict = Settings(thickness_warn_mm=1.0, inspiration_warn_hu=-900.0)
    assert {"thickness", "inspiration"} <= _codes(api.segment(c, settings=strict))


def test_progress_goes_from_nothing_to_all_and_never_back() -> None:
    seen: list[tuple[str, float]] = []
    api.segment(chest().scan, progress=lambda stage, done: seen.append((stage, done)))
    fractions = [done for _, done in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(0.0 <= f <= 1.0 for f in fractions)
    assert len({stage for stage, _ in seen}) >= 4


def test_a_loaded_segmenter_serves_many_scans() -> None:
    segmenter = api.load_segmenter()
    for c in (chest(lungs_touch=True), chest(mirrored=True), chest(lungs_touch=True)):
        by_name = api.segment_lungs(c.scan)
        loaded = api.segment_lungs(c.scan, segmenter)
        np.testing.assert_array_equal(by_name.lungs.labels, loaded.lungs.labels)
        assert by_name.notices == loaded.notices


def test_any_segmenter_will_do() -> None:
    c = _sick()

    class Drawn:
        name = "drawn by hand"

        def segment(self, scan: Scan) -> Segmentation:
            assert scan is c.scan
            return Segmentation(c.lung_map, segmenter=self.name, weights_sha256="ab" * 32)

    result = api.segment(c.scan, segmenter=Drawn())
    np.testing.assert_array_equal(result.lungs.labels, c.lungs)
    assert result.report.provenance.segmenter == "drawn by hand"
    assert result.report.provenance.weights_sha256 == "ab" * 32
    assert result.report.value("lung_volume_ml") == pytest.approx(c.ml(c.lungs > 0))


def test_the_steps_alone_give_what_segment_gives(sick: ScanResult) -> None:
    c, whole = _sick(), sick
    found = api.segment_lungs(c.scan, BY_DENSITY)
    lesions = api.find_lesions(c.scan, found.lungs, found.anatomy)
    notices = (*api.check_scan(c.scan), *api.check_result(c.scan, found))
    report = api.analyze(c.scan, found.lungs, lesions, notices, anatomy=found.anatomy)
    np.testing.assert_array_equal(lesions.labels, whole.lesions.labels)
    assert report.measurements == whole.report.measurements
    assert report.slices == whole.report.slices
    assert report.calibration == whole.report.calibration


# lungs that the user has already


def test_lungs_that_are_given_are_measured_as_they_are() -> None:
    c = _sick()
    result = api.segment(c.scan, lungs=c.lung_map)
    np.testing.assert_array_equal(result.lungs.labels, c.lungs)
    provenance = result.report.provenance
    assert (provenance.segmenter, provenance.weights_sha256) == ("given", None)
    assert provenance.device == "cpu"
    assert "given_lungs" in _codes(result)
    assert result.report.value("lung_volume_ml") == pytest.approx(c.ml(c.lungs > 0))


def test_lungs_from_a_file_give_the_same_report(tmp_path: Path) -> None:
    c = _sick()
    path = write_nifti(tmp_path / "drawn.nii", *store(c.lungs, c.scan.geometry))
    one, two = api.segment(c.scan, lungs=path), api.segment(c.scan, lungs=c.lung_map)
    assert one.report.measurements == two.report.measurements
    sentences = [n.sentence for n in one.report.notices if n.code == "given_lungs"]
    assert len(sentences) == 1
    assert "given in a file; taken were label 1 as right lung, 2 as left lung" in sentences[0]
    assert str(tmp_path) not in repr(one.report)


def test_lobes_that_are_given_are_measured() -> None:
    c = _sick()
    labels = np.zeros_like(c.lungs)
    z = np.broadcast_to(np.arange(c.lungs.shape[0])[:, None, None], c.lungs.shape)
    labels[c.lungs == 2] = np.where(z > 30, 1, 2)[c.lungs == 2]
    labels[c.lungs == 1] = np.select([z > 36, z > 28], [3, 4], 5)[c.lungs == 1]
    result = api.segment(c.scan, lungs=LabelMap(labels, c.scan.geometry, LOBE_LABELS))
    assert result.lobes is not None
    np.testing.assert_array_equal(result.lobes.labels, labels)
    np.testing.assert_array_equal(result.lungs.labels, c.lungs)
    assert result.report.value("lung_volume_ml", "rml") == pytest.approx(c.ml(labels == 4))


def test_lungs_and_a_segmenter_at_once_are_wrong() -> None:
    c = chest()
    with pytest.raises(ValueError, match="either lungs or a segmenter"):
        api.segment(c.scan, lungs=c.lung_map, segmenter="threshold")


def test_the_device_reaches_the_segmenter_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def load(name: str, device: str) -> ThresholdSegmenter:
        asked.append((name, device))
        return ThresholdSegmenter()

    monkeypatch.setattr(api, "load_segmenter", load)
    api.segment_lungs(chest().scan, "threshold", device="cuda:1")
    api.segment_lungs(chest().scan)
    api.segment_lungs(chest().scan, ThresholdSegmenter(), device="cpu")
    assert asked == [("threshold", "cuda:1"), ("default", "auto")]


# less than a whole chest


def test_a_single_slice_has_areas_and_ct_number_but_no_volume() -> None:
    c = chest(blobs=(GLASS,), vessels=VESSELS, z_mm=(128.0, 131.9))
    result = api.segment(c.scan, segmenter=BY_DENSITY)
    report = result.report
    for measure in (*VOLUME_MEASURES, "lung_volume_measured_ml", "lesion_volume_measured_ml"):
        for region in REGIONS:
            item = report[measure, region]
            assert item.value is None, (measure, region)
        assert report[measure].reason == "single_slice"
    area = np.pi * 22 * 20 / 100
    assert report.value("lesion_area_max_cm2") == pytest.approx(area, rel=0.08)
    assert report.value("ct_number_lesion_hu") == pytest.approx(-500, abs=20)
    (row,) = report.slices
    assert row.lesion_area_cm2 == report.value("lesion_area_max_cm2")
    lung_area = np.count_nonzero(c.lungs) * c.scan.geometry.pixel_area_mm2 / 100
    assert row.lung_area_cm2 == pytest.approx(lung_area, rel=0.03)
    assert report.value("lung_mean_hu") == pytest.approx(c.scan.hu[c.lungs > 0].mean(), abs=10)
    assert "single_slice" in _codes(result)


def test_a_single_slice_of_the_belly_is_refused() -> None:
    with pytest.raises(NotChestCT, match=r"No lungs were found|not a chest CT"):
        api.segment(chest(z_mm=(8.0, 11.9)).scan)


def test_three_slices_have_no_volume_either() -> None:
    c = _sick(z_mm=(122.0, 133.0))
    assert c.scan.hu.shape[0] == 3
    report = api.segment(c.scan, segmenter=BY_DENSITY).report
    assert report["lung_volume_ml"].value is None
    assert report["lesion_percent"].value is None
    area = report.value("lesion_area_max_cm2", "right_lung")
    assert area == pytest.approx(np.pi * 22 * 20 / 100, rel=0.08)


@pytest.mark.parametrize(
    ("thickness", "volumes", "tails"), [(4.0, True, True), (7.0, True, False), (12.0, False, False)]
)
def test_thick_slices(thickness: float, volumes: bool, tails: bool) -> None:
    scan = with_acquisition(_sick().scan, slice_thickness_mm=thickness)
    report = api.segment(scan, segmenter=BY_DENSITY).report
    given = {n: report[n].value is not None for n in ("lung_volume_ml", "lung_perc10_hu")}
    assert given == {"lung_volume_ml": volumes, "lung_perc10_hu": tails}
    for name, there in given.items():
        if not there:
            assert report[name].reason == "thickness"
    assert report.value("lung_mean_hu") is not None
    assert report.value("lesion_area_max_cm2") is not None


def test_a_lung_cut_off_is_measured_in_part_and_never_zero() -> None:
    c = _sick(z_mm=(0.0, 170.0))
    report = api.segment(c.scan, segmenter=BY_DENSITY).report
    for region in ("lungs", "right_lung", "left_lung"):
        assert report["lung_volume_ml", region].reason == "coverage_top"
    in_view = report.value("lung_volume_measured_ml")
    assert in_view == pytest.approx(c.ml(c.lungs > 0), rel=0.02)
    assert report.value("lesion_volume_measured_ml") == pytest.approx(c.ml(c.lesions > 0), rel=0.06)


def test_shallow_breath_withholds_lesions_not_lungs() -> None:
    breath = chest(lung_hu=-720).scan
    report = api.segment(breath, segmenter=BY_DENSITY, finder="rule").report
    assert report["lesion_volume_ml"].reason == "inspiration"
    assert report["ct_number_lesion_hu"].reason == "inspiration"
    assert report["lesion_area_max_cm2"].reason == "inspiration"
    assert report["band_ground_glass_percent"].reason == "inspiration"
    assert report["laa_950_percent"].reason == "inspiration"
    assert report.value("lung_weight_g") is not None
    assert report.value("lung_volume_ml") is not None
    assert report.lesions == ()


def test_shallow_breath_leaves_what_a_model_found() -> None:
    report = api.segment(chest(lung_hu=-720).scan, segmenter=BY_DENSITY).report
    assert report.value("lesion_volume_ml") is not None
    assert report["band_ground_glass_percent"].reason == "inspiration"
    assert report.provenance.lesion_weights_sha256 is not None


def test_the_field_of_view_cuts_one_lung_and_the_other_is_measured() -> None:
    c = chest(x_mm=(-110, 176))
    report = api.segment(c.scan, segmenter=BY_DENSITY).report
    assert report["lung_volume_ml", "right_lung"].reason == "fov_truncation"
    assert report["lung_volume_ml"].reason == "fov_truncation"
    assert report.value("lung_volume_ml", "left_lung") == pytest.approx(
        c.ml(c.lungs == 2), rel=0.02
    )


def test_padding_beside_the_lungs_withholds_their_volume() -> None:
    """A round field of 240 mm through lungs 260 mm wide: never a whole, never a small lung."""
    c = chest(fov_mm=240.0)
    report = api.segment(c.scan, segmenter=BY_DENSITY).report
    assert report["lung_volume_ml"].reason == "fov_truncation"
    in_view = report.value("lung_volume_measured_ml")
    assert in_view == pytest.approx(c.ml(c.lungs > 0), rel=0.05)


def test_a_narrow_field_inside_the_body_is_measured_in_part() -> None:
    """A heart protocol: no room air in view, and lung at the field's edge is not wrong air."""
    c = chest(x_mm=(-100, 100), y_mm=(-84, 84))
    report = api.segment(c.scan, segmenter=BY_DENSITY).report
    assert report["lung_volume_ml"].reason == "fov_truncation"
    in_view = report.value("lung_volume_measured_ml")
    assert in_view == pytest.approx(c.ml(c.lungs > 0), rel=0.05)


@pytest.mark.parametrize(("finder", "close"), [("rule", 0.01), ("network", 0.02)])
def test_mirrored_chests_swap_their_sides(finder: str, close: float) -> None:
    """The network's grid of 2 mm does not begin at the mirrored place."""
    one = api.segment(_sick(noise_hu=0.0).scan, segmenter=BY_DENSITY, finder=finder).report
    two = api.segment(
        _sick(noise_hu=0.0, mirrored=True).scan, segmenter=BY_DENSITY, finder=finder
    ).report
    for measure in ("lung_volume_ml", "lesion_volume_ml", "lung_mean_hu"):
        right, left = one.value(measure, "right_lung"), one.value(measure, "left_lung")
        assert two.value(measure, "left_lung") == pytest.approx(right, rel=close)
        assert two.value(measure, "right_lung") == pytest.approx(left, rel=close)


def test_every_error_of_a_refusal_is_a_ctlung_error() -> None:
    for error in (NotHounsfield, NotChestCT, IncompleteSeries, UnreadableFile):
        assert issubclass(error, InputError)
    assert dataclasses.is_dataclass(ScanResult)


def test_lobes_of_a_segmenter_are_measured_and_kept() -> None:
    c = _sick(spacing=COARSE)
    # Right: rul above, rml and rll below, front and back; left: lul above, lll below.
    z, y, _ = np.indices(c.scan.hu.shape)
    head, back = z >= c.scan.hu.shape[0] // 2, y >= c.scan.hu.shape[1] // 2
    right = np.where(head, 3, np.where(back, 5, 4))
    labels = np.where(c.lung_map.labels == 1, right, np.where(head, 1, 2))
    labels[c.lung_map.labels == 0] = 0
    lobes = LabelMap(labels.astype(np.uint8), c.scan.geometry, LOBE_LABELS)
    result = api.segment(c.scan, segmenter=Drawn(c.lung_map, lobes=lobes))
    assert result.lobes is lobes
    assert {m.region for m in result.report.measurements} == {*REGIONS, *LOBES}
    volumes = [result.report.value("lung_volume_ml", lobe) or 0.0 for lobe in LOBES]
    assert sum(volumes) == pytest.approx(result.report.value("lung_volume_ml"))
    assert volumes[0] == pytest.approx(c.ml(labels == 3), rel=1e-6)
    assert api.segment(c.scan, segmenter=Drawn(c.lung_map)).lobes is None


def test_regions_are_measured_as_label_maps_and_from_files(tmp_path: Path) -> None:
    c = _sick(spacing=COARSE)
    labels = np.zeros(c.scan.hu.shape, np.uint8)
    labels[8:20, 20:40, 8:40] = 3
    spot = LabelMap(labels, c.scan.geometry, {3: "Spot"})
    whole = LabelMap(np.ones_like(labels), c.scan.geometry, {1: "all"})
    drawn = Drawn(c.lung_map)
    result = api.segment(c.scan, segmenter=drawn, regions=[spot, whole])
    assert {m.region for m in result.report.measurements} == {*REGIONS, "user_spot", "user_all"}
    inside = c.ml((labels == 3) & (c.lungs > 0))
    assert result.report.value("lung_volume_ml", "user_spot") == pytest.approx(inside, rel=1e-6)
    frame = result.report.to_frame()
    row = frame[(frame.region == "user_all") & (frame.measure == "lesion_percent")]
    assert row.value.item() == pytest.approx(result.report.value("lesion_percent"), rel=1e-9)
    path = write_nifti(tmp_path / "spot.nii", *store(labels, c.scan.geometry))
    from_file = api.segment(c.scan, segmenter=drawn, regions=path).report
    one = api.segment(c.scan, segmenter=drawn, regions=spot).report
    for measure in MEASURES:
        expected = replace(one[measure, "user_spot"], region="user_label_3")
        assert from_file[measure, "user_label_3"] == expected


def test_regions_on_another_grid_are_refused_before_the_work() -> None:
    c = _sick(spacing=COARSE)
    other = chest(spacing=(10.0, 5.0, 5.0)).lung_map
    asked: list[str] = []
    with pytest.raises(GeometryMismatch, match="does not lie on the grid"):
        api.segment(
            c.scan,
            segmenter=Drawn(c.lung_map),
            regions=other,
            progress=lambda stage, _: asked.append(stage),
        )
    assert asked == ["checking"]


def test_core_and_rim_are_the_lung() -> None:
    c = _sick(spacing=COARSE)
    report = api.segment(c.scan, segmenter=Drawn(c.lung_map)).report
    core, rim = (report["lung_volume_ml", region] for region in ("core", "rim"))
    whole = report["lung_volume_ml"]
    assert (core.n_voxels or 0) + (rim.n_voxels or 0) == whole.n_voxels
    assert (core.value or 0) + (rim.value or 0) == pytest.approx(whole.value, rel=1e-14)
    assert 0.4 < (rim.value or 0) / (whole.value or 1) < 0.8
    cut = api.segment(_sick(z_mm=(60.0, 240.0)).scan, segmenter=BY_DENSITY).report
    for region in ("core", "rim"):
        assert cut["lung_mean_hu", region].reason == cut["lung_volume_ml"].reason
        assert cut["lung_mean_hu", region].value is None
