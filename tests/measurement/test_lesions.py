from __future__ import annotations

import numpy as np
import pytest
from support.measured_scans import Oracle, measured, random_scan, two_boxes

from ctlung.measurement.lesions import connected_lesions
from ctlung.settings import Settings

ALL = Settings(lesion_min_component_ml=0.0, min_voxels_null=1)


def _lesions(item, settings=None):
    return connected_lesions(item.scan, item.lungs, item.lesions, settings)


def _marked(*boxes, tissue=1, item=None):
    item = item or two_boxes()
    lesions = np.zeros(item.scan.hu.shape)
    for box in boxes:
        lesions[tuple(slice(*b) for b in box)] = tissue
    return measured(item.scan.hu, item.lungs.labels, lesions, item.scan.geometry)


@pytest.mark.parametrize("seed", range(6))
def test_lesions_are_those_of_the_slow_way(seed: int) -> None:
    item = random_scan(seed)
    oracle = Oracle(item)
    expected = sorted(
        (
            -round(oracle.ml(group), 9),
            len(group),
            round(oracle.mean(group), 6),
            round(oracle.ml(oracle.lesion(group, 2)), 9),
            min(k for k, _, _ in group),
            max(j for _, _, j in group) + 1,
        )
        for group in oracle.components()
    )
    found = _lesions(item, ALL)
    got = []
    for lesion in found:
        (z, _), _, (_, x) = lesion.box
        assert lesion.volume_ml is not None
        assert lesion.consolidation_ml is not None
        assert lesion.volume_ml == pytest.approx(lesion.ground_glass_ml + lesion.consolidation_ml)
        n = round(lesion.volume_ml, 9)
        got.append((-n, lesion.mean_hu, lesion.consolidation_ml, z, x))
    assert [g[0] for g in got] == pytest.approx([e[0] for e in expected])
    order = sorted((v, round(m, 6), round(c, 9), z, x) for v, m, c, z, x in got)
    assert order == [pytest.approx((v, m, c, z, x)) for v, _, m, c, z, x in expected]
    assert [lesion.label for lesion in found] == list(range(1, len(found) + 1))


def test_largest_first_and_small_ones_left_out() -> None:
    item = _marked(
        ((3, 4), (8, 9), (6, 8)),
        ((3, 4), (12, 13), (6, 9)),
        ((6, 8), (8, 12), (24, 30)),
    )
    # 2 voxels are 0.09 ml, 3 are 0.135 ml.
    assert [(r.region, r.label) for r in _lesions(item)] == [("left_lung", 1), ("right_lung", 2)]
    assert _lesions(item)[0].volume_ml == pytest.approx(48 * 0.045)
    assert _lesions(item)[0].box == ((6, 8), (8, 12), (24, 30))


def test_a_component_of_just_the_limit_is_listed() -> None:
    item = _marked(((3, 4), (8, 9), (6, 8)))
    assert len(_lesions(item, Settings(lesion_min_component_ml=0.09))) == 1


def test_corners_join_and_lungs_part() -> None:
    item = _marked(((3, 5), (8, 10), (6, 8)), ((5, 7), (10, 12), (8, 10)))
    assert len(_lesions(item)) == 1
    apart = _marked(((3, 5), (8, 10), (6, 8)), ((6, 8), (10, 12), (8, 10)))
    assert len(_lesions(apart)) == 2
    plain = two_boxes()
    lungs = np.where(plain.lungs.labels > 0, plain.lungs.labels, 0)
    lungs[:, :, 18:20], lungs[:, :, 20:22] = 1, 2
    touching = measured(plain.scan.hu, lungs, plain.lesions.labels, plain.scan.geometry)
    across = _marked(((3, 6), (8, 12), (17, 23)), item=touching)
    assert [r.region for r in _lesions(across)] == ["right_lung", "left_lung"]


def test_touching_the_pleura() -> None:
    inside = ((3, 5), (8, 12), (6, 10))
    assert not _lesions(_marked(inside))[0].touches_pleura
    for surface in (
        ((3, 5), (5, 9), (6, 10)),
        ((3, 5), (8, 12), (14, 18)),
        ((1, 3), (8, 12), (6, 10)),
    ):
        assert _lesions(_marked(surface))[0].touches_pleura


def test_the_end_of_the_scan_is_no_pleura() -> None:
    plain = two_boxes()
    lungs = np.array(plain.lungs.labels)
    lungs[0] = lungs[1]
    cut = measured(plain.scan.hu, lungs, 0 * lungs, plain.scan.geometry)
    assert not _lesions(_marked(((0, 2), (8, 12), (6, 10)), item=cut))[0].touches_pleura


def test_largest_slice_is_the_lowest_of_equals() -> None:
    item = _marked(((3, 8), (8, 12), (6, 10)), ((5, 7), (12, 13), (6, 10)))
    (lesion,) = _lesions(item)
    assert lesion.largest_slice == 5
    assert lesion.largest_area_cm2 == pytest.approx(20 * 0.09)


def test_no_mean_under_twenty_voxels() -> None:
    nineteen, twenty = (_marked(((3, 4), (5, 5 + n), (6, 7))) for n in (19, 20))
    assert _lesions(nineteen)[0].mean_hu is None
    assert _lesions(twenty)[0].mean_hu == pytest.approx(-850.0)
