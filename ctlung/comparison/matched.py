"""The follow-up's inflammatory area at the level of the baseline's largest slice (FIELD 1.1)."""

from __future__ import annotations

import numpy as np

from ctlung.alignment import Alignment
from ctlung.comparison.carried import points_of
from ctlung.volume import LabelMap


def matched_area_cm2(
    level: int,
    lungs: LabelMap,
    their_lungs: LabelMap,
    lesions: LabelMap,
    alignment: Alignment,
    higher_mm: float = 0.0,
) -> float | None:
    """Area of lesion where the slab of slice ``level`` of the baseline lies in the follow-up.

    Each lung has its own level: from the mean height of its part of the slab's lower face to
    that of the upper face. The follow-up's areas are averaged over that, each slice's holding for
    the slab that it stands for.

    Args:
        level: slice of the baseline.
        lungs: of the baseline.
        their_lungs: of the follow-up.
        lesions: of the follow-up.
        alignment: of the two.
        higher_mm: read that much higher in the follow-up.

    Returns:
        ``None`` where no aligned lung is seen in the slice.
    """
    geometry, theirs = lungs.geometry, lesions.geometry
    half = 0.5 * float(geometry.slice_weights_mm[level])
    heights = np.asarray(theirs.slice_positions_mm)
    step = 0.5 * theirs.slice_weights_mm
    total, seen = 0.0, False
    for side, maps in alignment.sides.items():
        y, x = np.nonzero(lungs.labels[level] == side)
        if not len(y):
            continue
        points = points_of(geometry, np.stack([np.full_like(y, level), y, x]))
        faces = []
        for way in (-half, half):
            face = points + (way * geometry.normal)[:, None]
            # To a micrometre: what does not move does not leave its slab.
            faces.append(round(float((theirs.normal @ maps.forward(face)).mean()) + higher_mm, 3))
        areas = ((lesions.labels > 0) & (their_lungs.labels == side)).sum(axis=(1, 2))
        areas = areas * theirs.pixel_area_mm2 / 100.0
        low, high = min(faces), max(faces)
        upper, lower = np.round(heights + step, 3), np.round(heights - step, 3)
        inside = np.clip(np.minimum(upper, high) - np.maximum(lower, low), 0, None)
        total += float(inside @ areas / inside.sum()) if inside.sum() > 0 else 0.0
        seen = True
    return total if seen else None
