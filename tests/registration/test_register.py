"""Lungs with vessels, moved by a known breath: where do the points end up?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage

from ctlung.alignment import Alignment
from ctlung.arrays import Float32Array
from ctlung.geometry import Geometry
from ctlung.registration.register import Visit, register
from ctlung.simulation.breathing import Breath, breathe
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan

GRID = Geometry.from_spacing((48, 50, 84), (3.0, 2.5, 2.5), (-105.0, -60.0, 0.0))
BREATH = Breath(12.0, 2.0, -20.0, 150.0, -90.0, 80.0)


def _visit(hu: Float32Array, lungs: np.ndarray, lesions: np.ndarray) -> Visit:
    whole = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return (
        Scan(whole, GRID),
        LabelMap(lungs.astype(np.uint8), GRID, LUNG_LABELS),
        LabelMap(lesions.astype(np.uint8), GRID, LESION_LABELS),
    )


@lru_cache(maxsize=1)
def at_rest() -> tuple[Float32Array, np.ndarray]:
    """Two egg-shaped lungs full of branching-like bright texture, in soft tissue."""
    rng = np.random.default_rng(4)
    z, y, x = (
        np.arange(n) * s + o
        for n, s, o in zip(GRID.shape, (3.0, 2.5, 2.5), (0, -60, -105), strict=True)
    )
    lungs = np.zeros(GRID.shape, np.uint8)
    for label, middle in ((1, -52.0), (2, 52.0)):
        gap = (
            ((z[:, None, None] - 72) / 55) ** 2
            + ((y[None, :, None]) / 48) ** 2
            + ((x[None, None, :] - middle) / 38) ** 2
        )
        lungs[gap < 1] = label
    texture = ndimage.gaussian_filter(rng.standard_normal(GRID.shape), 1.6)
    texture /= texture.std()
    hu = np.where(lungs > 0, -860 + 500 * np.clip(texture - 1.4, 0, 1), 40.0)
    return hu.astype(np.float32), lungs


@lru_cache(maxsize=4)
def pair(lesion: bool = False) -> tuple[Visit, Visit, Alignment]:
    hu, lungs = at_rest()
    lesions = np.zeros_like(lungs)
    before = hu
    if lesion:
        lesions[18:30, 24:36, 14:26] = 2 * (lungs[18:30, 24:36, 14:26] == 1)
        before = np.where(lesions > 0, np.float32(30), hu)
    moved, their_lungs, _ = breathe(hu, lungs, GRID, BREATH, 55.0)
    noise = np.random.default_rng(2).normal(0, 15, hu.shape).astype(np.float32)
    a = _visit(before, lungs, lesions)
    b = _visit(moved + noise, their_lungs, np.zeros_like(lungs))
    return a, b, register(a, b)


def _error_mm(alignment: Alignment, side: int, within: np.ndarray) -> Float32Array:
    index = np.argwhere((at_rest()[1] == side) & within)
    points = GRID.to_mm(index).astype(np.float32)
    found = alignment.sides[side].forward(points.T).T
    error: Float32Array = np.linalg.norm(found - BREATH.forward(points), axis=1)
    return error


@pytest.mark.parametrize("side", [1, 2])
def test_points_end_up_where_the_breath_took_them(side: int) -> None:
    everywhere = np.ones(GRID.shape, bool)
    before = GRID.to_mm(np.argwhere(at_rest()[1] == side)).astype(np.float32)
    moved = np.linalg.norm(BREATH.forward(before) - before, axis=1)
    error = _error_mm(pair()[2], side, everywhere)
    assert moved.mean() > 4.0
    assert error.mean() < 1.0
    assert np.percentile(error, 95) < 2.5


def test_a_lesion_that_went_away_pulls_nothing() -> None:
    a, _, alignment = pair(lesion=True)
    error = _error_mm(alignment, 1, a[2].labels > 0)
    assert error.mean() < 2.0


def test_the_way_back_leads_back() -> None:
    _, _, alignment = pair()
    for side, maps in alignment.sides.items():
        points = GRID.to_mm(np.argwhere(at_rest()[1] == side)[::7]).astype(np.float32).T
        again = maps.backward(maps.forward(points))
        assert np.linalg.norm(again - points, axis=0).max() < 0.5


def test_quality_is_that_of_a_good_alignment_and_says_so_where_it_is_not() -> None:
    a, b, alignment = pair()
    for maps in alignment.sides.values():
        q = maps.quality
        assert q.dice > 0.95
        assert q.surface_mm < 1.5
        assert q.inverse_mm < 2.0
        assert q.folded_percent == 0.0
    other = np.random.default_rng(9).permutation(at_rest()[0][at_rest()[1] > 0])
    hu = at_rest()[0].copy()
    hu[at_rest()[1] > 0] = other
    stranger = register(a, _visit(hu, b[1].labels, b[2].labels))
    worse = stranger.sides[1].quality
    assert worse.inverse_mm > 1.5 * alignment.sides[1].quality.inverse_mm


def test_twice_the_same_bits() -> None:
    a, b, first = pair()
    second = register(a, b)
    for side, maps in first.sides.items():
        assert np.array_equal(
            maps.forward.displacement_mm, second.sides[side].forward.displacement_mm
        )


def test_one_scan_against_itself_stays_exactly_where_it_is() -> None:
    a, _, _ = pair()
    for maps in register(a, a).sides.values():
        assert not maps.forward.displacement_mm.any()
        assert maps.quality.dice == 1.0
        assert maps.quality.inverse_mm == 0.0


def test_a_lung_that_is_missing_has_no_map() -> None:
    a, b, _ = pair()
    only = replace(b[1], labels=np.where(b[1].labels == 1, 1, 0).astype(np.uint8))
    assert set(register(a, (b[0], only, b[2])).sides) == {1}


def test_the_number_of_threads_stays_what_it_was() -> None:
    import torch

    a, b, _ = pair()
    before = torch.get_num_threads()
    register(a, b)
    assert torch.get_num_threads() == before
