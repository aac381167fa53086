"""What any lesion family must do, asked of either."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import numpy as np
from support.phantoms import healthy, healthy_series

from ctlung.simulation.insertion import Inserted, LesionPlan

VOXEL_ML = 5.0 * 3.0 * 3.0 / 1000


def insert(family: ModuleType, *plans: LesionPlan, index: int = 0) -> Inserted:
    p = healthy()
    hu = healthy_series().hu.astype(np.float32)
    result = family.insert(hu, p.lungs, p.geometry, family.stream(index), plans or None)
    assert isinstance(result, Inserted)
    return result


def rise(result: Inserted) -> np.ndarray:
    return result.hu - healthy_series().hu


def imports(module: ModuleType) -> set[str]:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{a.name}" for a in node.names}
    return names
