"""What became of the lung that was inflamed: its CT number then and now (FIELD 1.2, 1.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctlung.alignment import Alignment, PatientGrid, sample
from ctlung.arrays import BoolArray, Float32Array
from ctlung.morphology import distance_outside
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.tubes import narrow_and_bright
from ctlung.working_grid import working_grid

LEAST_EXCESS_HU = 50.0
LEAST_THIRD_ML = 20.0


@dataclass(frozen=True)
class RegionNow:
    """CT numbers of one region in one scan; ``hu`` is ``None`` where too little is left."""

    hu: float | None
    sd: float | None
    median: float | None
    n_voxels: int
    ml: float


def at_the_baselines_breath(
    result: ScanResult, region: BoolArray, back: Float32Array
) -> float | None:
    """Mean HU that a region would have, were it inflated as at baseline.

    Air is pressed out or let in as the alignment says: density times the change of volume. That is
    the most that can be: lung without air hardly takes part.

    Args:
        result: the follow-up.
        region: on its grid.
        back: volume at baseline per volume at follow-up, on its grid.
    """
    where = region & (result.lungs.labels > 0) & (back > 0)
    planes = np.nonzero(where)[0]
    hu, volume = result.scan.hu[where].astype(np.float64), back[where].astype(np.float64)
    if len(hu) < 20:
        return None
    then = (hu + 1000.0) / volume - 1000.0
    weights = result.scan.geometry.voxel_volumes_ml[planes] * volume
    return float(np.average(then, weights=weights))


@dataclass(frozen=True)
class References:
    """Mean HU of the same aerated lung in both scans, and how much of it there is."""

    baseline_hu: float | None
    followup_hu: float | None
    baseline_ml: float
    followup_ml: float
    height_matched: bool


def tubes_of(result: ScanResult) -> BoolArray:
    """Vessels of a scan on its own grid, outside what was called lesion."""
    grid = working_grid(result.scan)
    bright = narrow_and_bright(grid.hu, grid.spacing_mm)
    fz, fy, fx = grid.factors
    native = np.repeat(np.repeat(np.repeat(bright, fz, 0), fy, 1), fx, 2)
    depth, height, width = result.scan.hu.shape
    found: BoolArray = native[:depth, :height, :width] & (result.lesions.labels == 0)
    return found


def region_now(result: ScanResult, region: NDArray[np.uint8] | BoolArray) -> RegionNow:
    """Mean, SD and median of a scan's own voxels in a region on its grid, with slice weights."""
    where = (region > 0) & (result.lungs.labels > 0)
    planes = np.nonzero(where)[0]
    values = result.scan.hu[where].astype(np.float64)
    weights = result.scan.geometry.voxel_volumes_ml[planes]
    ml = float(weights.sum())
    if len(values) < 20 or ml < 0.1:
        return RegionNow(None, None, None, len(values), ml)
    mean = float(np.average(values, weights=weights))
    spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    return RegionNow(mean, spread, float(np.median(values)), len(values), ml)


def references(
    baseline: ScanResult, followup: ScanResult, alignment: Alignment, settings: Settings
) -> References:
    """Aerated lung far from the lesions of both scans and from the surface, seen in both.

    The same points of lung stand for both; vessels of either scan are left out of both. Where
    enough remains, each third of the lung from front to back counts as much as it holds of the
    baseline's lesions, for the back is denser than the front.

    Source: FIELD 1.3.
    """
    parts = [_common(baseline, followup, alignment, side, settings) for side in alignment.sides]
    third = np.concatenate([p.third for p in parts])
    mine, theirs = (np.concatenate([getattr(p, n) for p in parts]) for n in ("mine", "theirs"))
    ml = np.concatenate([p.ml for p in parts])
    share = np.concatenate([p.jacobian for p in parts])
    lesion = sum((p.lesion_ml for p in parts), np.zeros(3))
    whole = References(
        _mean(mine, ml),
        _mean(theirs, ml * share),
        float(ml.sum()),
        float((ml * share).sum()),
        False,
    )
    if min(whole.baseline_ml, whole.followup_ml) < settings.reference_min_ml:
        return References(None, None, whole.baseline_ml, whole.followup_ml, False)
    used = lesion > 0.02 * max(float(lesion.sum()), 1e-9)
    each = np.bincount(third, weights=ml, minlength=3)
    if not used.any() or each[used].min() < LEAST_THIRD_ML:
        return whole
    now = np.bincount(third, weights=ml * share, minlength=3)
    if min(each[used].sum(), now[used].sum()) < settings.reference_min_ml:
        return whole
    weight = np.where(used, lesion, 0.0) / lesion[used].sum()
    b = np.array([_mean(mine[third == t], ml[third == t]) or 0.0 for t in range(3)])
    f = np.array([_mean(theirs[third == t], (ml * share)[third == t]) or 0.0 for t in range(3)])
    return References(
        float(weight @ b),
        float(weight @ f),
        float(each[used].sum()),
        float(now[used].sum()),
        True,
    )


@dataclass(frozen=True, eq=False)
class _Common:
    """Points of one lung that count, their HU in both scans, third, ml; lesion ml by third."""

    mine: Float32Array
    theirs: Float32Array
    third: NDArray[np.intp]
    ml: Float32Array
    jacobian: Float32Array
    lesion_ml: NDArray[np.float64]


def _common(
    baseline: ScanResult, followup: ScanResult, alignment: Alignment, side: int, settings: Settings
) -> _Common:
    maps = alignment.sides[side]
    own, theirs = maps.forward.grid, maps.backward.grid
    b, f = _OnGrid(baseline, side, own, settings), _OnGrid(followup, side, theirs, settings)
    points = own.points()
    there = maps.forward(points)
    lung = b.lung
    rows = np.nonzero(lung.any(axis=(0, 2)))[0]
    lines = np.arange(own.shape[1])
    of_row = np.clip(3 * (lines - rows[0]) // max(1, rows[-1] - rows[0] + 1), 0, 2)
    third = np.broadcast_to(of_row[None, :, None], own.shape)
    kept = b.kept & (maps.backward.read(f.kept.astype(np.float32), there) >= 0.5)
    voxel = own.spacing_mm**3 / 1000.0
    counted = np.bincount(third[lung], weights=b.lesion[lung] * voxel, minlength=3)
    lesion = counted.astype(np.float64)
    return _Common(
        b.hu[kept],
        maps.backward.read(f.hu, there)[kept],
        third[kept].astype(np.intp),
        np.full(int(kept.sum()), voxel, np.float32),
        maps.forward.jacobian()[kept],
        lesion,
    )


class _OnGrid:
    """One lung of one scan on an engine's grid: HU, lung, share of lesion, what counts."""

    def __init__(
        self, result: ScanResult, side: int, grid: PatientGrid, settings: Settings
    ) -> None:
        h = (grid.spacing_mm,) * 3
        self.hu = sample(result.scan.hu, result.scan.geometry, grid, -1000.0)
        share = sample(result.lungs.labels == side, result.scan.geometry, grid, 0.0)
        self.lung: BoolArray = share > 0.5
        self.lesion = sample(result.lesions.labels > 0, result.scan.geometry, grid, 0.0)
        self.kept: BoolArray = self.lung.copy()
        if not self.lung.any():
            return
        self.kept &= -distance_outside(self.lung, h) > settings.reference_surface_mm
        diseased = self.lesion > 0.01
        if diseased.any():
            self.kept &= distance_outside(diseased, h) > settings.reference_lesion_mm
        self.kept &= ~narrow_and_bright(self.hu, h)


def _mean(values: Float32Array, weights: Float32Array) -> float | None:
    total = float(weights.sum(dtype=np.float64))
    if total <= 0:
        return None
    return float((values.astype(np.float64) * weights).sum()) / total
