"""The anthropomorphic thorax: from a :class:`Thorax` and a grid to CT numbers and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ctlung.arrays import BoolArray, Float32Array, LabelArray
from ctlung.geometry import Geometry
from ctlung.simulation.anatomy import LEFT, RIGHT, Anatomy, Thorax, random_thorax
from ctlung.simulation.body import AIR, Painter, draw_body, draw_mediastinum
from ctlung.simulation.breathing import REST, Breath, grid_points
from ctlung.simulation.opacities import CONSOLIDATION, GROUND_GLASS, Opacity
from ctlung.simulation.shapes import Field, Noise, Point, coverage, segment
from ctlung.simulation.trees import Tree, grow_tree

__all__ = ["Opacity", "Phantom", "Thorax", "phantom_grid", "random_thorax", "render"]

SLAB = 24


@dataclass(frozen=True, eq=False)
class Phantom:
    """A rendered thorax before any scanner: no blur, no noise. Arrays are ``[z, y, x]``.

    Attributes:
        hu: float32, each voxel the mean over its own extent.
        geometry: the grid.
        lungs: 1 right, 2 left; vessels, small bronchi and lesions in, hila out.
        lesions: 1 ground-glass, 2 consolidation, where the mixed fraction is at least one half.
        airways: lumen of trachea and bronchi.
        vessels: vessels inside the lungs.
        blood: float32, share of each voxel that is blood (for a contrast agent).
        body: the patient, without table and air around.
    """

    hu: Float32Array
    geometry: Geometry
    lungs: LabelArray
    lesions: LabelArray
    airways: BoolArray
    vessels: BoolArray
    blood: Float32Array
    body: BoolArray


def phantom_grid(
    thorax: Thorax,
    spacing_mm: tuple[float, float, float] = (2.5, 1.5, 1.5),
    margin_mm: float = 30.0,
    field_mm: float = 360.0,
) -> Geometry:
    """A grid that holds the body and table, and ``margin_mm`` of neck and abdomen.

    Args:
        thorax: whom to scan.
        spacing_mm: z, y, x.
        margin_mm: beyond the top and the bottom of the lungs.
        field_mm: width and depth of the field of view, for a person of atlas size.
    """
    dz, dy, dx = spacing_mm
    sx, sy, sz = thorax.scale
    field = field_mm * max(sx, sy) + 2 * max(0.0, thorax.fat_mm - 12)
    low, high = -18 * sz - margin_mm, 257 * sz + margin_mm
    rows, columns = round(field / dy), round(field / dx)
    depth = int(np.ceil((high - low) / dz)) + 1
    origin = (-(columns - 1) / 2 * dx, 14 * sy - (rows - 1) / 2 * dy, low)
    return Geometry.from_spacing((depth, rows, columns), spacing_mm, origin)


def render(
    thorax: Thorax,
    geometry: Geometry,
    opacities: Sequence[Opacity] = (),
    breath: Breath = REST,
) -> Phantom:
    """Draw a thorax on a grid, with partial volume at every border.

    Args:
        thorax: whom.
        geometry: any grid, with slices as thick as they are apart.
        opacities: in the body at rest; consolidation covers ground-glass.
        breath: how the body has moved since; lung gets denser as it shrinks.
    """
    shape = geometry.shape
    hu, blood = np.empty(shape, np.float32), np.empty(shape, np.float32)
    lungs, lesions = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    airways, vessels, body = (np.zeros(shape, bool) for _ in range(3))
    for start in range(0, shape[0], SLAB):
        stop = min(start + SLAB, shape[0])
        slab = _Slab(thorax, geometry, breath, start - 1, stop + 1)
        slab.draw(opacities)
        to, of = slice(start, stop), slice(1, stop - start + 1)
        hu[to], blood[to] = slab.painter.hu[of], slab.painter.blood[of]
        lungs[to], lesions[to] = slab.lungs[of], slab.lesions[of]
        airways[to], vessels[to] = slab.airways[of], slab.vessels[of]
        body[to] = slab.body[of]
    return Phantom(hu, geometry, lungs, lesions, airways, vessels, blood, body)


@lru_cache(maxsize=4)
def _noises(seed: int) -> tuple[Noise, Noise, Noise, Noise]:
    """Fat planes, unevenness of soft tissue, and coarse and fine texture of the lung."""
    streams = np.random.SeedSequence([seed, 1000]).spawn(4)
    rngs = [np.random.default_rng(s) for s in streams]
    return (
        Noise(rngs[0], (34.0, 34.0, 60.0)),
        Noise(rngs[1], 7.0),
        Noise(rngs[2], 11.0),
        Noise(rngs[3], 2.6),
    )


class _Slab:
    """A few slices of a phantom, with one more on either side so that borders have slopes."""

    def __init__(
        self, thorax: Thorax, geometry: Geometry, breath: Breath, start: int, stop: int
    ) -> None:
        self.thorax, self.geometry, self.breath = thorax, geometry, breath
        self.start, self.stop = start, stop
        now = grid_points(geometry, start, stop)
        self.rest = breath.back(*now)
        self.jacobian = breath.jacobian(*now)
        self.anatomy = Anatomy(thorax, *thorax.to_atlas(*self.rest))
        self.painter = Painter(self.anatomy)

    def draw(self, opacities: Sequence[Opacity]) -> None:
        planes, soft, coarse, fine = _noises(self.thorax.seed)
        self.body = draw_body(self.painter, planes, soft)
        draw_mediastinum(self.painter)
        a = self.anatomy
        share = coverage(a.lungs)
        self.lungs = np.where(a.lungs < 0, a.sides, np.uint8(0))
        self.lesions = np.zeros_like(self.lungs)
        tissue = np.full_like(a.x, AIR)
        box = _box(share > 0)
        if box is not None:
            tissue[box] = self._parenchyma(box, coarse, fine)
            for label in (GROUND_GLASS, CONSOLIDATION):
                for opacity in opacities:
                    if opacity.label == label:
                        self._add(tissue, opacity, fine)
            tissue[box] = (tissue[box] + 1000) * self.jacobian[box] - 1000
        self.painter.mix(share, tissue)
        self._draw_trees()

    def _parenchyma(self, box: tuple[slice, ...], coarse: Noise, fine: Noise) -> Field:
        t = self.thorax
        x, y, z = (c[box] for c in (self.anatomy.x, self.anatomy.y, self.anatomy.z))
        texture = np.float32(t.texture_hu) * (0.6 * coarse(x, y, z) + 0.8 * fine(x, y, z))
        # Right: oblique and horizontal fissure; left: oblique only.
        oblique = np.abs((z - 118) - 1.05 * (y - 12) + 0.0012 * (x * x - 4900)) * np.float32(0.69)
        level = np.where((x < 0) & (y < 5), np.abs(z - 121 + 0.0035 * (x + 75) ** 2), 99)
        fissure = 55 * np.clip(1.4 - np.minimum(oblique, level), 0, 1)
        tissue: Field = np.float32(t.lung_hu) + np.float32(t.dependent_hu / 180) * (y - 5)
        return np.asarray(tissue + texture + fissure, np.float32)

    def _add(self, tissue: Field, opacity: Opacity, fine: Noise) -> None:
        low, high = opacity.box(8.0)
        x, y, z = self.rest
        limits = [(low[i] < c) & (c < high[i]) for i, c in enumerate((x, y, z))]
        box = _box(limits[0] & limits[1] & limits[2], grow=1)
        if box is None:
            return
        f = opacity.border(x[box], y[box], z[box])
        share = coverage(f, opacity.edge_mm)
        a = self.anatomy
        inside = np.float32(opacity.hu) + 14 * fine(a.x[box], a.y[box], a.z[box])
        tissue[box] += share * (inside - tissue[box])
        lesions, lungs = self.lesions[box], self.lungs[box]
        lesions[(f <= 0) & (lungs > 0)] = opacity.label

    def _draw_trees(self) -> None:
        shape = self.anatomy.x.shape
        vessel, wall, lumen = (np.zeros(shape, np.float32) for _ in range(3))
        for side in (RIGHT, LEFT):
            for kind in ("artery", "vein"):
                self._trace(grow_tree(self.thorax, kind, side), 1.0, 0.0, vessel)
            bronchi = grow_tree(self.thorax, "bronchus", side)
            self._trace(bronchi, 1.1, 0.35, wall)
            self._trace(bronchi, 1.0, 0.0, lumen)
        # A twig that would pierce the diaphragm or the chest wall ends at the lung's border.
        a = self.anatomy
        allowed = (a.lungs < 0.5) | ((a.mediastinum < 0) & (a.diaphragm < -2) & (a.spine > 2))
        for part in (vessel, wall, lumen):
            np.multiply(part, allowed, out=part)
        self.painter.mix(vessel, self.thorax.blood_hu)
        self.painter.blood += vessel
        self.painter.mix(wall, 20)
        self.painter.mix(lumen, AIR)
        # A branch's wall begins at its parent's wall, not inside its lumen.
        self.painter.paint(self.anatomy.trachea, AIR)
        self.vessels = (vessel >= 0.5) & (self.lungs > 0)
        self.airways = (lumen >= 0.5) | (self.anatomy.trachea < 0)

    def _trace(self, tree: Tree, times: float, more_mm: float, share: Float32Array) -> None:
        a, spacing = self.anatomy, self.geometry.spacing_mm
        width = float(np.prod(spacing)) ** (1 / 3) / float(np.prod(self.thorax.scale)) ** (1 / 3)
        first, last = (
            self._index(self.breath.forward(self.thorax.to_patient(p)))
            for p in (tree.start, tree.end)
        )
        radius = tree.radius * np.float32(times) + np.float32(more_mm)
        pad = ((radius[:, None] + width) * 1.25 + 0.5) / np.asarray(spacing)
        low = np.floor(np.minimum(first, last) - pad).astype(int)
        high = np.ceil(np.maximum(first, last) + pad).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, share.shape)
        for i in np.flatnonzero((low < high).all(axis=1)):
            box = tuple(slice(b, e) for b, e in zip(low[i], high[i], strict=True))
            start, end = _point(tree.start[i]), _point(tree.end[i])
            gap, _ = segment(a.x[box], a.y[box], a.z[box], start, end)
            part = _rod(gap, float(radius[i]), width)
            np.maximum(share[box], part, out=share[box])

    def _index(self, points: Float32Array) -> Float32Array:
        """Indices into the slab, ``[n, (z, y, x)]``, of patient mm ``[n, 3]``."""
        inverse = np.linalg.inv(self.geometry.matrix)
        index = points @ inverse[:3, :3].T + inverse[:3, 3]
        index[:, 0] -= self.start
        result: Float32Array = index.astype(np.float32)
        return result


def _rod(gap: Field, radius: float, width: float) -> Field:
    """Share of voxels of ``width`` inside a rod, from the distance of their centres to it."""
    r, w = np.float32(radius), np.float32(width)
    share: Field = np.clip(0.5 + (r - gap) / w, 0, 1) - np.clip(0.5 - (r + gap) / w, 0, 1)
    return share * np.float32(min(1.0, np.pi / 2 * radius / width))


def _point(p: Float32Array) -> Point:
    return float(p[0]), float(p[1]), float(p[2])


def _box(mask: BoolArray, grow: int = 0) -> tuple[slice, slice, slice] | None:
    out = []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        if len(inside) == 0:
            return None
        first, last = int(inside[0]) - grow, int(inside[-1]) + 1 + grow
        # A box needs two voxels per axis, or borders in it have no slope.
        first, last = max(0, min(first, last - 2)), min(mask.shape[axis], max(last, first + 2))
        out.append(slice(first, last))
    return out[0], out[1], out[2]
