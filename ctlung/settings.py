"""Every limit and band of ctlung, in one frozen place. What is overridden is in every report."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from ctlung.bands import OWN_EDGES


@dataclass(frozen=True)
class Settings:
    """Limits, bands and choices; the defaults are those of FIELD 2.2, 3.4 and 5.

    ``*_warn_*`` gives a warning, ``*_null_*`` withholds measures, ``*_refuse_*`` refuses.
    """

    # bands (FIELD 2.2)
    ground_glass_lower_hu: int = -750
    consolidation_lower_hu: int = -300
    consolidation_upper_hu: int = 100
    consolidation_upper_contrast_hu: int = 200
    hyperlucent_upper_hu: int = -950

    # lesion rule (FIELD 2.2, 4.5)
    lesion_min_component_ml: float = 0.1
    lesion_opening_mm: float = 1.0
    rim_mm: float = 1.5

    # when a number is a number (FIELD 1.2, 2.3, 2.4)
    min_voxels_null: int = 20
    min_voxels_warn: int = 100
    min_lesion_ml_null: float = 0.1
    min_lesion_ml_warn: float = 1.0
    min_region_ml: float = 50.0
    min_tissue_g: float = 1.0
    min_density_shape_voxels: int = 1000
    min_lung_slices: int = 5

    # stacks (FIELD 3.4)
    jitter_mm: float = 0.1
    jitter_fraction: float = 0.02
    gap_factor: float = 1.5
    gap_max_missing: int = 2
    gap_max_mm: float = 10.0
    gap_refuse_percent: float = 20.0
    sparse_factor: float = 1.5
    sparse_null_mm: float = 12.0
    duplicate_mm: float = 0.01
    tilt_degrees: float = 0.5
    tilt_refuse_degrees: float = 30.0
    in_plane_residual_mm: float = 0.5
    oblique_degrees: float = 20.0

    # quality (FIELD 5)
    hu_air_warn: float = 30.0
    hu_air_refuse: float = 100.0
    hu_soft_tissue_warn_low: float = 20.0
    hu_soft_tissue_warn_high: float = 90.0
    hu_soft_tissue_refuse_low: float = -50.0
    hu_soft_tissue_refuse_high: float = 150.0
    hu_range_refuse: float = 500.0
    grey_levels_warn: int = 256
    trachea_low_hu: float = -1020.0
    trachea_high_hu: float = -940.0
    coverage_warn_percent: float = 1.0
    coverage_null_percent: float = 10.0
    fov_warn_percent: float = 0.1
    fov_null_percent: float = 2.0
    lung_total_warn_low_ml: float = 1500.0
    lung_total_warn_high_ml: float = 9000.0
    lung_total_refuse_ml: float = 500.0
    lung_ratio_low: float = 0.7
    lung_ratio_high: float = 1.8
    lung_slice_refuse_cm2: float = 20.0
    lobe_warn_ml: float = 100.0
    without_lobe_warn_percent: float = 5.0
    region_outside_warn_percent: float = 5.0
    thickness_warn_mm: float = 3.0
    thickness_tails_null_mm: float = 5.0
    thickness_volume_null_mm: float = 10.0
    pixel_warn_mm: float = 2.5
    contrast_aorta_hu: float = 100.0
    blood_low_hu: float = 25.0
    blood_high_hu: float = 65.0
    reference_lesion_mm: float = 10.0
    reference_surface_mm: float = 5.0
    reference_min_ml: float = 200.0
    noise_warn_hu: float = 40.0
    noise_null_hu: float = 80.0
    inspiration_warn_hu: float = -780.0
    inspiration_null_hu: float = -740.0
    inspiration_reference_min_ml: float = 200.0
    motion_warn_percent: float = 1.0
    effusion_warn_ml: float = 50.0
    metal_hu: int = 3000
    metal_warn_ml: float = 0.1
    clipped_warn_percent: float = 0.1

    # pairs (FIELD 5)
    bone_match_warn: float = 0.6
    bone_match_refuse: float = 0.4
    interval_warn_days: int = 90
    thickness_pair_warn: float = 1.5
    thickness_pair_null: float = 3.0
    inspiration_pair_warn_percent: float = 10.0
    inspiration_pair_null_percent: float = 25.0
    # registration (FIELD 5)
    registration_dice_warn: float = 0.95
    registration_dice_null: float = 0.90
    registration_surface_warn_mm: float = 2.0
    registration_surface_null_mm: float = 5.0
    registration_inverse_warn_mm: float = 2.0
    registration_inverse_null_mm: float = 5.0
    registration_vessel_warn_mm: float = 3.5
    registration_vessel_null_mm: float = 5.0
    registration_folded_warn_percent: float = 0.0
    registration_folded_null_percent: float = 0.1
    registration_jacobian_warn_percent: float = 0.5
    registration_jacobian_null_percent: float = 2.0

    # reading limits: what a header may ask for before it is refused
    max_rows: int = 4096
    max_slices: int = 6000
    max_voxels: int = 1_500_000_000
    max_zip_members: int = 20_000
    max_zip_bytes: int = 8_000_000_000
    max_zip_ratio: float = 200.0
    max_regions: int = 255

    def __post_init__(self) -> None:
        for dense in (OWN_EDGES[-1], "consolidation_upper_contrast_hu"):
            for lower, upper in pairwise((*OWN_EDGES[:-1], dense)):
                low, high = getattr(self, lower), getattr(self, upper)
                # Bands whose edges cross would count a voxel twice.
                if low > high:
                    raise ValueError(f"{lower} ({low}) lies above {upper} ({high})")

    def overrides(self) -> dict[str, Any]:
        """The fields that differ from the defaults, by name."""
        default = Settings()
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != getattr(default, f.name)
        }
