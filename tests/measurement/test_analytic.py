"""Measures against the analytic answer of turned ellipsoids on grids of many spacings."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

import lesions_phantoms


@pytest.mark.parametrize("turn", lesions_phantoms.TURNS_DEGREES)
@pytest.mark.parametrize(
    "spacing", [(2.0, 1.5, 1.5), (2.5, 2.5, 2.5), (4.0, 3.0, 2.0), (8.0, 2.0, 2.0)]
)
def test_measures_meet_the_analytic_answer(
    spacing: tuple[float, float, float], turn: tuple[float, float, float]
) -> None:
    row = lesions_phantoms.measure(spacing, turn)
    for name, one in row["measures"].items():
        assert one["found"] is not None, name
        assert abs(one["found"] - one["true"]) <= one["limit"], (name, one)


def test_a_cut_and_a_volume_are_those_of_many_points() -> None:
    _, lesion = lesions_phantoms.bodies((15, 30, 45))
    rng = np.random.default_rng(3)
    half = lesion.half_widths_mm()
    points = rng.uniform(-1, 1, (400_000, 3)) * half
    inside = lesion.inside(*(points[:, i] + lesion.centre[i] for i in range(3)))
    share = inside.mean() * np.prod(2 * half) / 1000
    assert share == pytest.approx(lesion.volume_ml(), rel=0.01)
    plane = points[:, 1:]
    cut = lesion.inside(
        np.full(len(plane), lesion.centre[0] + 8.0),
        plane[:, 0] + lesion.centre[1],
        plane[:, 1] + lesion.centre[2],
    )
    area = cut.mean() * np.prod(2 * half[1:]) / 100
    assert area == pytest.approx(lesion.area_cm2(lesion.centre[0] + 8.0), rel=0.01)
