"""Which lesion of the follow-up was which at baseline: a secondary result (FIELD 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from ctlung.alignment import Alignment, index_of
from ctlung.arrays import bounding_box
from ctlung.change_records import Track
from ctlung.comparison.carried import nearest, points_of
from ctlung.records import ScanResult
from ctlung.vocabulary import LUNG_LABELS

LEAST_OVERLAP_ML = 0.1
_NEIGHBOURS_26 = np.ones((3, 3, 3), bool)


def track_lesions(
    baseline: ScanResult, followup: ScanResult, alignment: Alignment
) -> tuple[Track, ...]:
    """Groups of lesions that overlap by 0.1 ml or more once they lie on one another.

    Lesions are those of the reports, connected pieces of 0.1 ml and more. Trap: a piece of one
    may touch another in one scan only, so lesions merge and split by a voxel; volumes of groups
    do not mind.

    Args:
        baseline: with its lesions.
        followup: likewise.
        alignment: of the two.
    """
    found: list[Track] = []
    for side in alignment.sides:
        mine, theirs = _Pieces.of(baseline, side), _Pieces.of(followup, side)
        found += _groups(mine, theirs, _overlaps(mine, theirs, alignment, side), side)
    return tuple(sorted(found, key=lambda t: (-max(t.baseline_ml, t.followup_ml), t.region)))


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Connected lesions of one lung, numbered as the report numbers its lesions.

    ``numbers`` hold the report's numbers in the lung's box, which starts at ``start``.
    """

    result: ScanResult
    numbers: NDArray[np.int32]
    start: tuple[int, int, int]
    ml: Mapping[int, float]

    @classmethod
    def of(cls, result: ScanResult, side: int) -> _Pieces:
        lung = result.lungs.labels == side
        box = bounding_box(lung)
        if box is None:
            return cls(result, np.zeros((0, 0, 0), np.int32), (0, 0, 0), {})
        pieces, count = ndimage.label(
            (result.lesions.labels[box] > 0) & lung[box], structure=_NEIGHBOURS_26
        )
        start = (box[0].start, box[1].start, box[2].start)
        region = LUNG_LABELS[side]
        known = {(lesion.region, lesion.box): lesion for lesion in result.report.lesions}
        table, ml = np.zeros(count + 1, np.int32), {}
        for piece, place in enumerate(ndimage.find_objects(pieces), start=1):
            ends = tuple((s.start + o, s.stop + o) for s, o in zip(place, start, strict=True))
            lesion = known.get((region, (ends[0], ends[1], ends[2])))
            if lesion is not None and lesion.volume_ml is not None:
                table[piece], ml[lesion.label] = lesion.label, lesion.volume_ml
        return cls(result, table[pieces], start, ml)


def _overlaps(
    mine: _Pieces, theirs: _Pieces, alignment: Alignment, side: int
) -> dict[tuple[int, int], float]:
    """Ml of each pair of lesions that lies in both, in the baseline's volume."""
    index = np.stack(np.nonzero(mine.numbers))
    if not index.shape[1] or not theirs.ml:
        return {}
    numbers = mine.numbers[index[0], index[1], index[2]]
    index = index + np.array(mine.start)[:, None]
    geometry = mine.result.scan.geometry
    there = alignment.sides[side].forward(points_of(geometry, index))
    place = index_of(theirs.result.scan.geometry, there) - np.array(theirs.start)[:, None]
    others = nearest(theirs.numbers, place.astype(np.float32))
    volume = geometry.voxel_volumes_ml[index[0]]
    hit = others > 0
    pairs, back = np.unique(np.stack([numbers[hit], others[hit]]), axis=1, return_inverse=True)
    sums = np.bincount(back.ravel(), weights=volume[hit], minlength=pairs.shape[1])
    return {(int(a), int(b)): float(ml) for (a, b), ml in zip(pairs.T, sums, strict=True)}


def _groups(
    mine: _Pieces, theirs: _Pieces, overlaps: Mapping[tuple[int, int], float], side: int
) -> list[Track]:
    first, second = sorted(mine.ml), sorted(theirs.ml)
    size = len(first) + len(second)
    if not size:
        return []
    links = [
        (first.index(a), len(first) + second.index(b))
        for (a, b), ml in overlaps.items()
        if ml >= min(LEAST_OVERLAP_ML, mine.ml[a], theirs.ml[b])
    ]
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (size, size))
    count, group = sparse.csgraph.connected_components(graph, directed=False)
    tracks = []
    for number in range(count):
        members = np.flatnonzero(group == number)
        before = tuple(first[m] for m in members if m < len(first))
        after = tuple(second[m - len(first)] for m in members if m >= len(first))
        tracks.append(
            Track(
                LUNG_LABELS[side],
                _fate(len(before), len(after)),
                before,
                after,
                sum(mine.ml[a] for a in before),
                sum(theirs.ml[b] for b in after),
            )
        )
    return tracks


def _fate(before: int, after: int) -> str:
    if not before:
        return "new"
    if not after:
        return "resolved"
    if before == after == 1:
        return "persistent"
    return "split" if before == 1 else "merged" if after == 1 else "regrouped"
