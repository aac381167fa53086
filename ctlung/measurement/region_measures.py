"""All measures of one region, each a value or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ctlung.bands import BANDS, HIGH_OPACITY, OWN_EDGES
from ctlung.geometry import Geometry
from ctlung.measurement import mass, withheld
from ctlung.measurement.band_extent import band_ml, band_percent, high_opacity_percent
from ctlung.measurement.calibration import no_calibrated_weight
from ctlung.measurement.density import density, perc15_density_g_l, shape
from ctlung.measurement.extent import LargestArea, consolidation_fraction, largest_area
from ctlung.measurement.tally import CONSOLIDATION, GROUND_GLASS, RegionTally
from ctlung.notices import Notice
from ctlung.records import Calibration, Measurement
from ctlung.settings import Settings
from ctlung.vocabulary import DEPTHS, MEASURED_PART, MEASURES, THIRDS, VOLUME_MEASURES

LESION = (GROUND_GLASS, CONSOLIDATION)
CT_NUMBERS = (
    "ct_number_lesion_hu",
    "ct_number_lesion_sd_hu",
    "ct_number_lesion_median_hu",
    "ct_number_lesion_perc10_hu",
    "ct_number_lesion_perc90_hu",
)
LUNG_SHAPE = (
    "lung_sd_hu",
    "lung_median_hu",
    "lung_perc10_hu",
    "lung_perc15_hu",
    "lung_perc90_hu",
    "perc15_density_g_l",
    "lung_skewness",
    "lung_kurtosis_excess",
)


@dataclass(frozen=True)
class Context:
    """What a region must know of the whole scan.

    Attributes:
        geometry: grid of the scan.
        settings: limits.
        taken: the notices that withhold numbers.
        lung_slices: slices that hold lung.
        dense_from_hu: lower edge of ``dense_ml``.
        calibration: what known matter measures in the scan.
    """

    geometry: Geometry
    settings: Settings
    taken: tuple[Notice, ...]
    lung_slices: int
    dense_from_hu: int
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def single_slice(self) -> bool:
        """Whether the scan is one slice, which has no volume."""
        return self.geometry.shape[0] == 1

    @property
    def own_edges_hu(self) -> dict[str, int]:
        """Edges of ctlung's own bands on this scan, by the name of their setting."""
        edges: dict[str, int] = {name: getattr(self.settings, name) for name in OWN_EDGES}
        return {**edges, OWN_EDGES[-1]: self.dense_from_hu}


@dataclass(frozen=True)
class _Found:
    """A value or a reason, and the voxels it rests on."""

    value: float | None
    reason: str | None
    n: int | None


def measure_region(
    name: str, region: RegionTally, context: Context, lungs: Sequence[str] = ()
) -> tuple[Measurement, ...]:
    """Every measure of ``vocabulary.MEASURES`` in one region, in that order.

    Where several reasons apply, the first of these is given: one slice (no volume, no thirds, no
    core or rim), a notice, no lung in the region, lung in too few slices (no core or rim either),
    too little lung or lesion.

    Args:
        name: of the region.
        region: its counts.
        context: what it must know of the whole scan.
        lungs: the lungs that it lies in, if it is a user's.
    """
    found = {
        **_volumes(region, context),
        **_areas(name, region, context, lungs),
        **_lesion_density(region, context),
        **_lung_density(region, context.settings),
        **_masses(region, context),
        **_bands(region, context),
    }
    empty = region.n_voxels() == 0
    measurements = []
    for measure in MEASURES:
        item = found[measure]
        noticed = withheld.reason_for(context.taken, measure, name, lungs)
        reason = _reason(measure, name, noticed, empty, context) or item.reason
        value = None if reason else item.value
        measurements.append(Measurement(measure, name, value, reason, n_voxels=item.n))
    return tuple(measurements)


def _reason(
    measure: str, region: str, noticed: str | None, empty: bool, context: Context
) -> str | None:
    """Why a measure is withheld whatever its value, or ``None``."""
    of_volume = measure in VOLUME_MEASURES
    of_space = of_volume or region in DEPTHS
    if context.single_slice and (of_space or measure in MEASURED_PART or region in THIRDS):
        return "single_slice"
    if noticed is not None:
        return noticed
    if empty:
        return "no_lung"
    if of_space and context.lung_slices < context.settings.min_lung_slices:
        return "few_slices"
    return None


def _volumes(region: RegionTally, context: Context) -> dict[str, _Found]:
    lung, lesion = region.volume_ml(), region.volume_ml(*LESION)
    n_lung, n_lesion = region.n_voxels(), region.n_voxels(*LESION)
    dense = band_ml(region.volumes_ml(), context.dense_from_hu, None)
    percent = opacity = _Found(None, "region_small", n_lung)
    if not _is_small(region, context):
        percent = _Found(100.0 * lesion / lung, None, n_lung)
        edges = HIGH_OPACITY.edges_hu({})
        high = high_opacity_percent(region.volumes_ml(*LESION), region.volumes_ml(), *edges)
        opacity = _Found(high, None, n_lung)
    fraction = consolidation_fraction(region)
    return {
        "lung_volume_ml": _Found(lung, None, n_lung),
        "lung_volume_measured_ml": _Found(lung, None, n_lung),
        "lesion_volume_ml": _Found(lesion, None, n_lesion),
        "lesion_volume_measured_ml": _Found(lesion, None, n_lesion),
        "lesion_percent": percent,
        "high_opacity_percent": opacity,
        "ground_glass_volume_ml": _of_tissue(region, GROUND_GLASS),
        "consolidation_volume_ml": _of_tissue(region, CONSOLIDATION),
        "consolidation_fraction": _Found(fraction, None if n_lesion else "no_lesion", n_lesion),
        "dense_ml": _Found(dense, None, n_lung),
    }


def _is_small(region: RegionTally, context: Context) -> bool:
    """Whether there is too little lung for a share of it (FIELD 2.3)."""
    lung = region.volume_ml()
    return lung <= 0.0 or lung < context.settings.min_region_ml


def _of_tissue(region: RegionTally, tissue: int) -> _Found:
    return _Found(region.volume_ml(tissue), None, region.n_voxels(tissue))


def _areas(
    name: str, region: RegionTally, context: Context, lungs: Sequence[str]
) -> dict[str, _Found]:
    without = withheld.slices_withheld(context.taken, name, lungs)
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
    reason = _too_little(n, region.volume_ml(*LESION), context)
    if reason is not None:
        return dict.fromkeys(CT_NUMBERS, _Found(None, reason, n))
    d = density(region.histogram(*LESION))
    values = (d.mean, d.sd, d.median, d.perc10, d.perc90)
    return {name: _Found(value, None, n) for name, value in zip(CT_NUMBERS, values, strict=True)}


def _too_little(n: int, volume_ml: float, context: Context) -> str | None:
    """Why there is no CT number of the lesion, or ``None`` (FIELD 1.2)."""
    if n == 0:
        return "no_lesion"
    little = not context.single_slice and volume_ml < context.settings.min_lesion_ml_null
    return "lesion_small" if little or n < context.settings.min_voxels_null else None


def _lung_density(region: RegionTally, settings: Settings) -> dict[str, _Found]:
    n = region.n_voxels()
    few = _Found(None, "few_voxels", n)
    if n < max(1, settings.min_voxels_null):
        return dict.fromkeys(("lung_mean_hu", *LUNG_SHAPE), few)
    weights = region.histogram()
    d = density(weights)
    mean = {"lung_mean_hu": _Found(d.mean, None, n)}
    if _too_few_for_shape(n, settings):
        return {**mean, **dict.fromkeys(LUNG_SHAPE, few)}
    s = shape(weights)
    moments = (None, None) if s is None else (s.skewness, s.kurtosis_excess)
    values = (d.sd, d.median, d.perc10, d.perc15, d.perc90, perc15_density_g_l(d.perc15), *moments)
    found = {
        name: _Found(value, "one_value" if value is None else None, n)
        for name, value in zip(LUNG_SHAPE, values, strict=True)
    }
    return {**mean, **found}


def _too_few_for_shape(n: int, settings: Settings) -> str | None:
    """Why nothing is said of the histogram's shape, or ``None`` (FIELD 2.4)."""
    return "few_voxels" if n < max(1, settings.min_density_shape_voxels) else None


def _masses(region: RegionTally, context: Context) -> dict[str, _Found]:
    lung_ml, lesion_ml = region.volumes_ml(), region.volumes_ml(*LESION)
    n, tissue = region.n_voxels(), mass.tissue_g(lung_ml)
    # One slice has no mass to hold against a limit in grams, but gas per tissue it has.
    light = tissue <= 0.0 or (not context.single_slice and tissue < context.settings.min_tissue_g)
    little = "little_tissue" if light else None
    small = "region_small" if _is_small(region, context) else little
    return {
        "lung_weight_g": _Found(tissue, None, n),
        "lung_weight_calibrated_g": _calibrated(region, context),
        "tissue_volume_ml": _Found(tissue, None, n),
        "gas_volume_ml": _Found(mass.gas_ml(lung_ml), None, n),
        "gas_tissue_ratio": _Found(None if little else mass.gas_tissue_ratio(lung_ml), little, n),
        "lesion_mass_g": _Found(mass.tissue_g(lesion_ml), None, region.n_voxels(*LESION)),
        "lesion_mass_percent": _Found(
            None if small else mass.lesion_mass_percent(lesion_ml, lung_ml), small, n
        ),
        "lesion_excess_mass_g": _excess(region, context),
    }


def _calibrated(region: RegionTally, context: Context) -> _Found:
    facts, n = context.calibration, region.n_voxels()
    reason = no_calibrated_weight(facts, context.settings)
    air, blood = facts.air_hu.value, facts.blood_hu.value
    if reason or air is None or blood is None:
        return _Found(None, reason, n)
    return _Found(mass.calibrated_g(region.volumes_ml(), air, blood), None, n)


def _excess(region: RegionTally, context: Context) -> _Found:
    far, n = context.calibration.reference_hu, region.n_voxels(*LESION)
    if far.value is None:
        return _Found(None, far.reason, n)
    return _Found(mass.lesion_excess_g(region.volumes_ml(*LESION), far.value), None, n)


def _bands(region: RegionTally, context: Context) -> dict[str, _Found]:
    """Volume and share of every band of ``bands.BANDS``.

    A share is a point of the histogram's cumulative curve, as a percentile is: it needs as many
    voxels.
    """
    n, volumes = region.n_voxels(), region.volumes_ml()
    few = _too_few_for_shape(n, context.settings)
    found = {}
    for band in BANDS:
        edges = band.edges_hu(context.own_edges_hu)
        share = None if few else band_percent(volumes, *edges)
        found[band.percent_measure] = _Found(share, few, n)
        if band.ml_measure:
            found[band.ml_measure] = _Found(band_ml(volumes, *edges), None, n)
    return found
