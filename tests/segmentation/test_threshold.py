from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.chest import VESSELS, Blob, Chest, chest, dice

from ctlung.errors import NotChestCT
from ctlung.geometry import Geometry
from ctlung.segmentation.load import SEGMENTERS, load_segmenter
from ctlung.segmentation.protocol import Segmenter
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.volume import Scan, Segmentation

SEGMENTER = load_segmenter("threshold")
FINE = (4.0, 1.0, 1.1)
"""In the plane finer than the working grid, so that the native border is drawn too."""


def _segment(c: Chest) -> Segmentation:
    return SEGMENTER.segment(c.scan)


def _codes(found: Segmentation) -> list[str]:
    return [n.code for n in found.notices]


def _x_mm(c: Chest) -> np.ndarray:
    matrix = c.scan.geometry.matrix
    return matrix[0, 3] + matrix[0, 2] * np.arange(c.scan.hu.shape[2])


def _assert_lungs(found: Segmentation, c: Chest, least: float = 0.98) -> None:
    scores = {side: dice(found.lungs.labels == side, c.lungs == side) for side in (1, 2)}
    assert min(scores.values()) > least, scores


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vessels": VESSELS},
        {"mirrored": True},
        {"stomach_gas": True},
        {"airways": False},
        {"blood_hu": 220},
        {"lung_hu": -720},
        {"lung_hu": -930},
        {"noise_hu": 60.0},
        {"spacing": FINE, "vessels": VESSELS},
        {"spacing": (10.0, 2.0, 2.2)},
        {"spacing": (1.5, 2.0, 2.2), "z_mm": (100, 240)},
        {"z_mm": (90, 240)},
        {"z_mm": (0, 170)},
        {"x_mm": (-110, 176)},
        {"blobs": (Blob((130, 20, -85), (22, 20, 20), 20),)},
        {"blobs": (Blob((130, 10, 125), (25, 30, 15), -550),)},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_right_and_left_lung(options: dict[str, Any]) -> None:
    c = chest(**options)
    found = _segment(c)
    _assert_lungs(found, c)
    volume = c.ml(found.lungs.labels > 0)
    assert volume == pytest.approx(c.ml(c.lungs > 0), rel=0.02)
    assert "dense_lung_lost" not in _codes(found)


def test_lungs_that_touch_are_told_apart_and_it_is_said() -> None:
    c = chest(lungs_touch=True)
    found = _segment(c)
    _assert_lungs(found, c)
    (notice,) = (n for n in found.notices if n.code == "lungs_touch")
    assert notice.effect == "note"
    assert "Right and left lung touch" in notice.sentence
    assert "lungs_touch" not in _codes(_segment(chest()))


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), FINE])
def test_trachea_and_main_bronchi_are_not_lung(spacing: tuple[float, float, float]) -> None:
    c = chest(spacing=spacing)
    found = _segment(c)
    taken = c.lumen & (found.lungs.labels > 0)
    # Only where a bronchus has already entered the lung may its end be counted as lung.
    assert np.count_nonzero(taken[:, :, np.abs(_x_mm(c)) < 20]) == 0
    share = np.count_nonzero(taken) / np.count_nonzero(c.lumen)
    assert share < 0.05
    airways = found.anatomy.airways
    assert airways is not None
    assert dice(airways, c.lumen) > 0.85


def test_vessels_and_lesions_inside_the_lung_are_lung() -> None:
    inside = Blob((130, 20, -85), (22, 20, 20), 40)
    c = chest(vessels=VESSELS, blobs=(inside,), spacing=FINE)
    lungs = _segment(c).lungs.labels > 0
    assert lungs[c.lesions > 0].mean() > 0.99
    assert lungs[c.vessels].mean() > 0.9


def test_table_foam_and_room_air_are_not_lung() -> None:
    """A mattress as dense as lung lies on the table, and an arm closes air in beside the body."""
    c = chest(noise_hu=5.0)
    hu = np.array(c.scan.hu)
    hu[:, 117:120, 20:140] = -860
    hu[:, 120:122, 20:140] = 100
    scan = Scan(hu, c.scan.geometry, c.scan.acquisition)
    lungs = SEGMENTER.segment(scan).lungs.labels
    assert np.count_nonzero(lungs[:, 116:]) == 0
    scores = {side: dice(lungs == side, c.lungs == side) for side in (1, 2)}
    assert min(scores.values()) > 0.98, scores


@pytest.mark.parametrize("diameter", [256.0, 230.0])
def test_lungs_cut_by_a_round_field_keep_what_is_in_view(diameter: float) -> None:
    """The lungs reach 130 mm from the middle; padding beside them is no room air."""
    c = chest(fov_mm=diameter)
    found = _segment(c)
    assert c.scan.outside_fov is not None
    assert np.count_nonzero(found.lungs.labels[c.scan.outside_fov]) == 0
    _assert_lungs(found, c, least=0.95)


def test_padding_outside_the_body_changes_nothing() -> None:
    c = chest(fov_mm=345.0)
    _assert_lungs(_segment(c), c)


def test_dense_lung_at_the_ribs_is_missed_and_said_so() -> None:
    """No threshold sees airless lung against the chest wall; the notice names side and size."""
    lost = Blob((120, 35, 95), (50, 35, 40), 40)
    found = _segment(chest(blobs=(lost,)))
    (notice,) = (n for n in found.notices if n.code == "dense_lung_lost")
    assert notice.effect == "warn"
    assert notice.regions == ("left_lung",)
    assert notice.unit
    assert isinstance(notice.measured, float)
    assert isinstance(notice.limit, float)
    assert notice.measured > notice.limit
    assert "left lung" in notice.sentence
    assert "consolidation, effusion or tumour" in notice.sentence


@pytest.mark.parametrize("z", [130, 160])
@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), FINE])
def test_a_single_slice(z: int, spacing: tuple[float, float, float]) -> None:
    c = chest(z_mm=(z - 2.0, z + 1.9), spacing=spacing, vessels=VESSELS)
    assert c.scan.hu.shape[0] == 1
    _assert_lungs(_segment(c), c, least=0.97)


def test_mirrored_voxels_give_mirrored_lungs() -> None:
    c = chest(noise_hu=0.0)
    mirrored = chest(noise_hu=0.0, mirrored=True)
    swap = np.array([0, 2, 1], np.uint8)
    one = swap[_segment(c).lungs.labels[:, :, ::-1]]
    other = _segment(mirrored).lungs.labels
    assert (one != other).mean() < 0.002


def test_two_runs_are_equal_and_the_scan_is_not_touched() -> None:
    c = chest(vessels=VESSELS)
    before = c.scan.hu.copy()
    one, two = _segment(c), _segment(c)
    np.testing.assert_array_equal(one.lungs.labels, two.lungs.labels)
    assert one.notices == two.notices
    np.testing.assert_array_equal(c.scan.hu, before)
    assert one.lungs.names == {1: "right_lung", 2: "left_lung"}
    assert one.lungs.geometry == c.scan.geometry


def test_padding_is_never_lung() -> None:
    c = chest()
    outside = np.zeros(c.scan.hu.shape, bool)
    outside[30:40, 40:80, 40:60] = True
    hu = np.where(outside, -1024, c.scan.hu).astype(np.int16)
    scan = Scan(hu, c.scan.geometry, c.scan.acquisition, outside_fov=outside)
    assert np.count_nonzero(SEGMENTER.segment(scan).lungs.labels[outside]) == 0


@pytest.mark.parametrize("hu", [-1000, 50, 0])
def test_nothing_in_view_is_refused(hu: int) -> None:
    geometry = Geometry.from_spacing((20, 40, 40), (4.0, 4.0, 4.0))
    scan = Scan(np.full((20, 40, 40), hu, np.int16), geometry)
    with pytest.raises(NotChestCT, match=r"No lungs were found: .*Check that the series shows"):
        SEGMENTER.segment(scan)


def test_an_abdomen_with_gas_is_refused() -> None:
    c = chest(stomach_gas=True, z_mm=(0, 60), airways=False)
    hu = np.where(c.lungs > 0, 50, c.scan.hu).astype(np.int16)
    with pytest.raises(NotChestCT, match="No lungs were found"):
        SEGMENTER.segment(Scan(hu, c.scan.geometry))


def test_a_segmenter_is_loaded_by_name_and_says_its_own() -> None:
    assert isinstance(load_segmenter(), Segmenter)
    assert load_segmenter("default").name == load_segmenter("network").name
    assert set(SEGMENTERS) > {"network", "threshold"}
    assert ThresholdSegmenter().name.startswith("threshold-")
    assert _segment(chest()).segmenter == ThresholdSegmenter().name
    with pytest.raises(ValueError, match=r"no segmenter 'nonsense'; known are: .*threshold"):
        load_segmenter("nonsense")


def test_a_thin_chest_wall_costs_no_lung() -> None:
    """A wall of 6 mm in front and at the sides is thinner than what counts as body."""
    y, x = np.mgrid[-70:70, -90:90] * 2.0
    outer = (x / 150) ** 2 + (y / 110) ** 2
    inner = (x / 144) ** 2 + (y / 104) ** 2
    plane = np.where(outer < 1, 50, -1000)
    lung = (inner < 1) & (np.abs(x) > 30) & (y < 60)
    plane = np.where(lung, -860, plane)
    hu = np.repeat(plane[None], 40, axis=0).astype(np.int16)
    hu[:3] = hu[-3:] = np.where(outer < 1, 50, -1000)
    scan = Scan(hu, Geometry.from_spacing(hu.shape, (4.0, 2.0, 2.0)))
    found = ThresholdSegmenter().segment(scan).lungs.labels[3:-3]
    assert np.count_nonzero((found == 1) & lung & (x < 0)) > 0.98 * 34 * np.sum(lung & (x < 0))
    assert np.count_nonzero((found == 2) & lung & (x > 0)) > 0.98 * 34 * np.sum(lung & (x > 0))
