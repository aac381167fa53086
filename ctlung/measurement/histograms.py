"""Which CT numbers lesions, the rest of the lung and the patient's own aerated lung have."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.measurement.tally import CONSOLIDATION, GROUND_GLASS, HU_OF_BIN, OTHER, RegionTally
from ctlung.records import Histogram

START_HU, STEP_HU, STEPS = -1050, 25, 54
"""From -1050 to 300 HU; denser lung (calcium, contrast agent) counts in the last step."""


def histograms(lungs: RegionTally, reference_ml: FloatArray | None) -> tuple[Histogram, ...]:
    """Volumes by CT number: lesions, lung outside them, and the reference where there is one.

    Args:
        lungs: the counts of both lungs.
        reference_ml: ml at each HU of ``HU_OF_BIN``, of aerated lung far from lesions.
    """
    parts = {
        "lesion": lungs.volumes_ml(GROUND_GLASS, CONSOLIDATION),
        "other_lung": lungs.volumes_ml(OTHER),
        "reference": reference_ml,
    }
    return tuple(
        Histogram(name, in_steps(volumes), START_HU, STEP_HU)
        for name, volumes in parts.items()
        if volumes is not None and volumes.any()
    )


def in_steps(volumes_ml: FloatArray) -> tuple[float, ...]:
    """Volumes at each HU of ``HU_OF_BIN``, summed in steps of ``STEP_HU``."""
    place = np.clip((HU_OF_BIN - START_HU) // STEP_HU, 0, STEPS - 1)
    sums = np.bincount(place, weights=volumes_ml, minlength=STEPS)
    return tuple(float(ml) for ml in sums)
