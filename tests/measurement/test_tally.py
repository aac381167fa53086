from __future__ import annotations

import numpy as np
import pytest
from support.measured_scans import measured, random_scan

from ctlung.geometry import Geometry
from ctlung.measurement.regions import Partition, partition_by_thirds
from ctlung.measurement.tally import BINS, TISSUES, tally


def _counts(item):
    return tally(item.scan, partition_by_thirds(item.lungs, item.scan.outside_fov), item.lesions)


@pytest.mark.parametrize("seed", range(3))
def test_every_lung_voxel_is_counted_once(seed: int) -> None:
    item = random_scan(seed)
    counts = _counts(item)
    lung = (item.lungs.labels > 0) & ~item.scan.outside_fov
    assert counts.slice_counts.sum() == lung.sum()
    assert counts.slice_hu_sums.sum() == item.scan.hu[lung].sum(dtype=np.int64)
    assert counts.weighted.shape == (6, TISSUES, BINS)
    weights = item.scan.geometry.slice_weights_mm
    assert counts.weighted.sum() == pytest.approx(weights @ lung.sum(axis=(1, 2)))


def test_uniform_slices_weigh_their_spacing() -> None:
    shape = (9, 6, 6)
    lungs = np.ones(shape)
    for step in (0.7, 1.25, 3.0):
        geometry = Geometry.from_spacing(shape, (step, 0.5, 0.5), (0, 0, -333.3))
        counts = _counts(measured(np.full(shape, -800), lungs, 0 * lungs, geometry))
        assert counts.weights_mm == pytest.approx(step, rel=1e-13)
        volume = counts.of(range(6)).volume_ml()
        assert volume == pytest.approx(324 * step * 0.25 / 1000, rel=1e-12)


def test_lesions_outside_the_lungs_are_only_counted() -> None:
    shape = (3, 4, 5)
    lungs = np.zeros(shape)
    lungs[1, :2] = 1
    lesions = np.ones(shape)
    outside = np.zeros(shape, bool)
    outside[2, 0, 0] = True
    geometry = Geometry.from_spacing(shape, (2.0, 1.0, 1.0))
    counts = _counts(measured(np.full(shape, -500), lungs, lesions, geometry, outside))
    assert counts.slice_counts.sum() == 10
    assert counts.lesion_outside == 60 - 10 - 1


def test_regions_may_be_any_union_of_atoms() -> None:
    item = random_scan(1)
    shape = item.scan.hu.shape
    rng = np.random.default_rng(2)
    parcels = rng.integers(0, 4, shape).astype(np.uint8)
    atom_of = np.tile(np.array([0, 0, 1, 2]), (shape[0], 1))
    partition = Partition(parcels, atom_of, 3, {"front": (0, 2), "back": (1,)})
    counts = tally(item.scan, partition, item.lesions)
    measured_voxels = ~item.scan.outside_fov
    front = np.isin(parcels, (1, 3)) & measured_voxels
    region = counts.of(partition.regions["front"])
    assert region.n_voxels() == front.sum()
    assert region.n_voxels(2) == (front & (item.lesions.labels == 2)).sum()
    hu_of_bin = np.arange(-1024, 3072)
    weights = item.scan.geometry.slice_weights_mm[:, None, None] * front
    assert region.histogram() @ hu_of_bin == pytest.approx((weights * item.scan.hu).sum())
