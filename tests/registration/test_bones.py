"""Bones of one person lie on one another after a turn and a shift; those of another do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ctlung.geometry import Geometry
from ctlung.registration.bones import bone_match
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap, Scan

SHAPE = (80, 70, 100)
SPACING = (3.0, 3.0, 3.0)


def _person(seed: int, bone_hu: float = 600.0) -> tuple[np.ndarray, np.ndarray]:
    """A spine and ribs of one's own around two lungs."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.arange(n) * 3.0 for n in SHAPE), indexing="ij")
    y, x = y - 105.0, x - 150.0
    lungs = np.zeros(SHAPE, np.uint8)
    for label, middle in ((1, -55.0), (2, 55.0)):
        egg = ((z - 120) / 100) ** 2 + (y / 60) ** 2 + ((x - middle) / 42) ** 2
        lungs[egg < 1] = label
    hu = np.where(lungs > 0, -850.0, 40.0)
    step, lean, width, bend = rng.uniform((22, 0.2, 120, -0.15), (32, 0.8, 135, 0.15))
    level = (z + lean * (y + 75) + 0.1 * np.abs(x)) % step
    wall = np.abs(np.hypot(x / width, (y - 5) / 85) - 1.0) < 0.05
    hu[wall & (level < 9)] = bone_hu
    spine = np.hypot(x - bend * (z - 120), y - 75) < rng.uniform(14, 20)
    hu[spine & (z % (step + 3) < step - 4)] = bone_hu
    return hu, lungs


def _visit(hu: np.ndarray, lungs: np.ndarray) -> tuple[Scan, LabelMap]:
    grid = Geometry.from_spacing(SHAPE, SPACING, (-150.0, -105.0, 0.0))
    return Scan(np.rint(hu).astype(np.int16), grid), LabelMap(lungs, grid, LUNG_LABELS)


def _turned(hu: np.ndarray, lungs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = Rotation.from_euler("xyz", (7, 4, 5), degrees=True).as_matrix()
    middle = (np.array(SHAPE) - 1) / 2
    offset = middle - matrix @ middle + (6, -3, 4)
    return (
        ndimage.affine_transform(hu, matrix, offset, order=1, mode="nearest"),
        ndimage.affine_transform(lungs, matrix, offset, order=0),
    )


def test_one_person_turned_and_moved_fits() -> None:
    me = _person(1)
    found = bone_match(_visit(*me), _visit(*_turned(*me)))
    assert found is not None
    assert found > 0.75


def test_a_scan_fits_itself() -> None:
    assert bone_match(_visit(*_person(1)), _visit(*_person(1))) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("other", [2, 3])
def test_another_person_does_not_fit(other: int) -> None:
    found = bone_match(_visit(*_person(1)), _visit(*_person(other)))
    assert found is not None
    assert found < 0.5


def test_without_bones_nothing_is_said() -> None:
    me = _visit(*_person(1))
    assert bone_match(me, _visit(*_person(1, bone_hu=150.0))) is None
    nobody = LabelMap(np.zeros(SHAPE, np.uint8), me[1].geometry, LUNG_LABELS)
    assert bone_match(me, (me[0], nobody)) is None


def test_the_same_input_gives_the_same_number() -> None:
    a, b = _visit(*_person(1)), _visit(*_person(2))
    assert bone_match(a, b) == bone_match(a, b)
