from __future__ import annotations

import numpy as np
import pytest
from support.measured_scans import random_lobes, two_boxes

from ctlung.geometry import Geometry
from ctlung.measurement.regions import (
    Partition,
    label_areas,
    partition_by_lobes,
    partition_by_thirds,
    split_by_depth,
    thirds_by_height,
)
from ctlung.vocabulary import DEPTHS, LOBE_LABELS, LOBES, LOBES_OF, LUNG_LABELS, REGIONS, THIRDS
from ctlung.volume import LabelMap


def test_a_slice_belongs_by_its_centre() -> None:
    positions = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    # Thirds of 0..7 end at 2.33 and 4.67.
    assert thirds_by_height(np.full(8, 100), positions).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_height_and_not_the_number_of_slices_counts() -> None:
    positions = np.array([0.0, 10, 20, 21, 22, 23, 24, 30])
    assert thirds_by_height(np.full(8, 100), positions).tolist() == [0, 1, 2, 2, 2, 2, 2, 2]


def test_slices_under_two_percent_are_no_end_but_belong_to_the_third_there() -> None:
    areas = np.array([0, 19, 20, 1000, 1000, 20, 19, 19, 0])
    positions = np.arange(9.0)
    # Ends are slices 2 and 5: thirds end at 3 and 4.
    assert thirds_by_height(areas, positions).tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("start", [0.0, -1234.567, 0.1, 88.8])
@pytest.mark.parametrize("step", [0.7, 1.0, 1.25, 2.5 + 1e-6])
def test_a_centre_on_a_border_does_not_depend_on_rounding(start: float, step: float) -> None:
    exact = start + step * np.arange(10)
    expected = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    for positions in (exact, exact.astype(np.float32).astype(float), np.round(exact, 4)):
        assert thirds_by_height(np.full(10, 7), positions).tolist() == expected


def test_no_lung_and_one_slice() -> None:
    assert thirds_by_height(np.zeros(3, int), np.arange(3.0)).tolist() == [0, 0, 0]
    assert len(thirds_by_height(np.array([5]), np.array([3.0]))) == 1


def test_each_lung_has_its_own_thirds() -> None:
    labels = np.zeros((12, 4, 4), np.uint8)
    labels[0:12, :, :2] = 1
    labels[3:9, :, 2:] = 2
    geometry = Geometry.from_spacing(labels.shape, (3, 1, 1))
    partition = partition_by_thirds(LabelMap(labels, geometry, LUNG_LABELS))
    assert partition.atom_of[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert partition.atom_of[3:9, 2].tolist() == [3, 3, 4, 4, 5, 5]


def test_regions_are_those_of_the_vocabulary_and_do_not_overlap() -> None:
    partition = partition_by_thirds(two_boxes().lungs)
    assert set(partition.regions) == {*REGIONS[:3], *THIRDS}
    thirds = [a for name in THIRDS for a in partition.regions[name]]
    assert sorted(thirds) == list(range(partition.n_atoms))
    for lung in REGIONS[1:3]:
        parts = [a for n in THIRDS if n.startswith(lung) for a in partition.regions[n]]
        assert sorted(parts) == sorted(partition.regions[lung])


def test_lobes_are_cut_out_of_the_lung_of_their_side() -> None:
    lungs = np.zeros((3, 2, 7), np.uint8)
    lungs[:, 0], lungs[:, 1, :6] = 1, 2
    lobes = np.broadcast_to(np.array([0, 1, 2, 3, 4, 5, 5], np.uint8), lungs.shape).copy()
    geometry = Geometry.from_spacing(lungs.shape, (3, 1, 1))
    found = partition_by_lobes(
        LabelMap(lungs, geometry, LUNG_LABELS), LabelMap(lobes, geometry, LOBE_LABELS)
    )
    assert set(found.regions) == {*REGIONS[:3], *THIRDS, *LOBES}
    atoms = found.atom_of[np.arange(3)[:, None, None], found.parcels]
    inside = found.parcels > 0
    expected = {"rul": [(0, 3)], "rml": [(0, 4)], "rll": [(0, 5), (0, 6)]}
    expected |= {"lul": [(1, 1)], "lll": [(1, 2)]}
    for lobe, places in expected.items():
        where = np.isin(atoms, found.regions[lobe]) & inside
        for k in range(3):
            assert [(int(y), int(x)) for y, x in np.argwhere(where[k])] == places
    np.testing.assert_array_equal(inside, lungs > 0)


@pytest.mark.parametrize("seed", range(3))
def test_with_lobes_the_other_regions_stay_as_they_were(seed: int) -> None:
    item = random_lobes(seed)
    assert item.lobes is not None
    plain = partition_by_thirds(item.lungs, item.scan.outside_fov)
    found = partition_by_lobes(item.lungs, item.lobes, item.scan.outside_fov)
    slices = np.arange(len(item.lungs.labels))[:, None, None]
    for name in (*REGIONS[:3], *THIRDS):
        before, after = (
            np.isin(p.atom_of[slices, p.parcels], p.regions[name]) & (p.parcels > 0)
            for p in (plain, found)
        )
        np.testing.assert_array_equal(before, after)
    thirds = [a for name in THIRDS for a in found.regions[name]]
    assert sorted(thirds) == list(range(found.n_atoms))
    for lung, lobes in LOBES_OF.items():
        parts = [a for lobe in lobes for a in found.regions[lobe]]
        assert len(set(parts)) == len(parts)
        assert set(parts) < set(found.regions[lung])


@pytest.mark.parametrize("seed", range(3))
def test_depth_cuts_every_region_in_two(seed: int) -> None:
    item = random_lobes(seed)
    assert item.lobes is not None
    whole = partition_by_lobes(item.lungs, item.lobes, item.scan.outside_fov)
    rim = np.random.default_rng(seed).random(item.scan.hu.shape) < 0.4
    cut = split_by_depth(whole, rim)
    assert set(cut.regions) == {*REGIONS, *LOBES}
    slices = np.arange(len(rim))[:, None, None]

    def where(partition: Partition, name: str) -> np.ndarray:
        atoms = partition.atom_of[slices, partition.parcels]
        return np.isin(atoms, partition.regions[name]) & (partition.parcels > 0)

    for name in whole.regions:
        np.testing.assert_array_equal(where(cut, name), where(whole, name))
    np.testing.assert_array_equal(where(cut, "rim"), rim & (item.lungs.labels > 0))
    np.testing.assert_array_equal(where(cut, "core"), ~rim & (item.lungs.labels > 0))
    parts = [a for name in DEPTHS for a in cut.regions[name]]
    assert sorted(parts) == sorted(cut.regions["lungs"]) == list(range(cut.n_atoms))


def test_areas_leave_padding_out() -> None:
    labels = np.zeros((2, 3, 3), np.uint8)
    labels[0, :, 0] = 1
    labels[1] = 2
    outside = np.zeros(labels.shape, bool)
    outside[:, 0] = True
    assert label_areas(labels, 2, outside).tolist() == [[4, 2, 0], [0, 0, 6]]
    assert label_areas(labels, 2, None).tolist() == [[6, 3, 0], [0, 0, 9]]
