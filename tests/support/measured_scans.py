"""Small scans with lungs and lesions, and the measures of FIELD worked out the slow way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ctlung.geometry import Geometry
from ctlung.measurement.depth import rim_of
from ctlung.records import Calibration, Fact
from ctlung.vocabulary import LESION_LABELS, LOBE_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan

AIR_HU, BLOOD_HU, REFERENCE_HU = -987.0, 38.0, -861.5
KNOWN = Calibration(Fact(AIR_HU), Fact(BLOOD_HU), Fact(REFERENCE_HU))
"""Facts that a scan of a few voxels cannot give by itself."""


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


PRINTED: dict[str, tuple[int, int]] = {
    "gattinoni_hyperinflated": (-1000, -901),
    "gattinoni_normally_aerated": (-900, -501),
    "gattinoni_poorly_aerated": (-500, -101),
    "gattinoni_non_aerated": (-100, 100),
    "hyperinflated_900": (-1024, -901),
    "colombi_well_aerated": (-950, -701),
    "lanza_compromised": (-500, 100),
    "haa_600_250": (-600, -251),
    "laa_950": (-1024, -951),
    "laa_910": (-1024, -911),
    "laa_856": (-1024, -857),
    "cip_laa_950": (-1024, -951),
    "cip_laa_925": (-1024, -926),
    "cip_laa_910": (-1024, -911),
    "cip_laa_905": (-1024, -906),
    "cip_laa_900": (-1024, -901),
    "cip_laa_875": (-1024, -876),
    "cip_laa_856": (-1024, -857),
    "cip_haa_700": (-699, 3071),
    "cip_haa_600": (-599, 3071),
    "cip_haa_500": (-499, 3071),
    "cip_haa_250": (-249, 3071),
    "lcta_emphysema": (-1024, -951),
    "lcta_inflated": (-950, -751),
    "lcta_infiltrated": (-750, -401),
    "lcta_collapsed": (-400, -1),
    "lcta_vessels": (0, 2999),
    "covid_ground_glass": (-750, -301),
    "covid_consolidation": (-300, 49),
}
"""First and last whole HU of each published band (FIELD 2.2), among those that a scan can hold."""


def own_bands(dense_from: int = 100) -> dict[str, tuple[int, int]]:
    """First and last whole HU of the bands of ctlung's own preset."""
    return {
        "band_hyperlucent": (-1024, -951),
        "band_aerated": (-950, -751),
        "band_ground_glass": (-750, -301),
        "band_consolidation": (-300, dense_from - 1),
        "band_dense": (dense_from, 3071),
    }


class Oracle:
    """The measures by loops over voxels, with exact fractions; slow and obvious.

    What is rim it takes from the code, for tests/measurement/test_depth.py asks that slow way.
    """

    def __init__(self, item: Measured) -> None:
        self.hu = np.asarray(item.scan.hu).tolist()
        self.lungs = np.asarray(item.lungs.labels).tolist()
        self.lesions = np.asarray(item.lesions.labels).tolist()
        self.lobes = None if item.lobes is None else np.asarray(item.lobes.labels).tolist()
        self.rim = rim_of(item.lungs).tolist()
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
            depth = "rim" if self.rim[k][i][j] else "core"
            third = f"{lung}_{self.thirds[side][k]}"
            names = ("lungs", lung, third, depth, self._lobe(side, k, i, j))
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

    def moment_ratio(self, voxels: Sequence[tuple[int, int, int]], power: int) -> float:
        """Mean of the power of (HU - mean) / SD."""
        pairs = self.values(voxels)
        total = sum(w for _, w in pairs)
        mean = sum(w * v for v, w in pairs) / total
        moment = sum(w * (v - mean) ** power for v, w in pairs) / total
        return float(moment) / self.sd(voxels) ** power

    def grams(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        """Air weighs nothing and water 1 g/ml."""
        pairs = self.values(voxels)
        return float(sum(w * (v + 1000) for v, w in pairs)) * self.pixel_mm2 / 1_000_000

    def calibrated_grams(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        """On a line through air, which weighs nothing, and blood, 1.065 g/ml."""
        per_hu = Fraction("1.065") / (Fraction(BLOOD_HU) - Fraction(AIR_HU))
        pairs = self.values(voxels)
        total = sum(w * per_hu * (v - Fraction(AIR_HU)) for v, w in pairs)
        return float(total) * self.pixel_mm2 / 1000

    def excess_grams(self, voxels: Sequence[tuple[int, int, int]]) -> float:
        """What each voxel weighs more than the reference, water being 1 g/ml."""
        pairs = self.values(voxels)
        total = sum(w * (v - Fraction(REFERENCE_HU)) / 1000 for v, w in pairs)
        return float(total) * self.pixel_mm2 / 1000

    def within(self, voxels: Sequence[tuple[int, int, int]], first: int, last: int) -> list[Any]:
        return [(k, i, j) for k, i, j in voxels if first <= self.hu[k][i][j] <= last]

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
        return {**found, **self.shape_and_mass(voxels), **self.bands(voxels, dense_from)}

    def shape_and_mass(self, voxels: Sequence[tuple[int, int, int]]) -> dict[str, float]:
        lesion = self.lesion(voxels)
        ml, grams = self.ml(voxels), self.grams(voxels)
        gas = ml - grams if self.mean(voxels) <= 0 else 0.0
        perc15 = self.percentile(voxels, Fraction(15, 100))
        return {
            "lung_perc15_hu": perc15,
            "perc15_density_g_l": perc15 + 1000,
            "lung_skewness": self.moment_ratio(voxels, 3),
            "lung_kurtosis_excess": self.moment_ratio(voxels, 4) - 3,
            "lung_weight_g": grams,
            "lung_weight_calibrated_g": self.calibrated_grams(voxels),
            "lesion_excess_mass_g": self.excess_grams(lesion),
            "tissue_volume_ml": grams,
            "gas_volume_ml": gas,
            "gas_tissue_ratio": gas / grams,
            "lesion_mass_g": self.grams(lesion),
            "lesion_mass_percent": 100 * self.grams(lesion) / grams,
            "high_opacity_percent": 100 * self.ml(self.within(lesion, -200, 3071)) / ml,
            "consolidation_fraction": self.ml(self.lesion(voxels, 2)) / self.ml(lesion),
        }

    def bands(self, voxels: Sequence[tuple[int, int, int]], dense_from: int) -> dict[str, float]:
        found = {}
        for name, (first, last) in {**own_bands(dense_from), **PRINTED}.items():
            ml = self.ml(self.within(voxels, first, last))
            found[f"{name}_percent"] = 100 * ml / self.ml(voxels)
            if name.startswith("band_") or name == "colombi_well_aerated":
                found[f"{name}_ml"] = ml
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
