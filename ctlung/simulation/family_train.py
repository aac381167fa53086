"""Lesions to train and tune on: clusters of joined ellipsoids with linear edges.

Mechanism: a random walk of blended ellipsoids (metaballs), swollen until the wanted volume is
reached; a linear edge; texture and septa from a lattice of smooth noise; straight bronchi.
``family_test`` differs in all of these and must never be imported here or in training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctlung.arrays import Float32Array, LabelArray
from ctlung.geometry import Geometry
from ctlung.simulation.insertion import Inserted, LesionPlan, LungSpace, PutIn, threshold_for
from ctlung.simulation.shapes import Noise, Point, ellipsoid, segment, smooth_min

FAMILY = 1
"""First entry of the SeedSequence of this family's streams."""


def stream(index: int) -> np.random.Generator:
    """The family's generator number ``index``; the same for ever."""
    return np.random.default_rng(np.random.SeedSequence([FAMILY, index]))


def random_plans(rng: np.random.Generator, most: int = 6) -> tuple[LesionPlan, ...]:
    """What one diseased patient has: mostly peripheral and low ground-glass, some denser."""
    lower = float(rng.uniform(0.2, 1.0))
    plans = [_random_plan(rng, lower) for _ in range(int(rng.integers(1, most + 1)))]
    if rng.random() < 0.1:
        plans.append(LesionPlan("effusion", float(rng.uniform(30, 300)), float(rng.uniform(2, 22))))
    return tuple(plans)


def _random_plan(rng: np.random.Generator, lower: float) -> LesionPlan:
    draw = rng.random()
    ml = float(np.exp(rng.uniform(np.log(0.3), np.log(220))))
    edge = float(rng.uniform(0, 6))
    touches = bool(rng.random() < 0.7)
    if draw < 0.5:
        return LesionPlan(
            "ground_glass", ml, float(rng.uniform(90, 380)), edge, touches, lower=lower
        )
    if draw < 0.65:
        return LesionPlan(
            "crazy_paving", ml, float(rng.uniform(140, 330)), edge, touches, lower=lower
        )
    hu = float(rng.uniform(-110, 65))
    if draw < 0.93:
        open_bronchi = bool(ml > 10 and rng.random() < 0.5)
        return LesionPlan("consolidation", min(ml, 150), hu, edge / 2, touches, open_bronchi, lower)
    return LesionPlan("collapse", float(rng.uniform(10, 150)), float(rng.uniform(25, 65)), 1.5)


def insert(
    hu: Float32Array,
    lungs: LabelArray,
    geometry: Geometry,
    rng: np.random.Generator,
    plans: Sequence[LesionPlan] | None = None,
) -> Inserted:
    """Put lesions into lungs.

    Args:
        hu: ``[z, y, x]``, any real dtype.
        lungs: 1 right, 2 left.
        geometry: grid of both, axis-aligned.
        rng: decides everything.
        plans: what to put in; ``None`` draws a patient.

    Raises:
        ValueError: shapes differ, or there are no lungs.
    """
    wanted = random_plans(rng) if plans is None else tuple(plans)
    space = LungSpace(hu, lungs, geometry)
    put_in: list[PutIn] = []
    for plan in wanted:
        if not space.free.any():
            break
        seed = space.seed(plan, rng)
        side = int(space.lungs[seed])
        hilum = _hilum(space, side)
        part, seed = space.near(plan, seed)
        if plan.kind in ("effusion", "collapse"):
            score = _layer(part, plan, side)
        else:
            score = -_metaballs(part, plan, seed, rng)
        fraction = _linear_edge(part, score, plan)
        if plan.air_bronchogram:
            fraction = fraction * (1 - _bronchi(part, fraction, hilum, rng))
        put_in.append(part.put(plan, fraction, _texture(part, plan, rng)))
    return space.finish(hu, lungs, put_in)


def _hilum(space: LungSpace, side: int) -> Point:
    """About where the bronchi enter the lung, LPS mm."""
    lung = space.lungs == side
    x, y, z = (float(c[lung].mean()) for c in (space.x, space.y, space.z))
    return (x + float(space.x[space.lungs > 0].mean())) / 2, y, z


def _metaballs(
    space: LungSpace, plan: LesionPlan, seed: tuple[int, int, int], rng: np.random.Generator
) -> Float32Array:
    k, j, i = seed
    at = np.array([space.x[k, j, i], space.y[k, j, i], space.z[k, j, i]], np.float64)
    size = (plan.ml * 1000 * 0.75 / np.pi) ** (1 / 3)
    count = int(rng.integers(2, 9))
    each = size / count ** (1 / 3)
    f: Float32Array | None = None
    for _ in range(count):
        radii = each * np.exp(rng.normal(0, 0.25, 3))
        part = ellipsoid(
            space.x, space.y, space.z, _point(at), _point(radii), _point(rng.normal(size=3))
        )
        f = part if f is None else smooth_min(f, part, float(0.5 * each + 1))
        at = at + rng.normal(0, 0.8 * each, 3)
    if f is None:
        raise ValueError("a cluster needs at least one ellipsoid")
    return f


def _layer(space: LungSpace, plan: LesionPlan, side: int) -> Float32Array:
    """Score of a flat layer at the back (fluid), or of a wedge at the back of one base."""
    level = space.y + 0.12 * np.abs(space.x - space.x.mean())
    if plan.kind == "collapse":
        level = space.y - 0.9 * space.z
    score: Float32Array = np.where(space.lungs == side, level, np.float32(-1e4))
    return score


def _linear_edge(space: LungSpace, score: Float32Array, plan: LesionPlan) -> Float32Array:
    room = space.free if plan.kind != "effusion" else space.lungs > 0
    if not plan.touches_pleura:
        room = room & (space.depth_mm > 2.0 * max(space.spacing_mm))
        room = room if room.any() else space.free
    limit = threshold_for(score, room, round(plan.ml / space.voxel_ml))
    width = np.sqrt((plan.edge_mm / 0.9) ** 2 + float(np.mean(space.spacing_mm)) ** 2)
    fraction: Float32Array = np.clip(0.5 + (score - limit) / np.float32(width), 0, 1)
    if not plan.touches_pleura:
        fraction = fraction * np.clip(space.depth_mm / (2 * max(space.spacing_mm)) - 0.5, 0, 1)
    return np.asarray(fraction, np.float32)


def _texture(space: LungSpace, plan: LesionPlan, rng: np.random.Generator) -> Float32Array:
    spread = 0.12 * plan.hu if plan.kind in ("ground_glass", "crazy_paving") else 10.0
    noise = Noise(rng, float(rng.uniform(3, 9)), size=32)
    texture = np.float32(spread) * noise(space.x, space.y, space.z)
    if plan.kind == "crazy_paving":
        cells = Noise(rng, float(rng.uniform(6, 9)), size=32)(space.x, space.y, space.z)
        septa = np.clip(1 - np.abs(cells) / np.float32(0.22), 0, 1)
        texture = texture + np.float32(170) * (septa - septa.mean())
    return np.asarray(texture, np.float32)


def _bronchi(
    space: LungSpace, fraction: Float32Array, hilum: Point, rng: np.random.Generator
) -> Float32Array:
    """Open bronchi: straight tapering tubes from the middle of the lung outward."""
    inside = fraction >= 0.5
    open_share = np.zeros_like(fraction)
    if not inside.any():
        return open_share
    x, y, z = (c[inside] for c in (space.x, space.y, space.z))
    width = float(np.mean(space.spacing_mm))
    for _ in range(int(rng.integers(2, 5))):
        n = int(rng.integers(len(x)))
        far = np.array([x[n], y[n], z[n]])
        gap, t = segment(space.x, space.y, space.z, hilum, _point(far))
        radius = np.float32(2.4) - np.float32(1.4) * t
        open_share = np.maximum(open_share, np.clip(0.5 + (radius - gap) / np.float32(width), 0, 1))
    return np.asarray(open_share * 0.92, np.float32)


def _point(p: np.ndarray) -> Point:
    return float(p[0]), float(p[1]), float(p[2])
