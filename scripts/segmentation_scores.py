"""How lung masks are judged (FIELD 4.6): overlap, surface distances, surface by anatomy.

All arrays are ``[z, y, x]``, spacings mm in array order. Written here with numpy and scipy:
public tools differ in such distances (Podobnik 2024), so these figures compare with each other
and with MetricsReloaded's ``hd95``, not with every tool's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BoolArray = NDArray[np.bool_]
LabelArray = NDArray[np.uint8]
Distances = NDArray[np.float64]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

TOLERANCE_MM = 2.0
BEYOND_MM = 10.0
HILUM_MM = 20.0
NORMAL_SMOOTH_MM = 3.0
FEET_COSINE = float(np.cos(np.radians(45.0)))
PARTS = ("chest_wall", "hilum", "diaphragm")
"""Numbers 0, 1, 2 of :func:`surface_parts`."""


@dataclass(frozen=True)
class Surface:
    """Distances between two surfaces, mm; ``None`` where one mask is empty.

    Attributes:
        assd_mm: mean over the voxels of both borders, pooled.
        masd_mm: mean of the two directed means.
        hd95_mm: the larger of the two directed 95th percentiles.
        nsd: share of both borders within ``TOLERANCE_MM``, border voxels counted, not areas.
    """

    assd_mm: float | None
    masd_mm: float | None
    hd95_mm: float | None
    nsd: float


@dataclass(frozen=True)
class SurfaceScores:
    """Of the whole surface, and of each part of the reference's surface (``PARTS``).

    A part has no entry where the reference has no surface.
    """

    whole: Surface
    parts: dict[str, Surface] = field(default_factory=dict)


def dice(a: BoolArray, b: BoolArray) -> float:
    """2 |A and B| / (|A| + |B|); both empty: 1."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 1.0


def millilitres(mask: BoolArray, spacing_mm: Spacing) -> float:
    """Volume of a mask on an even grid."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000.0


def border(mask: BoolArray) -> BoolArray:
    """Voxels of the mask with one of their six neighbours outside it, or outside the array."""
    edge: BoolArray = mask & ~ndimage.binary_erosion(mask)
    return edge


def common_box(a: BoolArray, b: BoolArray, margin_mm: float, spacing_mm: Spacing) -> Box:
    """The smallest box around both masks, widened by ``margin_mm`` and at least one voxel.

    The whole array if both are empty.
    """
    either = a | b
    box: list[slice] = []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        inside = np.flatnonzero(either.any(axis=others))
        if len(inside) == 0:
            return tuple(slice(0, n) for n in a.shape)  # type: ignore[return-value]
        pad = max(1, int(np.ceil(margin_mm / spacing_mm[axis])))
        stop = min(a.shape[axis], int(inside[-1]) + 1 + pad)
        box.append(slice(max(0, int(inside[0]) - pad), stop))
    return box[0], box[1], box[2]


def beyond_ml(
    found: BoolArray,
    reference: BoolArray,
    spacing_mm: Spacing,
    *,
    further_mm: float = BEYOND_MM,
    judged: BoolArray | None = None,
) -> float:
    """Millilitres of ``found`` that lie further than ``further_mm`` from the reference.

    Args:
        found: what was claimed.
        reference: distances are to the centres of its voxels.
        spacing_mm: of both.
        further_mm: the limit; voxels at exactly that distance do not count.
        judged: where claims count; everywhere if ``None``.
    """
    box = common_box(found, reference, 0.0, spacing_mm)
    claimed = found[box] if judged is None else found[box] & judged[box]
    if not reference.any():
        return millilitres(claimed, spacing_mm)
    far = ndimage.distance_transform_edt(~reference[box], sampling=spacing_mm) > further_mm
    return millilitres(claimed & far, spacing_mm)


def surface_parts(
    reference: BoolArray, airways: BoolArray | None, spacing_mm: Spacing
) -> LabelArray:
    """Which part of the lungs' surface each voxel would belong to: an index into ``PARTS``.

    Hilum: within 20 mm of the airway mask. Diaphragm: in the lower third of the lungs' height,
    the outward normal (gradient of the mask, smoothed with a sigma of 3 mm) within 45 degrees
    of the feet. Chest wall: the rest, mediastinum and apex included. Meaningful on the
    reference's border only. Without airways nothing is hilum.
    """
    parts = np.zeros(reference.shape, np.uint8)
    if not reference.any():
        return parts
    sigma = [NORMAL_SMOOTH_MM / s for s in spacing_mm]
    soft = ndimage.gaussian_filter(reference.astype(np.float32), sigma, mode="nearest")
    down, back, left = np.gradient(soft, *spacing_mm)
    length = np.sqrt(down**2 + back**2 + left**2)
    # Inside a mask the gradient points inward, so towards the head above the diaphragm.
    facing = down >= FEET_COSINE * np.maximum(length, 1e-12)
    heights = np.flatnonzero(reference.any(axis=(1, 2)))
    low = np.zeros_like(reference)
    low[: int(heights[0] + np.ceil((heights[-1] - heights[0] + 1) / 3))] = True
    parts[facing & low] = PARTS.index("diaphragm")
    if airways is not None and airways.any():
        near = ndimage.distance_transform_edt(~airways, sampling=spacing_mm) <= HILUM_MM
        parts[near] = PARTS.index("hilum")
    return parts


def surface_scores(
    found: BoolArray,
    reference: BoolArray,
    spacing_mm: Spacing,
    *,
    parts: LabelArray | None = None,
    judged_slices: BoolArray | None = None,
) -> SurfaceScores:
    """Distances between the borders of two masks.

    Args:
        found, reference: masks on one grid.
        spacing_mm: of that grid.
        parts: from :func:`surface_parts`; a border voxel of ``found`` belongs to the part of
            the border voxel of the reference that is nearest to it.
        judged_slices: slices whose reference can be trusted. Borders in the others, and in
            those beside them (where the mask would end falsely), are left out of both masks.
    """
    box = common_box(found, reference, 0.0, spacing_mm)
    a, b = border(found[box]), border(reference[box])
    if judged_slices is not None:
        safe = ~ndimage.binary_dilation(~judged_slices)[box[0]]
        a, b = a & safe[:, None, None], b & safe[:, None, None]
    if not a.any() or not b.any():
        return SurfaceScores(_without(bool(a.any() or b.any())))
    back = _distances(b, a, spacing_mm)
    if parts is None:
        return SurfaceScores(_surface(_distances(a, b, spacing_mm), back))
    away, nearest = ndimage.distance_transform_edt(~b, sampling=spacing_mm, return_indices=True)
    there = away[a]
    of_b = parts[box][b]
    of_a = parts[box][tuple(axis[a] for axis in nearest)]
    by_part = {
        name: _surface(there[of_a == i], back[of_b == i])
        for i, name in enumerate(PARTS)
        if (of_b == i).any()
    }
    return SurfaceScores(_surface(there, back), by_part)


def largest_per_label(labels: LabelArray) -> LabelArray:
    """Of each of the labels 1 and 2 the largest face-connected piece."""
    out = np.zeros_like(labels)
    for side in (1, 2):
        pieces, n = ndimage.label(labels == side)
        if n:
            out[pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1] = side
    return out


def _distances(source: BoolArray, target: BoolArray, spacing_mm: Spacing) -> Distances:
    """From each voxel of ``source`` to the nearest of ``target``, in array order."""
    away: Distances = ndimage.distance_transform_edt(~target, sampling=spacing_mm)[source]
    return away


def _surface(there: Distances, back: Distances) -> Surface:
    both = np.concatenate([there, back])
    directed = [d for d in (there, back) if len(d)]
    return Surface(
        assd_mm=float(both.mean()),
        masd_mm=float(np.mean([d.mean() for d in directed])),
        hd95_mm=max(float(np.percentile(d, 95)) for d in directed),
        nsd=float((both <= TOLERANCE_MM).mean()),
    )


def _without(one_is_there: bool) -> Surface:
    if one_is_there:
        return Surface(None, None, None, 0.0)
    return Surface(0.0, 0.0, 0.0, 1.0)
