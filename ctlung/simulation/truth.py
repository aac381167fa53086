"""The known answers of a phantom, from its shapes and never from the voxels of a scan.

Areas and volumes are lattice quadratures of the implicit shapes, far finer than the scan and
shifted at random; two shifts give the error. CT numbers are those of the object seen through
the scanner's blur (what any measurement on a scan can know), and of the object itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array, FloatArray
from ctlung.geometry import Geometry
from ctlung.simulation.anatomy import LEFT, RIGHT, Anatomy, Thorax
from ctlung.simulation.breathing import REST, Breath, grid_points
from ctlung.simulation.opacities import CONSOLIDATION, GROUND_GLASS, Opacity
from ctlung.simulation.scanner import blur
from ctlung.simulation.thorax import render

FINER = 3
"""Lattice points per voxel and axis."""


@dataclass(frozen=True, eq=False)
class PhantomTruth:
    """Known answers on the slices of a scan.

    Attributes:
        slice_positions_mm: of the scan.
        area_cm2: ``[slice, side, tissue]``; side 0 right, 1 left; tissue 0 lung without lesion,
            1 ground-glass, 2 consolidation. Mean over the slice's thickness.
        spacing_mm: distance of slices.
        error_ml: half the difference of two lattices, for all of the lung and for all lesions.
    """

    slice_positions_mm: tuple[float, ...]
    area_cm2: FloatArray
    spacing_mm: float
    error_ml: tuple[float, float]

    def lung_ml(self, side: int | None = None) -> float:
        """Lung volume of one side (1 right, 2 left) or both, ml."""
        part = self.area_cm2 if side is None else self.area_cm2[:, side - 1]
        return float(part.sum()) * self.spacing_mm / 10

    def lesion_ml(self, label: int | None = None, side: int | None = None) -> float:
        """Lesion volume by label (1 ground-glass, 2 consolidation) and side, ml."""
        part = self.area_cm2 if side is None else self.area_cm2[:, side - 1 : side]
        tissue = part[..., 1:] if label is None else part[..., label]
        return float(tissue.sum()) * self.spacing_mm / 10

    def lesion_area_max(self) -> tuple[float, float]:
        """Largest lesion area of a slice, cm², and that slice's position, mm."""
        areas = self.area_cm2[..., 1:].sum(axis=(1, 2))
        k = int(areas.argmax())
        return float(areas[k]), self.slice_positions_mm[k]


@dataclass(frozen=True)
class CTNumbers:
    """Mean HU over a true region, noise-free: through the scanner's blur, and without it."""

    seen_hu: float
    object_hu: float
    volume_ml: float


def measure_truth(
    thorax: Thorax,
    geometry: Geometry,
    opacities: Sequence[Opacity] = (),
    breath: Breath = REST,
    *,
    rng: np.random.Generator,
) -> PhantomTruth:
    """Areas and volumes of lungs and lesions; ``geometry`` only names the slices.

    Args:
        thorax, opacities, breath: as for :func:`~ctlung.simulation.thorax.render`.
        geometry: even, axis-aligned.
        rng: of the lattices' shifts.
    """
    runs = [_areas(thorax, geometry, opacities, breath, rng.uniform(0, 1, 3)) for _ in range(2)]
    dz = geometry.spacing_mm[0]
    lung = [float(r.sum()) * dz / 10 for r in runs]
    lesion = [float(r[..., 1:].sum()) * dz / 10 for r in runs]
    error = abs(lung[0] - lung[1]) / 2, abs(lesion[0] - lesion[1]) / 2
    return PhantomTruth(geometry.slice_positions_mm, (runs[0] + runs[1]) / 2, dz, error)


def _areas(
    thorax: Thorax,
    geometry: Geometry,
    opacities: Sequence[Opacity],
    breath: Breath,
    shift: FloatArray,
) -> FloatArray:
    areas = np.zeros((geometry.shape[0], 2, 3))
    fine = _finer(geometry, FINER, shift)
    pixel_cm2 = fine.pixel_area_mm2 / 100
    for k in range(geometry.shape[0]):
        points = grid_points(fine, FINER * k, FINER * (k + 1))
        rest = breath.back(*points)
        inside, side = _lungs(thorax, *rest)
        if not inside.any():
            continue
        x, y, z = (c[inside] for c in rest)
        tissue = _tissue(opacities, x, y, z)
        for s in (RIGHT, LEFT):
            counts = np.bincount(tissue[side == s], minlength=3)
            areas[k, s - 1] = counts * pixel_cm2 / FINER
    return areas


def _finer(geometry: Geometry, times: int, shift: FloatArray) -> Geometry:
    """The lattice that cuts each voxel into ``times``³, moved by ``shift`` (0..1) of a step."""
    spacing = tuple(s / times for s in geometry.spacing_mm)
    corner = geometry.to_mm([0, 0, 0]) - np.asarray(geometry.spacing_mm)[::-1] / 2
    origin = corner + shift * np.asarray(spacing)[::-1]
    shape = [n * times for n in geometry.shape]
    return Geometry.from_spacing(shape, spacing, [float(v) for v in origin])


def _lungs(
    thorax: Thorax, x: Float32Array, y: Float32Array, z: Float32Array
) -> tuple[BoolArray, np.ndarray]:
    """Which points are lung, and the side of those that are."""
    atlas = thorax.to_atlas(x, y, z)
    # The cage bounds the lungs and is cheap; the rest is asked only inside it.
    inside: BoolArray = Anatomy(thorax, *atlas).cage < 0
    part = Anatomy(thorax, *(c[inside] for c in atlas))
    lung = part.lungs < 0
    inside[inside] = lung
    return inside, part.sides[lung]


def _tissue(
    opacities: Sequence[Opacity], x: Float32Array, y: Float32Array, z: Float32Array
) -> np.ndarray:
    tissue = np.zeros(x.shape, np.uint8)
    for label in (GROUND_GLASS, CONSOLIDATION):
        for opacity in opacities:
            if opacity.label != label:
                continue
            low, high = opacity.box(1.0)
            near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
            near &= (z > low[2]) & (z < high[2])
            where = np.flatnonzero(near)
            f = opacity.border(x[where], y[where], z[where])
            tissue[where[f <= 0]] = label
    return tissue


def lesion_ct_numbers(
    thorax: Thorax,
    geometry: Geometry,
    opacities: Sequence[Opacity],
    breath: Breath = REST,
    kernel: str = "soft",
) -> dict[str, CTNumbers]:
    """CT numbers of ``lesions``, ``ground_glass`` and ``consolidation``, where present.

    Each opacity's surroundings are drawn on a grid three times finer than the scan, blurred as
    the scanner and its voxels blur, and averaged over the true lesion.
    """
    sums = np.zeros((3, 3))
    done: list[tuple[FloatArray, FloatArray]] = []
    for opacity in opacities:
        low, high = (np.asarray(c) for c in opacity.box(4.0))
        corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
        moved = breath.forward(corners.astype(np.float32)).astype(np.float64)
        low, high = moved.min(axis=0), moved.max(axis=0)
        grid = _fine_box(geometry, low, high)
        phantom = render(thorax, grid, opacities, breath)
        seen = ndimage.uniform_filter(blur(phantom.hu, grid, kernel), FINER, mode="nearest")
        fresh = _not_done(grid, low + 2, high - 2, done)
        for label in (GROUND_GLASS, CONSOLIDATION):
            where = (phantom.lesions == label) & fresh
            sums[label] += (
                seen[where].sum(dtype=float),
                phantom.hu[where].sum(dtype=float),
                where.sum(),
            )
        done.append((low + 2, high - 2))
    sums[0] = sums[1] + sums[2]
    voxel_ml = float(np.prod(geometry.spacing_mm)) / FINER**3 / 1000
    names = ("lesions", "ground_glass", "consolidation")
    return {
        name: CTNumbers(float(s / n), float(o / n), float(n) * voxel_ml)
        for name, (s, o, n) in zip(names, sums, strict=True)
        if n > 0
    }


def _fine_box(geometry: Geometry, low: FloatArray, high: FloatArray) -> Geometry:
    """A grid three times finer than the scan, on the scan's own voxel borders."""
    spacing = np.asarray(geometry.spacing_mm)[::-1]
    corner = geometry.to_mm([0, 0, 0]) - spacing / 2
    first = np.floor((low - corner) / spacing)
    count = np.ceil((high - corner) / spacing) - first
    step = spacing / FINER
    origin = corner + first * spacing + step / 2
    shape = [int(n) * FINER for n in count[::-1]]
    return Geometry.from_spacing(shape, [float(s) for s in step[::-1]], [float(v) for v in origin])


def _not_done(
    grid: Geometry, low: FloatArray, high: FloatArray, done: list[tuple[FloatArray, FloatArray]]
) -> BoolArray:
    x, y, z = grid_points(grid)

    def within(a: FloatArray, b: FloatArray) -> BoolArray:
        inside: BoolArray = (x > a[0]) & (x <= b[0]) & (y > a[1]) & (y <= b[1])
        inside &= (z > a[2]) & (z <= b[2])
        return inside

    fresh = within(low, high)
    for a, b in done:
        fresh &= ~within(a, b)
    return fresh
