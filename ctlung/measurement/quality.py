"""``check_result``: what only the lungs can tell about a scan (FIELD 5)."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.measurement.anatomy_checks import anatomy_notices
from ctlung.measurement.calibration import calibrate
from ctlung.measurement.coverage import coverage_notices, field_notices
from ctlung.measurement.effusion import effusion_notices
from ctlung.notices import Notice
from ctlung.records import Calibration
from ctlung.settings import Settings
from ctlung.volume import Scan, Segmentation


def check_result(
    scan: Scan,
    segmentation: Segmentation,
    settings: Settings | None = None,
    *,
    calibration: Calibration | None = None,
    by_density: bool = False,
) -> tuple[Notice, ...]:
    """Notices of the segmenter, then those of coverage, field, size, breath and calibration.

    Args:
        scan: the scan.
        segmentation: its lungs, and the airways where they are known.
        settings: limits; the defaults of FIELD if not given.
        calibration: air and blood of this scan, where they have been measured already.
        by_density: lesions are found by density alone (:attr:`LesionFinder.by_density`): shallow
            breath and noise then withhold them; a model's stay.

    Raises:
        GeometryMismatch: the lungs do not lie on the scan's grid.
    """
    settings = settings or Settings()
    segmentation.lungs.require_grid_of(scan.geometry)
    areas = lung_areas_cm2(segmentation, scan)
    coverage = coverage_notices(areas, settings)
    return (
        *segmentation.notices,
        *coverage,
        *field_notices(scan, segmentation.lungs, settings),
        *_one_slice(scan),
        *_gap(scan, areas, settings),
        *_size(scan, areas, bool(coverage), settings),
        *_motion(areas, settings),
        *_metal(scan, areas, settings),
        *effusion_notices(scan, segmentation.lungs, settings),
        *anatomy_notices(
            scan,
            segmentation,
            settings,
            calibration or calibrate(scan, segmentation.lungs, segmentation.anatomy),
            by_density,
        ),
    )


def lung_areas_cm2(segmentation: Segmentation, scan: Scan) -> FloatArray:
    """Area of right and left lung in each slice, cm2, shape (2, slices)."""
    labels = segmentation.lungs.labels
    pixel = scan.geometry.pixel_area_mm2 / 100.0
    areas = np.zeros((2, labels.shape[0]))
    for k, plane in enumerate(labels):
        if plane.any():
            areas[:, k] = np.bincount(plane.ravel(), minlength=3)[1:3]
    return areas * pixel


def _one_slice(scan: Scan) -> tuple[Notice, ...]:
    if scan.geometry.shape[0] > 1:
        return ()
    return (
        Notice(
            "single_slice",
            "warn",
            "In one slice vessels that run through it cannot be told from small lesions: the "
            "inflammatory area may be too large. Look at overlay.png.",
            measured=1.0,
            limit=2.0,
            unit="slices",
            affects=("areas",),
        ),
    )


def _gap(scan: Scan, areas: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    """Refuse where more than a fifth of the lungs' height was never scanned (FIELD 3.4)."""
    inside = np.flatnonzero(areas.sum(axis=0) > 0)
    positions = np.asarray(scan.geometry.slice_positions_mm)
    if len(inside) < 2 or len(positions) < 3:
        return ()
    steps = np.diff(positions)
    usual = float(np.median(steps))
    within = steps[inside[0] : inside[-1]]
    missing = float((within[within > settings.gap_factor * usual] - usual).sum())
    height = float(positions[inside[-1]] - positions[inside[0]])
    percent = 100.0 * missing / height if height else 0.0
    if percent <= settings.gap_refuse_percent:
        return ()
    return (
        Notice(
            "slice_gap",
            "refuse",
            f"{missing:.0f} mm of {height:.0f} mm of lung ({percent:.0f} %) lie in gaps between "
            "slices: slices are missing. Export the series again with all of its slices.",
            measured=percent,
            limit=settings.gap_refuse_percent,
            unit="%",
            affects=("all",),
        ),
    )


def _size(
    scan: Scan, areas: FloatArray, incomplete: bool, settings: Settings
) -> tuple[Notice, ...]:
    seen = int((areas.sum(axis=0) > 0).sum())
    largest = float(areas.sum(axis=0).max(initial=0.0))
    if seen < settings.min_lung_slices or incomplete:
        if largest >= settings.lung_slice_refuse_cm2:
            return ()
        return (
            Notice(
                "lung_mask",
                "refuse",
                f"No slice shows more than {largest:.1f} cm2 of lung "
                f"(limit {settings.lung_slice_refuse_cm2:g} cm2): this is not a chest CT, or "
                "only the edge of the lungs is in view. Choose a series that shows the chest.",
                measured=largest,
                limit=settings.lung_slice_refuse_cm2,
                unit="cm2",
                affects=("all",),
            ),
        )
    volumes = (areas * scan.geometry.slice_weights_mm / 10.0).sum(axis=1)
    return _total(volumes, settings) + _ratio(volumes, settings)


def _total(volumes: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    total = float(volumes.sum())
    if total < settings.lung_total_refuse_ml:
        return (
            Notice(
                "lung_mask",
                "refuse",
                f"Only {total:.0f} ml of lung were found (limit "
                f"{settings.lung_total_refuse_ml:g} ml): this is not a chest CT, or most of the "
                "lung is airless. Look at the series, and name another with --series.",
                measured=total,
                limit=settings.lung_total_refuse_ml,
                unit="ml",
                affects=("all",),
            ),
        )
    low, high = settings.lung_total_warn_low_ml, settings.lung_total_warn_high_ml
    if low <= total <= high:
        return ()
    return (
        Notice(
            "lung_mask",
            "warn",
            f"The lungs measure {total:.0f} ml, outside {low:g} to {high:g} ml: look at "
            "overlay.png before you use the numbers.",
            measured=total,
            limit=low if total < low else high,
            unit="ml",
            affects=("volumes",),
        ),
    )


def _ratio(volumes: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    right, left = (float(v) for v in volumes)
    ratio = right / left if left else float("inf")
    if settings.lung_ratio_low <= ratio <= settings.lung_ratio_high:
        return ()
    smaller = "left" if ratio > 1 else "right"
    shown = round(ratio, 2) if left else "no left lung"
    return (
        Notice(
            "lung_mask",
            "warn",
            f"The {smaller} lung is unusually small (right {right:.0f} ml, left {left:.0f} ml): "
            "collapse, effusion or consolidation, or a side that was not found. Look at "
            "overlay.png.",
            measured=shown,
            limit=settings.lung_ratio_high if ratio > 1 else settings.lung_ratio_low,
            affects=("volumes",),
        ),
    )


def _motion(areas: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    """Jumps of the lung area from slice to slice: breath or heart moved while scanning."""
    total = areas.sum(axis=0)
    inside = total[total > 0]
    if len(inside) < 10:
        return ()
    jumps = np.abs(inside[:-2] - 2 * inside[1:-1] + inside[2:])
    percent = 100.0 * float(np.median(jumps)) / float(inside.max())
    if percent <= settings.motion_warn_percent:
        return ()
    return (
        Notice(
            "motion",
            "warn",
            f"The lung area jumps by {percent:.1f} % from slice to slice: the patient moved or "
            "breathed, or the slices are thick.",
            measured=percent,
            limit=settings.motion_warn_percent,
            unit="%",
            affects=("volumes",),
        ),
    )


def _metal(scan: Scan, areas: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    slices = np.flatnonzero(areas.sum(axis=0) > 0)
    volumes = scan.geometry.voxel_volumes_ml
    ml = float(sum(int((scan.hu[k] > settings.metal_hu).sum()) * volumes[k] for k in slices))
    if ml <= settings.metal_warn_ml:
        return ()
    return (
        Notice(
            "metal",
            "warn",
            f"{ml:.1f} ml of metal lie in the slices of the lungs; streaks may change CT numbers.",
            measured=ml,
            limit=settings.metal_warn_ml,
            unit="ml",
            affects=("lesions",),
        ),
    )
