"""From numbers to Hounsfield units: rounding, clipping, padding, and a fingerprint.

Values become int16 once, at loading, by ``rint`` (FIELD 2.2), and are clipped to
[-1024, 3071] (FIELD 3.2). Padding is where nothing was measured.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, HUArray
from ctlung.geometry import Geometry
from ctlung.volume import HU_MAX, HU_MIN

FILL_MIN_PIXELS = 25
"""A constant fill smaller than this, in a slice, is noise that happens to be flat."""


def to_int16_hu(
    values: np.ndarray[Any, Any], outside: BoolArray | None = None
) -> tuple[HUArray, int, int]:
    """Round half to even, clip to [-1024, 3071], and count what was clipped.

    Args:
        values: HU of any numeric type and shape; finite except where ``outside``.
        outside: bool, same shape: padding. It becomes -1024 and is not counted.

    Returns:
        int16 HU of the same shape, the number of voxels below -1024, and above 3071.
    """
    if outside is not None:
        values = np.where(outside, HU_MIN, values)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("HU must be finite; name what is not in `outside`")
        values = np.rint(values)
    low = int(np.count_nonzero(values < HU_MIN))
    high = int(np.count_nonzero(values > HU_MAX))
    return np.clip(values, HU_MIN, HU_MAX).astype(np.int16), low, high


def constant_fill(hu: np.ndarray[Any, Any], min_pixels: int = FILL_MIN_PIXELS) -> BoolArray | None:
    """Padding that no tag names (FIELD 3.2, step 2).

    Padding is one constant value below -1024 HU, in areas of at least ``min_pixels`` pixels
    that reach the border of their slice. A reconstruction never goes below -1024 over a
    flat area; a fill around the reconstruction circle does.

    Args:
        hu: ``[z, y, x]``, rounded but not yet clipped.
        min_pixels: smallest area, pixels in one slice.

    Returns:
        bool ``[z, y, x]``, or ``None`` if there is no such padding.
    """
    value = _fill_value(hu)
    if value is None:
        return None
    found = np.zeros(hu.shape, dtype=np.bool_)
    for k, slab in enumerate(hu):
        same = slab == value
        if np.count_nonzero(same) >= min_pixels:
            found[k] = reaching_border(same, min_pixels)
    return found if found.any() else None


def scan_digest(hu: HUArray, geometry: Geometry, outside_fov: BoolArray | None) -> str:
    """Sha256 (hex) over HU, grid and padding: equal for one scan however it was stored.

    Positions enter rounded to 0.0001 mm, so that a file format's float32 does not change it.
    """
    digest = hashlib.sha256(b"ctlung.scan/1")
    digest.update(np.asarray(hu.shape, dtype="<i8").tobytes())
    places = np.concatenate([geometry.matrix.ravel(), np.asarray(geometry.slice_positions_mm)])
    digest.update(np.rint(places * 1e4).astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(hu, dtype="<i2").data)
    if outside_fov is not None and outside_fov.any():
        digest.update(np.packbits(outside_fov).tobytes())
    return digest.hexdigest()


def _fill_value(hu: np.ndarray[Any, Any]) -> Any:
    """The commonest value below -1024 on the slices' outermost rows and columns."""
    edges = np.concatenate([hu[:, 0], hu[:, -1]], axis=None)
    sides = np.concatenate([hu[:, :, 0], hu[:, :, -1]], axis=None)
    border = np.concatenate([edges, sides])
    values, counts = np.unique(border[border < HU_MIN], return_counts=True)
    return values[counts.argmax()] if len(values) else None


def reaching_border(same: BoolArray, min_pixels: int = FILL_MIN_PIXELS) -> BoolArray:
    """The connected areas of a slice that touch its border and have ``min_pixels`` pixels."""
    labels, n = ndimage.label(same)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    touching = np.zeros(n + 1, dtype=np.bool_)
    touching[edge] = True
    touching[0] = False
    touching &= np.bincount(labels.ravel(), minlength=n + 1) >= min_pixels
    kept: BoolArray = touching[labels]
    return kept
