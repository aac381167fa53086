"""Which measures a trial is about (FIELD 7)."""

from __future__ import annotations

PRIMARY = ("lesion_percent", "ct_number_baseline_region_hu")
SECONDARY = (
    "lesion_volume_ml",
    "lesion_area_max_cm2",
    "lesion_area_matched_cm2",
    "ct_number_lesion_hu",
    "lesion_mass_percent",
    "restoration_index",
    "ground_glass_volume_ml",
    "consolidation_volume_ml",
    "lung_volume_ml",
    "lung_weight_g",
)
