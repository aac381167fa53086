"""Air, blood, breath and sides: what known anatomy says about a scan (FIELD 2.1, 5)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, IntArray, bounding_box
from ctlung.measurement.calibration import of_plain_blood
from ctlung.morphology import distance_outside
from ctlung.notices import Notice
from ctlung.records import Calibration
from ctlung.settings import Settings
from ctlung.volume import Scan, Segmentation
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

DEEP_MM = 5.0
AERATED_HU = -500


def anatomy_notices(
    scan: Scan,
    segmentation: Segmentation,
    settings: Settings,
    calibration: Calibration,
    by_density: bool,
) -> tuple[Notice, ...]:
    """Notices ``trachea_hu``, ``noise``, ``inspiration``, ``contrast``, ``blood_hu``, ``flipped``.

    Args:
        scan: the scan.
        segmentation: its lungs.
        settings: limits.
        calibration: what :func:`calibrate` measured in it.
        by_density: whether lesions are found by density alone, not by a model.
    """
    grid = working_grid(scan, 3.0)
    lungs = tuple(
        block_mean(segmentation.lungs.labels == side, grid.factors) > 0.5 for side in (1, 2)
    )
    contrast = _contrast(scan, grid, lungs, calibration, settings)
    enhanced = bool(contrast or scan.acquisition.contrast_agent)
    return (
        *_air(calibration, settings),
        *_noise(calibration, settings, by_density),
        *_inspiration(grid, lungs[0] | lungs[1], settings, by_density),
        *contrast,
        *_blood(calibration, enhanced, settings),
        *_sides(grid, lungs),
    )


def _air(calibration: Calibration, settings: Settings) -> tuple[Notice, ...]:
    air = calibration.air_hu.value
    low, high = settings.trachea_low_hu, settings.trachea_high_hu
    if air is None or low <= air <= high:
        return ()
    return (
        Notice(
            "trachea_hu",
            "warn",
            f"Air in the trachea measures {air:.0f} HU, outside {low:.0f}..{high:.0f}: the "
            "scanner's calibration is off, or the airway is too narrow to tell.",
            measured=air,
            limit=f"{low:.0f}..{high:.0f}",
            unit="HU",
            affects=("lung_weight_calibrated_g",),
        ),
    )


def _blood(calibration: Calibration, contrast: bool, settings: Settings) -> tuple[Notice, ...]:
    blood = of_plain_blood(calibration, contrast, settings).blood_hu.value
    low, high = settings.blood_low_hu, settings.blood_high_hu
    if blood is None or low <= blood <= high:
        return ()
    return (
        Notice(
            "blood_hu",
            "warn",
            f"Blood in the descending aorta measures {blood:.0f} HU, outside "
            f"{low:.0f}..{high:.0f}: anaemia, a trace of contrast agent, or a scanner whose "
            "calibration is off; the calibrated lung weight is withheld.",
            measured=blood,
            limit=f"{low:.0f}..{high:.0f}",
            unit="HU",
            affects=("lung_weight_calibrated_g",),
        ),
    )


def _noise(calibration: Calibration, settings: Settings, by_density: bool) -> tuple[Notice, ...]:
    """The larger of the two: the trachea's air is stored cut off, the aorta lies deeper."""
    seen = [
        (fact.noise_hu, where)
        for fact, where in ((calibration.air_hu, "trachea"), (calibration.blood_hu, "aorta"))
        if fact.noise_hu is not None
    ]
    noise, where = max(seen, default=(0.0, ""))
    if noise <= settings.noise_warn_hu:
        return ()
    null = noise > settings.noise_null_hu
    return (
        Notice(
            "noise",
            "null" if null else "warn",
            f"Noise in the {where} is {noise:.0f} HU: "
            + (
                ("lesions found by density, " if by_density else "")
                + "percentiles, and the shares of lung at the low and high end (LAA, HAA) are "
                "withheld, and lesions may be wrong; use a soft-kernel or thicker series of the "
                "same scan."
                if null
                else "small or faint lesions may be wrong."
            ),
            measured=noise,
            limit=settings.noise_null_hu if null else settings.noise_warn_hu,
            unit="HU",
            affects=(*_lesions(by_density or not null), *(("tails",) if null else ())),
        ),
    )


def _lesions(concerned: bool) -> tuple[str, ...]:
    return ("lesions",) if concerned else ()


def _inspiration(
    grid: WorkingGrid, lungs: BoolArray, settings: Settings, by_density: bool
) -> tuple[Notice, ...]:
    """Mean HU of aerated lung > 5 mm inside the surface; lesions play no part in it.

    What a model found stays: it has seen shallow breath, and does not go by density alone.
    """
    box = bounding_box(lungs, (2, 2, 2))
    if box is None:
        return ()
    few = grid.hu.shape[0] < settings.min_lung_slices
    depth = -distance_outside(lungs[box], grid.spacing_mm)
    inner = (depth > DEEP_MM) & (grid.hu[box] < AERATED_HU)
    ml = float(inner.sum()) * grid.voxel_ml
    if few and not inner.any():
        return ()
    if not few and ml < settings.inspiration_reference_min_ml:
        return (
            Notice(
                "inspiration",
                "null",
                f"Only {ml:.0f} ml of aerated lung lie more than 5 mm inside the surface: there "
                "is no healthy lung to tell lesions from; "
                + ("lesions found by density, and the bands," if by_density else "the bands")
                + " are withheld.",
                measured=ml,
                limit=settings.inspiration_reference_min_ml,
                unit="ml",
                affects=(*_lesions(by_density), "bands"),
            ),
        )
    mean = float(grid.hu[box][inner].mean())
    if mean <= settings.inspiration_warn_hu:
        return ()
    # A few slices may all be diseased: they cannot tell breath from disease, only warn of it.
    null = mean > settings.inspiration_null_hu and not few
    return (
        Notice(
            "inspiration",
            "null" if null else "warn",
            f"Aerated lung has {mean:.0f} HU; a full breath gives -870 to -800: the scan was "
            "taken in shallow breath, where normal lung is as dense as ground-glass. "
            + (
                _withheld_by_breath(by_density)
                if null
                else "Lesions and the bands of dense lung may be overestimated."
            ),
            measured=mean,
            limit=settings.inspiration_null_hu if null else settings.inspiration_warn_hu,
            unit="HU",
            affects=(*_lesions(by_density or not null), "bands"),
        ),
    )


def _withheld_by_breath(by_density: bool) -> str:
    if by_density:
        return "Lesions found by density, and the bands, are withheld."
    return "The bands are withheld; lesions, which a model found, may be overestimated."


def _contrast(
    scan: Scan,
    grid: WorkingGrid,
    lungs: tuple[BoolArray, ...],
    calibration: Calibration,
    settings: Settings,
) -> tuple[Notice, ...]:
    """Contrast seen in the aorta, or in heart and great vessels, and not in the header.

    Either is enough: it may not have reached the aorta yet, and an aorta may not be found.
    """
    if scan.acquisition.contrast_agent:
        return ()
    seen = [
        (hu, where)
        for hu, where in (
            (calibration.blood_hu.value, "The descending aorta measures"),
            (_heart_hu(grid, lungs), "Heart and great vessels measure"),
        )
        if hu is not None
    ]
    blood, where = max(seen, default=(0.0, ""))
    if blood <= settings.contrast_aorta_hu:
        return ()
    return (
        Notice(
            "contrast",
            "warn",
            f"{where} {blood:.0f} HU (limit "
            f"{settings.contrast_aorta_hu:.0f}): contrast agent was given, though the header "
            "does not say so. Lung and lesions are denser than without it.",
            measured=blood,
            limit=settings.contrast_aorta_hu,
            unit="HU",
            affects=("lesions",),
        ),
    )


def _heart_hu(grid: WorkingGrid, lungs: tuple[BoolArray, ...]) -> float | None:
    between = _between_lungs(lungs)
    if between is None:
        return None
    soft = between & (grid.hu > 0) & (grid.hu < 700)
    core = ndimage.binary_erosion(soft, structure=np.ones((1, 3, 3), dtype=bool))
    values = grid.hu[core]
    # Fat and muscle pull the median down; contrast stands out in the upper half.
    return float(np.percentile(values, 75)) if len(values) >= 500 else None


def _between_lungs(lungs: tuple[BoolArray, ...]) -> BoolArray | None:
    """Voxels with right lung on one side and left lung on the other, in front of the spine."""
    right, left = lungs
    both = np.logical_or.reduce(right, axis=2) & np.logical_or.reduce(left, axis=2)
    if not both.any():
        return None
    width = right.shape[2]
    last_right: IntArray = width - 1 - np.argmax(right[:, :, ::-1], axis=2)
    first_left: IntArray = np.argmax(left, axis=2)
    x = np.arange(width)
    between: BoolArray = (
        both[:, :, None] & (x > last_right[:, :, None] + 2) & (x < first_left[:, :, None] - 2)
    )
    rows = np.flatnonzero(np.logical_or.reduce(right | left, axis=(0, 2)))
    # The vertebrae fill the back half; their marrow is as bright as contrast.
    between[:, rows[0] + int(0.55 * (rows[-1] - rows[0])) :, :] = False
    return between if between.any() else None


def _sides(grid: WorkingGrid, lungs: tuple[BoolArray, ...]) -> tuple[Notice, ...]:
    """Heart to the left and right dome higher in nearly everyone; both reversed is suspect."""
    between = _between_lungs(lungs)
    if between is None:
        return ()
    right, left = lungs
    levels = np.logical_or.reduce(right | left, axis=(1, 2))
    heights = np.flatnonzero(levels)
    lower = slice(int(heights[0]), int(heights[0] + 0.6 * (heights[-1] - heights[0])) + 1)
    heart = (between & (grid.hu > 0))[lower].sum(axis=(0, 1)).astype(np.float64)
    if heart.sum() < 200:
        return ()
    spine = (grid.hu[lower] > 150).any(axis=1) & levels[lower, None]
    x = np.arange(len(heart)) * grid.spacing_mm[2]
    middle = float((spine.sum(axis=0) * x).sum() / max(1, spine.sum()))
    heart_off = float((heart * x).sum() / heart.sum()) - middle
    dome_off = _dome_mm(right, grid) - _dome_mm(left, grid)
    if heart_off > -10.0 or dome_off > -5.0:
        return ()
    return (
        Notice(
            "flipped",
            "warn",
            f"The heart lies {-heart_off:.0f} mm to the right and the left half of the diaphragm "
            f"is {-dome_off:.0f} mm higher: left and right may be exchanged in this file (or the "
            "organs lie mirrored).",
            measured=heart_off,
            limit=-10.0,
            unit="mm",
        ),
    )


def _dome_mm(lung: BoolArray, grid: WorkingGrid) -> float:
    """Height (mm) below which half of the lung's footprint has ended: its diaphragm."""
    columns = np.logical_or.reduce(lung, axis=0)
    if not columns.any():
        return 0.0
    lowest = np.argmax(lung, axis=0)[columns]
    return float(np.median(lowest)) * grid.spacing_mm[0]
