"""The table of slices: areas and CT number of each native slice."""

from __future__ import annotations

from ctlung.geometry import Geometry
from ctlung.measurement import withheld
from ctlung.measurement.tally import CONSOLIDATION, GROUND_GLASS, RegionTally
from ctlung.notices import Notice
from ctlung.records import SliceRow
from ctlung.settings import Settings


def slice_rows(
    lungs: RegionTally, geometry: Geometry, taken: tuple[Notice, ...], settings: Settings
) -> tuple[SliceRow, ...]:
    """One row for every slice of the scan, from the feet upward; areas of both lungs together.

    A slice without lung has areas of 0.0 cm2. Areas are ``None`` in the ``slices`` of a notice
    that withholds; lesion areas and CT numbers also where a notice withholds their measure in
    ``lungs``. The CT number needs ``settings.min_voxels_null`` voxels. ``reason`` gives the
    first cause: of the areas if they are withheld, else of the CT number.

    Source: FIELD 1.1, 5.
    """
    by_slice = withheld.slices_withheld(taken, "lungs")
    everything = withheld.reason_for_all(taken, "lungs")
    areas = withheld.reason_for(taken, "lesion_area_max_cm2", "lungs")
    ct_number = withheld.reason_for(taken, "ct_number_lesion_hu", "lungs")
    rows = []
    for k, position in enumerate(geometry.slice_positions_mm):
        lung_reason = by_slice.get(k) or everything
        area_reason = lung_reason or areas
        mean, few = _ct_number(lungs, k, settings)
        hu_reason = ct_number or few
        gg, cons = (_cm2(lungs, k, tissue) for tissue in (GROUND_GLASS, CONSOLIDATION))
        rows.append(
            SliceRow(
                slice=k,
                position_mm=position,
                weight_mm=float(lungs.weights_mm[k]),
                lung_area_cm2=None if lung_reason else _cm2(lungs, k),
                lesion_area_cm2=None
                if area_reason
                else _cm2(lungs, k, GROUND_GLASS, CONSOLIDATION),
                ground_glass_area_cm2=None if area_reason else gg,
                consolidation_area_cm2=None if area_reason else cons,
                ct_number_lesion_hu=None if hu_reason else mean,
                reason=area_reason or hu_reason,
            )
        )
    return tuple(rows)


def _cm2(lungs: RegionTally, k: int, *tissues: int) -> float:
    counts = lungs.slice_counts[k]
    n = int(counts.sum()) if not tissues else int(counts[list(tissues)].sum())
    return n * lungs.pixel_area_mm2 / 100.0


def _ct_number(lungs: RegionTally, k: int, settings: Settings) -> tuple[float | None, str | None]:
    """Mean HU over the lesion in one slice, or the reason why there is none."""
    lesion = [GROUND_GLASS, CONSOLIDATION]
    n = int(lungs.slice_counts[k, lesion].sum())
    if n < max(1, settings.min_voxels_null):
        return None, "lesion_small" if n else "no_lesion"
    return int(lungs.slice_hu_sums[k, lesion].sum()) / n, None
