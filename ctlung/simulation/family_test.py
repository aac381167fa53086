"""Lesions to be measured on, never to train or tune on.

Mechanism: a score made of distance, a sector that opens from the hilum to the pleura, and an
anisotropic Gaussian random field with a power-law spectrum, cut where the wanted volume is
reached; an edge shaped as an error function, its width varying along the border; septa as the
walls of Voronoi cells; bronchi as the curved lines where two random fields vanish together.
``family_train`` differs in all of these; neither imports the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage, spatial, special

from ctlung.arrays import BoolArray, Float32Array, FloatArray, LabelArray
from ctlung.geometry import Geometry
from ctlung.simulation import family_test_parameters
from ctlung.simulation.family_test_parameters import PARAMETERS, Parameters
from ctlung.simulation.insertion import (
    Inserted,
    Kind,
    LesionPlan,
    LungSpace,
    PutIn,
    slope,
    threshold_for,
)

FAMILY = 2
"""First entry of the SeedSequence of this family's streams."""


def stream(index: int) -> np.random.Generator:
    """The family's generator number ``index``; the same for ever."""
    return np.random.default_rng(np.random.SeedSequence([FAMILY, index]))


def parameters_sha256() -> str:
    """Of the file that holds the family's parameters, line ends made alike."""
    text = Path(family_test_parameters.__file__).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def random_plans(
    rng: np.random.Generator, parameters: Parameters = PARAMETERS
) -> tuple[LesionPlan, ...]:
    """What one diseased patient has, drawn from the ranges of the parameters."""
    p = parameters
    lower = float(rng.uniform(*p.lower))
    count = int(rng.integers(p.lesions[0], p.lesions[1] + 1))
    plans = [random_plan(rng, lower, p) for _ in range(count)]
    if rng.random() < p.effusion:
        ml, hu = float(rng.uniform(*p.effusion_ml)), float(rng.uniform(*p.effusion_hu))
        plans.append(LesionPlan("effusion", ml, hu, 1.0))
    return tuple(plans)


def random_plan(
    rng: np.random.Generator, lower: float = 0.5, parameters: Parameters = PARAMETERS
) -> LesionPlan:
    """One lesion."""
    p = parameters
    kinds: tuple[Kind, ...] = ("ground_glass", "crazy_paving", "consolidation", "collapse")
    shares = np.array([p.ground_glass, p.crazy_paving, p.consolidation, p.collapse])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    ml = float(np.exp(rng.uniform(*np.log(p.ml))))
    edge = float(rng.uniform(*p.edge_mm))
    touches = bool(rng.random() < p.touching_pleura)
    if kind == "collapse":
        ml, hu = float(rng.uniform(*p.collapse_ml)), float(rng.uniform(*p.collapse_hu))
        return LesionPlan(kind, ml, hu, edge, True, lower=lower)
    if kind == "consolidation":
        bronchi = bool(ml >= p.air_bronchogram_from_ml and rng.random() < p.air_bronchogram)
        hu = float(rng.uniform(*p.consolidation_hu))
        return LesionPlan(kind, ml, hu, edge, touches, bronchi, lower)
    rise = float(rng.uniform(*p.ground_glass_rise_hu))
    return LesionPlan(kind, ml, rise, edge, touches, lower=lower)


def insert(
    hu: Float32Array,
    lungs: LabelArray,
    geometry: Geometry,
    rng: np.random.Generator,
    plans: Sequence[LesionPlan] | None = None,
    parameters: Parameters = PARAMETERS,
) -> Inserted:
    """Put lesions into lungs.

    Args:
        hu: ``[z, y, x]``, any real dtype.
        lungs: 1 right, 2 left.
        geometry: grid of both, axis-aligned.
        rng: decides everything.
        plans: what to put in; ``None`` draws a patient.
        parameters: ranges; anything but the default is no benchmark of HOUSE 5.

    Raises:
        ValueError: shapes differ, or there are no lungs.
    """
    wanted = random_plans(rng, parameters) if plans is None else tuple(plans)
    space = LungSpace(hu, lungs, geometry)
    put_in: list[PutIn] = []
    for plan in wanted:
        if not space.free.any():
            break
        seed = space.seed(plan, rng)
        hilum = _hilum(space, int(space.lungs[seed]))
        part, seed = space.near(plan, seed)
        score, room = _score(part, plan, seed, hilum, rng, parameters)
        fraction = _erf_edge(part, score, room, plan, rng)
        if plan.air_bronchogram:
            fraction = fraction * (1 - _bronchi(part, rng))
        put_in.append(part.put(plan, fraction, _texture(part, plan, rng, parameters)))
    return space.finish(hu, lungs, put_in)


def _hilum(space: LungSpace, side: int) -> Float32Array:
    """About where the bronchi enter: half way from the lung's middle to the patient's, LPS mm."""
    lung = space.lungs == side
    point = [float(c[lung].mean()) for c in (space.x, space.y, space.z)]
    both = float(space.x[space.lungs > 0].mean())
    return np.array([(point[0] + both) / 2, point[1], point[2]], np.float32)


def _score(
    space: LungSpace,
    plan: LesionPlan,
    seed: tuple[int, int, int],
    hilum: Float32Array,
    rng: np.random.Generator,
    p: Parameters,
) -> tuple[Float32Array, BoolArray]:
    """A score that is highest in the lesion's middle, and where the lesion may lie."""
    side = int(space.lungs[seed])
    lung = space.lungs == side
    size = (plan.ml * 1000 * 0.75 / np.pi) ** (1 / 3)
    here = np.array([c[seed] for c in (space.x, space.y, space.z)], np.float32)
    stretch = rng.uniform(*p.stretch, 3)
    field = _random_field(space, rng, float(rng.uniform(*p.field_mm)), stretch)
    rough = float(rng.uniform(*p.roughness))
    if plan.kind == "effusion":
        # Fluid lies against the back wall, thinning upward along it.
        score = space.y - 0.35 * space.depth_mm - 0.25 * (space.z - space.z.min()) + field
        return score.astype(np.float32), lung
    gap = np.sqrt((space.x - here[0]) ** 2 + (space.y - here[1]) ** 2 + (space.z - here[2]) ** 2)
    cosine = _sector(space, hilum, here)
    if plan.kind == "collapse":
        # A segment that has fallen together: a cone on the hilum, blunt at the pleura.
        score = 1.6 * cosine - 0.15 * gap / np.float32(size) + 0.05 * field
        return score.astype(np.float32), lung & (space.lesions == 0)
    shell = np.abs(space.depth_mm - space.depth_mm[seed]) / np.float32(size)
    score = cosine * 0.8 - gap / np.float32(size) + np.float32(rough) * field - 0.5 * shell
    room = lung & (space.lesions == 0)
    if not plan.touches_pleura:
        inner = room & (space.depth_mm > 2.0 * max(space.spacing_mm))
        score = score - 2.0 * np.exp(-space.depth_mm / np.float32(3))
        room = inner if inner.any() else room
    return score.astype(np.float32), room


def _sector(space: LungSpace, hilum: Float32Array, here: Float32Array) -> Float32Array:
    """Cosine of the angle at the hilum between each voxel and the lesion's middle."""
    axis = here - hilum
    axis /= max(float(np.linalg.norm(axis)), 1e-3)
    px, py, pz = space.x - hilum[0], space.y - hilum[1], space.z - hilum[2]
    length = np.sqrt(px * px + py * py + pz * pz) + np.float32(1)
    cosine: Float32Array = (px * axis[0] + py * axis[1] + pz * axis[2]) / length
    return cosine


def _random_field(
    space: LungSpace, rng: np.random.Generator, scale_mm: float, stretch: FloatArray
) -> Float32Array:
    """Gaussian random field, mean 0 and SD 1, power law 1/(1 + (k L)²)^1.75, stretched."""
    shape = space.lungs.shape
    white = np.fft.rfftn(rng.standard_normal(shape, np.float32))
    waves = [np.fft.fftfreq(n, s) for n, s in zip(shape[:2], space.spacing_mm[:2], strict=True)]
    waves.append(np.fft.rfftfreq(shape[2], space.spacing_mm[2]))
    k2 = np.zeros(white.shape, np.float32)
    for axis, wave in enumerate(waves):
        view = [1, 1, 1]
        view[axis] = -1
        k2 = k2 + (2 * np.pi * wave * scale_mm * stretch[axis]).reshape(view) ** 2
    out = np.fft.irfftn(white * (1 + k2) ** -1.75, s=shape, axes=(0, 1, 2))
    field: Float32Array = (out / max(float(out.std()), 1e-9)).astype(np.float32)
    return field


def _erf_edge(
    space: LungSpace,
    score: Float32Array,
    room: BoolArray,
    plan: LesionPlan,
    rng: np.random.Generator,
) -> Float32Array:
    if not room.any():
        return np.zeros_like(score)
    limit = threshold_for(score, room, round(plan.ml / space.voxel_ml))
    steep = np.maximum(slope(score, space.spacing_mm), np.float32(1e-4))
    gap = (score - limit) / steep
    uneven = _random_field(space, rng, 15.0, np.ones(3))
    width = np.float32(plan.edge_mm) * np.clip(1 + 0.3 * uneven, 0.3, 1.7)
    width = np.minimum(width, np.float32(6.0))
    # 5 % to 95 % of an error function is 3.29 SD; a voxel's own box adds its SD.
    sigma = np.sqrt(
        (width / np.float32(3.29)) ** 2 + np.float32(np.mean(space.spacing_mm) ** 2 / 12)
    )
    fraction = special.ndtr(gap / sigma).astype(np.float32)
    # Outside its own lung, and where an inner lesion must not reach, there is none of it.
    allowed = room if not plan.touches_pleura else (space.lungs == space.lungs[room].max())
    reach = ndimage.binary_dilation(allowed) if plan.touches_pleura else allowed
    return np.where(reach, fraction, np.float32(0))


def _texture(
    space: LungSpace, plan: LesionPlan, rng: np.random.Generator, p: Parameters
) -> Float32Array:
    spread = p.texture_fraction * plan.hu if plan.kind in ("ground_glass", "crazy_paving") else 12.0
    texture = np.float32(spread) * _random_field(space, rng, float(rng.uniform(2, 6)), np.ones(3))
    if plan.kind == "crazy_paving":
        walls = _voronoi_walls(space, rng, float(rng.uniform(*p.septum_cell_mm)))
        texture = texture + np.float32(p.septum_hu) * (walls - walls.mean())
    return texture.astype(np.float32)


def _voronoi_walls(space: LungSpace, rng: np.random.Generator, cell_mm: float) -> Float32Array:
    """1 on the walls between random cells of about ``cell_mm``, fading within 1.5 mm."""
    points = np.stack([c.ravel() for c in (space.x, space.y, space.z)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    count = max(8, round(float(np.prod((high - low) / cell_mm))))
    tree = spatial.cKDTree(rng.uniform(low, high, (count, 3)))
    where = np.flatnonzero(space.lungs.ravel() > 0)
    near = np.asarray(tree.query(points[where], k=2)[0])
    walls = np.zeros(len(points), np.float32)
    walls[where] = np.clip(1 - (near[:, 1] - near[:, 0]) / 3.0, 0, 1)
    return walls.reshape(space.lungs.shape)


def _bronchi(space: LungSpace, rng: np.random.Generator) -> Float32Array:
    """Open bronchi: where two smooth random fields are both near nought, curved lines."""
    stretch = np.ones(3)
    a, b = (_random_field(space, rng, 9.0, stretch) for _ in range(2))
    radius = np.hypot(a / slope(a, space.spacing_mm), b / slope(b, space.spacing_mm))
    width = float(np.mean(space.spacing_mm))
    share: Float32Array = np.clip(0.5 + (1.6 - radius) / np.float32(width), 0, 1)
    return (0.92 * share).astype(np.float32)
