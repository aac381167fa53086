"""How well one lung was aligned: overlap, surfaces, vessels, folding, the way there and back."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctlung.alignment import Field
from ctlung.arrays import BoolArray, Float32Array
from ctlung.change_records import Quality
from ctlung.morphology import distance_outside
from ctlung.registration.features import LungImage

VESSEL_DETAIL = 1.5
"""A vessel stands out by so many local deviations."""
NEAR_MM = 20.0
ODD_LOW, ODD_HIGH = 0.2, 5.0


def measure_quality(
    fixed: LungImage, moving: LungImage, forward: Field, again: Field, near: bool = False
) -> Quality | None:
    """Quality in the baseline's lung; with ``near`` only within 20 mm of its lesions.

    Args:
        fixed: the baseline's lung, on the grid of ``forward``.
        moving: the follow-up's.
        forward: the map that is judged.
        again: a way back that was found by itself.
        near: judge within 20 mm of what the images do not trust, the lesions of both.

    Returns:
        ``None`` where there is no lung to judge.
    """
    h = fixed.grid.spacing_mm
    points = fixed.grid.points()
    there = forward(points)
    seen = _at(moving.lung.astype(np.float32), moving, there) >= 0.5
    zone = np.ones(fixed.lung.shape, bool)
    if near:
        zone = _near_lesions(fixed, moving, there)
    lung = fixed.lung & zone
    if not lung.any():
        return None
    overlap = 2.0 * (fixed.lung & seen & zone).sum() / max(1, (lung.sum() + (seen & zone).sum()))
    surface = _apart(fixed.lung, seen, zone, h)
    gap = np.linalg.norm(again(there[:, lung]) - points[:, lung], axis=0)
    jacobian = forward.jacobian()[lung]
    odd = (jacobian < ODD_LOW) | (jacobian > ODD_HIGH)
    return Quality(
        float(overlap),
        surface,
        float(gap.mean()),
        float(np.percentile(gap, 95)),
        _vessels_apart(fixed, moving, there, lung),
        100.0 * float((jacobian <= 0).mean()),
        100.0 * float(odd.mean()),
    )


def _near_lesions(fixed: LungImage, moving: LungImage, there: Float32Array) -> BoolArray:
    theirs = _at((moving.lung & (moving.trust == 0)).astype(np.float32), moving, there) >= 0.5
    lesions: BoolArray = (fixed.lung & (fixed.trust == 0)) | (theirs & fixed.lung)
    if not lesions.any():
        return lesions
    h = fixed.grid.spacing_mm
    near: BoolArray = distance_outside(lesions, (h, h, h)) <= NEAR_MM
    return near


def _apart(mine: BoolArray, theirs: BoolArray, zone: BoolArray, h: float) -> float:
    """Mean distance between the borders of two masks, both ways."""
    total, n = 0.0, 0
    for a, b in ((mine, theirs), (theirs, mine)):
        edge = a & ~ndimage.binary_erosion(a) & zone
        if not edge.any() or not b.any():
            continue
        rim = b & ~ndimage.binary_erosion(b)
        far = ndimage.distance_transform_edt(~rim, sampling=h)
        total, n = total + float(far[edge].sum()), n + int(edge.sum())
    return total / n if n else float("inf")


def _vessels_apart(
    fixed: LungImage, moving: LungImage, there: Float32Array, lung: BoolArray
) -> float:
    """Mean distance of the baseline's vessels to the follow-up's, where lesions hide neither.

    ``inf`` without vessels.
    """
    seen = _at(moving.trust, moving, there) >= 0.5
    mine = lung & seen & (fixed.detail > VESSEL_DETAIL)
    theirs = moving.detail > VESSEL_DETAIL
    if not mine.any() or not theirs.any():
        return float("inf")
    far = ndimage.distance_transform_edt(~theirs, sampling=moving.grid.spacing_mm)
    return float(_at(far.astype(np.float32), moving, there[:, mine]).mean())


def _at(volume: Float32Array, image: LungImage, points: Float32Array) -> Float32Array:
    found: Float32Array = ndimage.map_coordinates(
        volume, image.grid.index(points), order=1, mode="nearest", output=np.float32
    )
    return found
