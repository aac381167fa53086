"""How far the inflammation reaches: areas in native slices and the largest of them (FIELD 1.1)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ctlung.measurement.tally import CONSOLIDATION, GROUND_GLASS, RegionTally


@dataclass(frozen=True)
class LargestArea:
    """The slice with the largest lesion area of a region.

    Attributes:
        slice: its number, 0 at the feet; the lowest of equals. ``None`` without lesion.
        area_cm2: lesion area in it; 0.0 without lesion.
        percent: of the lung area of the region in that slice; ``None`` without lesion.
        n_voxels: lesion voxels in it.
    """

    slice: int | None
    area_cm2: float
    percent: float | None
    n_voxels: int


def largest_area(region: RegionTally, withheld: Collection[int] = ()) -> LargestArea | None:
    """Find the slice with the largest lesion area.

    Args:
        region: counts of the region.
        withheld: slices whose areas cannot be trusted: no candidates.

    Returns:
        ``None`` if no slice of the region can be measured, or if all its lesion lies in slices
        that cannot: then 0 cm2 would be untrue.
    """
    lung = region.slice_counts.sum(axis=1)
    lesion = region.slice_counts[:, [GROUND_GLASS, CONSOLIDATION]].sum(axis=1)
    candidate = lung > 0
    candidate[list(withheld)] = False
    if not candidate.any():
        return None
    shown = np.where(candidate, lesion, 0)
    k = int(shown.argmax())
    n = int(shown[k])
    if n == 0:
        return None if lesion.any() else LargestArea(None, 0.0, None, 0)
    area = n * region.pixel_area_mm2 / 100.0
    return LargestArea(k, area, 100.0 * n / int(lung[k]), n)


def consolidation_fraction(region: RegionTally) -> float | None:
    """Consolidation's share of the lesions: V(labelled consolidation) / V(lesion), 0 to 1.

    Args:
        region: counts of the region.

    Returns:
        ``None`` without lesion.

    Source: FIELD 2.3. Trap: by label, not by band, for the border of a consolidation averages
    into ground-glass; and it rises while lungs heal, for ground-glass clears first (FIELD 1.4).
    """
    lesion = region.volume_ml(GROUND_GLASS, CONSOLIDATION)
    return region.volume_ml(CONSOLIDATION) / lesion if lesion > 0.0 else None
