"""The words of ctlung: measures, regions, labels, notice codes, reasons, exit codes.

One source for the names in Python, JSON, CSV, documentation and pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

RESEARCH_USE: Final = "For research use only. Not a medical device."


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
            _m(
                "ct_number_lesion_sd_hu",
                "SD in the inflammatory area",
                "HU",
                1,
                "Population standard deviation (ddof 0) over the lesion voxels.",
                "FIELD 2.4",
                _FEW,
            ),
            _m(
                "ct_number_lesion_median_hu",
                "median in the inflammatory area",
                "HU",
                1,
                "Weighted median over the lesion voxels.",
                "FIELD 2.4",
                _FEW,
            ),
            _m(
                "ct_number_lesion_perc10_hu",
                "10th percentile in the inflammatory area",
                "HU",
                1,
                "Smallest HU whose cumulative weight reaches 10 %.",
                "FIELD 2.4",
                _FEW,
            ),
            _m(
                "ct_number_lesion_perc90_hu",
                "90th percentile in the inflammatory area",
                "HU",
                1,
                "Smallest HU whose cumulative weight reaches 90 %.",
                "FIELD 2.4",
                _FEW,
            ),
            _m(
                "lung_mean_hu",
                "mean lung density (MLD)",
                "HU",
                1,
                "Mean HU over the lung voxels.",
                "FIELD 2.4",
                "fewer than 20 lung voxels",
            ),
            _m(
                "lung_sd_hu",
                "SD of the lung",
                "HU",
                1,
                "Population standard deviation (ddof 0) over the lung voxels.",
                "FIELD 2.4",
                "fewer than 1000 lung voxels",
            ),
            _m(
                "lung_median_hu",
                "median of the lung",
                "HU",
                1,
                "Weighted median over the lung voxels.",
                "FIELD 2.4",
                "fewer than 1000 lung voxels",
            ),
            _m(
                "lung_perc10_hu",
                "10th percentile of the lung",
                "HU",
                1,
                "Smallest HU whose cumulative weight reaches 10 %.",
                "FIELD 2.4",
                "fewer than 1000 lung voxels",
            ),
            _m(
                "lung_perc90_hu",
                "90th percentile of the lung",
                "HU",
                1,
                "Smallest HU whose cumulative weight reaches 90 %.",
                "FIELD 2.4",
                "fewer than 1000 lung voxels",
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
        ]
    )
)

LESION_MEASURES: Final = tuple(
    n
    for n in MEASURES
    if n.startswith(("lesion_", "ct_number_", "ground_glass_", "consolidation_"))
)
VOLUME_MEASURES: Final = (
    "lung_volume_ml",
    "lesion_volume_ml",
    "lesion_percent",
    "ground_glass_volume_ml",
    "consolidation_volume_ml",
    "dense_ml",
)
MEASURED_PART: Final = ("lung_volume_measured_ml", "lesion_volume_measured_ml")
AREA_MEASURES: Final = (
    "lesion_area_max_cm2",
    "lesion_area_max_slice",
    "lesion_area_max_position_mm",
    "lesion_area_max_percent",
)
TAIL_MEASURES: Final = tuple(n for n in MEASURES if n.endswith(("perc10_hu", "perc90_hu", "sd_hu")))
GROUPS: Final = MappingProxyType(
    {
        "all": tuple(MEASURES),
        "lesions": LESION_MEASURES,
        "volumes": VOLUME_MEASURES,
        "volumes_and_parts": VOLUME_MEASURES + MEASURED_PART,
        "areas": AREA_MEASURES,
        "tails": TAIL_MEASURES,
    }
)
"""Short names for sets of measures, usable in ``Notice.affects``."""

REGIONS: Final = (
    "lungs",
    "right_lung",
    "left_lung",
    "right_lung_upper",
    "right_lung_middle",
    "right_lung_lower",
    "left_lung_upper",
    "left_lung_middle",
    "left_lung_lower",
)
THIRDS: Final = REGIONS[3:]

LOBES_OF: Final = MappingProxyType(
    {"right_lung": ("rul", "rml", "rll"), "left_lung": ("lul", "lll")}
)
LOBES: Final[tuple[str, ...]] = tuple(lobe for lobes in LOBES_OF.values() for lobe in lobes)
"""Regions of a report whose segmenter told the lobes apart, after ``REGIONS``."""

LUNG_LABELS: Final = MappingProxyType({1: "right_lung", 2: "left_lung"})
LOBE_LABELS: Final = MappingProxyType({1: "lul", 2: "lll", 3: "rul", 4: "rml", 5: "rll"})
LESION_LABELS: Final = MappingProxyType({1: "ground_glass", 2: "consolidation"})

REASONS: Final = MappingProxyType(
    {
        "no_lesion": "there is no lesion in this region",
        "no_lung": "there is no lung in this region",
        "lesion_small": "the lesion has fewer than 20 voxels or less than 0.1 ml",
        "region_small": "the region holds less than 50 ml of lung",
        "few_voxels": "too few voxels for this statistic",
        "single_slice": "one slice has no volume",
        "few_slices": "the lung is seen in fewer than 5 slices",
    }
)
"""Reasons of a null that no notice carries; the other reasons are notice codes."""

NOTICES: Final = MappingProxyType(
    {
        "hu_air": "air outside the body is not near -1000 HU",
        "hu_soft_tissue": "muscle is not where soft tissue should be",
        "hu_range": "the range of values is not that of a CT",
        "few_grey_levels": "few grey levels: a windowed picture, not CT numbers",
        "trachea_hu": "air in the trachea is off",
        "coverage_top": "the lungs are cut off at the top of the scan",
        "coverage_bottom": "the lungs are cut off at the bottom of the scan",
        "incomplete": "only part of the lung was measured",
        "fov_truncation": "the field of view cuts the lungs",
        "lung_mask": "the lungs found are unusually large, small or unequal",
        "segmenters_disagree": "network and threshold segmenter disagree on more than the limit",
        "dense_lung_lost": "dense lung was probably left out of the lungs",
        "segmenter_convention": "what the lungs of another segmenter contain",
        "given_lungs": "the lungs were given, not found",
        "lobes": "the lobes found are unusually small, or leave lung out",
        "lungs_touch": "the border between right and left lung is estimated",
        "thickness": "slices are thick",
        "pixel_size": "pixels are wide",
        "thickness_assumed": "slice thickness is not known and was taken from the spacing",
        "slice_gap": "slices are missing",
        "uneven_spacing": "slice spacing is uneven",
        "sparse": "slices are thin and far apart",
        "duplicates": "slices came twice",
        "mixed_series": "slices of several series lie in one",
        "tilt": "the gantry was tilted",
        "oblique": "the slices are oblique",
        "single_slice": "one slice only",
        "few_slices": "the lung is seen in few slices",
        "contrast": "contrast agent was given",
        "kernel": "sharp or unknown reconstruction kernel",
        "noise": "the image is noisy",
        "motion": "the patient moved or breathed",
        "inspiration": "the breath was shallow",
        "metal": "metal in the lungs' slices",
        "position": "the patient did not lie supine, or the position is unknown",
        "flipped": "left and right seem exchanged",
        "lesion_small": "little lesion",
        "lesions_outside_lungs": "lesion voxels outside the lungs were left out",
        "dates": "the acquisition date is missing or was taken from another tag",
        "lossy": "pixels were compressed with loss",
        "clipped": "values were clipped at the ends of the stored range",
        "padding": "padding was found and left out",
        "rescale_type": "an unusual rescale type",
        "derived": "the series is derived, not original",
        "dual_energy": "a mixed dual-energy image",
        "series_choice": "one of several series was chosen",
        "set_aside": "objects that are no chest CT slices were set aside",
        "orientation": "the orientation was taken from a file that states it poorly",
    }
)

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_PARTIAL: Final = 3
EXIT_INTERRUPTED: Final = 130


def expand(names: tuple[str, ...]) -> frozenset[str]:
    """Names of measures and groups to the set of measures that they mean."""
    found: set[str] = set()
    for name in names:
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)
