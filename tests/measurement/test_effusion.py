from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.chest import Chest, chest, with_acquisition

from ctlung.measurement.effusion import effusion_notices, suspected_ml
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap, Scan

SPACING = (4.0, 1.6, 1.8)


def _with_layer(
    hu: float, side: int = 1, share: float = 0.2, way: int = 1, uneven: float = 0.0
) -> tuple[Chest, Scan, LabelMap, float]:
    """A chest whose lung is fluid in the lowest ``share`` of its depth, left out of the lungs."""
    c = chest(spacing=SPACING, noise_hu=6.0)
    rows = np.flatnonzero((c.lungs > 0).any(axis=(0, 2)))
    depth = (np.arange(c.lungs.shape[1]) - rows[0]) / (rows[-1] - rows[0])
    low = depth > 1 - share if way > 0 else depth < share
    layer = (c.lungs == side) & low[None, :, None]
    rng = np.random.default_rng(4)
    values = hu + 6.0 * rng.standard_normal(layer.shape)
    values += uneven * np.sign(np.sin(np.indices(layer.shape)[2] * 0.8))
    scan = dataclasses.replace(c.scan, hu=np.where(layer, values, c.scan.hu).astype(np.int16))
    labels = np.where(layer, 0, c.lungs).astype(np.uint8)
    return c, scan, LabelMap(labels, c.scan.geometry, LUNG_LABELS), c.ml(layer)


def test_a_healthy_chest_has_none() -> None:
    c = chest(spacing=SPACING, noise_hu=6.0)
    assert sum(suspected_ml(c.scan, c.lung_map)) < 5.0
    assert effusion_notices(c.scan, c.lung_map, Settings()) == ()


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("hu", [5, 18])
def test_a_layer_at_the_back_is_suspected_on_its_side(hu: float, side: int) -> None:
    _, scan, lungs, ml = _with_layer(hu, side)
    assert ml > 100
    found = suspected_ml(scan, lungs)
    assert found[side - 1] == pytest.approx(ml, rel=0.5)
    assert found[2 - side] < 0.1 * ml
    (notice,) = effusion_notices(scan, lungs, Settings())
    assert (notice.code, notice.effect, notice.limit, notice.unit) == (
        "effusion",
        "warn",
        50.0,
        "ml",
    )
    assert ("right", "left")[side - 1] in notice.sentence
    assert ("left", "right")[side - 1] not in notice.sentence


def test_fluid_inside_the_lung_mask_counts_too() -> None:
    c, scan, lungs, ml = _with_layer(12)
    inside = suspected_ml(scan, c.lung_map)
    assert inside[0] == pytest.approx(suspected_ml(scan, lungs)[0], rel=0.3)
    assert inside[0] > 0.4 * ml


@pytest.mark.parametrize("hu", [-60, 48, 60])
def test_fat_muscle_and_consolidation_are_none(hu: float) -> None:
    _, scan, lungs, _ = _with_layer(hu)
    assert effusion_notices(scan, lungs, Settings()) == ()


def test_what_is_uneven_is_no_fluid() -> None:
    _, scan, lungs, _ = _with_layer(12, uneven=60.0)
    assert effusion_notices(scan, lungs, Settings()) == ()


def test_what_lies_high_is_no_free_fluid_unless_the_patient_is_prone() -> None:
    _, scan, lungs, ml = _with_layer(12, way=-1, share=0.3)
    assert ml > 100
    assert effusion_notices(scan, lungs, Settings()) == ()
    prone = with_acquisition(scan, patient_position="HFP")
    assert [n.code for n in effusion_notices(prone, lungs, Settings())] == ["effusion"]


def test_an_unknown_position_is_taken_for_supine() -> None:
    _, scan, lungs, _ = _with_layer(12)
    unknown = with_acquisition(scan, patient_position=None)
    assert suspected_ml(unknown, lungs) == suspected_ml(scan, lungs)


def test_the_limit_is_a_setting() -> None:
    _, scan, lungs, _ = _with_layer(12)
    assert effusion_notices(scan, lungs, Settings(effusion_warn_ml=5000.0)) == ()


def test_few_slices_are_not_judged() -> None:
    _, scan, lungs, _ = _with_layer(12)
    box = (slice(20, 24), slice(0, scan.hu.shape[1]), slice(0, scan.hu.shape[2]))
    assert effusion_notices(scan.crop(box), lungs.crop(box), Settings()) == ()


def test_without_lungs_there_is_nothing_to_suspect() -> None:
    c = chest(spacing=SPACING)
    none = LabelMap(np.zeros_like(c.lungs), c.scan.geometry, LUNG_LABELS)
    assert suspected_ml(c.scan, none) == (0.0, 0.0)
