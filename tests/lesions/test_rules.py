from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.chest import AIRWAYS, VESSELS, Blob, Chest, Tube, chest

from ctlung.errors import GeometryMismatch
from ctlung.geometry import Geometry
from ctlung.lesions.finder import find_lesions
from ctlung.lesions.rules import RuleFinder
from ctlung.settings import Settings
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS
from ctlung.volume import Anatomy, LabelMap

FINE = (2.5, 1.0, 1.1)
GRIDS = [(4.0, 2.0, 2.2), FINE]
Spacing = tuple[float, float, float]


def _lesions(c: Chest, **changes: Any) -> np.ndarray:
    found = find_lesions(
        RuleFinder(), c.scan, c.lung_map, Anatomy(airways=c.lumen), settings=Settings(**changes)
    )
    return np.asarray(found.labels)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize(
    "blob",
    [
        Blob((130, 20, -85), (25, 22, 20), -500),
        Blob((130, 20, -85), (25, 22, 20), -620),
        Blob((120, 20, 85), (20, 20, 20), 20),
        Blob((120, 20, 85), (16, 14, 14), -100),
        Blob((165, 0, -60), (12, 11, 11), -350),
    ],
    ids=lambda b: f"{b.hu}HU-{b.volume_ml:.0f}ml",
)
def test_volume_is_that_of_the_ellipsoid(blob: Blob, spacing: Spacing) -> None:
    c = chest(blobs=(blob,), spacing=spacing, z_mm=(80, 200))
    found = _lesions(c) > 0
    assert c.ml(found) == pytest.approx(blob.volume_ml, rel=0.06)
    assert np.count_nonzero(found & (c.lesions > 0)) > 0.93 * np.count_nonzero(c.lesions)


@pytest.mark.parametrize("spacing", GRIDS)
def test_ct_number_is_that_of_the_lesion(spacing: Spacing) -> None:
    blob = Blob((130, 20, -85), (25, 22, 20), -500)
    c = chest(blobs=(blob,), spacing=spacing, z_mm=(80, 200))
    mean = c.scan.hu[_lesions(c) > 0].mean()
    assert mean == pytest.approx(-500, abs=20)  # its rim is half lung


@pytest.mark.parametrize(
    ("hu", "label"), [(-700, 1), (-500, 1), (-340, 1), (-260, 2), (20, 2), (60, 2)]
)
def test_ground_glass_and_consolidation_by_density(hu: int, label: int) -> None:
    blob = Blob((130, 20, -85), (25, 25, 25), hu)
    found = _lesions(chest(blobs=(blob,), z_mm=(80, 200), noise_hu=8.0))
    values = found[found > 0]
    assert len(values) > 1000
    assert (values == label).mean() > 0.8  # the blurred rim of a consolidation is less dense


def test_both_kinds_in_one_lesion() -> None:
    halo = Blob((130, 20, -85), (32, 32, 30), -550)
    core = Blob((130, 20, -85), (18, 18, 18), 30)
    c = chest(blobs=(halo, core), z_mm=(80, 200))
    found = _lesions(c)
    for label, expected in ((1, halo.volume_ml - core.volume_ml), (2, core.volume_ml)):
        assert c.ml(found == label) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"vessels": VESSELS}, {"lungs_touch": True}, {"mirrored": True, "vessels": VESSELS}],
    ids=["plain", "vessels", "touching", "mirrored"],
)
def test_healthy_lungs_have_no_lesion(options: dict[str, Any], spacing: Spacing) -> None:
    """Vessels, the rim at ribs, heart and diaphragm, and airway walls are all in the bands."""
    c = chest(spacing=spacing, **options)
    dense = (c.scan.hu >= -750) & (c.lungs > 0)
    assert c.ml(dense) > 5.0  # there is something to be wrong about
    percent = 100 * c.ml(_lesions(c) > 0) / c.ml(c.lungs > 0)
    assert percent < 0.1


@pytest.mark.parametrize("blood", [45, 300])
def test_contrast_in_vessels_is_no_lesion(blood: int) -> None:
    vessels = tuple(Tube(t.start, t.end, t.radius, blood) for t in VESSELS)
    c = chest(vessels=vessels, blood_hu=blood, spacing=FINE, z_mm=(70, 200))
    assert c.ml(_lesions(c) > 0) < 1.0


def test_vessels_beside_a_lesion_do_not_join_it() -> None:
    blob = Blob((130, 20, -85), (25, 22, 20), -500)
    c = chest(blobs=(blob,), vessels=VESSELS, spacing=FINE, z_mm=(80, 200))
    found = _lesions(c) > 0
    assert c.ml(found) == pytest.approx(c.ml(c.lesions > 0), rel=0.06)
    assert np.count_nonzero(found & c.vessels) < 0.15 * np.count_nonzero(c.vessels)


def test_airway_walls_are_no_lesion() -> None:
    """Lungs that take the walls of the main bronchi in, as a rough segmenter would."""
    c = chest(spacing=FINE, z_mm=(90, 180))
    near = (c.lungs == 0) & ~c.lumen & (np.abs(_x_mm(c)) > 21) & _bronchi_near(c)
    near &= c.scan.hu < 60
    side = np.where(_x_mm(c) < 0, 1, 2)[None, None, :]
    lungs = np.where(near, side, c.lungs).astype(np.uint8)
    assert np.count_nonzero(near) > 200
    found = find_lesions(
        RuleFinder(),
        c.scan,
        LabelMap(lungs, c.scan.geometry, LUNG_LABELS),
        Anatomy(airways=c.lumen),
    )
    assert c.ml(found.labels > 0) < 0.3


def _x_mm(c: Chest) -> np.ndarray:
    matrix = c.scan.geometry.matrix
    return matrix[0, 3] + matrix[0, 2] * np.arange(c.scan.hu.shape[2])


def _bronchi_near(c: Chest) -> np.ndarray:
    """Boxes of 12 mm around the lower ends of the main bronchi."""
    out = np.zeros(c.scan.hu.shape, bool)
    for _, (z, y, x), _ in AIRWAYS[1:]:
        k, i, j = (np.linalg.inv(c.scan.geometry.matrix) @ [x, y, z, 1.0])[:3].astype(int)
        dz, dy, dx = (int(12 / s) for s in c.scan.geometry.spacing_mm)
        out[k - dz : k + dz, i - dy : i + dy, j - dx : j + dx] = True
    return out


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("hu", [-500, 20])
def test_a_lesion_that_touches_the_pleura_is_kept_up_to_it(hu: int, spacing: Spacing) -> None:
    """COVID-19 lies there: a half ellipsoid, 15 mm deep, on the ribs of the right lung."""
    blob = Blob((130, 10, -130), (25, 35, 18), hu)
    c = chest(blobs=(blob,), spacing=spacing, z_mm=(80, 200))
    truth = c.lesions > 0
    found = _lesions(c) > 0
    assert c.ml(found) == pytest.approx(c.ml(truth), rel=0.10)
    outermost = truth & (_x_mm(c) < _x_mm(c)[np.flatnonzero(truth.any(axis=(0, 1)))[0]] + 4.0)
    assert np.count_nonzero(found & outermost) > 0.6 * np.count_nonzero(outermost)


def test_what_only_lines_the_surface_is_no_lesion() -> None:
    """A half-filled shell one voxel thick: partial volume, some 100 ml of it."""
    c = chest(noise_hu=5.0)
    lung = c.lungs > 0
    inner = lung.copy()
    for axis in (1, 2):
        for step in (-1, 1):
            inner &= np.roll(lung, step, axis)
    rim = lung & ~inner
    hu = np.where(rim, -400, c.scan.hu).astype(np.int16)
    assert c.ml(rim) > 80
    scan = type(c.scan)(hu, c.scan.geometry, c.scan.acquisition)
    found = find_lesions(RuleFinder(), scan, c.lung_map, Anatomy(airways=c.lumen))
    assert c.ml(found.labels > 0) < 0.5


def test_specks_are_removed_and_what_is_larger_stays() -> None:
    speck = Blob((150, -20, -60), (2.2, 2.2, 2.2), -300)  # 0.045 ml
    lesion = Blob((120, 20, 85), (9, 9, 9), -300)  # 3 ml
    c = chest(blobs=(speck, lesion), spacing=FINE, z_mm=(80, 200))
    found = _lesions(c) > 0
    assert not found[:, :, _x_mm(c) < 0].any()
    assert c.ml(found) == pytest.approx(lesion.volume_ml, rel=0.15)


def test_the_least_size_is_a_setting() -> None:
    lesion = Blob((120, 20, 85), (9, 9, 9), -300)
    c = chest(blobs=(lesion,), spacing=FINE, z_mm=(80, 200))
    assert (_lesions(c) > 0).any()
    assert not _lesions(c, lesion_min_component_ml=10.0).any()


def test_the_lower_edge_is_a_setting() -> None:
    c = chest(blobs=(Blob((130, 20, -85), (25, 22, 20), -700),), z_mm=(80, 200), noise_hu=4.0)
    assert (_lesions(c) > 0).any()
    assert not _lesions(c, ground_glass_lower_hu=-600).any()


def test_no_lungs_no_lesions() -> None:
    c = chest(blobs=(Blob((130, 20, -85), (25, 22, 20)),))
    empty = LabelMap(np.zeros(c.scan.hu.shape, np.uint8), c.scan.geometry, LUNG_LABELS)
    found = find_lesions(RuleFinder(), c.scan, empty)
    assert not found.labels.any()
    assert found.geometry == c.scan.geometry
    assert found.names == LESION_LABELS


def test_lesions_lie_inside_the_lungs_given() -> None:
    c = chest(blobs=(Blob((130, 20, -85), (25, 22, 20)), Blob((120, 20, 85), (20, 20, 20), 20)))
    right = LabelMap(np.where(c.lungs == 1, 1, 0).astype(np.uint8), c.scan.geometry, LUNG_LABELS)
    found = find_lesions(RuleFinder(), c.scan, right)
    assert (found.labels > 0).any()
    assert not (found.labels[right.labels == 0] > 0).any()


def test_without_anatomy_lesions_are_found_all_the_same() -> None:
    blob = Blob((130, 20, -85), (25, 22, 20))
    c = chest(blobs=(blob,))
    assert c.ml(find_lesions(RuleFinder(), c.scan, c.lung_map).labels > 0) == pytest.approx(
        blob.volume_ml, rel=0.06
    )


def test_padding_holds_no_lesion() -> None:
    c = chest(blobs=(Blob((130, 20, -85), (25, 22, 20)),), z_mm=(80, 200))
    outside = np.zeros(c.scan.hu.shape, bool)
    outside[:, :, : c.scan.hu.shape[2] // 4] = True
    scan = type(c.scan)(c.scan.hu, c.scan.geometry, c.scan.acquisition, outside_fov=outside)
    found = find_lesions(RuleFinder(), scan, c.lung_map).labels
    assert (found > 0).any()
    assert not found[outside].any()


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), (4.0, 1.0, 1.1)])
def test_a_single_slice_has_its_area(spacing: Spacing) -> None:
    blob = Blob((130, 20, -85), (25, 22, 20), -500)
    c = chest(blobs=(blob,), vessels=VESSELS, spacing=spacing, z_mm=(128.0, 131.9))
    found = _lesions(c)
    assert found.shape[0] == 1
    area = np.pi * 22 * 20
    got = np.count_nonzero(found) * c.scan.geometry.pixel_area_mm2
    assert got == pytest.approx(area, rel=0.08)


def test_a_single_healthy_slice_has_none() -> None:
    c = chest(vessels=VESSELS, spacing=(4.0, 1.0, 1.1), z_mm=(128.0, 131.9))
    area = np.count_nonzero(_lesions(c)) * c.scan.geometry.pixel_area_mm2 / 100
    assert area < 1.0


def test_two_runs_are_equal_and_nothing_given_is_touched() -> None:
    c = chest(blobs=(Blob((130, 20, -85), (25, 22, 20)),), vessels=VESSELS)
    before = c.scan.hu.copy(), np.array(c.lungs), np.array(c.lumen)
    np.testing.assert_array_equal(_lesions(c), _lesions(c))
    for one, other in zip(before, (c.scan.hu, c.lungs, c.lumen), strict=True):
        np.testing.assert_array_equal(one, other)


def test_lungs_of_another_grid_are_refused() -> None:
    c = chest()
    other = Geometry.from_spacing(c.lungs.shape, (4.0, 2.0, 2.3))
    with pytest.raises(GeometryMismatch, match="does not lie on the grid of the scan"):
        find_lesions(RuleFinder(), c.scan, LabelMap(c.lungs, other, LUNG_LABELS))
