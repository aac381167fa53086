"""Implicit shapes: functions of position whose zero level is a border, negative inside.

All positions are LPS millimetres, float32; values are about millimetres near the border, so
that edges and offsets can be given in millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from ctlung.arrays import Float32Array

FAR_MM = 40.0

Field: TypeAlias = Float32Array
Point: TypeAlias = tuple[float, float, float]


def smooth_min(a: Field, b: Field, blend_mm: float) -> Field:
    """Union of two shapes with a fillet of about ``blend_mm``."""
    h = np.clip(0.5 + (b - a) * np.float32(0.5 / blend_mm), 0, 1)
    joined: Field = b + (a - b) * h - np.float32(blend_mm) * h * (1 - h)
    return joined


def smooth_max(a: Field, b: Field, blend_mm: float) -> Field:
    """Intersection of two shapes with a rounded edge of about ``blend_mm``."""
    return -smooth_min(-a, -b, blend_mm)


def ellipsoid(
    x: Field, y: Field, z: Field, centre: Point, radii: Point, axis: Point | None = None
) -> Field:
    """Ellipsoid, first-order distance. ``axis`` turns the first radius into that direction."""
    p = [x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2])]
    if axis is not None:
        frame = _frame(axis).astype(np.float32)
        p = [frame[i, 0] * p[0] + frame[i, 1] * p[1] + frame[i, 2] * p[2] for i in range(3)]
    r = [np.float32(v) for v in radii]
    first = (p[0] / r[0]) ** 2 + (p[1] / r[1]) ** 2 + (p[2] / r[2]) ** 2
    second = (p[0] / r[0] ** 2) ** 2 + (p[1] / r[1] ** 2) ** 2 + (p[2] / r[2] ** 2) ** 2
    rho = np.sqrt(first)
    distance: Field = rho * (rho - 1) / np.maximum(np.sqrt(second), np.float32(1e-4))
    # At the very centre the quotient above is 0 / 0; the shape is simply deep inside there.
    return np.where(rho < 0.2, -np.float32(0.8 * min(radii)), distance)


def superellipse(x: Field, y: Field, half_x: Field, half_y: Field, power: float) -> Field:
    """Distance along the ray from the centre to the outline |x/a|^n + |y/b|^n = 1."""
    n = np.float32(power)
    rho = (np.abs(x / half_x) ** n + np.abs(y / half_y) ** n) ** np.float32(1 / power)
    r = np.sqrt(x * x + y * y)
    edge: Field = r - r / np.maximum(rho, np.float32(1e-3))
    # Near the axis the ray is undefined; there the outline is one half axis away.
    return np.where(rho < 0.05, -np.minimum(half_x, half_y), edge)


def segment(x: Field, y: Field, z: Field, start: Point, end: Point) -> tuple[Field, Field]:
    """Distance to a straight piece, and how far along it (0..1) the nearest point lies."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    d = b - a
    length2 = max(float(d @ d), 1e-6)
    px, py, pz = x - a[0], y - a[1], z - a[2]
    t = np.clip((px * d[0] + py * d[1] + pz * d[2]) / np.float32(length2), 0, 1)
    gap: Field = np.sqrt((px - t * d[0]) ** 2 + (py - t * d[1]) ** 2 + (pz - t * d[2]) ** 2)
    return gap, t


def tube(x: Field, y: Field, z: Field, points: Sequence[Point], radii: Sequence[float]) -> Field:
    """Tube along a polyline, its radius running linearly from point to point.

    Beyond ``FAR_MM`` from the tube the value stays ``FAR_MM``: most of a chest is far from most
    tubes, and this is where rendering would spend its time.
    """
    corners = np.asarray(points, np.float32)
    reach = np.float32(max(radii) + FAR_MM)
    low, high = corners.min(axis=0) - reach, corners.max(axis=0) + reach
    near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    near &= (z > low[2]) & (z < high[2])
    px, py, pz = x[near], y[near], z[near]
    best = np.full(px.shape, FAR_MM, np.float32)
    for i in range(len(points) - 1):
        a, b = corners[i], corners[i + 1]
        part = (px > min(a[0], b[0]) - reach) & (px < max(a[0], b[0]) + reach)
        part &= (py > min(a[1], b[1]) - reach) & (py < max(a[1], b[1]) + reach)
        part &= (pz > min(a[2], b[2]) - reach) & (pz < max(a[2], b[2]) + reach)
        where = np.flatnonzero(part)
        gap, t = segment(px[where], py[where], pz[where], points[i], points[i + 1])
        f = gap - (np.float32(radii[i]) + t * np.float32(radii[i + 1] - radii[i]))
        best[where] = np.minimum(best[where], f)
    out = np.full(x.shape, FAR_MM, np.float32)
    out[near] = best
    return out


def rounded(points: Sequence[Point], times: int = 2) -> list[Point]:
    """Cut the corners of a polyline (Chaikin); its ends stay."""
    p = np.asarray(points, np.float64)
    for _ in range(times):
        cut = np.empty((2 * (len(p) - 1), 3))
        cut[0::2] = 0.75 * p[:-1] + 0.25 * p[1:]
        cut[1::2] = 0.25 * p[:-1] + 0.75 * p[1:]
        p = np.vstack([p[:1], cut, p[-1:]])
    return [(float(a), float(b), float(c)) for a, b, c in p]


def coverage(f: Field, edge_mm: float = 0.0) -> Field:
    """Share (0..1) of each voxel inside ``f < 0``: exact for a flat border along an axis.

    At a border of radius R the sum over voxels of width w exceeds the volume by about
    (w / 2R)²; the half-way contour, and so any truth, is not moved.

    Args:
        f: values at voxel centres, at least two per axis.
        edge_mm: width over which the matter itself fades, beside the voxel's own extent.
    """
    reach = np.zeros_like(f)
    for axis in range(3):
        reach += np.abs(_difference(f, axis))
    if edge_mm:
        # f is in mm, so the fading adds to the voxel's extent as widths of two blurs add.
        reach = np.sqrt(reach * reach + np.float32(edge_mm) ** 2)
    share: Field = np.clip(0.5 - f / np.maximum(reach, np.float32(1e-3)), 0, 1)
    return share


def profile(knots: Sequence[float], values: Sequence[float]) -> tuple[Any, Any]:
    """A smooth curve through points as a dense table for :func:`along`."""
    table = np.arange(knots[0], knots[-1] + 0.5, 1.0)
    return table, PchipInterpolator(knots, values)(table)


def along(z: Field, table: tuple[Any, Any]) -> Field:
    """Value of a profile at ``z``; beyond its ends the end value."""
    return np.asarray(np.interp(z, table[0], table[1]), np.float32)


class Noise:
    """Smooth random function of position with mean 0 and SD 1, the same on every grid.

    Args:
        rng: where it comes from.
        scale_mm: distance of its random knots (correlation length), one for all axes or
            one each for x, y, z.
        size: knots per axis; the pattern repeats after ``size * scale_mm``.
    """

    def __init__(self, rng: np.random.Generator, scale_mm: float | Point, size: int = 64) -> None:
        scales = (scale_mm,) * 3 if isinstance(scale_mm, (int, float)) else scale_mm
        self._scales = tuple(np.float32(s) for s in scales)
        knots = rng.standard_normal((size, size, size)).astype(np.float32)
        # Cubic B-spline of white knots: its variance is below 1 by a known factor per axis.
        self._knots: NDArray[np.float32] = knots * np.float32((1 / 0.479365) ** 1.5)

    def __call__(self, x: Field, y: Field, z: Field) -> Field:
        """Values at LPS mm positions of any common shape."""
        where = np.stack(
            [c / s for c, s in zip((z, y, x), self._scales[::-1], strict=True)]
        ).reshape(3, -1)
        out = ndimage.map_coordinates(
            self._knots, where, order=3, mode="grid-wrap", prefilter=False, output=np.float32
        )
        result: Field = out.reshape(x.shape)
        return result


def _difference(f: Field, axis: int) -> Field:
    out = np.empty_like(f)
    n = f.shape[axis]
    if n < 2:
        return np.zeros_like(f)

    def at(start: int | None, stop: int | None) -> tuple[slice, ...]:
        return tuple(slice(start, stop) if a == axis else slice(None) for a in range(f.ndim))

    out[at(1, -1)] = (f[at(2, None)] - f[at(None, -2)]) * np.float32(0.5)
    out[at(0, 1)] = f[at(1, 2)] - f[at(0, 1)]
    out[at(-1, None)] = f[at(-1, None)] - f[at(-2, -1)]
    return out


def _frame(axis: Point) -> NDArray[np.float64]:
    first = np.asarray(axis, np.float64)
    first = first / np.linalg.norm(first)
    helper = np.array([0.0, 0.0, 1.0]) if abs(first[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    second = np.cross(helper, first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])
