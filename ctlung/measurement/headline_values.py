"""The headline measures alone, of both lungs and of each: quick, for measuring again and again."""

from __future__ import annotations

import numpy as np

from ctlung.measurement.region_measures import Context, measure_region
from ctlung.measurement.regions import Partition
from ctlung.measurement.tally import tally
from ctlung.settings import Settings
from ctlung.volume import LabelMap, Scan

HEADLINE = (
    "lung_volume_ml",
    "lesion_percent",
    "lesion_volume_ml",
    "ground_glass_volume_ml",
    "consolidation_volume_ml",
    "lesion_area_max_cm2",
    "ct_number_lesion_hu",
    "lung_mean_hu",
    "lung_weight_g",
    "lesion_mass_percent",
)
"""The measures that have an interval."""

SIDES = ("lungs", "right_lung", "left_lung")

Values = dict[tuple[str, str], float | None]
"""Measure and region to its value, ``None`` where there is none."""


def headline_values(scan: Scan, lungs: LabelMap, lesions: LabelMap, settings: Settings) -> Values:
    """Values of ``HEADLINE`` in ``SIDES``; nothing is withheld but what cannot be computed.

    Args:
        scan: the scan, or its part around the lungs.
        lungs: 1 right, 2 left, on the same grid.
        lesions: 1 ground-glass, 2 consolidation, on the same grid.
        settings: limits.
    """
    atom_of = np.tile(np.array([0, 0, 1]), (scan.hu.shape[0], 1))
    regions = {"lungs": (0, 1), "right_lung": (0,), "left_lung": (1,)}
    counts = tally(scan, Partition(lungs.labels, atom_of, 2, regions), lesions)
    both = counts.of((0, 1))
    n_slices = int(np.count_nonzero(both.slice_counts.sum(axis=1)))
    context = Context(scan.geometry, settings, (), n_slices, settings.consolidation_upper_hu)
    return {
        (m.measure, name): m.value
        for name in SIDES
        for m in measure_region(name, counts.of(regions[name]), context)
        if m.measure in HEADLINE
    }
