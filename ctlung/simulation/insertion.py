"""Putting lesions into lungs, real or synthetic: what both families share.

The families differ in how they draw a lesion's fraction and texture. How a fraction becomes
CT numbers is physics and stands here: inflammation replaces *air*, so a voxel changes by as
much as it holds lung, and vessels and chest wall stay what they were.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, Float32Array, LabelArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.simulation.breathing import grid_points

Kind: TypeAlias = Literal["ground_glass", "crazy_paving", "consolidation", "collapse", "effusion"]
KINDS: tuple[Kind, ...] = (
    "ground_glass",
    "crazy_paving",
    "consolidation",
    "collapse",
    "effusion",
)
LABELS: dict[str, int] = {
    "ground_glass": 1,
    "crazy_paving": 1,
    "consolidation": 2,
    "collapse": 2,
    "effusion": 0,
}
"""Truth label of each kind; effusion is no lesion and leaves the lungs (FIELD 4.1)."""

SOFT_HU = 40.0
AERATED_BELOW_HU = -600
SMOOTH_MM = 12.0


@dataclass(frozen=True)
class LesionPlan:
    """One lesion to be put in.

    Attributes:
        kind: see ``KINDS``.
        ml: volume where the mixed fraction is at least one half.
        hu: for ground-glass and crazy paving the rise over the local lung, else the CT number.
        edge_mm: width over which the fraction goes from 5 % to 95 %.
        touches_pleura: whether it reaches the lung's surface.
        air_bronchogram: whether open bronchi run through it.
        lower: preference for the lower lung, 0 (none) to 1.
    """

    kind: Kind
    ml: float
    hu: float
    edge_mm: float = 2.0
    touches_pleura: bool = True
    air_bronchogram: bool = False
    lower: float = 0.5


@dataclass(frozen=True)
class PutIn:
    """What became of a plan: the volume reached and whether the truth meets the pleura."""

    plan: LesionPlan
    ml: float
    touches_pleura: bool


@dataclass(frozen=True, eq=False)
class Inserted:
    """A scan with lesions and its truth. Arrays are ``[z, y, x]``.

    Attributes:
        hu: float32, noise and vessels of the source kept.
        lungs: 1 right, 2 left; effusion taken out.
        lesions: 1 ground-glass, 2 consolidation where the mixed fraction is at least one half.
        fraction: float32, the largest mixed fraction of any lesion.
        effusion: where fluid was put.
        put_in: one entry for each lesion, in the order they were put in.
    """

    hu: Float32Array
    lungs: LabelArray
    lesions: LabelArray
    fraction: Float32Array
    effusion: BoolArray
    put_in: tuple[PutIn, ...] = field(default=())


class LungSpace:
    """The lungs of one scan, cropped, with what lesion makers need to know of every voxel.

    Attributes:
        box: where the crop lies in the scan.
        lungs: labels in the crop.
        depth_mm: distance to the lungs' surface, positive inside.
        local_hu: the aerated lung nearby, vessels and lesions left out.
        x, y, z: LPS mm of the voxel centres.
        spacing_mm: array order.
        voxel_ml: volume of a voxel.
    """

    def __init__(self, hu: Float32Array, lungs: LabelArray, geometry: Geometry) -> None:
        if hu.shape != geometry.shape or lungs.shape != geometry.shape:
            raise ValueError(
                f"hu {hu.shape} and lungs {lungs.shape} must have the grid's shape {geometry.shape}"
            )
        box = bounding_box(lungs > 0, (2, 2, 2))
        if box is None:
            raise ValueError("there are no lungs to put lesions into")
        self.box: Box = box
        self.hu: Float32Array = hu[box].astype(np.float32)
        self.lungs: LabelArray = lungs[box].copy()
        self.geometry = geometry.crop(box)
        self.spacing_mm = geometry.spacing_mm
        self.voxel_ml = float(np.prod(geometry.spacing_mm)) / 1000
        self.x, self.y, self.z = grid_points(self.geometry)
        self.depth_mm: Float32Array = ndimage.distance_transform_edt(
            self.lungs > 0, sampling=self.spacing_mm
        ).astype(np.float32)
        self.local_hu = self._local()
        self.lesions: LabelArray = np.zeros_like(self.lungs)
        self.fraction: Float32Array = np.zeros(self.lungs.shape, np.float32)
        self.effusion: BoolArray = np.zeros(self.lungs.shape, bool)

    def _local(self) -> Float32Array:
        aerated = ((self.lungs > 0) & (self.hu < AERATED_BELOW_HU)).astype(np.float32)
        sigma = [SMOOTH_MM / s for s in self.spacing_mm]
        weight = ndimage.gaussian_filter(aerated, sigma, mode="constant", truncate=3)
        total = ndimage.gaussian_filter(aerated * self.hu, sigma, mode="constant", truncate=3)
        seen = weight > 1e-3
        middle = float(self.hu[aerated > 0].mean()) if aerated.any() else -850.0
        local: Float32Array = np.where(seen, total / np.maximum(weight, 1e-3), np.float32(middle))
        return local

    @property
    def free(self) -> BoolArray:
        """Lung that holds no lesion yet."""
        room: BoolArray = (self.lungs > 0) & (self.lesions == 0)
        return room

    def seed(self, plan: LesionPlan, rng: np.random.Generator) -> tuple[int, int, int]:
        """A voxel for a lesion's middle: at the surface or away from it, low and dorsal first."""
        room = self.free
        outer = room & (self.depth_mm <= 1.5 * max(self.spacing_mm))
        reach = 1.2 * (plan.ml * 1000 * 0.75 / np.pi) ** (1 / 3)
        inner = room & (self.depth_mm > min(reach, 0.6 * float(self.depth_mm.max())))
        wanted = outer if plan.touches_pleura else inner
        where = np.flatnonzero(wanted if wanted.any() else room)
        if len(where) == 0:
            raise ValueError("no lung is left to put a lesion into")
        z, y = self.z.ravel()[where], self.y.ravel()[where]
        low = 1 - (z - z.min()) / max(float(np.ptp(z)), 1.0)
        back = (y - y.min()) / max(float(np.ptp(y)), 1.0)
        weight = ((1 - plan.lower) + plan.lower * (low + back) ** 2 + 1e-3).astype(np.float64)
        chosen = int(rng.choice(where, p=weight / weight.sum()))
        k, j, i = np.unravel_index(chosen, self.lungs.shape)
        return int(k), int(j), int(i)

    def near(
        self, plan: LesionPlan, seed: tuple[int, int, int]
    ) -> tuple[LungSpace, tuple[int, int, int]]:
        """The surroundings that a lesion can need, as views into this space, and the seed there.

        Everything where the lesion fills a good part of the lung anyway.
        """
        reach = 2.5 * (plan.ml * 1000 * 0.75 / np.pi) ** (1 / 3) + 25.0
        box = tuple(
            slice(max(0, i - int(reach / s)), min(n, i + int(reach / s) + 1))
            for i, s, n in zip(seed, self.spacing_mm, self.lungs.shape, strict=True)
        )
        room = float(self.free[box].sum()) * self.voxel_ml
        if plan.kind in ("effusion", "collapse") or room < 1.5 * plan.ml:
            return self, seed
        part = copy.copy(self)
        for name in ("hu", "lungs", "depth_mm", "local_hu", "x", "y", "z"):
            setattr(part, name, getattr(self, name)[box])
        for name in ("lesions", "fraction", "effusion"):
            setattr(part, name, getattr(self, name)[box])
        k, j, i = (n - b.start for n, b in zip(seed, box, strict=True))
        return part, (k, j, i)

    def put(self, plan: LesionPlan, fraction: Float32Array, texture: Float32Array) -> PutIn:
        """Mix a lesion in: its fraction (0..1) and texture (HU, mean 0), shaped as the crop."""
        air = np.clip((SOFT_HU - self.hu) / (SOFT_HU - self.local_hu), 0, 1.15)
        near = ndimage.binary_dilation(self.lungs > 0)
        share = np.where(near, fraction, np.float32(0))
        rise = np.float32(plan.hu) + texture
        if LABELS[plan.kind] != 1:
            rise = rise - self.local_hu
        self.hu += share * air * rise
        truth = (fraction >= 0.5) & (self.lungs > 0)
        touches = bool((truth & (self.depth_mm <= 1.5 * max(self.spacing_mm))).any())
        inside = np.where(self.lungs > 0, fraction, np.float32(0))
        np.maximum(self.fraction, inside, out=self.fraction)
        if plan.kind == "effusion":
            self.effusion |= truth
            self.lungs[truth] = 0
            self.lesions[truth] = 0
            self.fraction[truth] = 0
        else:
            np.maximum(self.lesions, np.uint8(LABELS[plan.kind]), out=self.lesions, where=truth)
        return PutIn(plan, float(truth.sum()) * self.voxel_ml, touches)

    def finish(self, hu: Float32Array, lungs: LabelArray, put_in: list[PutIn]) -> Inserted:
        """Back on the scan's own grid."""
        shape = hu.shape
        out = hu.astype(np.float32)
        labels, lesions = lungs.copy(), np.zeros(shape, np.uint8)
        fraction, effusion = np.zeros(shape, np.float32), np.zeros(shape, bool)
        out[self.box], labels[self.box] = self.hu, self.lungs
        lesions[self.box], fraction[self.box] = self.lesions, self.fraction
        effusion[self.box] = self.effusion
        return Inserted(out, labels, lesions, fraction, effusion, tuple(put_in))


def threshold_for(score: Float32Array, room: BoolArray, voxels: int) -> float:
    """The score that exactly ``voxels`` voxels of ``room`` reach (all of it if that is fewer)."""
    values = score[room]
    wanted = min(max(voxels, 1), len(values))
    return float(np.partition(values, len(values) - wanted)[len(values) - wanted])


def slope(f: Float32Array, spacing_mm: tuple[float, float, float]) -> Float32Array:
    """Length of the gradient of ``f``, per mm."""
    parts = np.gradient(f, *spacing_mm)
    length: Float32Array = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    return length.astype(np.float32)
