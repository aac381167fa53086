"""The scanner: kernel, noise, slice thickness, contrast agent, field of view, grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, FloatArray, HUArray
from ctlung.geometry import Geometry

HU_MIN, HU_MAX = -1024, 3071
KERNELS = {
    "soft": (0.65, 0.0, 0.85),
    "medium": (0.50, 0.20, 0.62),
    "sharp": (0.38, 0.50, 0.42),
}
"""Name to: sigma of the blur in the slice (mm), strength of edge enhancement, and grain (sigma,
mm) of the noise. Enhancement overshoots at edges as lung kernels do, and keeps means."""


@dataclass(frozen=True)
class Protocol:
    """How a scan is taken.

    Attributes:
        kernel: ``soft``, ``medium`` or ``sharp``.
        noise_hu: SD of the noise in the middle of the body.
        dose: relative; noise grows as one over its root.
        geometry: grid of the series; ``None`` keeps the source's. Axis-aligned.
        thickness_mm: slice thickness; ``None``: as thick as the slices are apart.
        blood_hu: CT number of blood with contrast agent; ``None``: as drawn.
        field_mm: diameter of the circular field of view; ``None``: no circle.
        noise_outside: whether the air around the body is noisy too.
    """

    kernel: Literal["soft", "medium", "sharp"] = "soft"
    noise_hu: float = 12.0
    dose: float = 1.0
    geometry: Geometry | None = None
    thickness_mm: float | None = None
    blood_hu: float | None = None
    field_mm: float | None = None
    noise_outside: bool = True


@dataclass(frozen=True, eq=False)
class Series:
    """What the scanner hands out: int16 HU ``[z, y, x]``; ``outside_fov`` where it saw nothing."""

    hu: HUArray
    geometry: Geometry
    outside_fov: BoolArray | None = field(default=None)


def acquire(
    hu: Float32Array,
    geometry: Geometry,
    protocol: Protocol,
    rng: np.random.Generator,
    *,
    blood: Float32Array | None = None,
    drawn_blood_hu: float = 42.0,
    body: BoolArray | None = None,
) -> Series:
    """Scan an object.

    Args:
        hu: float32 ``[z, y, x]``, each voxel the mean over its own extent.
        geometry: its grid, axis-aligned.
        protocol: what to do.
        rng: of the noise.
        blood: share of blood of each voxel, needed for ``protocol.blood_hu``.
        drawn_blood_hu: CT number of blood in ``hu``.
        body: where the patient is, needed without ``noise_outside``.

    Raises:
        ValueError: blood or body is needed and not given.
    """
    object_hu = hu
    if protocol.blood_hu is not None:
        if blood is None:
            raise ValueError("a contrast agent needs the share of blood of each voxel")
        object_hu = hu + blood * np.float32(protocol.blood_hu - drawn_blood_hu)
    sharp = blur(object_hu, geometry, protocol.kernel)
    target = protocol.geometry or geometry
    seen = resample(sharp, geometry, target, protocol.thickness_mm)
    noise = _noise(target, protocol, rng)
    if not protocol.noise_outside:
        if body is None:
            raise ValueError("quiet air needs to know where the body is")
        noise *= resample(body.astype(np.float32), geometry, target, None)
    whole = np.clip(np.rint(seen + noise), HU_MIN, HU_MAX).astype(np.int16)
    if protocol.field_mm is None:
        return Series(whole, target)
    outside = _outside_circle(target, protocol.field_mm)
    whole[:, outside] = HU_MIN
    return Series(whole, target, np.broadcast_to(outside, target.shape).copy())


def blur(hu: Float32Array, geometry: Geometry, kernel: str) -> Float32Array:
    """The kernel's response within slices, as a function of mm; means stay."""
    sigma, boost, _ = KERNELS[kernel]
    _, dy, dx = geometry.spacing_mm
    narrow = _gauss(hu, sigma / dy, sigma / dx)
    if not boost:
        return narrow
    wide = _gauss(hu, 3 * sigma / dy, 3 * sigma / dx)
    result: Float32Array = narrow + np.float32(boost) * (narrow - wide)
    return result


def resample(
    values: Float32Array, geometry: Geometry, target: Geometry, thickness_mm: float | None
) -> Float32Array:
    """Values on another axis-aligned grid.

    Across slices a box of ``thickness_mm`` (the target's spacing if ``None``); within them
    means over the target's pixels where these are coarser, linear between pixels where finer.
    """
    if target == geometry and thickness_mm is None:
        return values
    out = values
    for axis in range(3):
        source, goal = _centres(geometry, axis), _centres(target, axis)
        width = target.spacing_mm[axis]
        if axis == 0 and thickness_mm is not None:
            width = thickness_mm
        weights = _weights(source, geometry.spacing_mm[axis], goal, width)
        moved = np.tensordot(weights, out, axes=([1], [axis]))
        out = np.moveaxis(moved, 0, axis)
    return np.ascontiguousarray(out, np.float32)


def _weights(source: FloatArray, step: float, goal: FloatArray, width: float) -> Float32Array:
    if width < step * 1.001:
        # Finer than the source: linear interpolation, the end values beyond.
        place = np.clip((goal - source[0]) / step, 0, len(source) - 1)
        gap = np.abs(place[:, None] - np.arange(len(source))[None, :])
        return np.asarray(np.clip(1 - gap, 0, 1), np.float32)
    low = np.maximum(goal[:, None] - width / 2, source[None, :] - step / 2)
    high = np.minimum(goal[:, None] + width / 2, source[None, :] + step / 2)
    share = np.clip(high - low, 0, None)
    total = share.sum(axis=1, keepdims=True)
    nearest = np.abs(goal[:, None] - source[None, :]).argmin(axis=1)
    share = np.where(total > 1e-9, share / np.maximum(total, 1e-9), np.eye(len(source))[nearest])
    return np.asarray(share, np.float32)


def _centres(geometry: Geometry, axis: int) -> FloatArray:
    m = geometry.matrix
    coordinate = (2, 1, 0)[axis]
    if abs(abs(float(m[coordinate, axis])) - geometry.spacing_mm[axis]) > 1e-6:
        raise ValueError("the scanner needs grids along the patient's axes")
    if axis == 0:
        return np.asarray(geometry.slice_positions_mm, np.float64)
    centres: FloatArray = m[coordinate, 3] + m[coordinate, axis] * np.arange(geometry.shape[axis])
    return centres


def _noise(geometry: Geometry, protocol: Protocol, rng: np.random.Generator) -> Float32Array:
    _, dy, dx = geometry.spacing_mm
    grain = KERNELS[protocol.kernel][2]
    white = rng.standard_normal(geometry.shape, np.float32)
    # Fine grain less coarse grain: reconstruction leaves little noise at low frequencies.
    fine = _gauss(white, grain / dy, grain / dx)
    coarse = _gauss(white, 4 * grain / dy, 4 * grain / dx)
    noise = fine - coarse
    deviation = float(noise.std()) or 1.0
    noise *= np.float32(protocol.noise_hu / np.sqrt(protocol.dose) / deviation)
    return noise


def _gauss(hu: Float32Array, sigma_y: float, sigma_x: float) -> Float32Array:
    out: Float32Array = ndimage.gaussian_filter(
        hu, (0, sigma_y, sigma_x), output=np.float32, mode="nearest", truncate=4.0
    )
    return out


def _outside_circle(geometry: Geometry, field_mm: float) -> BoolArray:
    y, x = _centres(geometry, 1), _centres(geometry, 2)
    gap = np.hypot((y - y.mean())[:, None], (x - x.mean())[None, :])
    outside: BoolArray = gap > field_mm / 2
    return outside
