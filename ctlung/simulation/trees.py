"""Branching trees inside the lungs: arteries, veins and bronchi, grown to fill the space.

Tips are scattered through a lung; each is joined to the tree where that is cheapest in new
length, in detour from the hilum and in sharpness of the turn. Radii follow from the number of
tips that a branch serves (Murray's law).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ctlung.arrays import Float32Array
from ctlung.simulation.anatomy import LEFT, RIGHT, Anatomy, Thorax
from ctlung.simulation.shapes import Point

MURRAY = 2.7
STEP_MM = 4.0
KINDS = ("artery", "vein", "bronchus")


@dataclass(frozen=True, eq=False)
class Tree:
    """Straight pieces in atlas mm: ``start`` and ``end`` ``[n, 3]``, ``radius`` ``[n]``."""

    start: Float32Array
    end: Float32Array
    radius: Float32Array

    @property
    def volume_ml(self) -> float:
        """Volume of all pieces as cylinders, atlas ml."""
        length = np.linalg.norm(self.end - self.start, axis=1)
        return float((np.pi * self.radius**2 * length).sum() / 1000)


@dataclass(frozen=True)
class _Plan:
    roots: tuple[tuple[Point, ...], ...]
    tips: float
    tip_mm: float
    margin_mm: float


_PLANS = {
    ("artery", RIGHT): _Plan(
        (
            ((-40, 0, 120), (-46, -2, 128), (-52, 2, 138)),
            ((-40, 0, 120), (-52, 8, 110), (-56, 18, 96), (-58, 26, 82)),
        ),
        1.0,
        0.46,
        5.0,
    ),
    ("artery", LEFT): _Plan(
        (
            ((44, 18, 126), (50, 14, 134), (56, 10, 144)),
            ((44, 18, 126), (54, 28, 114), (60, 32, 98), (62, 36, 84)),
        ),
        1.0,
        0.46,
        5.0,
    ),
    ("vein", RIGHT): _Plan(
        (
            ((-30, 2, 104), (-42, -12, 110), (-50, -16, 120)),
            ((-28, 16, 94), (-42, 24, 88), (-54, 34, 78)),
        ),
        0.75,
        0.46,
        5.0,
    ),
    ("vein", LEFT): _Plan(
        (
            ((34, 2, 106), (48, -4, 114), (54, -8, 124)),
            ((30, 18, 94), (46, 28, 88), (58, 38, 78)),
        ),
        0.75,
        0.46,
        5.0,
    ),
    ("bronchus", RIGHT): _Plan(
        (
            ((-30, 19, 117), (-42, 16, 122), (-52, 14, 130)),
            ((-34, 19, 114), (-40, 18, 100), (-48, 20, 86), (-54, 28, 72)),
        ),
        0.045,
        1.0,
        25.0,
    ),
    ("bronchus", LEFT): _Plan(
        (
            ((40, 25, 115), (50, 16, 120), (58, 8, 128)),
            ((42, 26, 114), (50, 30, 100), (58, 34, 84), (62, 40, 70)),
        ),
        0.045,
        1.0,
        25.0,
    ),
}


@lru_cache(maxsize=16)
def grow_tree(thorax: Thorax, kind: str, side: int) -> Tree:
    """The tree of one kind in one lung; the same thorax always grows the same tree.

    Args:
        thorax: whose ``seed`` and ``vessel_ends`` are used.
        kind: ``artery``, ``vein`` or ``bronchus``.
        side: 1 right, 2 left.
    """
    plan = _PLANS[(kind, side)]
    stream = np.random.SeedSequence([thorax.seed, KINDS.index(kind), side])
    rng = np.random.default_rng(stream)
    count = max(6, int(thorax.vessel_ends * plan.tips))
    return _grow(thorax, plan, _tips(thorax, side, count, plan.margin_mm, rng), rng)


def _tips(
    thorax: Thorax, side: int, count: int, margin_mm: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    sign = -1.0 if side == RIGHT else 1.0
    cloud = rng.uniform((0, -105, -30), (140, 105, 258), (count * 12, 3))
    cloud[:, 0] *= sign
    x, y, z = (cloud[:, i].astype(np.float32) for i in range(3))
    anatomy = Anatomy(thorax, x, y, z)
    inside = (anatomy.lungs < -margin_mm) & (anatomy.sides == side)
    tips: NDArray[np.float64] = cloud[inside][:count]
    return tips


class _Nodes:
    """Growing arrays of node position, direction, length from the hilum, and parent."""

    def __init__(self, capacity: int) -> None:
        self.place = np.zeros((capacity, 3))
        self.heading = np.zeros((capacity, 3))
        self.path = np.zeros(capacity)
        self.parent = np.full(capacity, -1)
        self.n = 0

    def add(self, point: NDArray[np.float64], parent: int) -> int:
        i = self.n
        self.place[i] = point
        self.parent[i] = parent
        if parent >= 0:
            step = point - self.place[parent]
            length = float(np.linalg.norm(step))
            self.path[i] = self.path[parent] + length
            self.heading[i] = step / max(length, 1e-6)
        self.n += 1
        return i

    def cheapest(self, tip: NDArray[np.float64]) -> int:
        away = tip - self.place[: self.n]
        gap = np.linalg.norm(away, axis=1) + 1e-6
        turn = 1 - (away * self.heading[: self.n]).sum(axis=1) / gap
        cost = gap * (1 + 0.55 * turn) + 0.22 * self.path[: self.n]
        return int(np.argmin(cost))

    def extend(self, node: int, tip: NDArray[np.float64], rng: np.random.Generator) -> int:
        """A curved branch from a node to a tip; returns the tip's node."""
        start, heading = self.place[node], self.heading[node]
        length = float(np.linalg.norm(tip - start))
        sway = rng.normal(0, 0.09 * length, 3)
        bend = start + heading * 0.38 * length + 0.12 * (tip - start) + sway
        pieces = max(2, round(length / STEP_MM))
        for t in np.arange(1, pieces + 1) / pieces:
            wobble = rng.normal(0, 0.25, 3) if t < 1 else np.zeros(3)
            point = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t * t * tip + wobble
            node = self.add(point, node)
        return node


def _grow(thorax: Thorax, plan: _Plan, tips: NDArray[np.float64], rng: np.random.Generator) -> Tree:
    nodes = _Nodes(40 + len(tips) * 60)
    root = nodes.add(np.array(plan.roots[0][0], np.float64), -1)
    for trunk in plan.roots:
        node = root
        for point in trunk[1:]:
            goal = np.array(point, np.float64)
            start = nodes.place[node].copy()
            pieces = max(1, round(float(np.linalg.norm(goal - start)) / STEP_MM))
            for t in np.arange(1, pieces + 1) / pieces:
                node = nodes.add(start + t * (goal - start), node)
    ends = [nodes.extend(nodes.cheapest(tip), tip, rng) for tip in _far_first(tips)]
    served = np.zeros(nodes.n)
    served[ends] = 1
    # Children always come after their parents, so one sweep back sums the tips.
    for i in range(nodes.n - 1, 0, -1):
        served[nodes.parent[i]] += served[i]
    keep = np.arange(1, nodes.n)
    keep = keep[served[keep] > 0]
    place = nodes.place.astype(np.float32)
    radius = (plan.tip_mm * served[keep] ** (1 / MURRAY)).astype(np.float32)
    return Tree(place[nodes.parent[keep]], place[keep], radius)


def _far_first(tips: NDArray[np.float64], leaders: int = 24) -> NDArray[np.float64]:
    """The first few tips far from one another, so that main branches reach every segment."""
    if len(tips) <= leaders:
        return tips
    chosen = [0]
    gap = np.linalg.norm(tips - tips[0], axis=1)
    for _ in range(leaders - 1):
        chosen.append(int(np.argmax(gap)))
        gap = np.minimum(gap, np.linalg.norm(tips - tips[chosen[-1]], axis=1))
    rest = np.setdiff1d(np.arange(len(tips)), chosen)
    ordered: NDArray[np.float64] = tips[np.concatenate([np.array(chosen), rest])]
    return ordered
