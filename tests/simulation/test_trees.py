from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import PERSON

from ctlung.simulation.anatomy import Anatomy
from ctlung.simulation.trees import Tree, grow_tree

WHICH = [("artery", 1), ("vein", 2), ("bronchus", 1)]


def _parents(tree: Tree) -> np.ndarray:
    """Index of the piece whose end is each piece's start; -1 for none."""
    ends = {tuple(np.round(e, 4)): i for i, e in enumerate(tree.end)}
    return np.array([ends.get(tuple(np.round(s, 4)), -1) for s in tree.start])


@pytest.mark.parametrize(("kind", "side"), WHICH)
def test_tree_hangs_together(kind: str, side: int) -> None:
    tree = grow_tree(PERSON, kind, side)
    loose = tree.start[_parents(tree) < 0]
    assert len(np.unique(np.round(loose, 4), axis=0)) == 1


@pytest.mark.parametrize(("kind", "side"), WHICH)
def test_branches_never_widen(kind: str, side: int) -> None:
    tree = grow_tree(PERSON, kind, side)
    parents = _parents(tree)
    child = parents >= 0
    assert (tree.radius[child] <= tree.radius[parents[child]] + 1e-5).all()
    assert tree.radius.max() > 2 * tree.radius.min()


@pytest.mark.parametrize(("kind", "side"), WHICH)
def test_tree_stays_in_its_lung(kind: str, side: int) -> None:
    tree = grow_tree(PERSON, kind, side)
    x, y, z = (tree.end[:, i] for i in range(3))
    anatomy = Anatomy(PERSON, x, y, z)
    thin = tree.radius < 1.5
    inside = (anatomy.lungs < 0) & (anatomy.sides == side)
    assert inside[thin].mean() > 0.95


def test_volume_is_that_of_its_cylinders() -> None:
    one = np.array([[0, 0, 0]], np.float32)
    tree = Tree(one, one + np.float32([0, 0, 10]), np.array([2.0], np.float32))
    assert tree.volume_ml == pytest.approx(np.pi * 4 * 10 / 1000)
