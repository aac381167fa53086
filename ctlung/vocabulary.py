"""The words of ctlung: measures, regions, labels, notice codes, reasons, exit codes.

One source for the names in Python, JSON, CSV, documentation and pictures.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from types import MappingProxyType
from typing import Final

from ctlung.bands import BANDS
from ctlung.measures import MEASURES as MEASURES  # noqa: PLC0414 (so re-exported)
from ctlung.measures import PAIR_MEASURES as PAIR_MEASURES  # noqa: PLC0414
from ctlung.measures import Measure as Measure  # noqa: PLC0414

RESEARCH_USE: Final = "For research use only. Not a medical device."

LESION_MEASURES: Final = tuple(
    n
    for n in MEASURES
    if n.startswith(("lesion_", "ct_number_", "ground_glass_", "consolidation_"))
    or n == "high_opacity_percent"
)
MEASURED_PART: Final = ("lung_volume_measured_ml", "lesion_volume_measured_ml")
AMOUNT_MEASURES: Final = tuple(
    n for n, m in MEASURES.items() if m.unit in ("ml", "g") and n not in MEASURED_PART
)
"""Amounts of the whole region: they need all of it in view, slice by slice."""
SHARE_MEASURES: Final = ("lesion_percent", "high_opacity_percent", "lesion_mass_percent")
"""Shares that are read as those of the whole region. Bands, ratios and density are not."""
VOLUME_MEASURES: Final = AMOUNT_MEASURES + SHARE_MEASURES
ADDITIVE_MEASURES: Final = (
    *(n for n in AMOUNT_MEASURES if n != "gas_volume_ml"),
    *MEASURED_PART,
)
"""What a region has is the sum of what its parts have. Not so for gas, where a part is denser
than water."""
AREA_MEASURES: Final = (
    "lesion_area_max_cm2",
    "lesion_area_max_slice",
    "lesion_area_max_position_mm",
    "lesion_area_max_percent",
)
BAND_MEASURES: Final = tuple(n for band in BANDS for n in band.measures)
TAIL_MEASURES: Final = (
    *(n for n in MEASURES if n.endswith(("perc10_hu", "perc15_hu", "perc90_hu", "sd_hu"))),
    "perc15_density_g_l",
    "lung_skewness",
    "lung_kurtosis_excess",
    *(n for band in BANDS if band.tail for n in band.measures),
)
GROUPS: Final = MappingProxyType(
    {
        "all": tuple(MEASURES),
        "lesions": LESION_MEASURES,
        "volumes": VOLUME_MEASURES,
        "volumes_and_parts": VOLUME_MEASURES + MEASURED_PART,
        "areas": AREA_MEASURES,
        "bands": BAND_MEASURES,
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
    "core",
    "rim",
)
THIRDS: Final = REGIONS[3:9]
DEPTHS: Final = REGIONS[9:]
"""By the distance to the surface of the lung (FIELD 3.7)."""

LOBES_OF: Final = MappingProxyType(
    {"right_lung": ("rul", "rml", "rll"), "left_lung": ("lul", "lll")}
)
LOBES: Final[tuple[str, ...]] = tuple(lobe for lobes in LOBES_OF.values() for lobe in lobes)
"""Regions of a report whose segmenter told the lobes apart, after ``REGIONS``."""

USER_PREFIX: Final = "user_"
"""What the name of a region that the user handed in begins with: no name of ctlung does, now or
later."""
LONGEST_NAME: Final = 40

LUNG_LABELS: Final = MappingProxyType({1: "right_lung", 2: "left_lung"})
LOBE_LABELS: Final = MappingProxyType({1: "lul", 2: "lll", 3: "rul", 4: "rml", 5: "rll"})
LESION_LABELS: Final = MappingProxyType({1: "ground_glass", 2: "consolidation"})
TISSUES: Final = ("ground_glass", "consolidation", "hyperlucent", "aerated", "outside")
"""What a point of lung may be; ``outside`` only at follow-up."""
CHANGE_LABELS: Final = MappingProxyType(
    {1: "resolved", 2: "persistent", 3: "new", 4: "worsened", 5: "improved"}
)
_BARE: Final = ("aerated", "hyperlucent")
_ILL: Final = ("ground_glass", "consolidation")
CHANGE_PAIRS: Final = MappingProxyType(
    {
        "resolved": tuple((b, f) for b in _ILL for f in _BARE),
        "persistent": tuple((tissue, tissue) for tissue in _ILL),
        "new": tuple((b, f) for b in _BARE for f in _ILL),
        "worsened": (("ground_glass", "consolidation"),),
        "improved": (("consolidation", "ground_glass"),),
    }
)
"""Tissue before and after of what is resolved, persistent, new, worsened or improved."""

REASONS: Final = MappingProxyType(
    {
        "no_lesion": "there is no lesion in this region",
        "no_lung": "there is no lung in this region",
        "lesion_small": "the lesion has fewer than 20 voxels or less than 0.1 ml",
        "region_small": "the region holds less than 50 ml of lung",
        "few_voxels": "too few voxels for this statistic",
        "one_value": "all voxels have the same CT number",
        "little_tissue": "the region holds less than 1 g of tissue",
        "single_slice": "one slice has no volume",
        "no_lobes": "the lobes are not known; they come from a segmenter that tells them apart",
        "few_slices": "the lung is seen in fewer than 5 slices",
        "no_airways": "the trachea was not found, is too narrow, or nobody looked for it",
        "no_aorta": "no descending aorta was found that is round, even and long enough to trust",
        "no_reference": "too little aerated lung lies far from lesions and the lung's surface",
        "excess_small": "the inflamed lung was less than 50 HU denser than the patient's own "
        "aerated lung",
        "region_lost": "too little of the baseline's inflammatory area was found again",
        "not_registered": "the scans were not laid on one another",
        "not_measured": "nobody measured it",
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
        "blood_hu": "blood in the aorta is off",
        "coverage_top": "the lungs are cut off at the top of the scan",
        "coverage_bottom": "the lungs are cut off at the bottom of the scan",
        "incomplete": "only part of the lung was measured",
        "fov_truncation": "the field of view cuts the lungs",
        "lung_mask": "the lungs found are unusually large, small or unequal",
        "segmenters_disagree": "network and threshold segmenter disagree on more than the limit",
        "dense_lung_lost": "dense lung was probably left out of the lungs",
        "segmenter_convention": "what the lungs of another segmenter contain",
        "given_lungs": "the lungs were given, not found",
        "given_regions": "regions were given, and what of them lies outside the lungs",
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
        "effusion": "pleural fluid is suspected",
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

PAIR_NOTICES: Final = MappingProxyType(
    {
        "same_person": "whether both scans are of one patient is not sure",
        "order": "the order of the scans is not that of time",
        "interval": "the time between the scans is long or not known",
        "kernel_pair": "the scans have different reconstruction kernels",
        "thickness_pair": "the scans have different slice thickness",
        "inspiration_pair": "the scans differ in lung volume",
        "contrast_pair": "contrast agent was given for one scan only",
        "vendor_pair": "the scans come from different scanners",
        "kvp_pair": "the scans have different tube voltage",
        "position_pair": "the patient lay differently",
        "method_pair": "the scans were not measured in the same way",
        "few_slices_pair": "a scan has too few slices to tell whether both show the same lung",
        "registration": "the scans could not be laid on one another well enough",
    }
)
"""What two scans together may be told; ``NOTICES`` are of one scan."""

FACTS: Final = MappingProxyType(
    {
        "air_hu": "median HU in the lumen of trachea and bronchi, 2 mm off its wall (FIELD 2.1)",
        "blood_hu": "median HU in the descending aorta, 3 mm off its wall, unenhanced scans only "
        "(FIELD 2.1)",
        "reference_hu": "mean HU of lung more than 10 mm from lesions and 5 mm inside the lung's "
        "surface, airways and vessels out (FIELD 1.3, of this scan alone)",
    }
)
"""CT numbers of known matter, in ``ScanReport.calibration``."""

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_PARTIAL: Final = 3
EXIT_INTERRUPTED: Final = 130


@cache
def expand(names: tuple[str, ...]) -> frozenset[str]:
    """Names of measures and groups to the set of measures that they mean."""
    found: set[str] = set()
    for name in names:
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)


def region_word(text: str) -> str:
    """What of a user's name for a region may stand in a region's name; empty if nothing may.

    Small letters a to z, digits and underscores, at most ``LONGEST_NAME`` of them; accents go,
    and whatever else there is becomes one underscore: ``GTV-1 (Télé)`` is ``gtv_1_tele``.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    word = re.sub(r"[^a-z0-9]+", "_", plain.lower())
    return word.strip("_")[:LONGEST_NAME].strip("_")
