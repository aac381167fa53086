from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from support.lesion_families import imports

import ctlung
from ctlung.simulation import family_test, family_test_parameters, family_train
from ctlung.simulation.insertion import LesionPlan

PLANS: list[LesionPlan] = [
    plan for index in range(600) for plan in family_test.random_plans(family_test.stream(index))
]
LESIONS = [p for p in PLANS if p.kind not in ("effusion", "collapse")]


def test_never_imports_the_train_family() -> None:
    assert not {n for n in imports(family_test) if "family_train" in n}


def test_nothing_else_in_the_package_imports_it() -> None:
    folder = Path(ctlung.__file__).parent
    own = {"family_test.py", "family_test_parameters.py"}
    users = [
        f.name
        for f in folder.rglob("*.py")
        if f.name not in own and "family_test" in f.read_text(encoding="utf-8")
    ]
    # family_train says in its docstring that it must not; test_family_train holds it to that.
    assert users == ["family_train.py"]


def test_volumes_are_log_uniform_over_the_whole_range() -> None:
    logs = np.sort(np.log([p.ml for p in LESIONS]))
    uniform = (logs - np.log(0.5)) / np.log(300 / 0.5)
    assert uniform[0] > 0
    assert uniform[-1] < 1
    ranks = (np.arange(len(uniform)) + 0.5) / len(uniform)
    assert np.abs(uniform - ranks).max() < 1.63 / np.sqrt(len(uniform))


def test_densities_and_edges_span_what_the_house_says() -> None:
    rises = np.array([p.hu for p in LESIONS if p.kind != "consolidation"])
    dense = np.array([p.hu for p in LESIONS if p.kind == "consolidation"])
    edges = np.array([p.edge_mm for p in LESIONS])
    for values, low, high in ((rises, 80, 350), (dense, -100, 60), (edges, 0, 6)):
        width = high - low
        assert low <= values.min() < low + 0.02 * width
        assert high - 0.02 * width < values.max() <= high


def test_at_least_half_touch_the_pleura() -> None:
    assert np.mean([p.touches_pleura for p in LESIONS]) > 0.55


def test_every_kind_occurs() -> None:
    kinds = {p.kind for p in PLANS}
    assert kinds == {"ground_glass", "crazy_paving", "consolidation", "collapse", "effusion"}
    assert any(p.air_bronchogram for p in PLANS)


def test_sha256_is_that_of_the_parameters_file() -> None:
    text = Path(family_test_parameters.__file__).read_text(encoding="utf-8")
    assert family_test.parameters_sha256() == hashlib.sha256(text.encode()).hexdigest()


def test_streams_of_the_families_differ() -> None:
    one, other = (f.stream(1).integers(2**62) for f in (family_test, family_train))
    assert one != other
    assert family_test.FAMILY != family_train.FAMILY
