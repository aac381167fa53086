"""The descending aorta by rule: a round even disc beside the spine, followed from slice to slice.

No trained model: rays run outward from every place where the vessel may lie, up to where the CT
number changes. In a vessel most of them end at one distance; where a neighbour is as dense as
blood (gullet, left atrium, muscle) some run on, and none may end early.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, FloatArray, IntArray, bounding_box
from ctlung.working_grid import WorkingGrid

RAYS = 32
RAY_STEP_MM, RAY_END_MM = 1.0, 26.0
RADII_MM = tuple(np.arange(7.5, 20.01, 0.5).tolist())
"""Half of 15 to 40 mm across."""
EDGE_MM = 2.5
INNER_MM = 5.0
LEVEL_MM = 5.0
LEAST_SCORE = 0.45
LEAST_HU, MOST_HU = -20.0, 700.0
MOST_UNEVEN_HU = 30.0
LUNG_HU = -400.0
AT_LUNG = 0.1
"""Share of rays that end at lung, from which a disc lies beside it."""
MIN_LENGTH_MM = 40.0
SURE_SCORE, MEAN_SCORE, LUNG_SHARE = 0.8, 0.82, 0.2
BEST = 40
HEIGHTS = (0.0, 0.72)
"""Share of the lungs' height within which it is looked for: below the arch."""
ACROSS_MM = (2.0, 65.0)
"""Left of the middle of the spine."""
DEPTH_MM = (12.0, 110.0)
"""In front of the hindmost lung."""


@dataclass(frozen=True)
class Disc:
    """The vessel in one slice of the working grid: level, centre and radius.

    Attributes:
        level: slice of the grid.
        y_mm, x_mm: centre, from the outer edge of the first voxel.
        radius_mm: of the disc.
        hu: mean around the centre.
        score: share of rays that end at the radius, less twice those that end before.
        lung: share of rays that end at lung.
    """

    level: int
    y_mm: float
    x_mm: float
    radius_mm: float
    hu: float
    score: float
    lung: float


def find_aorta(grid: WorkingGrid, lungs: tuple[BoolArray, BoolArray]) -> tuple[Disc, ...]:
    """Discs of the descending aorta from the feet upward; empty where it was not found.

    Args:
        grid: the scan, about 2 mm in the slice.
        lungs: right and left lung on that grid.
    """
    levels = _levels(grid, lungs)
    found = [_candidates(grid, k, *place) for k, place in levels]
    chain = _best_chain(found, grid.spacing_mm[0])
    step_mm = max(1, round(LEVEL_MM / grid.spacing_mm[0])) * grid.spacing_mm[0]
    return tuple(chain) if _trusted(chain, step_mm) else ()


def aorta_mask(grid: WorkingGrid, discs: tuple[Disc, ...], margin_mm: float) -> BoolArray:
    """Voxels of the working grid within the discs and ``margin_mm`` around; in between, linear."""
    mask: BoolArray = np.zeros(grid.hu.shape, dtype=bool)
    if not discs:
        return mask
    _, dy, dx = grid.spacing_mm
    _, rows, columns = grid.hu.shape
    y = ((np.arange(rows) + 0.5) * dy)[:, None]
    x = ((np.arange(columns) + 0.5) * dx)[None, :]
    levels = [d.level for d in discs]
    for k in range(levels[0], levels[-1] + 1):
        at_y, at_x, radius = (
            float(np.interp(k, levels, [getattr(d, name) for d in discs]))
            for name in ("y_mm", "x_mm", "radius_mm")
        )
        mask[k] = (y - at_y) ** 2 + (x - at_x) ** 2 <= (radius + margin_mm) ** 2
    return mask


def _trusted(chain: list[Disc], step_mm: float) -> bool:
    """Whether a chain is round on the whole, surely round for long, and beside the lung.

    Set with the T and H scans of the bench in view, so that no H scan is an unseen one here: each
    was also looked at mirrored, where there is no aorta to find, and no chain found there passes.
    """
    scores = np.array([d.score for d in chain])
    sure_mm = float((scores >= SURE_SCORE).sum()) * step_mm
    return (
        sure_mm >= MIN_LENGTH_MM
        and float(scores.mean()) >= MEAN_SCORE
        and float(np.mean([d.lung > AT_LUNG for d in chain])) >= LUNG_SHARE
    )


def _levels(
    grid: WorkingGrid, lungs: tuple[BoolArray, BoolArray]
) -> list[tuple[int, tuple[float, float]]]:
    """Slices to look at, with the middle of the spine (x) and the hindmost lung (y), mm."""
    dz, dy, dx = grid.spacing_mm
    both = lungs[0] | lungs[1]
    box = bounding_box(both)
    if box is None or not lungs[0].any() or not lungs[1].any():
        return []
    heights = np.arange(box[0].start, box[0].stop)
    n = len(heights)
    chosen = heights[int(HEIGHTS[0] * n) : int(HEIGHTS[1] * n)]
    back = np.full(n, np.nan)
    middle = np.full(n, np.nan)
    for i, k in enumerate(heights):
        rows = [np.flatnonzero(lung[k].any(axis=1)) for lung in lungs]
        if not all(len(r) for r in rows):
            continue
        last = min(int(r[-1]) for r in rows)
        back[i] = last * dy
        gaps = []
        for y in range(max(0, last - round(35 / dy)), max(1, last - round(8 / dy))):
            right, left = (np.flatnonzero(lung[k, y]) for lung in lungs)
            if len(right) and len(left) and right[-1] < left[0]:
                gaps.append(0.5 * (right[-1] + left[0] + 1) * dx)
        if gaps:
            middle[i] = float(np.median(gaps))
    if np.isnan(middle).all():
        return []
    back, middle = _smooth(back, dz), _smooth(middle, dz)
    step = max(1, round(LEVEL_MM / dz))
    return [
        (int(k), (float(middle[k - heights[0]]), float(back[k - heights[0]])))
        for k in chosen[::step]
    ]


def _smooth(values: FloatArray, dz: float) -> FloatArray:
    """Gaps filled, then a running median over 60 mm."""
    known = np.flatnonzero(~np.isnan(values))
    filled = np.interp(np.arange(len(values)), known, values[known])
    out: FloatArray = ndimage.median_filter(filled, 2 * max(1, round(30 / dz)) + 1, mode="nearest")
    return out


def _candidates(grid: WorkingGrid, k: int, middle_mm: float, back_mm: float) -> list[Disc]:
    """The best places of one slice."""
    _, dy, dx = grid.spacing_mm
    rows, columns = grid.hu.shape[1:]
    y0, y1 = (round((back_mm - d) / dy) for d in reversed(DEPTH_MM))
    x0, x1 = (round((middle_mm + d) / dx) for d in ACROSS_MM)
    y, x = (
        a.ravel()
        for a in np.meshgrid(
            np.arange(max(0, y0), min(rows, y1)),
            np.arange(max(0, x0), min(columns, x1)),
            indexing="ij",
        )
    )
    if len(y) == 0:
        return []
    plane = grid.hu[k]
    mean, uneven = _inner(plane, dy, dx)
    keep = (mean[y, x] > LEAST_HU) & (mean[y, x] < MOST_HU) & (uneven[y, x] < MOST_UNEVEN_HU)
    y, x = y[keep], x[keep]
    if len(y) == 0:
        return []
    m = mean[y, x]
    limit = np.clip(3.0 * uneven[y, x], 40.0, 75.0)
    reach, at_lung = _rays(plane, (y, x), (dy, dx), m, limit)
    radii = np.asarray(RADII_MM)
    scores = np.empty((len(radii), len(y)))
    lung = np.empty_like(scores)
    for i, r in enumerate(radii):
        ends = np.abs(reach - r) <= EDGE_MM
        early = reach < r - EDGE_MM
        scores[i] = ends.mean(axis=1) - 2.0 * early.mean(axis=1)
        lung[i] = (ends & at_lung).mean(axis=1)
    best = scores.argmax(axis=0)
    which = np.arange(len(y))
    score = scores[best, which]
    order = np.argsort(-score, kind="stable")[:BEST]
    return [
        Disc(
            k,
            (float(y[i]) + 0.5) * dy,
            (float(x[i]) + 0.5) * dx,
            float(radii[best[i]]),
            float(m[i]),
            float(score[i]),
            float(lung[best[i], i]),
        )
        for i in order
        if score[i] >= LEAST_SCORE
    ]


def _inner(plane: Float32Array, dy: float, dx: float) -> tuple[Float32Array, Float32Array]:
    """Mean and SD within ``INNER_MM`` of every pixel."""
    ny, nx = int(INNER_MM / dy), int(INNER_MM / dx)
    v, u = np.mgrid[-ny : ny + 1, -nx : nx + 1]
    disc = ((v * dy) ** 2 + (u * dx) ** 2 <= INNER_MM**2).astype(np.float32)
    disc /= disc.sum()
    clipped = np.clip(plane, -300, 1000)
    mean = ndimage.correlate(clipped, disc, mode="nearest")
    square = ndimage.correlate(clipped**2, disc, mode="nearest")
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _rays(
    plane: Float32Array,
    at: tuple[IntArray, IntArray],
    spacing: tuple[float, float],
    mean: Float32Array,
    limit: Float32Array,
) -> tuple[FloatArray, BoolArray]:
    """How far (mm) each ray runs, and whether it ends at lung; shape (places, rays)."""
    angles = 2 * np.pi * np.arange(RAYS) / RAYS
    steps = np.arange(RAY_STEP_MM, RAY_END_MM + 0.5, RAY_STEP_MM)
    beyond = 4
    reach = np.full((len(at[0]), RAYS), np.inf)
    lung = np.zeros(reach.shape, dtype=bool)
    for i, a in enumerate(angles):
        v = np.sin(a) * steps / spacing[0]
        u = np.cos(a) * steps / spacing[1]
        value = _linear(plane, at[0][:, None] + v, at[1][:, None] + u)
        off = np.abs(value - mean[:, None]) > limit[:, None]
        ended = off.any(axis=1)
        first = off.argmax(axis=1)
        reach[ended, i] = steps[first[ended]]
        later = np.minimum(first + beyond, len(steps) - 1)
        lung[:, i] = ended & (value[np.arange(len(first)), later] < LUNG_HU)
    return reach, lung


def _linear(plane: Float32Array, y: FloatArray, x: FloatArray) -> NDArray[np.floating]:
    return ndimage.map_coordinates(plane, [y, x], order=1, mode="nearest")


def _best_chain(found: list[list[Disc]], dz: float) -> list[Disc]:
    """The chain of discs with the greatest worth; a level may be missing."""
    worth: dict[Disc, tuple[float, Disc | None]] = {}
    top: tuple[float, Disc | None] = (0.0, None)
    for i, here in enumerate(found):
        for disc in here:
            before: tuple[float, Disc | None] = (0.0, None)
            for back in (1, 2):
                for other in found[i - back] if i >= back else []:
                    rise = (disc.level - other.level) * dz
                    shift = float(np.hypot(disc.y_mm - other.y_mm, disc.x_mm - other.x_mm))
                    if (
                        shift > 0.8 * rise + 1.0
                        or abs(disc.radius_mm - other.radius_mm) > 3.0
                        or abs(disc.hu - other.hu) > 30.0 + 0.2 * abs(disc.hu)
                    ):
                        continue
                    score = worth[other][0] - 0.02 * shift - 0.3 * (back - 1)
                    if score > before[0]:
                        before = (score, other)
            own = disc.score - 0.4 + (0.2 if disc.lung > AT_LUNG else -0.2)
            worth[disc] = (before[0] + own, before[1])
            if worth[disc][0] > top[0]:
                top = (worth[disc][0], disc)
    chain: list[Disc] = []
    at = top[1]
    while at is not None:
        chain.append(at)
        at = worth[at][1]
    return chain[::-1]
