"""A chest made of a few formulas: cheap enough for a test, and the truth is the formula's.

Millimetres, LPS: x from the middle to the patient's left, y to the back, z up from the first
slice. Body, fat, rib cage, spine, heart, diaphragm, two unequal lungs, trachea and main bronchi,
a table below. Everything else is an option.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import ndimage

from ctlung.geometry import Geometry
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS
from ctlung.volume import Acquisition, Identifiers, LabelMap, Scan, Source

EXTENT_MM = (240.0, 256.0, 352.0)
LUNG_HU, AIR_HU, MUSCLE_HU, FAT_HU, BLOOD_HU, BONE_HU = -860, -1000, 50, -100, 45, 400
SUPINE_SOFT = Acquisition(
    kernel="B30f",
    kernel_class="soft",
    manufacturer="SIEMENS",
    slice_thickness_mm=2.0,
    patient_position="HFS",
    acquisition_date="20200301",
    date_source="AcquisitionDate",
)
WHO = Identifiers("SECRET-PATIENT", "SECRET^NAME", "19600101", "1.2.3.4", "1.2.3.5")

Point = tuple[float, float, float]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Blob:
    """An ellipsoid: centre and radii as (z, y, x) mm."""

    centre: Point
    radii: Point
    hu: int = -500

    @property
    def volume_ml(self) -> float:
        return 4.0 / 3.0 * np.pi * float(np.prod(self.radii)) / 1000.0


@dataclass(frozen=True)
class Tube:
    """A capsule from one point (z, y, x) mm to another."""

    start: Point
    end: Point
    radius: float
    hu: int = 40


VESSELS = tuple(
    Tube(start, end, radius)
    for start, end, radius in (
        ((130, 5, -26), (150, -20, -110), 3.0),
        ((125, 5, -26), (105, 40, -100), 3.5),
        ((130, 5, -26), (190, 10, -60), 2.5),
        ((125, 5, 28), (150, -20, 110), 3.0),
        ((125, 5, 28), (105, 40, 100), 3.5),
        ((130, 5, 28), (190, 10, 60), 2.5),
        ((140, -5, -70), (175, -50, -75), 2.0),
        ((115, 22, 65), (80, 60, 70), 2.0),
    )
)
"""Straight vessels from both hila into the aerated lung, 2 to 3.5 mm in radius."""
AORTA = Tube((20, 42, 26), (175, 48, 34), 12.0)
"""A descending aorta before the spine on the left, beside the left lung."""


@dataclass(frozen=True)
class Options:
    spacing: tuple[float, float, float] = (4.0, 2.0, 2.2)
    lung_hu: int = LUNG_HU
    blood_hu: int = BLOOD_HU
    noise_hu: float = 12.0
    blur_mm: float = 1.0
    seed: int = 1
    blobs: tuple[Blob, ...] = ()
    vessels: tuple[Tube, ...] = ()
    aorta: Tube | None = None
    """Its ``hu`` is not read: it holds the blood of the heart."""
    airways: bool = True
    stomach_gas: bool = False
    lungs_touch: bool = False
    mirrored: bool = False
    ribs: bool = True
    fov_mm: float | None = None
    """Diameter of a round field; what lies outside is padding."""
    z_mm: tuple[float, float] | None = None
    """Only slices whose centres lie in this range."""
    y_mm: tuple[float, float] | None = None
    """Only rows whose centres lie in this range."""
    x_mm: tuple[float, float] | None = None
    """Only columns whose centres lie in this range."""
    acquisition: Acquisition = SUPINE_SOFT


@dataclass(frozen=True, eq=False)
class Chest:
    """A scan, and what is true of it: all ``[z, y, x]``, from the formulas."""

    scan: Scan
    lungs: Array
    """1 right, 2 left; airways and their walls out."""
    lumen: Array
    lesions: Array
    """1 where a blob is below -300 HU, 2 where it is denser; only inside the lungs."""
    vessels: Array

    @property
    def lung_map(self) -> LabelMap:
        return LabelMap(self.lungs, self.scan.geometry, LUNG_LABELS)

    @property
    def lesion_map(self) -> LabelMap:
        return LabelMap(self.lesions, self.scan.geometry, LESION_LABELS)

    def ml(self, where: Array) -> float:
        return float((where.sum(axis=(1, 2)) * self.scan.geometry.voxel_volumes_ml).sum())


def chest(**options: Any) -> Chest:
    """A chest with ``Options``; equal options give the same object."""
    return _chest(Options(**options))


def with_acquisition(scan: Scan, **changes: Any) -> Scan:
    """The same voxels under another header."""
    return dataclasses.replace(scan, acquisition=dataclasses.replace(scan.acquisition, **changes))


def dice(a: Array, b: Array) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


@lru_cache(maxsize=12)
def _chest(o: Options) -> Chest:
    z, y, x = _axes(o)
    hu, lungs, lumen = _body(o, z, y, x)
    lesions = np.zeros(hu.shape, np.uint8)
    for blob in o.blobs:
        inside = _ellipsoid(blob, z, y, x) & (lungs > 0)
        hu[inside] = blob.hu
        lesions[inside] = 1 if blob.hu < -300 else 2
    vessels = np.zeros(hu.shape, bool)
    for tube in o.vessels:
        inside = _capsule(tube.start, tube.end, tube.radius, z, y, x) & (lungs > 0)
        inside &= lesions == 0
        hu[inside] = tube.hu
        vessels |= inside
    if o.mirrored:
        hu, lumen, lesions, vessels = (a[:, :, ::-1] for a in (hu, lumen, lesions, vessels))
        lungs = np.array([0, 2, 1], np.uint8)[lungs[:, :, ::-1]]
    return _finish(o, _scanned(o, hu), (lungs, lumen, lesions, vessels), (z, y, x))


def _axes(o: Options) -> tuple[Array, Array, Array]:
    nz, ny, nx = (round(e / s) for e, s in zip(EXTENT_MM, o.spacing, strict=True))
    z = (np.arange(nz) + 0.5) * o.spacing[0]
    y = (np.arange(ny) - (ny - 1) / 2) * o.spacing[1]
    x = (np.arange(nx) - (nx - 1) / 2) * o.spacing[2]
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _body(o: Options, z: Array, y: Array, x: Array) -> tuple[Array, Array, Array]:
    hu = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), AIR_HU, np.float32)

    def put(where: Array, value: float) -> None:
        hu[np.broadcast_to(where, hu.shape)] = value

    put((x / 160) ** 2 + (y / 107) ** 2 < 1, FAT_HU)
    put((x / 148) ** 2 + (y / 97) ** 2 < 1, MUSCLE_HU)
    put((np.abs(y - 119) < 2.5) & (np.abs(x) < 150), 100)
    # The cage narrows above z = 120 to the neck.
    narrow = np.sqrt(np.clip(1 - (np.clip(z - 120, 0, None) / 105) ** 2, 0, 1))
    cage = (x / 130) ** 2 + (y / 84) ** 2
    if o.ribs:
        shell = (cage < (narrow + 0.06) ** 2) & (cage > (narrow + 0.01) ** 2) & (narrow > 0.3)
        put(shell & (np.mod(z + 0.15 * y, 24) < 10), BONE_HU)
    lungs = _lungs(o, cage < narrow**2, z, y, x)
    put(_ellipsoid(HEART, z, y, x), o.blood_hu)
    put((x / 20) ** 2 + ((y - 66) / 20) ** 2 < 1, BONE_HU)
    put((x / 13) ** 2 + ((y - 66) / 13) ** 2 < 1, 170)
    lumen = np.zeros(hu.shape, bool)
    if o.aorta is not None:
        put(_capsule(o.aorta.start, o.aorta.end, o.aorta.radius, z, y, x), o.blood_hu)
        lungs[_capsule(o.aorta.start, o.aorta.end, o.aorta.radius, z, y, x)] = 0
    if o.airways:
        wall = np.zeros(hu.shape, bool)
        for start, end, radius in AIRWAYS:
            wall |= _capsule(start, end, radius + 2.5, z, y, x)
            lumen |= _capsule(start, end, radius, z, y, x)
        lungs[wall] = 0
    put(lungs > 0, o.lung_hu)
    if o.airways:
        put(wall, 30)
        put(lumen, AIR_HU)
    if o.stomach_gas:
        put(_ellipsoid(STOMACH, z, y, x), AIR_HU)
    return hu, lungs, lumen


HEART = Blob((92, -28, 28), (48, 44, 52))
STOMACH = Blob((38, -15, 75), (16, 30, 35))
"""Its roof is 6 mm below the top of the left dome."""
AIRWAYS: tuple[tuple[Point, Point, float], ...] = (
    ((300, 8, 0), (150, 8, 0), 8.5),
    ((150, 8, 0), (128, 8, -26), 6.5),
    ((150, 8, 0), (124, 8, 30), 5.5),
)


def _lungs(o: Options, cage: Array, z: Array, y: Array, x: Array) -> Array:
    heart = _ellipsoid(dataclasses.replace(HEART, radii=(52, 48, 56)), z, y, x)
    half = 20.0
    if o.lungs_touch:
        half = np.where((y < -45) & (z > 150) & (z < 190), 0.0, half)
    spine = (x / 25) ** 2 + ((y - 66) / 27) ** 2 < 1
    free = cage & ~spine & ~heart
    lungs = np.zeros(free.shape, np.uint8)
    for side, sign, top, middle in ((1, -1, 80.0, -65.0), (2, 1, 60.0, 70.0)):
        dome = 28 + (top - 28) * (1 - ((x - middle) / 70) ** 2 - (y / 95) ** 2)
        lungs[free & (sign * x > half) & (z > dome) & (z > 28)] = side
    return lungs


def _ellipsoid(blob: Blob, z: Array, y: Array, x: Array) -> Array:
    (cz, cy, cx), (rz, ry, rx) = blob.centre, blob.radii
    inside: Array = ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return inside


def _capsule(start: Point, end: Point, radius: float, z: Array, y: Array, x: Array) -> Array:
    """True within ``radius`` of the segment; only its own box is worked out."""
    near = []
    for axis, one, other in zip((z, y, x), start, end, strict=True):
        low, high = min(one, other) - radius, max(one, other) + radius
        near.append(np.flatnonzero((axis.ravel() >= low) & (axis.ravel() <= high)))
    out = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), bool)
    if all(len(n) for n in near):
        box = tuple(slice(n[0], n[-1] + 1) for n in near)
        out[box] = _round(start, end, radius, z[box[0]], y[:, box[1]], x[:, :, box[2]])
    return out


def _round(start: Point, end: Point, radius: float, z: Array, y: Array, x: Array) -> Array:
    a, d = np.asarray(start), np.subtract(end, start)
    along = ((z - a[0]) * d[0] + (y - a[1]) * d[1] + (x - a[2]) * d[2]) / float(d @ d)
    t = np.clip(along, 0, 1)
    off = (z - a[0] - t * d[0]) ** 2 + (y - a[1] - t * d[1]) ** 2 + (x - a[2] - t * d[2]) ** 2
    inside: Array = off < radius**2
    return inside


def _scanned(o: Options, hu: Array) -> Array:
    """Blur of the scanner, then noise; rounded as a reader rounds."""
    sigma = [0.5 * o.blur_mm / o.spacing[0], o.blur_mm / o.spacing[1], o.blur_mm / o.spacing[2]]
    if o.blur_mm:
        hu = ndimage.gaussian_filter(hu, sigma, truncate=3.0)
    noise = np.random.default_rng(o.seed).normal(0.0, o.noise_hu, hu.shape)
    return np.clip(np.rint(hu + noise), -1024, 3071).astype(np.int16)


def _finish(o: Options, hu: Array, truth: tuple[Array, ...], axes: tuple[Array, ...]) -> Chest:
    _, y, x = axes
    outside = None
    if o.fov_mm is not None:
        round_ = np.sqrt(y**2 + x**2) > o.fov_mm / 2
        outside = np.broadcast_to(round_, hu.shape).copy()
        hu = np.where(outside, -1024, hu).astype(np.int16)
        truth = tuple(np.where(outside, 0, a).astype(a.dtype) for a in truth)
    chosen = [_within(a, r) for a, r in zip(axes, (o.z_mm, o.y_mm, o.x_mm), strict=True)]
    parts = [np.ascontiguousarray(a[np.ix_(*chosen)]) for a in (hu, *truth)]
    if outside is not None:
        outside = np.ascontiguousarray(outside[np.ix_(*chosen)])
    for part in parts:
        part.flags.writeable = False
    first = [float(a.ravel()[c][0]) for a, c in zip(axes, chosen, strict=True)]
    geometry = Geometry.from_spacing(parts[0].shape, o.spacing, first[::-1])
    uids = tuple(f"1.2.3.5.{k}" for k in range(parts[0].shape[0]))
    source = Source("array", "", dataclasses.replace(WHO, sop_uids=uids))
    scan = Scan(parts[0], geometry, o.acquisition, source, outside)
    return Chest(scan, *parts[1:])


def _within(axis: Array, limits: tuple[float, float] | None) -> Array:
    values = axis.ravel()
    if limits is None:
        return np.ones(len(values), bool)
    inside: Array = (values >= limits[0]) & (values <= limits[1])
    return inside
