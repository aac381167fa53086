"""Small scans with lungs and lesions, and the measures of FIELD worked out the slow way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ctlung.geometry import Geometry
from ctlung.vocabulary import LESION_LABELS, LOBE_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan


@dataclass(frozen=True, eq=False)
class Measured:
    """A scan with its masks."""

    scan: Scan
    lungs: LabelMap
    lesions: LabelMap
    lobes: LabelMap | None = None


def measured(
    hu: np.ndarray[Any, Any],
    lungs: np.ndarray[Any, Any],
    lesions: np.ndarray[Any, Any],
    geometry: Geometry,
    outside: np.ndarray[Any, Any] | None = None,
) -> Measured:
    return Measured(
        Scan(hu.astype(np.int16), geometry, outside_fov=outside),
        LabelMap(lungs.astype(np.uint8), geometry, LUNG_LABELS),
        LabelMap(lesions.astype(np.uint8), geometry, LESION_LABELS),
    )


def two_boxes(
    shape: tuple[int, int, int] = (12, 30, 40),
    spacing: tuple[float, float, float] = (5.0, 3.0, 3.0),
) -> Measured:
    """Two box-shaped lungs through all slices but the ends, at -850 HU, without lesions."""
    lungs = np.zeros(shape, np.uint8)
    lungs[1:-1, 5:25, 4:18] = 1
    lungs[1:-1, 5:25, 22:36] = 2
    hu = np.where(lungs > 0, -850, 40)
    return measured(hu, lungs, np.zeros(shape), Geometry.from_spacing(shape, spacing))


def random_scan(seed: int) -> Measured:
    """Ragged lungs, scattered lesions, padding, uneven slices, three different spacings."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(5, 11)), 11, 14)
    z, y, x = np.indices(shape)
    middle = (shape[0] - 1) / 2
    lungs = np.zeros(shape, np.uint8)
    for number, left in ((1, 3.0), (2, 10.0)):
        reach = ((z - middle) / (middle + rng.random())) ** 2 + ((y - 5) / 5) ** 2
        lungs[reach + ((x - left) / 3.6) ** 2 + rng.normal(0, 0.15, shape) < 1] = number
    lesions = np.where(rng.random(shape) < 0.2, rng.integers(1, 3, shape), 0)
    lesions[lungs == 0] = 0
    outside = rng.random(shape) < 0.03
    hu = rng.integers(-1024, 300, shape)
    positions = np.cumsum(rng.uniform(0.5, 4.0, shape[0])) - 77.0
    matrix = Geometry.from_spacing(shape, (1.0, *rng.uniform(0.4, 2.0, 2))).matrix.copy()
    matrix[2, 0] = (positions[-1] - positions[0]) / (shape[0] - 1)
    geometry = Geometry.from_affine(shape, matrix, positions.tolist())
    return measured(hu, lungs, lesions, geometry, outside)


def with_lobes(item: Measured, labels: np.ndarray[Any, Any]) -> Measured:
    lobes = LabelMap(labels.astype(np.uint8), item.scan.geometry, LOBE_LABELS)
    return replace(item, lobes=lobes)


def random_lobes(seed: int) -> Measured:
    """A random scan with scattered lobes: in the right lung, the wrong one, and in none."""
    item = random_scan(seed)
    rng = np.random.default_rng(1000 + seed)
    return with_lobes(item, rng.integers(0, 6, item.scan.hu.shape))


class Oracle:
    """The measures by loops over voxels, with exact fractions; slow and obvious."""

    def __init__(self, item: Measured) -> None:
        self.hu = np.asarray(item.scan.hu).tolist()
        self.lungs = np.asarray(item.lungs.labels).tolist()
        self.lesions = np.asarray(item.lesions.labels).tolist()
        self.lobes = None if item.lobes is None else np.asarray(item.lobes.labels).tolist()
        outside = item.scan.outside_fov
        self.outside = None if outside is None else outside.tolist()
        self.s = list(item.scan.geometry.slice_positions_mm)
        _, dr, dc = item.scan.geometry.spacing_mm
        self.pixel_mm2 = dr * dc
        self.shape = item.scan.hu.shape
        self.w = [self._weight(k) for k in range(len(self.s))]
        self.thirds = {1: self._thirds(1), 2: self._thirds(2)}

    def _weight(self, k: int) -> float:
        s, last = self.s, len(self.s) - 1
        if k == 0:
            return s[1] - s[0]
        if k == last:
            return s[last] - s[last - 1]
        return (s[k + 1] - s[k - 1]) / 2

    def _voxels(self) -> list[tuple[int, int, int]]:
        depth, height, width = self.shape
        return [
            (k, i, j)
            for k in range(depth)
            for i in range(height)
            for j in range(width)
            if self.lungs[k][i][j] and not (self.outside and self.outside[k][i][j])
        ]

    def _thirds(self, side: int) -> list[str]:
        areas = [0] * len(self.s)
        for k, i, j in self._voxels():
            areas[k] += self.lungs[k][i][j] == side
        enough = [k for k, area in enumerate(areas) if area >= 0.02 * max(areas)]
        low, high = self.s[enough[0]], self.s[enough[-1]]
        names = []
        for z in self.s:
            if z < low + (high - low) / 3:
                names.append("lower")
            else:
                names.append("middle" if z < low + 2 * (high - low) / 3 else "upper")
        return names

    def region(self, name: str) -> list[tuple[int, int, int]]:
        """Voxels of a region."""
        kept = []
        for k, i, j in self._voxels():
            side = self.lungs[k][i][j]
            lung = LUNG_LABELS[side]
            names = ("lungs", lung, f"{lung}_{self.thirds[side][k]}", self._lobe(side, k, i, j))
            if name in names:
                kept.append((k, i, j))
        return kept

    def _lobe(self, side: int, k: int, i: int, j: int) -> str:
        found = self.lobes[k][i][j] if self.lobes else 0
        if side == 1 and found in (3, 4, 5):
            return {3: "rul", 4: "rml", 5: "rll"}[found]
        if side == 2 and found in (1, 2):
            return {1: "lul", 2: "lll"}[found]
        return ""

    def lesion(self, voxels: Sequence[tuple[int, int, int]], *tissues: int) -> list[Any]:
        return [v for v in voxels if self.lesions[v[0]][v[1]][v[2]] in (tissues or (1, 2))]

    def ml(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        return sum(self.w[k] * self.pixel_mm2 for k, _, _ in voxels) / 1000

    def values(self, voxels: Sequence[tuple[int, int, int]]) -> list[tuple[int, Fraction]]:
        return sorted((self.hu[k][i][j], Fraction(self.w[k])) for k, i, j in voxels)

    def mean(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        pairs = self.values(voxels)
        return float(sum(w * v for v, w in pairs) / sum(w for _, w in pairs))

    def sd(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        pairs = self.values(voxels)
        total = sum(w for _, w in pairs)
        mean = sum(w * v for v, w in pairs) / total
        return float(sum(w * (v - mean) ** 2 for v, w in pairs) / total) ** 0.5

    def percentile(self, voxels: Sequence[tuple[int, int, int]], share: Fraction) -> float:
        pairs = self.values(voxels)
        total = sum(w for _, w in pairs)
        reached = Fraction(0)
        for value, weight in pairs:
            reached += weight
            if reached >= share * total:
                return float(value)
        raise AssertionError("the last value reaches any share")

    def largest(self, voxels: Sequence[tuple[int, int, int]]) -> tuple[float, int, float]:
        """Area, slice and percent of the largest lesion area."""
        lesion = self.lesion(voxels)
        counts = [sum(1 for v in lesion if v[0] == k) for k in range(len(self.s))]
        k = counts.index(max(counts))
        lung = sum(1 for v in voxels if v[0] == k)
        return counts[k] * self.pixel_mm2 / 100, k, 100 * counts[k] / lung

    def all(self, name: str, dense_from: int = 100) -> dict[str, float]:
        """Every measure of a region that holds lung and lesion."""
        voxels = self.region(name)
        lesion = self.lesion(voxels)
        area, k, percent = self.largest(voxels)
        found = {
            "lung_volume_ml": self.ml(voxels),
            "lesion_volume_ml": self.ml(lesion),
            "lesion_percent": 100 * self.ml(lesion) / self.ml(voxels),
            "ground_glass_volume_ml": self.ml(self.lesion(voxels, 1)),
            "consolidation_volume_ml": self.ml(self.lesion(voxels, 2)),
            "lesion_area_max_cm2": area,
            "lesion_area_max_slice": float(k),
            "lesion_area_max_position_mm": self.s[k],
            "lesion_area_max_percent": percent,
            "dense_ml": self.ml([v for v in voxels if self.hu[v[0]][v[1]][v[2]] >= dense_from]),
        }
        found["lung_volume_measured_ml"] = found["lung_volume_ml"]
        found["lesion_volume_measured_ml"] = found["lesion_volume_ml"]
        statistics: dict[str, Callable[[Any], float]] = {
            "{}_hu": self.mean,
            "{}_sd_hu": self.sd,
            "{}_median_hu": lambda v: self.percentile(v, Fraction(1, 2)),
            "{}_perc10_hu": lambda v: self.percentile(v, Fraction(1, 10)),
            "{}_perc90_hu": lambda v: self.percentile(v, Fraction(9, 10)),
        }
        for form, statistic in statistics.items():
            found[form.format("ct_number_lesion")] = statistic(lesion)
            lung_name = "lung_mean_hu" if form == "{}_hu" else form.format("lung")
            found[lung_name] = statistic(voxels)
        return found

    def components(self) -> list[list[tuple[int, int, int]]]:
        """Lesion voxels joined by faces, edges and corners, within one lung."""
        left = {v: self.lungs[v[0]][v[1]][v[2]] for v in self.lesion(self._voxels())}
        found = []
        while left:
            start, side = next(iter(left.items()))
            del left[start]
            group, heads = [start], [start]
            while heads:
                k, i, j = heads.pop()
                for dk in (-1, 0, 1):
                    for di in (-1, 0, 1):
                        for dj in (-1, 0, 1):
                            near = (k + dk, i + di, j + dj)
                            if left.get(near) == side:
                                del left[near]
                                group.append(near)
                                heads.append(near)
            found.append(group)
        return found
