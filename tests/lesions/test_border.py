"""Where a lesion ends: half way between it and the lung beside it, whatever the blur."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from ctlung.geometry import Geometry
from ctlung.lesions.border import lesion_labels
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap, Scan
from ctlung.working_grid import block_mean, working_grid

SHAPE = (40, 80, 80)
SPACING = (1.25, 1.0, 1.0)
WHOLE = tuple(slice(0, n) for n in SHAPE)


def _mm() -> np.ndarray:
    centre = (np.asarray(SHAPE) - 1) / 2
    axes = [(np.arange(n) - c) * s for n, c, s in zip(SHAPE, centre, SPACING, strict=True)]
    return np.array(np.meshgrid(*axes, indexing="ij"))


def _ball(radius: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Share of each voxel inside the ball, by its distance to the surface."""
    apart = np.sqrt(sum((m - a) ** 2 for m, a in zip(_mm(), at, strict=True)))
    return np.clip(radius - apart + 0.5, 0.0, 1.0)


def _blurred(hu: np.ndarray, blur_mm: float) -> np.ndarray:
    return ndimage.gaussian_filter(hu, [blur_mm / s for s in SPACING]) if blur_mm else hu


def _draw(
    hu: np.ndarray,
    near: np.ndarray,
    lungs: np.ndarray | None = None,
    outside: np.ndarray | None = None,
    **changes: Any,
) -> np.ndarray:
    geometry = Geometry.from_spacing(SHAPE, SPACING)
    scan = Scan(np.rint(hu).astype(np.int16), geometry, outside_fov=outside)
    inside = np.ones(SHAPE, np.uint8) if lungs is None else lungs.astype(np.uint8)
    grid = working_grid(scan)
    small = tuple(slice(0, n) for n in grid.hu.shape)
    out = np.zeros(SHAPE, np.uint8)
    where = block_mean(near, grid.factors) > 0.5
    label_map = LabelMap(inside, geometry, LUNG_LABELS)
    lesion_labels(scan, label_map, grid, small, where, Settings(**changes), out)
    return out


def _ml(mask: np.ndarray) -> float:
    return np.count_nonzero(mask) * float(np.prod(SPACING)) / 1000


@pytest.mark.parametrize("blur", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("lesion_hu", [-600, -450, -100, 30])
def test_the_volume_does_not_depend_on_density_or_blur(lesion_hu: int, blur: float) -> None:
    """A fixed threshold of -750 HU would take up to twice a blurred ball of 30 HU."""
    ball = _ball(11.0)
    hu = _blurred(-860 + (lesion_hu + 860) * ball, blur)
    truth = 4 / 3 * np.pi * 11.0**3 / 1000
    found = _ml(_draw(hu, ball > 0.5) > 0)
    assert found == pytest.approx(truth, rel=0.08)


def test_where_the_rule_saw_nothing_nothing_is_drawn() -> None:
    hu = -860 + 400 * _ball(11.0)
    assert not _draw(hu, np.zeros(SHAPE, bool)).any()


def test_a_core_is_enough_to_draw_the_whole() -> None:
    hu = -860 + 400 * _ball(11.0)
    full = _draw(hu, _ball(11.0) > 0.5) > 0
    from_core = _draw(hu, _ball(10.2) > 0.5) > 0
    assert _ml(from_core) == pytest.approx(_ml(full), rel=0.06)


def test_labels_follow_the_density() -> None:
    left, right = _ball(9.0, (0, 0, -18)), _ball(9.0, (0, 0, 18))
    out = _draw(-860 + 360 * left + 880 * right, (left + right) > 0.5)
    assert (out[left == 1] == 1).mean() > 0.95
    assert (out[_ball(7.0, (0, 0, 18)) == 1] == 2).mean() > 0.95
    moved = _draw(
        -860 + 360 * left + 880 * right, (left + right) > 0.5, consolidation_lower_hu=-550
    )
    assert (moved[_ball(7.0, (0, 0, -18)) == 1] == 2).mean() > 0.95


def test_two_lesions_side_by_side_are_both_drawn() -> None:
    left, right = _ball(8.0, (0, 0, -11)), _ball(8.0, (0, 0, 11))
    out = _draw(-860 + 400 * np.maximum(left, right), np.maximum(left, right) > 0.5)
    truth = 2 * 4 / 3 * np.pi * 8.0**3 / 1000
    assert _ml(out > 0) == pytest.approx(truth, rel=0.08)


def test_the_lung_is_the_limit() -> None:
    ball = _ball(11.0)
    lungs = _mm()[2] < 0
    out = _draw(-860 + 900 * ball, ball > 0.5, lungs)
    assert (out > 0).any()
    assert not out[~lungs].any()


def test_padding_is_left_out() -> None:
    ball = _ball(11.0)
    outside = _mm()[2] < 0
    hu = np.where(outside, -1024, -860 + 400 * ball)
    out = _draw(hu, ball > 0.5, outside=outside)
    assert (out > 0).any()
    assert not out[outside].any()


def test_a_film_on_the_surface_is_no_lesion_but_the_lesion_on_it_is() -> None:
    """Wall at x > 20 mm, half-filled voxels beside it, and one real lesion that touches it."""
    x = _mm()[2]
    lungs = x < 20
    film = lungs & (x > 19)
    ball = _ball(10.0, (0, 0, 14)) * lungs
    hu = np.where(lungs, -860 + 400 * ball, 40)
    hu = np.where(film & (ball < 0.5), -400, hu)
    out = _draw(hu, film | (ball > 0.5), lungs) > 0
    far = film & (np.abs(_mm()[1]) > 16)
    assert np.count_nonzero(far) > 500
    assert np.count_nonzero(out & far) == 0
    assert np.count_nonzero(out & (ball > 0.9)) > 0.9 * np.count_nonzero(ball > 0.9)


def test_specks_go_by_their_volume() -> None:
    speck = _ball(2.4)  # 0.06 ml; blur draws so small a ball larger
    hu = -860 + 700 * speck
    assert not _draw(hu, speck > 0.3).any()
    assert _draw(hu, speck > 0.3, lesion_min_component_ml=0.02).any()
