"""What is made of a network's answer; the network here is a formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from support.chest import Blob, Chest, chest, dice

from ctlung.errors import NotChestCT
from ctlung.network_grid import to_network_grid
from ctlung.segmentation.body import body_tissue
from ctlung.segmentation.crop import body_box
from ctlung.segmentation.learned import (
    NetworkSegmenter,
    within_body,
    without_foreign,
    without_islands,
)
from ctlung.segmentation.threshold import Found
from ctlung.working_grid import WorkingGrid, working_grid

FINE = (4.0, 1.0, 1.1)


def answering(
    c: Chest, change: Callable[[np.ndarray], None] | None = None, blur: float = 0.6
) -> NetworkSegmenter:
    """A segmenter whose network knows the lungs of ``c``, blurred, on the body's box."""
    box = body_box(c.scan, 2.0)
    grid = working_grid(c.scan.crop(box), 2.0)
    shares = np.stack(
        [to_network_grid(c.lungs[box] == side, c.scan.geometry.spacing_mm, 3.0) for side in (1, 2)]
    )
    hu = to_network_grid(np.maximum(grid.hu, -1024), grid.spacing_mm, 3.0)
    known = np.zeros((4, *hu.shape), np.float32)
    known[1:3] = ndimage.gaussian_filter(shares, (0, blur, blur, blur))[
        :, : hu.shape[0], : hu.shape[1], : hu.shape[2]
    ]
    if change is not None:
        change(known)
    known[0] = 1 - known[1:].sum(axis=0)

    def answer(seen: np.ndarray) -> np.ndarray:
        for corner in np.ndindex(*(b - s + 1 for b, s in zip(hu.shape, seen.shape, strict=True))):
            box = tuple(slice(k, k + n) for k, n in zip(corner, seen.shape, strict=True))
            if hu[box][0, 0, 0] == seen[0, 0, 0] and np.array_equal(hu[box], seen):
                return known[:, box[0], box[1], box[2]]
        raise AssertionError("the network was asked about something that is not in the scan")

    return NetworkSegmenter("formula-1", "0" * 64, 3.0, "cpu", answer)


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), FINE, (8.0, 2.0, 2.2)])
def test_the_border_is_drawn_at_native_resolution(spacing: tuple[float, float, float]) -> None:
    c = chest(spacing=spacing)
    found = answering(c).segment(c.scan)
    for side in (1, 2):
        assert dice(found.lungs.labels == side, c.lungs == side) > 0.98
    assert c.ml(found.lungs.labels > 0) == pytest.approx(c.ml(c.lungs > 0), rel=0.02)
    assert (found.segmenter, found.weights_sha256, found.device) == ("formula-1", "0" * 64, "cpu")
    assert found.notices == ()


def test_dense_lung_is_kept_and_said_to_be_the_networks_word() -> None:
    dense = Blob((90, 60, 100), (40, 50, 40), 30)
    c = chest(blobs=(dense,))
    found = answering(c).segment(c.scan)
    lesion = c.lesions > 0
    assert float((found.lungs.labels > 0)[lesion].mean()) > 0.97
    (notice,) = (n for n in found.notices if n.code == "segmenters_disagree")
    assert notice.effect == "warn"
    assert notice.regions == ("left_lung",)


def test_an_aorta_that_the_network_takes_for_lung_is_none() -> None:
    c = chest()
    _, dy, dx = c.scan.geometry.spacing_mm
    rows, columns = c.scan.hu.shape[1:]
    y, x = (np.arange(rows) * dy)[:, None], (np.arange(columns) * dx)[None, :]
    left = np.argwhere(c.lungs[28] == 2) * (dy, dx)
    middle = left[:, 0].max() - 45.0, left[:, 1].min() + 16.0
    tube = ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 12.0**2)[None] & (c.lungs > 0)
    hu = np.where(tube, 45 + np.random.default_rng(0).normal(0, 8, tube.shape), c.scan.hu)
    scan = dataclasses.replace(c.scan, hu=hu.astype(np.int16))
    found = answering(dataclasses.replace(c, scan=scan)).segment(scan)
    # It is looked for below the arch.
    heights = np.flatnonzero((c.lungs > 0).any(axis=(1, 2)))
    below = slice(heights[0], heights[0] + int(0.65 * len(heights)))
    lower = np.zeros_like(tube)
    lower[below] = tube[below]
    assert c.ml(lower) > 30
    assert c.ml(lower & (found.lungs.labels > 0)) < 0.1 * c.ml(lower)
    outside = (found.lungs.labels > 0) & ~tube
    assert c.ml(outside) == pytest.approx(c.ml((c.lungs > 0) & ~tube), rel=0.02)


def test_aerated_lung_that_the_network_missed_is_a_warning() -> None:
    c = chest()

    def blind(known: np.ndarray) -> None:
        known[1, :30] = 0

    found = answering(c, blind).segment(c.scan)
    (notice,) = (n for n in found.notices if n.code == "segmenters_disagree")
    assert notice.effect == "warn"
    assert "beside the right lung, mostly in its lower third" in notice.sentence


def test_no_lungs_are_refused() -> None:
    c = chest()

    def nothing(known: np.ndarray) -> None:
        known[:] = 0

    with pytest.raises(NotChestCT, match="No lungs were found"):
        answering(c, nothing).segment(c.scan)


def test_air_of_a_main_bronchus_is_not_taken_into_the_lung() -> None:
    c = chest()

    def airways(known: np.ndarray) -> None:
        lumen = to_network_grid(c.lumen[body_box(c.scan, 2.0)], c.scan.geometry.spacing_mm, 3.0)
        known[3] = np.minimum(1 - known[1] - known[2], lumen[tuple(map(slice, known[3].shape))])

    found = answering(c, airways).segment(c.scan)
    assert float((found.lungs.labels > 0)[c.lumen].mean()) < 0.02
    assert found.anatomy.airways is not None
    assert dice(found.anatomy.airways, c.lumen) > 0.8


def test_a_few_slices_are_left_to_the_threshold_segmenter() -> None:
    c = chest(z_mm=(120, 135))
    assert c.scan.hu.shape[0] < 5
    found = answering(c).segment(c.scan)
    assert found.segmenter.startswith("threshold-")
    assert found.weights_sha256 is None


def grid_of(lungs: np.ndarray, hu: np.ndarray | None = None) -> WorkingGrid:
    hu = np.full(lungs.shape, 40, np.float32) if hu is None else hu
    return WorkingGrid(hu.astype(np.float32), (2.0, 2.0, 2.0), (1, 1, 1), lungs.shape, None)


def two_lungs() -> np.ndarray:
    lungs = np.zeros((40, 40, 60), np.uint8)
    lungs[5:35, 5:35, 5:25] = 1
    lungs[5:35, 5:35, 35:55] = 2
    return lungs


def test_a_small_piece_of_the_wrong_side_joins_the_lung_around_it() -> None:
    lungs = two_lungs()
    lungs[10:14, 10:14, 10:14] = 2
    assert np.array_equal(without_islands(lungs, grid_of(lungs)), two_lungs())


def test_a_small_piece_far_from_the_lungs_goes_and_one_nearby_stays() -> None:
    near = two_lungs()
    near[15:18, 15:18, 27:29] = 1
    far = two_lungs()
    far[38:40, 38:40, 0:2] = 2
    assert np.array_equal(without_islands(far, grid_of(far)), two_lungs())
    air = np.where(near > 0, -850, 40)
    assert np.array_equal(without_islands(near, grid_of(near, air)), near)


def test_a_small_piece_without_air_goes_wherever_it_lies() -> None:
    island = two_lungs()
    island[15:18, 15:18, 27:29] = 1
    hu = np.where(two_lungs() > 0, -850, 40)
    assert np.array_equal(without_islands(island, grid_of(island, hu)), two_lungs())


def test_foam_behind_the_back_goes() -> None:
    lungs = np.zeros((20, 80, 60), np.uint8)
    lungs[:, 15:35, 10:25] = 1
    foam = lungs.copy()
    foam[:, 60:70, 10:50] = 2
    hu = np.full(lungs.shape, -1000, np.float32)
    hu[:, 5:55, 2:58] = 40
    hu[lungs > 0] = -850
    hu[:, 60:70] = -800
    assert np.array_equal(within_body(foam, body_tissue(grid_of(foam, hu))), lungs)


def _foreign(lungs: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """By density the two lungs are known, and whatever is dense is not."""
    by_density = np.where(hu < -240, two_lungs(), 0).astype(np.uint8)
    nothing = np.zeros(lungs.shape, bool)
    found = Found(by_density, by_density > 0, nothing, nothing, False)
    return without_foreign(lungs, found, grid_of(lungs, hu))


def test_consolidation_against_aerated_lung_stays() -> None:
    lungs = two_lungs()
    hu = np.where(lungs > 0, -850.0, 40.0)
    hu[5:25, 22:35, 5:25] = 30
    assert np.array_equal(_foreign(lungs, hu), lungs)


def test_tissue_that_hardly_touches_aerated_lung_goes() -> None:
    spleen = two_lungs()
    spleen[8:20, 8:20, 26:34] = 1
    spleen[19, 19, 25] = 1
    hu = np.where(two_lungs() > 0, -850.0, 40.0)
    away = _foreign(spleen, hu)
    assert (away[8:19, 8:19, 26:34] == 0).all()
    assert np.array_equal(away[two_lungs() > 0], spleen[two_lungs() > 0])


def test_gas_that_is_none_of_the_lungs_goes() -> None:
    gas = two_lungs()
    gas[5:12, 5:12, 26:33] = 1
    hu = np.where(gas > 0, -850.0, 40.0)
    hu[5:12, 5:12, 26:33] = -990
    assert np.array_equal(_foreign(gas, hu), two_lungs())
