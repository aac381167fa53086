from __future__ import annotations

from support.lesion_families import imports

from ctlung.simulation import family_train, insertion


def test_never_imports_the_test_family() -> None:
    for module in (family_train, insertion):
        assert not {n for n in imports(module) if "family_test" in n}


def test_plans_follow_the_stream() -> None:
    one, two = (family_train.random_plans(family_train.stream(4)) for _ in range(2))
    assert one == two
    assert family_train.random_plans(family_train.stream(5)) != one
