"""Air, blood and the patient's own aerated lung, and what is made of them (FIELD 1.3, 2.1, 2.4)."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np
import pytest
from support.chest import AORTA, VESSELS, Blob, Chest, Tube, chest, with_acquisition
from support.measured_scans import measured, random_scan
from support.phantoms import PERSON

from ctlung.aorta import find_aorta
from ctlung.geometry import Geometry
from ctlung.measurement import mass
from ctlung.measurement.analyze import analyze
from ctlung.measurement.calibration import calibrate, no_calibrated_weight
from ctlung.measurement.quality import check_result
from ctlung.measurement.reference import reference
from ctlung.notices import Notice
from ctlung.records import Calibration, Fact, ScanReport
from ctlung.settings import Settings
from ctlung.simulation.thorax import phantom_grid, render
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS, NOTICES, REASONS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import block_mean, working_grid

GLASS = Blob((130, 20, -80), (22, 20, 18), -500)


def _facts(c: Chest) -> Calibration:
    return calibrate(c.scan, c.lung_map, Anatomy(c.lumen))


def _report(c: Chest, *notices: Notice, **changes: Any) -> ScanReport:
    settings = Settings(**changes)
    return analyze(
        c.scan, c.lung_map, c.lesion_map, notices, settings=settings, anatomy=Anatomy(c.lumen)
    )


# the aorta


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), (2.5, 1.0, 1.1), (5.0, 3.0, 3.0)])
def test_the_aorta_is_where_the_formula_says(spacing: tuple[float, float, float]) -> None:
    c = chest(aorta=AORTA, spacing=spacing)
    grid = working_grid(c.scan)
    lungs = [block_mean(c.lungs == side, grid.factors) > 0.5 for side in (1, 2)]
    discs = find_aorta(grid, (lungs[0], lungs[1]))
    assert (discs[-1].level - discs[0].level) * grid.spacing_mm[0] >= 60
    assert [d.level for d in discs] == sorted({d.level for d in discs})
    off = []
    for disc in discs:
        z = (disc.level + 0.5) * grid.spacing_mm[0]
        along = (z - AORTA.start[0]) / (AORTA.end[0] - AORTA.start[0])
        for found, axis, extent in ((disc.y_mm, 1, 256.0), (disc.x_mm, 2, 352.0)):
            true = AORTA.start[axis] + along * (AORTA.end[axis] - AORTA.start[axis])
            off.append(abs(found - extent / 2 - true))
    assert np.median(off) < 1.5
    assert max(off) < 8.0
    assert np.median([d.radius_mm for d in discs]) == pytest.approx(AORTA.radius, abs=2.0)


@pytest.mark.parametrize(("blood", "noise"), [(45, 12.0), (28, 12.0), (45, 3.0), (180, 12.0)])
def test_blood(blood: int, noise: float) -> None:
    c = chest(aorta=AORTA, blood_hu=blood, noise_hu=noise, blur_mm=0.0)
    fact = _facts(c).blood_hu
    assert fact.value == pytest.approx(blood, abs=2)
    assert fact.noise_hu == pytest.approx(noise, rel=0.1)
    assert fact.n_voxels > 1000
    # At 9 mm radius and 80 mm length at least, never more than the whole core.
    assert fact.volume_ml == pytest.approx(fact.n_voxels * 4.0 * 2.0 * 2.2 / 1000)
    assert 15 < fact.volume_ml < np.pi * 9**2 * 180 / 1000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"aorta": AORTA, "mirrored": True},
        {"aorta": Tube((100, 45, 30), (118, 45, 30), 12.0)},
        {"aorta": dataclasses.replace(AORTA, radius=4.5)},
        {"aorta": dataclasses.replace(AORTA, radius=26.0)},
        {"aorta": AORTA, "blobs": (Blob((110, 55, 60), (120, 60, 50), 48),)},
        {"aorta": AORTA, "z_mm": (100, 130)},
    ],
    ids=["none", "mirrored", "short", "thin", "wide", "in dense lung", "part"],
)
def test_no_aorta_is_not_guessed(options: dict[str, Any]) -> None:
    blood = _facts(chest(**options)).blood_hu
    assert blood == Fact(reason="no_aorta")


def test_a_vessel_whose_blood_changes_on_the_way_is_none() -> None:
    c = chest(aorta=AORTA)
    ramp = np.linspace(-120, 120, c.scan.hu.shape[0])[:, None, None]
    soft = (c.lungs == 0) & (c.scan.hu > -50) & (c.scan.hu < 100)
    hu = np.where(soft, c.scan.hu + ramp, c.scan.hu).astype(np.int16)
    steep = Chest(dataclasses.replace(c.scan, hu=hu), c.lungs, c.lumen, c.lesions, c.vessels)
    assert _facts(steep).blood_hu.reason == "no_aorta"


@lru_cache(maxsize=1)
def _person() -> tuple[Scan, LabelMap, Anatomy]:
    person = dataclasses.replace(PERSON, blood_hu=38.0)
    grid = phantom_grid(person, (5.0, 2.5, 2.5))
    phantom = render(person, grid)
    noise = np.random.default_rng(3).normal(0, 15, phantom.hu.shape)
    hu = np.clip(np.rint(phantom.hu + noise), -1024, 3071).astype(np.int16)
    lungs = LabelMap(phantom.lungs, grid, LUNG_LABELS)
    return Scan(hu, grid), lungs, Anatomy(phantom.airways, phantom.vessels)


def test_the_anthropomorphic_phantom_has_its_air_and_blood() -> None:
    facts = calibrate(*_person())
    # Pixels of 2.5 mm still hold some of the bronchi's walls 2 mm inside them.
    assert facts.air_hu.value == pytest.approx(-1000, abs=12)
    assert facts.blood_hu.value == pytest.approx(38, abs=3)
    assert facts.blood_hu.noise_hu == pytest.approx(15, abs=2)


# air


def test_air_is_that_of_the_slow_way() -> None:
    rng = np.random.default_rng(2)
    shape, spacing = (6, 18, 20), (3.0, 1.0, 0.9)
    lumen = np.zeros(shape, bool)
    lumen[1:5, 4:14, 5:16] = True
    lumen[2, 8, 9] = False
    hu = rng.integers(-1024, -900, shape)
    deep = []
    for k in range(shape[0]):
        outside = np.argwhere(~lumen[k]) * spacing[1:]
        for i, j in np.argwhere(lumen[k]):
            apart = np.hypot(*(outside - np.array([i, j]) * spacing[1:]).T)
            if apart.min() > 2.0:
                deep.append(int(hu[k, i, j]))
    lungs = np.zeros(shape)
    item = measured(hu, lungs, lungs, Geometry.from_spacing(shape, spacing))
    fact = calibrate(item.scan, item.lungs, Anatomy(lumen)).air_hu
    assert fact.value == median(deep)
    assert fact.n_voxels == len(deep)
    assert fact.volume_ml == pytest.approx(len(deep) * 2.7 / 1000)


def test_no_airways_no_air() -> None:
    c = chest()
    narrow = np.zeros(c.lumen.shape, bool)
    narrow[10:20, 60, 80] = True
    for airways in (None, np.zeros(c.lumen.shape, bool), narrow):
        facts = calibrate(c.scan, c.lung_map, Anatomy(airways))
        assert facts.air_hu == Fact(reason="no_airways")
    assert calibrate(c.scan, c.lung_map).air_hu.reason == "no_airways"


# the reference


def _border(mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask that touch, by face, edge or corner, one that is none."""
    found = set()
    for place in np.argwhere(mask):
        for step in np.ndindex(3, 3, 3):
            near = tuple(place + np.array(step) - 1)
            inside = all(0 <= a < n for a, n in zip(near, mask.shape, strict=True))
            if inside and not mask[near]:
                found.add(tuple(place))
    return np.array(sorted(found))


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_is_that_of_the_slow_way(seed: int) -> None:
    """Every distance to every voxel, on a grid that is its own working grid."""
    rng = np.random.default_rng(seed)
    shape, spacing = (12, 16, 26), np.array([4.0, 3.5, 3.0])
    z, y, x = np.indices(shape)
    lungs = np.zeros(shape, np.uint8)
    for side, middle in ((1, 6), (2, 19)):
        bulge = ((z - 6) / 6.5) ** 2 + ((y - 8) / 7.5) ** 2 + ((x - middle) / 6.4) ** 2
        lungs[bulge + rng.normal(0, 0.02, shape) < 1] = side
    lesions = np.zeros(shape, np.uint8)
    lesions[4:6, 6:8, 4:6] = 1
    lesions[7, 9, 18] = 2
    vessels = (rng.random(shape) < 0.05) & (lungs > 0)
    outside = rng.random(shape) < 0.02
    positions = np.cumsum(rng.uniform(3.8, 4.2, 12))
    matrix = Geometry.from_spacing(shape, spacing).matrix.copy()
    matrix[2, 0] = (positions[-1] - positions[0]) / 11
    geometry = Geometry.from_affine(shape, matrix, positions.tolist())
    mm = np.array(geometry.spacing_mm)
    hu = rng.integers(-950, -700, shape)
    item = measured(hu, lungs, lesions, geometry, outside)
    diseased = np.argwhere(lesions > 0) * mm
    total = weight = 0.0
    n = 0
    for side in (1, 2):
        surface = _border(lungs == side) * mm
        for place in np.argwhere(lungs == side):
            at = tuple(place)
            depth = np.sqrt(((surface - place * mm) ** 2).sum(axis=1)).min()
            away = np.sqrt(((diseased - place * mm) ** 2).sum(axis=1)).min()
            if depth > 5.0 and away > 10.0 and not vessels[at] and not outside[at]:
                w = geometry.slice_weights_mm[at[0]]
                total, weight, n = total + w * hu[at], weight + w, n + 1
    assert n > 100
    settings = Settings(reference_min_ml=0.0)
    fact = reference(item.scan, item.lungs, item.lesions, Anatomy(None, vessels), settings)
    assert fact.n_voxels == n
    assert fact.value == pytest.approx(total / weight, rel=1e-9)
    assert fact.volume_ml == pytest.approx(weight * geometry.pixel_area_mm2 / 1000, rel=1e-9)


def test_the_reference_is_aerated_lung_alone() -> None:
    """What lies beside the lesion and at the surface is denser here, and does not count."""
    c = chest(blobs=(GLASS,), noise_hu=0.0, blur_mm=0.0)
    z, y, x = np.ogrid[: c.lungs.shape[0], : c.lungs.shape[1], : c.lungs.shape[2]]
    z, y, x = (z + 0.5) * 4.0, (y - 63.5) * 2.0, (x - 79.5) * 2.2
    halo = sum(((a - m) / (r + 7)) ** 2 for a, m, r in zip((z, y, x), GLASS.centre, GLASS.radii))  # noqa: B905
    hu = np.where((halo < 1) & (c.lesions == 0) & (c.lungs > 0), -700, c.scan.hu)
    scan = dataclasses.replace(c.scan, hu=hu.astype(np.int16))
    fact = reference(scan, c.lung_map, c.lesion_map, Anatomy(c.lumen))
    assert fact.value == pytest.approx(-860.0, abs=1e-9)
    nothing = LabelMap(np.zeros_like(c.lesions), scan.geometry, LESION_LABELS)
    naive = reference(scan, c.lung_map, nothing, Anatomy(c.lumen))
    assert naive.value is not None
    assert naive.value > -855.0


@pytest.mark.parametrize("hu", [-860, -760])
def test_vessels_are_out_of_the_reference_whatever_the_lung(hu: int) -> None:
    c = chest(vessels=VESSELS, lung_hu=hu)
    by_rule = reference(c.scan, c.lung_map, c.lesion_map, Anatomy(c.lumen))
    known = reference(c.scan, c.lung_map, c.lesion_map, Anatomy(c.lumen, c.vessels))
    kept = Anatomy(c.lumen, np.zeros_like(c.lumen))
    with_them = reference(c.scan, c.lung_map, c.lesion_map, kept)
    assert by_rule.value == pytest.approx(hu, abs=2.5)
    assert known.value is not None
    assert with_them.value is not None
    assert hu < known.value < with_them.value
    assert with_them.value > hu + 4


def test_airways_are_out_of_the_reference() -> None:
    c = chest(noise_hu=0.0, blur_mm=0.0)
    lumen = np.zeros(c.lumen.shape, bool)
    lumen[25:40, 50:56, 40:46] = True
    assert (c.lungs[lumen] > 0).all()
    scan = dataclasses.replace(c.scan, hu=np.where(lumen, -1000, c.scan.hu).astype(np.int16))
    with_air = reference(scan, c.lung_map, c.lesion_map)
    assert with_air.value is not None
    assert with_air.value < -860.1
    without = reference(scan, c.lung_map, c.lesion_map, Anatomy(lumen))
    assert without.value == pytest.approx(-860.0, abs=1e-9)


def test_the_reference_of_the_anthropomorphic_phantom() -> None:
    scan, lungs, anatomy = _person()
    none = LabelMap(np.zeros_like(lungs.labels), scan.geometry, LESION_LABELS)
    fact = reference(scan, lungs, none, Anatomy(anatomy.airways))
    # Its parenchyma without the visible vessels; fissures and twigs leave some HU.
    assert fact.value == pytest.approx(PERSON.lung_hu, abs=15)


def test_without_enough_far_lung_there_is_no_reference() -> None:
    c = chest(blobs=(GLASS,))
    plenty = reference(c.scan, c.lung_map, c.lesion_map)
    assert plenty.value is not None
    assert plenty.volume_ml is not None
    more = Settings(reference_min_ml=plenty.volume_ml + 1)
    scarce = reference(c.scan, c.lung_map, c.lesion_map, settings=more)
    assert (scarce.value, scarce.reason) == (None, "no_reference")
    assert scarce.volume_ml == plenty.volume_ml
    sick = LabelMap((c.lungs > 0).astype(np.uint8), c.scan.geometry, LESION_LABELS)
    assert reference(c.scan, c.lung_map, sick) == Fact(reason="no_reference", volume_ml=0.0)
    report = _report(c, reference_min_ml=plenty.volume_ml + 1)
    assert report["lesion_excess_mass_g"].reason == "no_reference"
    assert report["lesion_mass_g"].reason is None


def test_one_slice_has_no_reference() -> None:
    c = chest(z_mm=(128, 131))
    report = _report(c)
    assert report.calibration.reference_hu == Fact(reason="single_slice")
    assert report["lesion_excess_mass_g"].reason == "single_slice"


def test_where_lesions_are_withheld_there_is_no_lung_far_from_them() -> None:
    c = chest(blobs=(GLASS,))
    shallow = Notice("inspiration", "null", "s", affects=("lesions", "bands"))
    report = _report(c, shallow)
    assert report.calibration.reference_hu.reason == "inspiration"
    assert report["lesion_excess_mass_g"].reason == "inspiration"
    assert report["lung_weight_g"].reason is None


# what is made of them


def test_both_masses_are_those_of_the_slow_way() -> None:
    c = chest(aorta=AORTA, blobs=(GLASS,), vessels=VESSELS, noise_hu=0.0, blur_mm=0.0)
    report = _report(c)
    facts = report.calibration
    air, blood, far = (
        f.value for f in (facts.air_hu, facts.blood_hu, facts.reference_hu) if f.value is not None
    )
    grams = excess = 0.0
    volume = 4.0 * 2.0 * 2.2 / 1000
    for k, i, j in np.argwhere(c.lungs > 0):
        hu = float(c.scan.hu[k, i, j])
        grams += volume * 1.065 * (hu - air) / (blood - air)
        if c.lesions[k, i, j]:
            excess += volume * (hu - far) / 1000
    assert report.value("lung_weight_calibrated_g") == pytest.approx(grams, rel=1e-6)
    assert report.value("lesion_excess_mass_g") == pytest.approx(excess, rel=1e-6)
    # By the formulas of the phantom: -860 and 45 HU, lesion 360 HU denser than lung.
    assert excess == pytest.approx(GLASS.volume_ml * 0.36, rel=0.02)
    plain = report.value("lung_weight_g")
    assert plain is not None
    assert grams == pytest.approx(plain * 1.065 / 1.045, rel=1e-6)


@pytest.mark.parametrize(
    ("air", "blood", "reason"),
    [
        (Fact(-980.0), Fact(40.0), None),
        (Fact(-1020.0), Fact(25.0), None),
        (Fact(-940.0), Fact(65.0), None),
        (Fact(-1020.1), Fact(40.0), "trachea_hu"),
        (Fact(-939.9), Fact(40.0), "trachea_hu"),
        (Fact(-980.0), Fact(24.9), "blood_hu"),
        (Fact(-980.0), Fact(65.1), "blood_hu"),
        (Fact(reason="no_airways"), Fact(40.0), "no_airways"),
        (Fact(-980.0), Fact(reason="no_aorta"), "no_aorta"),
        (Fact(-900.0), Fact(101.0), "contrast"),
        (Fact(reason="no_airways"), Fact(reason="no_aorta"), "no_airways"),
    ],
)
def test_why_there_is_no_calibrated_weight(air: Fact, blood: Fact, reason: str | None) -> None:
    item = random_scan(3)
    report = analyze(item.scan, item.lungs, item.lesions, calibration=Calibration(air, blood))
    got = report["lung_weight_calibrated_g"]
    assert got.reason == reason
    assert reason is None or reason in {*REASONS, *NOTICES}
    assert report["lung_weight_calibrated_g", "left_lung"].reason == reason
    assert no_calibrated_weight(report.calibration, Settings()) == reason


def test_contrast_takes_the_blood_away() -> None:
    c = chest(aorta=AORTA)
    told = _report(c, Notice("contrast", "warn", "s"))
    stated = with_acquisition(c.scan, contrast_agent="yes")
    in_header = analyze(stated, c.lung_map, c.lesion_map, anatomy=Anatomy(c.lumen))
    seen = _report(chest(aorta=AORTA, blood_hu=160))
    for report in (told, in_header, seen):
        assert report.calibration.blood_hu.value is None
        assert report.calibration.blood_hu.reason == "contrast"
        assert report["lung_weight_calibrated_g"].reason == "contrast"
        assert report["lesion_excess_mass_g"].reason is None
    assert _report(c)["lung_weight_calibrated_g"].reason is None


def test_no_voxel_is_clipped_before_the_sums() -> None:
    volumes = np.zeros(4096)
    volumes[[0, 48]] = 100.0  # -1024 and -976 HU, about an air of -1000
    assert mass.calibrated_g(volumes, -1000.0, 40.0) == pytest.approx(0.0, abs=1e-9)
    assert mass.lesion_excess_g(volumes, -1000.0) == pytest.approx(0.0, abs=1e-9)
    assert mass.lesion_excess_g(volumes, -900.0) == pytest.approx(-20.0)


# notices


def _notices(c: Chest) -> dict[str, Notice]:
    segmentation = Segmentation(c.lung_map, Anatomy(c.lumen))
    return {n.code: n for n in check_result(c.scan, segmentation)}


@pytest.mark.parametrize(("blood", "warned"), [(45, False), (30, False), (15, True), (80, True)])
def test_blood_that_is_off(blood: int, warned: bool) -> None:
    found = _notices(chest(aorta=AORTA, blood_hu=blood)).get("blood_hu")
    assert (found is not None) == warned
    if found is not None:
        assert found.effect == "warn"
        assert found.measured == pytest.approx(blood, abs=2)
        assert (found.limit, found.unit) == ("25..65", "HU")
        assert found.affects == ("lung_weight_calibrated_g",)


def test_contrast_in_the_aorta_is_no_blood_that_is_off() -> None:
    found = _notices(chest(aorta=AORTA, blood_hu=150))
    assert found["contrast"].measured == pytest.approx(150, abs=25)
    assert "blood_hu" not in found


def test_noise_is_told_where_it_is_larger() -> None:
    c = chest(aorta=AORTA, noise_hu=3.0, blur_mm=0.0)
    more = np.abs(np.random.default_rng(1).normal(0, 12, c.scan.hu.shape))
    tight = Settings(noise_warn_hu=6.0)
    for where, part in (("aorta", c.scan.hu > -500), ("trachea", c.lumen)):
        sign = np.where(np.indices(c.scan.hu.shape).sum(axis=0) % 2, 1, -1)
        hu = np.clip(c.scan.hu + np.where(part, sign * more, 0), -1024, 3071).astype(np.int16)
        scan = dataclasses.replace(c.scan, hu=hu)
        found = check_result(scan, Segmentation(c.lung_map, Anatomy(c.lumen)), tight)
        notice = next(n for n in found if n.code == "noise")
        assert notice.sentence.startswith(f"Noise in the {where} is ")
        assert notice.measured == pytest.approx(12, rel=0.15)
        assert notice.limit == 6.0
