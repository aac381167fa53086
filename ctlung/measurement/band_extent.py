"""How much of a lung lies in a band of CT numbers (FIELD 2.2, 2.3)."""

from __future__ import annotations

from ctlung.arrays import FloatArray
from ctlung.volume import HU_MAX, HU_MIN


def band_ml(volumes_ml: FloatArray, lower_hu: int | None, upper_hu: int | None) -> float:
    """Volume of the voxels with ``lower <= HU < upper``, ml; ``None`` is open-ended.

    Args:
        volumes_ml: volume at each HU from -1024 to 3071, shape ``(4096,)``.
        lower_hu, upper_hu: edges, also beyond the stored range.

    Source: FIELD 2.2. Trap: a band is not a lesion; vessels, walls, dependent lung and a shallow
    breath fall into the dense ones.
    """
    start = HU_MIN if lower_hu is None else min(max(lower_hu, HU_MIN), HU_MAX + 1)
    stop = HU_MAX + 1 if upper_hu is None else min(max(upper_hu, HU_MIN), HU_MAX + 1)
    return float(volumes_ml[start - HU_MIN : max(start, stop) - HU_MIN].sum())


def band_percent(volumes_ml: FloatArray, lower_hu: int | None, upper_hu: int | None) -> float:
    """100 x V(band) / V(lung), %; the lung is not empty.

    Args:
        volumes_ml, lower_hu, upper_hu: as for :func:`band_ml`.

    Source: FIELD 2.3. Trap: the denominator moves with the breath; presets of other names cut
    the same lung differently.
    """
    return 100.0 * band_ml(volumes_ml, lower_hu, upper_hu) / float(volumes_ml.sum())


def high_opacity_percent(
    lesion_ml: FloatArray, lung_ml: FloatArray, lower_hu: int | None, upper_hu: int | None
) -> float:
    """100 x V(lesion in the band) / V(lung), %; PHO of FIELD 2.3. The lung is not empty.

    Args:
        lesion_ml, lung_ml: volume at each HU, shape ``(4096,)``.
        lower_hu, upper_hu: edges of high opacity.

    Source: Chaganti 2020. Trap: the denominator is the lung, not the lesion.
    """
    return 100.0 * band_ml(lesion_ml, lower_hu, upper_hu) / float(lung_ml.sum())
