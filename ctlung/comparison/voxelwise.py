"""What two scans laid on one another say, and whether they lie well enough for it."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ctlung.alignment import Alignment
from ctlung.arrays import BoolArray, Float32Array
from ctlung.change_records import Change, ChangeMaps, Restoration, Voxelwise
from ctlung.comparison.carried import carried, jacobian_back, lung_through
from ctlung.comparison.change import FACTORS, FLOORS, WATERED_DOWN, with_breath
from ctlung.comparison.matched import matched_area_cm2
from ctlung.comparison.restoration import (
    LEAST_EXCESS_HU,
    RegionNow,
    at_the_baselines_breath,
    references,
    region_now,
    tubes_of,
)
from ctlung.comparison.tracking import track_lesions
from ctlung.comparison.transitions import (
    change_labels,
    near_borders,
    see_followup,
    tissues,
    transition_table,
)
from ctlung.morphology import grow_faces, shrink_faces
from ctlung.notices import Notice
from ctlung.records import ScanResult
from ctlung.settings import Settings
from ctlung.vocabulary import CHANGE_LABELS, LUNG_LABELS, PAIR_MEASURES
from ctlung.volume import LabelMap

_EDGE_FLOOR_HU = 4.0
_REFERENCES_HU = 4.0, 4.0


def voxelwise(
    baseline: ScanResult,
    followup: ScanResult,
    alignment: Alignment,
    notices: tuple[Notice, ...],
    settings: Settings,
) -> tuple[Voxelwise, tuple[Change, ...]]:
    """Voxel answers, and the changes of the measures that need both scans.

    Args:
        baseline: with its lungs, lesions and report.
        followup: the same, later.
        alignment: of the two.
        notices: of the pair, those of the gate among them.
        settings: limits.
    """
    names = {side: LUNG_LABELS[side] for side in alignment.sides}
    quality = {names[s]: m.quality for s, m in alignment.sides.items()}
    near = {
        names[s]: m.near_lesions for s, m in alignment.sides.items() if m.near_lesions is not None
    }
    if any(n.code == "registration" and n.effect == "null" for n in notices):
        nothing = Restoration(reason="registration")
        changes = tuple(
            Change(m, "lungs", None, None, reason="registration") for m in PAIR_MEASURES
        )
        return Voxelwise(quality, near, nothing, reason="registration"), changes
    seen = see_followup(baseline.lungs, followup.scan, followup.lungs, followup.lesions, alignment)
    before = tissues(baseline.scan, baseline.lesions, seen.tissue > 0)
    unsure = near_borders(before, seen.tissue, baseline.scan.geometry.spacing_mm)
    table = transition_table(before, seen, unsure, baseline.lungs)
    maps = ChangeMaps(
        LabelMap(change_labels(before, seen.tissue), baseline.scan.geometry, CHANGE_LABELS),
        baseline.lungs,
        baseline.scan.hu,
        seen.hu,
        baseline.scan.source.stored,
    )
    restored, hu = _restoration(baseline, followup, alignment, notices, settings)
    changes = (hu, _index(restored, hu), _matched(baseline, followup, alignment))
    tracks = track_lesions(baseline, followup, alignment)
    return Voxelwise(quality, near, restored, table, tracks, maps=maps), changes


def _restoration(
    baseline: ScanResult,
    followup: ScanResult,
    alignment: Alignment,
    notices: tuple[Notice, ...],
    settings: Settings,
) -> tuple[Restoration, Change]:
    measure = "ct_number_baseline_region_hu"
    before = region_now(baseline, baseline.lesions.labels)
    reason = baseline.report["ct_number_lesion_hu"].reason
    taken = [n.code for n in notices if n.effect == "null" and "ct_number_lesion_hu" in n.affects]
    reason = reason or (taken[0] if taken else None)
    if reason is None and before.hu is None:
        reason = "lesion_small"
    if reason is not None:
        return Restoration(reason=reason), Change(measure, "lungs", None, None, reason=reason)
    region = _Carried(baseline, followup, alignment)
    after, even = region.now(baseline.lesions), region.even()
    if after.hu is None or before.hu is None or even is None:
        return (
            Restoration(before.hu, reason="region_lost"),
            Change(measure, "lungs", before.hu, None, reason="region_lost"),
        )
    change = _hu_change(baseline, alignment, region, before.hu, after.hu, even)
    known = references(baseline, followup, alignment, settings)
    index, fixed, why = _indices(before.hu, after.hu, known.baseline_hu, known.followup_hu)
    return (
        Restoration(
            before.hu,
            after.hu,
            after.sd,
            after.median,
            after.n_voxels,
            after.ml,
            known.baseline_hu,
            known.followup_hu,
            (known.baseline_ml, known.followup_ml),
            known.height_matched,
            index,
            fixed,
            why,
        ),
        change,
    )


def _indices(
    before: float, after: float, mine: float | None, theirs: float | None
) -> tuple[float | None, float | None, str | None]:
    if mine is None or theirs is None:
        return None, None, "no_reference"
    excess = before - mine
    if excess < LEAST_EXCESS_HU:
        return None, None, "excess_small"
    return 1.0 - (after - theirs) / excess, 1.0 - (after - mine) / excess, None


class _Carried:
    """Regions of the baseline in the follow-up; the way back of each voxel is found once."""

    def __init__(self, baseline: ScanResult, followup: ScanResult, alignment: Alignment) -> None:
        self._baseline, self._followup = baseline, followup
        geometry = baseline.scan.geometry
        self._back = tuple(lung_through(followup.lungs, alignment, geometry, back=True))
        self._tubes = tubes_of(followup)

    def now(self, labels: LabelMap, shift_mm: Float32Array | None = None) -> RegionNow:
        """The follow-up's CT numbers where labels of the baseline were, vessels left out."""
        return region_now(self._followup, self._where(labels, shift_mm))

    def even(self) -> float | None:
        """The mean over the baseline's lesions, were the follow-up's lungs inflated as then."""
        where = self._where(self._baseline.lesions)
        jacobian = jacobian_back(self._followup.lungs, self._back)
        return at_the_baselines_breath(self._followup, where, jacobian)

    def _where(self, labels: LabelMap, shift_mm: Float32Array | None = None) -> BoolArray:
        there = carried(labels, self._followup.lungs, self._back, shift_mm) > 0
        found: BoolArray = there & ~self._tubes
        return found


def _hu_change(
    baseline: ScanResult,
    alignment: Alignment,
    region: _Carried,
    before: float,
    after: float,
    even: float,
) -> Change:
    """The change with its interval.

    The lesions' edge is moved by a voxel, the alignment along each axis by what the way there and
    back disagree on; the interval opens on the side on which the breath moved it.
    """
    measure = "ct_number_baseline_region_hu"
    delta = after - before
    spread = [
        _EDGE_FLOOR_HU,
        _edge(baseline, region, delta),
        _slip(baseline, alignment, region, after),
    ]
    breath = after - even
    low, high = region_interval(delta, float(np.linalg.norm(spread)), breath)
    floor = FLOORS[measure](before, after)
    within = abs(delta) <= floor
    return Change(
        measure,
        "lungs",
        before,
        after,
        delta,
        low,
        high,
        floor=floor,
        within_noise=within,
        claimed=not within and not low <= 0.0 <= high,
        breath=breath,
    )


def region_interval(delta: float, size: float, breath: float) -> tuple[float, float]:
    """The interval of a change in the baseline's area that movements move by ``size`` HU."""
    near, far = FACTORS["ct_number_baseline_region_hu"] * size, WATERED_DOWN * size
    ends = delta - (near if delta > 0 else far), delta + (near if delta < 0 else far)
    low, high = with_breath(ends, breath)
    assert low is not None
    assert high is not None
    return low, high


def _edge(baseline: ScanResult, region: _Carried, delta: float) -> float:
    """How far the change moves with the lesions' edge, one voxel in and out."""
    moves = []
    for moved in (shrink_faces, grow_faces):
        mask = moved(baseline.lesions.labels > 0) & (baseline.lungs.labels > 0)
        labels = LabelMap(mask.astype(np.uint8), baseline.scan.geometry, {1: "lesion"})
        mine, theirs = region_now(baseline, mask), region.now(labels)
        if mine.hu is not None and theirs.hu is not None:
            moves.append(abs(theirs.hu - mine.hu - delta))
    return max(moves, default=0.0)


def _slip(baseline: ScanResult, alignment: Alignment, region: _Carried, after: float) -> float:
    """How far the follow-up's mean moves, root mean square, where the alignment slips."""
    reach = _disagreement_mm(alignment)
    moves = []
    for axis in range(3):
        for way in (-1, 1):
            by = np.zeros(3, np.float32)
            by[axis] = way * reach
            now = region.now(baseline.lesions, by)
            if now.hu is not None:
                moves.append(now.hu - after)
    return float(np.sqrt(np.mean(np.square(moves)))) if moves else 0.0


def _disagreement_mm(alignment: Alignment) -> float:
    """What the way there and back disagree on, in the worse lung, near lesions if there are any."""
    near = [m.near_lesions or m.quality for m in alignment.sides.values()]
    return max(q.inverse_mm for q in near)


def _index(restored: Restoration, hu: Change) -> Change:
    """The index with the interval of the CT number that it is made of.

    The breath moves the reference with the region, so its part of that interval is left out. The
    references of both scans are taken to be known to a few HU each.
    """
    name = "restoration_index"
    r = restored
    if r.index is None:
        return Change(name, "lungs", None, None, reason=r.reason)
    assert r.baseline_hu is not None
    assert r.reference_baseline_hu is not None
    assert r.reference_baseline_hu is not None
    ends = hu.low, hu.high, hu.delta
    assert None not in ends
    low, high, delta = (float(v or 0.0) for v in ends)
    breath, excess = hu.breath or 0.0, r.baseline_hu - r.reference_baseline_hu
    below, above = delta - low - max(0.0, breath), high - delta - max(0.0, -breath)
    less, more = (math.hypot(reach, *_REFERENCES_HU) / excess for reach in (above, below))
    return Change(name, "lungs", 0.0, r.index, r.index, r.index - less, r.index + more)


def _matched(baseline: ScanResult, followup: ScanResult, alignment: Alignment) -> Change:
    measure = "lesion_area_matched_cm2"
    area, level = (baseline.report[m] for m in ("lesion_area_max_cm2", "lesion_area_max_slice"))
    if area.value is None or level.value is None:
        why = area.reason or level.reason
        return Change(measure, "lungs", None, None, reason=why)
    k = int(level.value)
    area_at = partial(
        matched_area_cm2, k, baseline.lungs, followup.lungs, followup.lesions, alignment
    )
    after = area_at()
    if after is None:
        return Change(measure, "lungs", area.value, None, reason="region_lost")
    # Counted anew as the follow-up's is, in the lungs that were aligned: not read off the report.
    ill = (baseline.lesions.labels[k] > 0) & np.isin(
        baseline.lungs.labels[k], list(alignment.sides)
    )
    before = float(ill.sum()) * baseline.scan.geometry.pixel_area_mm2 / 100.0
    delta = after - before
    if area.low is None or area.high is None or not area.value:
        return Change(measure, "lungs", before, after, delta)
    reach = _disagreement_mm(alignment)
    moved = (area_at(higher_mm=way * reach) or 0.0 for way in (-1, 1))
    edge = 0.5 * (area.high - area.low) / area.value * max(before, after)
    size = math.hypot(edge, max(abs(a - after) for a in moved))
    return Change(measure, "lungs", before, after, delta, delta - size, delta + size)
