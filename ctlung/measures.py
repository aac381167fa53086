"""Every measure of ctlung, in the order of the reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ctlung.bands import BANDS, HIGH_OPACITY


@dataclass(frozen=True)
class Measure:
    """One measure: its name, unit, decimals in tables for people, definition and source."""

    name: str
    title: str
    unit: str
    decimals: int
    definition: str
    source: str
    undefined: str


def _m(
    name: str, title: str, unit: str, decimals: int, definition: str, source: str, undefined: str
) -> tuple[str, Measure]:
    return name, Measure(name, title, unit, decimals, definition, source, undefined)


_VOLUME = "one slice, a lung cut off, missing slices"
_FEW = "fewer than 20 lesion voxels or less than 0.1 ml"
_FEW_SHAPE = "fewer than 1000 lung voxels"
_FLAT = _FEW_SHAPE + ", SD 0"
_LIGHT = "less than 1 g of tissue"


def _statistics(
    stem: str, where: str, voxels: str, undefined: str, percentiles: tuple[int, ...]
) -> Iterator[tuple[str, Measure]]:
    """Spread and percentiles of CT numbers; NumPy's linear percentiles are within 1 HU."""
    spread = f"Population standard deviation (ddof 0) over the {voxels} voxels."
    median = f"Weighted median over the {voxels} voxels."
    yield _m(f"{stem}_sd_hu", f"SD {where}", "HU", 1, spread, "FIELD 2.4", undefined)
    yield _m(f"{stem}_median_hu", f"median {where}", "HU", 1, median, "FIELD 2.4", undefined)
    for p in percentiles:
        reached = f"Smallest HU whose cumulative weight reaches {p} %."
        title = f"{p}th percentile {where}"
        yield _m(f"{stem}_perc{p}_hu", title, "HU", 1, reached, "FIELD 2.4", undefined)


def _of_bands() -> Iterator[tuple[str, Measure]]:
    for band in BANDS:
        title = f"{band.preset} {band.name}".replace("_", " ")
        source = f"FIELD 2.2 ({band.source} [{band.mark}])"
        withheld = "shallow breath" + ", sharp kernel, thick slices" * band.tail
        if band.ml_measure:
            volume = f"Volume of the lung voxels with {band.words}. {band.trap}"
            undefined = f"{_VOLUME}, {withheld}"
            yield _m(band.ml_measure, f"{title}, volume", "ml", 1, volume, source, undefined)
        share = f"100 x V({band.words}) / V(lung). {band.trap}".rstrip()
        name, title = band.percent_measure, f"{title}, percent of lung"
        yield _m(name, title, "%", 1, share, source, f"{_FEW_SHAPE}, {withheld}")


MEASURES: Final = MappingProxyType(
    dict(
        [
            _m(
                "lung_volume_ml",
                "lung volume",
                "ml",
                0,
                "Volume of all lung voxels, airways left out, consolidation left in.",
                "FIELD 2.3",
                _VOLUME,
            ),
            _m(
                "lung_volume_measured_ml",
                "lung volume in view",
                "ml",
                0,
                "The part of the lung that the scan shows; equals lung_volume_ml when complete.",
                "FIELD 5 coverage",
                "one slice",
            ),
            _m(
                "lesion_volume_ml",
                "volume of the inflammatory area",
                "ml",
                0,
                "Volume of all lesion voxels (ground-glass and consolidation).",
                "FIELD 1.1",
                _VOLUME,
            ),
            _m(
                "lesion_volume_measured_ml",
                "lesion volume in view",
                "ml",
                0,
                "Lesion volume in the part of the lung that the scan shows.",
                "FIELD 5 coverage",
                "one slice",
            ),
            _m(
                "lesion_percent",
                "inflammatory area, percent of lung",
                "%",
                1,
                "100 x lesion volume / lung volume of the same region.",
                "FIELD 2.3 (PO, Chaganti 2020)",
                _VOLUME + ", region under 50 ml",
            ),
            _m(
                "high_opacity_percent",
                "high opacity, percent of lung",
                "%",
                1,
                f"100 x V(lesion, {HIGH_OPACITY.words}) / V(lung of the same region). The "
                "denominator is the lung, not the lesion.",
                "FIELD 2.3 (PHO, Chaganti 2020 [m])",
                _VOLUME + ", region under 50 ml",
            ),
            _m(
                "ground_glass_volume_ml",
                "ground-glass volume",
                "ml",
                0,
                "Volume of lesion voxels labelled ground-glass.",
                "FIELD 2.2",
                _VOLUME,
            ),
            _m(
                "consolidation_volume_ml",
                "consolidation volume",
                "ml",
                0,
                "Volume of lesion voxels labelled consolidation.",
                "FIELD 2.2",
                _VOLUME,
            ),
            _m(
                "consolidation_fraction",
                "consolidation, share of the inflammatory area",
                "1",
                3,
                "V(lesion labelled consolidation) / V(lesion), 0 to 1: by label, not by band. "
                "It rises where ground-glass clears first.",
                "FIELD 2.3",
                "no lesion",
            ),
            _m(
                "lesion_area_max_cm2",
                "largest inflammatory area in a slice",
                "cm2",
                1,
                "Largest lesion area in any one slice of the region.",
                "FIELD 1.1",
                "no slice of the region can be measured",
            ),
            _m(
                "lesion_area_max_slice",
                "slice of the largest area",
                "slice",
                0,
                "Number of that slice, counted from 0 at the feet.",
                "FIELD 1.1",
                "no lesion",
            ),
            _m(
                "lesion_area_max_position_mm",
                "position of the largest area",
                "mm",
                1,
                "Position of that slice along the slice normal.",
                "FIELD 1.1",
                "no lesion",
            ),
            _m(
                "lesion_area_max_percent",
                "largest area, percent of lung in that slice",
                "%",
                1,
                "100 x lesion area / lung area in the slice of the largest area.",
                "FIELD 1.1",
                "no lesion",
            ),
            _m(
                "ct_number_lesion_hu",
                "CT number of the inflammatory area",
                "HU",
                1,
                "Mean HU over the lesion voxels of this scan.",
                "FIELD 1.2",
                _FEW,
            ),
            *_statistics("ct_number_lesion", "in the inflammatory area", "lesion", _FEW, (10, 90)),
            _m(
                "lung_mean_hu",
                "mean lung density (MLD)",
                "HU",
                1,
                "Mean HU over the lung voxels.",
                "FIELD 2.4",
                "fewer than 20 lung voxels",
            ),
            *_statistics("lung", "of the lung", "lung", _FEW_SHAPE, (10, 15, 90)),
            _m(
                "perc15_density_g_l",
                "Perc15 as density",
                "g/l",
                1,
                "lung_perc15_hu + 1000; other programs give other signs. Moves with the breath: "
                "read it beside lung_volume_ml.",
                "FIELD 2.4",
                _FEW_SHAPE,
            ),
            _m(
                "lung_skewness",
                "skewness of the lung",
                "1",
                2,
                "m3 / m2^1.5, moments of the population. Other programs correct for bias; no "
                "matter in lungs.",
                "FIELD 2.4",
                _FLAT,
            ),
            _m(
                "lung_kurtosis_excess",
                "excess kurtosis of the lung",
                "1",
                2,
                "m4 / m2^2 - 3, moments of the population: 0 for a Gaussian. CIP C++ and "
                "pyradiomics leave the 3 in.",
                "FIELD 2.4",
                _FLAT,
            ),
            _m(
                "lung_weight_g",
                "lung weight",
                "g",
                0,
                "Sum of v (HU + 1000) / 1000: air weighs 0, water 1 g/ml, no voxel is clipped. "
                "With vessels and blood; hardly moved by the breath.",
                "FIELD 2.4 model A",
                _VOLUME,
            ),
            _m(
                "lung_weight_calibrated_g",
                "lung weight, calibrated",
                "g",
                0,
                "Sum of v 1.065 (HU - air_hu) / (blood_hu - air_hu): the trachea's air weighs 0, "
                "the aorta's blood 1.065 g/ml, no voxel is clipped. Follows the scanner's own "
                "scale; an anaemic patient's thin blood makes the lung heavier.",
                "FIELD 2.4 model B",
                _VOLUME + ", contrast agent, air_hu or blood_hu unknown or out of range",
            ),
            _m(
                "tissue_volume_ml",
                "tissue volume",
                "ml",
                0,
                "Sum of v (HU + 1000) / 1000, as ml of water: the same number as lung_weight_g.",
                "FIELD 2.4 model A",
                _VOLUME,
            ),
            _m(
                "gas_volume_ml",
                "gas volume",
                "ml",
                0,
                "Lung volume - tissue volume; 0 where the mean of the region is above 0 HU, "
                "decided on the sum, not by voxel. Parts need not add up to the whole then.",
                "FIELD 2.4 model A (Chest 2021, 161:979)",
                _VOLUME,
            ),
            _m(
                "gas_tissue_ratio",
                "gas per tissue",
                "ml/g",
                2,
                "Gas volume / tissue mass. Moves with the breath.",
                "FIELD 2.4",
                _LIGHT,
            ),
            _m(
                "lesion_mass_g",
                "mass of the inflammatory area",
                "g",
                0,
                "Sum of v (HU + 1000) / 1000 over the lesion voxels, with the tissue that was "
                "there before. 0 without lesion.",
                "FIELD 2.4 model A",
                _VOLUME,
            ),
            _m(
                "lesion_mass_percent",
                "inflammatory area, percent of lung mass",
                "%",
                1,
                "100 x lesion mass / lung mass of the same region. Not moved by the breath, "
                "unlike lesion_percent.",
                "FIELD 2.4",
                _VOLUME + ", region under 50 ml or " + _LIGHT,
            ),
            _m(
                "lesion_excess_mass_g",
                "mass of the inflammatory area beyond aerated lung",
                "g",
                0,
                "Sum of v (HU - reference_hu) / 1000 over the lesion voxels: what was added to "
                "the patient's own aerated lung. Hardly depends on where the border is drawn. "
                "Diffuse disease leaves no reference. Negative where lesions are emptier than it.",
                "FIELD 2.4, 1.3",
                _VOLUME + ", reference_hu unknown",
            ),
            _m(
                "dense_ml",
                "lung voxels above the lesion bands",
                "ml",
                1,
                "Volume of lung voxels at or above the upper edge of consolidation: calcium, "
                "contrast, bone leak. A quality figure, not a lesion.",
                "FIELD 2.2",
                _VOLUME,
            ),
            *_of_bands(),
        ]
    )
)

PAIR_MEASURES: Final = MappingProxyType(
    dict(
        [
            _m(
                "ct_number_baseline_region_hu",
                "CT number in the baseline's inflammatory area",
                "HU",
                1,
                "Mean HU of each scan's own voxels over the baseline's lesions, carried to the "
                "follow-up by registration; there inside the lungs, vessels left out. At baseline "
                "it is ct_number_lesion_hu.",
                "FIELD 1.2",
                _FEW + " at either time, registration below the gate, contrast in one scan only",
            ),
            _m(
                "restoration_index",
                "restoration index",
                "1",
                2,
                "1 - E(follow-up) / E(baseline), E = ct_number_baseline_region_hu - reference_hu, "
                "the reference being the same aerated lung in both scans: 0 as at baseline, 1 back "
                "to the patient's own aerated lung. Not clipped.",
                "FIELD 1.3",
                "as above, E(baseline) under 50 HU, under 200 ml of reference",
            ),
            _m(
                "lesion_area_matched_cm2",
                "inflammatory area at the level of the baseline's largest slice",
                "cm2",
                1,
                "Baseline: lesion_area_max_cm2. Follow-up: mean area over the heights to which "
                "that slice's slab is carried, each lung by itself.",
                "FIELD 1.1",
                "registration below the gate, no lesion at baseline",
            ),
        ]
    )
)
"""Measures that need a second scan: only ``Comparison.changes`` has them."""
