"""The shapes of one chest: cage, diaphragm, mediastinum and lungs, as functions of position.

Everything is drawn once in *atlas* millimetres (LPS; z = 0 near the deepest lung recess, the
apices near 255) and carried to a patient by :class:`Thorax`: size, a gentle individual warp,
and a handful of sizes that differ between people. No voxel is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ctlung.arrays import Float32Array
from ctlung.simulation.shapes import (
    Field,
    Point,
    along,
    ellipsoid,
    profile,
    rounded,
    smooth_max,
    smooth_min,
    superellipse,
    tube,
)

RIGHT, LEFT = 1, 2

_Z = (-90, -40, 0, 40, 80, 120, 160, 200, 228, 250, 268, 320)
_CAGE_HALF_WIDTH = profile(_Z, (122, 128, 133, 135, 133, 128, 118, 101, 82, 66, 56, 50))
_CAGE_HALF_DEPTH = profile(_Z, (90, 94, 96, 97, 95, 90, 82, 71, 60, 50, 44, 42))
_CAGE_MIDDLE = profile(_Z, (4, 2, 0, 0, 2, 6, 12, 20, 26, 31, 34, 35))
SPINE_Y = profile((-90, 0, 60, 120, 180, 240, 320), (62, 62, 67, 71, 69, 60, 50))
"""Middle of the vertebral bodies, y, with the kyphosis of the chest."""

HEART_CENTRE: Point = (25.0, -36.0, 76.0)
HEART_AXIS: Point = (0.72, -0.42, -0.50)
HEART_RADII: Point = (62.0, 44.0, 42.0)

AORTA = rounded(
    [
        (2, -22, 92), (-8, -32, 118), (-11, -32, 146), (-4, -22, 168), (9, -2, 176),
        (20, 20, 172), (25, 38, 158), (26, 46, 130), (24, 48, 80), (18, 47, 30), (10, 44, -90),
    ]
)  # fmt: skip
PULMONARY_TRUNK = rounded([(14, -52, 98), (15, -44, 116), (15, -28, 132), (18, -12, 136)])
RIGHT_PULMONARY_ARTERY = rounded([(17, -14, 133), (0, -8, 129), (-22, -4, 125), (-44, 2, 119)])
LEFT_PULMONARY_ARTERY = rounded([(18, -14, 135), (28, 0, 138), (40, 14, 134), (47, 22, 122)])
SUPERIOR_VENA_CAVA = rounded([(-27, -16, 205), (-26, -20, 165), (-24, -18, 125), (-20, -16, 95)])
INFERIOR_VENA_CAVA = rounded([(-20, -6, 70), (-22, 4, 40), (-20, 14, 0), (-18, 22, -90)])
NECK_VESSELS = (
    rounded([(-1, -21, 172), (-12, -18, 195), (-24, -10, 225), (-24, 0, 320)]),
    rounded([(8, -4, 176), (14, 0, 200), (22, 4, 230), (23, 8, 320)]),
    rounded([(18, 14, 174), (26, 16, 205), (36, 12, 235), (62, 2, 252), (100, 0, 262)]),
    rounded([(-27, -16, 200), (-30, -16, 225), (-58, -8, 250), (-100, -4, 262)]),
    rounded([(-27, -18, 192), (0, -34, 196), (24, -26, 214), (40, -12, 240), (98, -8, 258)]),
)
OESOPHAGUS = rounded([(4, 30, 320), (5, 34, 220), (6, 34, 150), (4, 34, 100), (14, 24, 40)])
TRACHEA = rounded([(0, 6, 320), (0, 8, 260), (1, 12, 200), (0, 18, 138)], 1)
RIGHT_MAIN = rounded([(0, 17, 140), (-12, 19, 129), (-24, 19, 121), (-36, 19, 113)])
LEFT_MAIN = rounded([(0, 17, 140), (14, 20, 130), (28, 23, 122), (43, 26, 114)])
RIGHT_HILUM: Point = (-43.0, 14.0, 112.0)
LEFT_HILUM: Point = (46.0, 22.0, 114.0)


@dataclass(frozen=True)
class Thorax:
    """One synthetic person. Lengths in mm, CT numbers in HU.

    Attributes:
        scale: patient size over atlas size, along x, y, z.
        warp_mm: amplitudes of the individual waviness of the atlas, and its phases.
        dome_lift_mm: how much higher the right and the left dome of the diaphragm stand.
        heart_scale: size of the heart.
        fat_mm: subcutaneous fat.
        lung_hu: parenchyma between the visible vessels, half way front to back.
        dependent_hu: how much denser the back of the lung is than its front (FIELD 4.4).
        texture_hu: SD of the parenchyma's own unevenness.
        blood_hu: heart, aorta and pulmonary vessels.
        vessel_ends: number of vessel tips per lung; more tips, fuller lungs.
        table: whether the scanner's table is drawn.
        seed: of the vessel and bronchial trees, textures and fat planes.
    """

    scale: Point = (1.0, 1.0, 1.0)
    warp_mm: tuple[float, ...] = (2.0, 2.0, 2.0)
    warp_phase: tuple[float, ...] = (0.3, 1.7, 4.1)
    dome_lift_mm: tuple[float, float] = (0.0, 0.0)
    heart_scale: float = 1.0
    fat_mm: float = 12.0
    lung_hu: float = -880.0
    dependent_hu: float = 24.0
    texture_hu: float = 14.0
    blood_hu: float = 42.0
    vessel_ends: int = 1500
    table: bool = True
    seed: int = 0

    def to_atlas(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Atlas mm of patient mm (arrays of one shape)."""
        u, v, w = (
            np.asarray(c / s, np.float32) for c, s in zip((x, y, z), self.scale, strict=True)
        )
        dx, dy, dz = self._warp(u, v, w)
        return u + dx, v + dy, w + dz

    def to_patient(self, points: Float32Array) -> Float32Array:
        """Patient mm ``[n, 3]`` of atlas mm, by fixed-point iteration (error under 0.01 mm)."""
        goal = np.asarray(points, np.float32)
        guess = goal.copy()
        for _ in range(8):
            guess = goal - np.stack(self._warp(guess[:, 0], guess[:, 1], guess[:, 2]), axis=1)
        result: Float32Array = guess * np.asarray(self.scale, np.float32)
        return result

    def _warp(self, u: Field, v: Field, w: Field) -> tuple[Field, Field, Field]:
        a, b, c = (np.float32(m) for m in self.warp_mm)
        p, q, r = (np.float32(m) for m in self.warp_phase)
        return (
            a * np.sin(w / 47 + p) * np.cos(v / 71 + q),
            b * np.sin(u / 53 + q) * np.cos(w / 61 + r),
            c * np.sin(u / 59 + r) * np.cos(v / 67 + p),
        )


def random_thorax(rng: np.random.Generator) -> Thorax:
    """Another person: size, shape and density drawn from ``rng`` (lungs of about 3 to 6 l)."""
    size = rng.normal(1.0, 0.035)
    width, depth, height = (float(size * rng.normal(1.0, s)) for s in (0.02, 0.035, 0.035))
    domes = rng.normal(0, 5)
    return Thorax(
        scale=(width, depth, height),
        warp_mm=tuple(float(v) for v in rng.uniform(1.0, 3.5, 3)),
        warp_phase=tuple(float(v) for v in rng.uniform(0, 2 * np.pi, 3)),
        dome_lift_mm=(float(domes + rng.normal(0, 2)), float(domes + rng.normal(0, 2))),
        heart_scale=float(np.clip(rng.normal(1.0, 0.06), 0.85, 1.15)),
        fat_mm=float(np.clip(rng.gamma(6, 2.2), 4, 28)),
        lung_hu=float(np.clip(rng.normal(-878, 12), -905, -845)),
        dependent_hu=float(rng.uniform(15, 45)),
        texture_hu=float(rng.uniform(9, 18)),
        blood_hu=float(rng.uniform(36, 48)),
        vessel_ends=int(rng.integers(1200, 1800)),
        seed=int(rng.integers(2**31)),
    )


class Anatomy:
    """The large shapes of a thorax at given atlas positions; each worked out once, on demand.

    All fields are float32 of the shape of ``x``, negative inside, about mm near the border.
    """

    def __init__(self, thorax: Thorax, x: Field, y: Field, z: Field) -> None:
        self.thorax = thorax
        self.x, self.y, self.z = x, y, z

    @cached_property
    def cage(self) -> Field:
        """Inner surface of the chest wall, without the spine."""
        middle = along(self.z, _CAGE_MIDDLE)
        a, b = along(self.z, _CAGE_HALF_WIDTH), along(self.z, _CAGE_HALF_DEPTH)
        return superellipse(self.x, self.y - middle, a, b, 2.4)

    @cached_property
    def spine(self) -> Field:
        """Vertebrae with the soft tissue in front and beside them."""
        middle = along(self.z, SPINE_Y)
        body = superellipse(
            self.x,
            self.y - middle - 4,
            np.float32(24) + 0 * self.x,
            np.float32(27) + 0 * self.x,
            2.3,
        )
        ribs = superellipse(
            self.x,
            self.y - middle - 26,
            np.float32(33) + 0 * self.x,
            np.float32(14) + 0 * self.x,
            2.2,
        )
        return smooth_min(body, ribs, 10)

    @cached_property
    def heart(self) -> Field:
        """Muscle and blood of the heart, without its fat."""
        s = self.thorax.heart_scale
        at = (self.x, self.y, self.z)
        radii = (HEART_RADII[0] * s, HEART_RADII[1] * s, HEART_RADII[2] * s)
        f = ellipsoid(*at, HEART_CENTRE, radii, HEART_AXIS)
        f = smooth_min(f, ellipsoid(*at, (-15, -24, 82), (25 * s, 30 * s, 34 * s)), 14)
        f = smooth_min(f, ellipsoid(*at, (2, 10, 96), (34 * s, 19 * s, 22 * s)), 10)
        return smooth_min(f, ellipsoid(*at, (4, -42, 98), (24 * s, 22 * s, 22 * s)), 10)

    @cached_property
    def great_vessels(self) -> Field:
        """Aorta, pulmonary arteries to the hila, venae cavae, vessels of neck and arms."""
        at = (self.x, self.y, self.z)
        n = len(AORTA)
        f = tube(*at, AORTA, [15.5 - 4.0 * min(1.0, i / (0.55 * n)) for i in range(n)])
        for points, start, end in (
            (PULMONARY_TRUNK, 14.0, 13.0),
            (RIGHT_PULMONARY_ARTERY, 11.5, 9.0),
            (LEFT_PULMONARY_ARTERY, 12.0, 9.0),
            (SUPERIOR_VENA_CAVA, 9.0, 9.5),
            (INFERIOR_VENA_CAVA, 11.0, 10.5),
        ):
            m = len(points)
            radii = [start + (end - start) * i / (m - 1) for i in range(m)]
            f = np.minimum(f, tube(*at, points, radii))
        for points, radius in zip(NECK_VESSELS, (6.0, 4.0, 5.0, 6.0, 6.5), strict=True):
            f = np.minimum(f, tube(*at, points, [radius] * len(points)))
        return f

    @cached_property
    def trachea(self) -> Field:
        """Lumen of trachea and main bronchi."""
        at = (self.x, self.y, self.z)
        f = tube(*at, TRACHEA, [8.6] * len(TRACHEA))
        m = len(RIGHT_MAIN)
        f = smooth_min(f, tube(*at, RIGHT_MAIN, [7.2 - 1.4 * i / m for i in range(m)]), 3)
        return smooth_min(f, tube(*at, LEFT_MAIN, [6.4 - 1.2 * i / m for i in range(m)]), 3)

    @cached_property
    def oesophagus(self) -> Field:
        """The gullet, collapsed."""
        return tube(self.x, self.y, self.z, OESOPHAGUS, [6.5] * len(OESOPHAGUS))

    @cached_property
    def mediastinum(self) -> Field:
        """Everything between the lungs, with its fat and both hila."""
        x, y, z = self.x, self.y, self.z
        f = smooth_min(self.heart - 4, self.great_vessels - 4, 10)
        f = smooth_min(f, self.trachea - 4.5, 10)
        f = smooth_min(f, self.spine, 8)
        f = smooth_min(f, ellipsoid(x, y, z, RIGHT_HILUM, (13, 15, 20)), 8)
        f = smooth_min(f, ellipsoid(x, y, z, LEFT_HILUM, (12, 15, 19)), 8)
        return smooth_min(f, self._septum, 10)

    @cached_property
    def _septum(self) -> Field:
        # A sheet from the sternum to the spine: thin in front, and wide where the neck begins.
        top = np.clip((self.z - 165) / np.float32(60), 0, 1)
        low = np.clip((45 - self.z) / np.float32(40), 0, 1)
        front = np.clip((-self.y - 20) / np.float32(40), 0, 1)
        width = 4.5 + 13 * top + 9 * (1 - front) + 8 * low
        sheet: Field = np.abs(self.x - self.middle) - width.astype(np.float32)
        return sheet

    @cached_property
    def middle(self) -> Field:
        """x of the plane between right and left; leans to the left in front of the heart."""
        lean: Field = np.clip((-self.y + 10) / np.float32(90), 0, 1) * np.float32(6)
        return lean

    @cached_property
    def diaphragm(self) -> Field:
        """Positive below the diaphragm's upper surface, negative in the chest."""
        right = self._dome(-69.0, 82.0 + self.thorax.dome_lift_mm[0], 22.0)
        left = self._dome(70.0, 66.0 + self.thorax.dome_lift_mm[1], 16.0)
        height = -smooth_min(-right, -left, 12)
        # Divided by a typical slope so that values are about millimetres on the flanks.
        return (height - self.z) * np.float32(0.75)

    def _dome(self, x0: float, top: float, inner_drop: float) -> Field:
        u = (self.x - np.float32(x0)) / np.float32(66)
        v = (self.y - np.float32(2)) / np.float32(94)
        lateral = u < 0 if x0 < 0 else u > 0
        drop_u = np.where(lateral, np.float32(top - 6), np.float32(inner_drop))
        drop_v = np.where(v < 0, np.float32(42), np.float32(top + 8))
        u2, v2 = np.minimum(u * u, 4), v * v
        fall = drop_u * (0.55 * u2 + 0.45 * u2 * u2) + drop_v * (0.55 * v2 + 0.45 * v2 * v2)
        height: Field = (np.float32(top) - fall).astype(np.float32)
        return height

    @cached_property
    def apex(self) -> Field:
        """Positive above the two domes of the pleura at the top."""
        right = self._apex(-50.0, 252.0)
        left = self._apex(51.0, 255.0)
        return np.where(self.x < self.middle, right, left)

    def _apex(self, x0: float, top: float) -> Field:
        u = (self.x - np.float32(x0)) / np.float32(50)
        v = self.y - np.float32(30)
        v = np.where(v < 0, v / np.float32(90), v / np.float32(56))
        q = u * u + v * v
        surface: Field = (self.z - np.float32(top) + 40 * q) / np.sqrt(1 + 2.4 * q)
        return surface

    @cached_property
    def lungs(self) -> Field:
        """Both lungs: vessels and peripheral bronchi in, hila and main bronchi out."""
        f = smooth_max(self.cage, self.diaphragm, 5)
        f = smooth_max(f, self.apex, 12)
        return smooth_max(f, -self.mediastinum, 5)

    @cached_property
    def sides(self) -> np.ndarray:
        """uint8: 1 right, 2 left of the middle, everywhere."""
        return np.where(self.x < self.middle, RIGHT, LEFT).astype(np.uint8)
