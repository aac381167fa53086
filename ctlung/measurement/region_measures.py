"""All measures of one region, each a value or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctlung.geometry import Geometry
from ctlung.measurement import withheld
from ctlung.measurement.density import Density, density
from ctlung.measurement.extent import LargestArea, largest_area
from ctlung.measurement.tally import CONSOLIDATION, GROUND_GLASS, RegionTally
from ctlung.notices import Notice
from ctlung.records import Measurement
from ctlung.settings import Settings
from ctlung.vocabulary import MEASURED_PART, MEASURES, THIRDS, VOLUME_MEASURES
from ctlung.volume import HU_MIN

LESION = (GROUND_GLASS, CONSOLIDATION)


@dataclass(frozen=True)
class Context:
    """What a region must know of the whole scan.

    Attributes:
        geometry: grid of the scan.
        settings: limits.
        taken: the notices that withhold numbers.
        lung_slices: slices that hold lung.
        dense_from_hu: lower edge of ``dense_ml``.
    """

    geometry: Geometry
    settings: Settings
    taken: tuple[Notice, ...]
    lung_slices: int
    dense_from_hu: int

    @property
    def single_slice(self) -> bool:
        """Whether the scan is one slice, which has no volume."""
        return self.geometry.shape[0] == 1


@dataclass(frozen=True)
class _Found:
    """A value or a reason, and the voxels it rests on."""

    value: float | None
    reason: str | None
    n: int | None


def measure_region(name: str, region: RegionTally, context: Context) -> tuple[Measurement, ...]:
    """Every measure of ``vocabulary.MEASURES`` in one region, in that order.

    Where several reasons apply, the first of these is given: one slice (no volume, no thirds),
    a notice, no lung in the region, lung in too few slices, too little lung or lesion.
    """
    found = {
        **_volumes(region, context),
        **_areas(name, region, context),
        **_lesion_density(region, context),
        **_lung_density(region, context.settings),
    }
    empty = region.n_voxels() == 0
    measurements = []
    for measure in MEASURES:
        item = found[measure]
        reason = _reason(measure, name, empty, context) or item.reason
        value = None if reason else item.value
        measurements.append(Measurement(measure, name, value, reason, n_voxels=item.n))
    return tuple(measurements)


def _reason(measure: str, region: str, empty: bool, context: Context) -> str | None:
    """Why a measure is withheld whatever its value, or ``None``."""
    of_volume = measure in VOLUME_MEASURES
    if context.single_slice and (of_volume or measure in MEASURED_PART or region in THIRDS):
        return "single_slice"
    noticed = withheld.reason_for(context.taken, measure, region)
    if noticed is not None:
        return noticed
    if empty:
        return "no_lung"
    if of_volume and context.lung_slices < context.settings.min_lung_slices:
        return "few_slices"
    return None


def _volumes(region: RegionTally, context: Context) -> dict[str, _Found]:
    lung, lesion = region.volume_ml(), region.volume_ml(*LESION)
    n_lung, n_lesion = region.n_voxels(), region.n_voxels(*LESION)
    dense = region.histogram()[context.dense_from_hu - HU_MIN :].sum()
    percent = _Found(None, "region_small", n_lung)
    if lung > 0.0 and lung >= context.settings.min_region_ml:
        percent = _Found(100.0 * lesion / lung, None, n_lung)
    return {
        "lung_volume_ml": _Found(lung, None, n_lung),
        "lung_volume_measured_ml": _Found(lung, None, n_lung),
        "lesion_volume_ml": _Found(lesion, None, n_lesion),
        "lesion_volume_measured_ml": _Found(lesion, None, n_lesion),
        "lesion_percent": percent,
        "ground_glass_volume_ml": _of_tissue(region, GROUND_GLASS),
        "consolidation_volume_ml": _of_tissue(region, CONSOLIDATION),
        "dense_ml": _Found(float(dense) * region.pixel_area_mm2 / 1000.0, None, n_lung),
    }


def _of_tissue(region: RegionTally, tissue: int) -> _Found:
    return _Found(region.volume_ml(tissue), None, region.n_voxels(tissue))


def _areas(name: str, region: RegionTally, context: Context) -> dict[str, _Found]:
    without = withheld.slices_withheld(context.taken, name)
    largest = largest_area(region, without)
    measures = (
        "lesion_area_max_cm2",
        "lesion_area_max_slice",
        "lesion_area_max_position_mm",
        "lesion_area_max_percent",
    )
    values = _area_values(largest, context.geometry)
    reason = "no_lesion"
    if largest is None:
        reason = next((without[k] for k in sorted(without)), "no_lung")
    n = None if largest is None else largest.n_voxels
    return {
        measure: _Found(value, reason if value is None else None, n)
        for measure, value in zip(measures, values, strict=True)
    }


def _area_values(largest: LargestArea | None, geometry: Geometry) -> Sequence[float | None]:
    if largest is None:
        return (None, None, None, None)
    if largest.slice is None:
        return (largest.area_cm2, None, None, None)
    position = geometry.slice_positions_mm[largest.slice]
    return (largest.area_cm2, float(largest.slice), position, largest.percent)


def _lesion_density(region: RegionTally, context: Context) -> dict[str, _Found]:
    n = region.n_voxels(*LESION)
    names = (
        "ct_number_lesion_hu",
        "ct_number_lesion_sd_hu",
        "ct_number_lesion_median_hu",
        "ct_number_lesion_perc10_hu",
        "ct_number_lesion_perc90_hu",
    )
    reason = _too_little(n, region.volume_ml(*LESION), context)
    if reason is not None:
        return dict.fromkeys(names, _Found(None, reason, n))
    values = _listed(density(region.histogram(*LESION)))
    return {name: _Found(value, None, n) for name, value in zip(names, values, strict=True)}


def _too_little(n: int, volume_ml: float, context: Context) -> str | None:
    """Why there is no CT number of the lesion, or ``None`` (FIELD 1.2)."""
    if n == 0:
        return "no_lesion"
    little = not context.single_slice and volume_ml < context.settings.min_lesion_ml_null
    return "lesion_small" if little or n < context.settings.min_voxels_null else None


def _lung_density(region: RegionTally, settings: Settings) -> dict[str, _Found]:
    n = region.n_voxels()
    names = ("lung_mean_hu", "lung_sd_hu", "lung_median_hu", "lung_perc10_hu", "lung_perc90_hu")
    if n < settings.min_voxels_null:
        return dict.fromkeys(names, _Found(None, "few_voxels", n))
    few = n < settings.min_density_shape_voxels
    found = {}
    for name, value in zip(names, _listed(density(region.histogram())), strict=True):
        shape = name != "lung_mean_hu"
        found[name] = _Found(None, "few_voxels", n) if few and shape else _Found(value, None, n)
    return found


def _listed(d: Density) -> tuple[float, float, float, float, float]:
    return d.mean, d.sd, d.median, d.perc10, d.perc90
