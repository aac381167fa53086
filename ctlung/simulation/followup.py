"""Two scans of one patient with a known change between them: the truth for every comparison.

Baseline and follow-up are the same lung, healthy but for what is put in. Each lesion has a fate;
then the patient breathes (:mod:`ctlung.simulation.breathing`, nobody's registration model), and
scanner noise comes on top. What was done is known voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ctlung.arrays import Float32Array, LabelArray
from ctlung.geometry import Geometry
from ctlung.simulation.breathing import Breath, breathe
from ctlung.simulation.insertion import Inserted, LesionPlan

Fate: TypeAlias = Literal["same", "grown", "shrunk", "cleared", "resolved", "new"]
FATES: tuple[Fate, ...] = ("same", "grown", "shrunk", "cleared", "resolved", "new")
"""``cleared``: consolidation turned to ground-glass, ground-glass half as dense."""
GROWN, SHRUNK, CLEARED = 2.0, 0.4, 0.5
SOLID_HU = 55.0

Insert: TypeAlias = Callable[
    [Float32Array, LabelArray, Geometry, np.random.Generator, Sequence[LesionPlan]], Inserted
]


@dataclass(frozen=True, eq=False)
class Visit:
    """One visit without noise: float32 HU, lungs (1, 2) and lesions (1, 2), ``[z, y, x]``."""

    hu: Float32Array
    lungs: LabelArray
    lesions: LabelArray


@dataclass(frozen=True, eq=False)
class Pair:
    """Both visits on one grid, and what is true of them.

    Attributes:
        baseline, followup: without noise.
        carried: the baseline's lesions where they lie at follow-up.
        unbreathed: the follow-up's lesions where they lie in the baseline.
        breath: maps the baseline's points to the follow-up's by ``breath.forward``.
        fates: of each plan.
    """

    baseline: Visit
    followup: Visit
    carried: LabelArray
    unbreathed: LabelArray
    breath: Breath
    fates: tuple[Fate, ...]


def simulate_pair(
    hu: Float32Array,
    lungs: LabelArray,
    geometry: Geometry,
    insert: Insert,
    plans: Sequence[LesionPlan],
    fates: Sequence[Fate],
    breath: Breath,
    seed: int,
    room: LabelArray | None = None,
) -> Pair:
    """Put each lesion into both visits as its fate says, then let the follow-up breathe.

    Args:
        hu: a nearly healthy scan, ``[z, y, x]``.
        lungs: 1 right, 2 left.
        geometry: of both, axis-aligned.
        insert: of a family.
        plans: one for each lesion; no effusion.
        fates: one for each plan.
        breath: from baseline to follow-up.
        seed: of the lesions.
        room: where lesions may lie; ``None``: in all of the lungs.

    Raises:
        ValueError: plans and fates do not match, or a plan is an effusion.
    """
    if len(plans) != len(fates) or any(p.kind == "effusion" for p in plans):
        raise ValueError("each plan needs a fate, and an effusion is no lesion")
    first, second = hu.astype(np.float32), hu.astype(np.float32)
    before, after = np.zeros_like(lungs), np.zeros_like(lungs)
    room = lungs if room is None else room
    for number, (plan, fate) in enumerate(zip(plans, fates, strict=True)):
        if fate != "new":
            first = _put(first, before, room, geometry, insert, plan, (seed, number))
        if fate == "cleared":
            there = np.zeros_like(lungs)
            full = _put(second, there, room, geometry, insert, plan, (seed, number))
            second = second + np.float32(CLEARED) * (full - second)
            np.maximum(after, np.minimum(there, 1), out=after)
        elif fate != "resolved":
            size = {"grown": GROWN, "shrunk": SHRUNK}.get(fate, 1.0)
            now = replace(plan, ml=plan.ml * size)
            second = _put(second, after, room, geometry, insert, now, (seed, number))
    moved, their_lungs, _ = breathe(second, lungs, geometry, breath, SOLID_HU)
    _, their_lesions, _ = breathe(second, after, geometry, breath)
    _, carried, _ = breathe(first, before, geometry, breath)
    return Pair(
        Visit(first, lungs, before),
        Visit(moved, their_lungs, their_lesions),
        carried,
        after,
        breath,
        tuple(fates),
    )


def _put(
    hu: Float32Array,
    labels: LabelArray,
    lungs: LabelArray,
    geometry: Geometry,
    insert: Insert,
    plan: LesionPlan,
    seed: tuple[int, int],
) -> Float32Array:
    """The scan with the lesion; ``labels`` is changed in place. One seed, one place."""
    done = insert(hu, lungs, geometry, np.random.default_rng(seed), [plan])
    np.maximum(labels, done.lesions, out=labels)
    return done.hu
