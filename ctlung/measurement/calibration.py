"""What air and blood measure in this scan (FIELD 2.1). Reported and used, never to shift HU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ctlung.aorta import Disc, find_aorta
from ctlung.arrays import BoolArray, FloatArray, bounding_box
from ctlung.records import Calibration, Fact
from ctlung.settings import Settings
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

LUMEN_MARGIN_MM = 2.0
AORTA_MARGIN_MM = 3.0
MIN_LUMEN_VOXELS = 50
MIN_PLANE_VOXELS = 10
MAX_DRIFT_HU, MAX_DRIFT_SHARE = 30.0, 0.2
"""How far the middle half of the slices of one vessel may spread; contrast agent mixes late."""


def calibrate(scan: Scan, lungs: LabelMap, anatomy: Anatomy | None = None) -> Calibration:
    """Air in the airways and blood in the descending aorta, with the noise in each.

    ``blood_hu`` is given here whatever the scan's contrast; :func:`of_plain_blood` takes it away.
    ``reference_hu`` needs the lesions and is left open.

    Args:
        scan: the scan.
        lungs: 1 right, 2 left, on its grid.
        anatomy: the airways, where they are known.

    Source: FIELD 2.1. Trap: air in a narrow trachea is mixed with its wall by a thick slice, and
    stored air is cut off at -1024 HU.
    """
    return Calibration(
        air_hu=_air(scan, anatomy.airways if anatomy is not None else None),
        blood_hu=_blood(scan, lungs),
    )


def of_plain_blood(calibration: Calibration, contrast: bool, settings: Settings) -> Calibration:
    """The same without ``blood_hu`` where contrast agent was given, stated or seen in it."""
    blood = calibration.blood_hu
    if blood.value is None or not (contrast or blood.value > settings.contrast_aorta_hu):
        return calibration
    return replace(calibration, blood_hu=replace(blood, value=None, reason="contrast"))


def no_calibrated_weight(calibration: Calibration, settings: Settings) -> str | None:
    """Why there is no weight by model B, or ``None`` (FIELD 2.4)."""
    air, blood = calibration.air_hu, calibration.blood_hu
    if blood.reason == "contrast" or air.value is None:
        return blood.reason if blood.reason == "contrast" else air.reason
    if not settings.trachea_low_hu <= air.value <= settings.trachea_high_hu:
        return "trachea_hu"
    if blood.value is None:
        return blood.reason
    inside = settings.blood_low_hu <= blood.value <= settings.blood_high_hu
    return None if inside else "blood_hu"


def _air(scan: Scan, airways: BoolArray | None) -> Fact:
    values = _lumen_values(scan, airways)
    if values is None:
        return Fact(reason="no_airways")
    above = [v[v > np.median(v)] - np.median(v) for v in values if len(v) >= MIN_PLANE_VOXELS]
    upper = np.concatenate(above) if above else np.empty(0)
    # Only the upper half: the lower one is cut off at -1024 when stored.
    noise = float(np.sqrt(np.mean(upper**2))) if len(upper) else None
    every = np.concatenate(values)
    ml = len(every) * _mean_voxel_ml(scan)
    return Fact(float(np.median(every)), n_voxels=len(every), volume_ml=ml, noise_hu=noise)


def _lumen_values(scan: Scan, airways: BoolArray | None) -> list[FloatArray] | None:
    """HU in each slice of the airway lumen, 2 mm off its wall; ``None`` where it is too small."""
    box = bounding_box(airways, (1, 3, 3)) if airways is not None else None
    if airways is None or box is None:
        return None
    lumen = airways[box]
    spacing = scan.geometry.spacing_mm
    # In the plane only: slices are often thicker than the margin.
    deep = np.stack(
        [
            ndimage.distance_transform_edt(plane, sampling=spacing[1:]) > LUMEN_MARGIN_MM
            for plane in lumen
        ]
    )
    if int(deep.sum()) < MIN_LUMEN_VOXELS:
        return None
    hu = scan.hu[box]
    return [hu[k][deep[k]].astype(np.float64) for k in range(len(hu)) if deep[k].any()]


def _blood(scan: Scan, lungs: LabelMap) -> Fact:
    grid = working_grid(scan)
    right, left = (block_mean(lungs.labels == side, grid.factors) > 0.5 for side in (1, 2))
    discs = find_aorta(grid, (right, left))
    values = [v for v in _vessel_values(scan, grid, discs) if len(v) >= MIN_PLANE_VOXELS]
    if not values:
        return Fact(reason="no_aorta")
    medians = np.array([np.median(v) for v in values])
    low, middle, high = (float(p) for p in np.percentile(medians, (25, 50, 75)))
    if high - low > MAX_DRIFT_HU + MAX_DRIFT_SHARE * abs(middle):
        return Fact(reason="no_aorta")
    every = np.concatenate(values)
    off = np.concatenate([v - m for v, m in zip(values, medians, strict=True)])
    return Fact(
        float(np.median(every)),
        n_voxels=len(every),
        volume_ml=len(every) * _mean_voxel_ml(scan),
        noise_hu=float(np.sqrt(np.mean(off**2))),
    )


def _vessel_values(scan: Scan, grid: WorkingGrid, discs: tuple[Disc, ...]) -> list[FloatArray]:
    """HU in each native slice of the vessel, 3 mm off its wall; padding is no blood."""
    if not discs:
        return []
    levels = [(d.level + 0.5) * grid.factors[0] - 0.5 for d in discs]
    _, dy, dx = scan.geometry.spacing_mm
    y = (np.arange(scan.hu.shape[1]) + 0.5) * dy
    x = (np.arange(scan.hu.shape[2]) + 0.5) * dx
    values = []
    for k in range(int(np.ceil(levels[0])), int(levels[-1]) + 1):
        y0, x0, radius = (
            float(np.interp(k, levels, [getattr(d, name) for d in discs]))
            for name in ("y_mm", "x_mm", "radius_mm")
        )
        inner = radius - AORTA_MARGIN_MM
        rows = np.flatnonzero(np.abs(y - y0) <= inner)
        columns = np.flatnonzero(np.abs(x - x0) <= inner)
        if not len(rows) or not len(columns):
            continue
        here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        inside = (y[here[0], None] - y0) ** 2 + (x[None, here[1]] - x0) ** 2 <= inner**2
        if scan.outside_fov is not None:
            inside &= ~scan.outside_fov[k][here]
        values.append(scan.hu[k][here][inside].astype(np.float64))
    return values


def _mean_voxel_ml(scan: Scan) -> float:
    return float(np.mean(scan.geometry.voxel_volumes_ml))
