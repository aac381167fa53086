"""Looking at the body alone changes nothing."""

from __future__ import annotations

import numpy as np
from support.chest import chest

from ctlung.geometry import Geometry
from ctlung.segmentation.crop import body_box, pasted
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.volume import Scan


def _wide(scan: Scan, pad: tuple[int, int]) -> Scan:
    hu = np.pad(scan.hu, [(0, 0), pad, pad], constant_values=-1000)
    return Scan(hu, Geometry.from_spacing(hu.shape, scan.geometry.spacing_mm))


def test_air_around_the_patient_changes_no_voxel() -> None:
    scan = chest().scan
    segmenter = ThresholdSegmenter()
    alone, within = segmenter.segment(scan), segmenter.segment(_wide(scan, (36, 48)))
    inner = (slice(None), slice(36, -48), slice(36, -48))
    assert np.array_equal(within.lungs.labels[inner], alone.lungs.labels)
    assert np.count_nonzero(within.lungs.labels) == np.count_nonzero(alone.lungs.labels)
    assert within.notices == alone.notices


def test_the_box_holds_all_thick_tissue_in_whole_blocks() -> None:
    hu = np.full((20, 200, 220), -1000, np.int16)
    hu[:, 60:120, 70:170] = 40
    hu[:, 80:100, 20:40] = 40
    hu[:, 170:172, 10:210] = 300
    scan = Scan(hu, Geometry.from_spacing(hu.shape, (2.0, 0.8, 0.8)))
    z, y, x = body_box(scan, 2.0)
    assert z == slice(0, 20)
    assert y.start % 2 == x.start % 2 == 0
    assert 60 - 35 < y.start <= 60 - 20
    assert 120 + 20 <= y.stop < 120 + 35
    assert x.start == 0
    assert 170 + 20 <= x.stop < 170 + 35


def test_without_tissue_the_box_is_the_volume() -> None:
    hu = np.full((6, 40, 40), -1000, np.int16)
    scan = Scan(hu, Geometry.from_spacing(hu.shape, (2.0, 2.0, 2.0)))
    assert body_box(scan, 2.0) == (slice(0, 6), slice(0, 40), slice(0, 40))


def test_what_was_found_lies_where_it_was() -> None:
    scan = chest().scan
    box = (slice(0, scan.hu.shape[0]), slice(4, -4), slice(6, -6))
    box = tuple(slice(*s.indices(n)[:2]) for s, n in zip(box, scan.hu.shape, strict=True))
    part = scan.crop(box)
    assert np.array_equal(part.hu, scan.hu[box])
    np.testing.assert_allclose(part.geometry.to_mm((0, 0, 0)), scan.geometry.to_mm((0, 4, 6)))
    found = ThresholdSegmenter().segment(part)
    whole = pasted(found, scan, box)
    assert whole.lungs.geometry is scan.geometry
    assert np.array_equal(whole.lungs.labels[box], found.lungs.labels)
    assert np.count_nonzero(whole.lungs.labels) == np.count_nonzero(found.lungs.labels)
    assert np.array_equal(whole.anatomy.airways[box], found.anatomy.airways)
