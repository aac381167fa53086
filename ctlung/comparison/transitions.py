"""What became of each part of the baseline's lungs (FIELD 6, transition table)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.alignment import Alignment
from ctlung.arrays import BoolArray, bounding_box
from ctlung.change_records import Transition
from ctlung.comparison.carried import lung_through, nearest
from ctlung.vocabulary import TISSUES
from ctlung.volume import HU_MIN, LabelMap, Scan

HYPERLUCENT_BELOW_HU = -950
UNCERTAIN_MM = 2.5
"""Half the width of the band along borders in which neighbours may be mixed up."""

NONE, GROUND_GLASS, CONSOLIDATION, HYPERLUCENT, AERATED, OUTSIDE = range(6)
RESOLVED, PERSISTENT, NEW, WORSENED, IMPROVED = range(1, 6)


@dataclass(frozen=True, eq=False)
class Seen:
    """The follow-up as seen from the baseline's grid ``[z, y, x]``.

    Attributes:
        tissue: of the follow-up at each voxel of the baseline's lungs, numbers as ``TISSUES``
            counts them from 1; 0 where nothing is known.
        hu: int16, the follow-up's CT number there, ``HU_MIN`` elsewhere.
        share: volume there per volume here, float32, 0 elsewhere.
    """

    tissue: NDArray[np.uint8]
    hu: NDArray[np.int16]
    share: NDArray[np.float32]


def see_followup(
    lungs: LabelMap, scan: Scan, their_lungs: LabelMap, lesions: LabelMap, alignment: Alignment
) -> Seen:
    """Read the follow-up through the alignment: nearest label, nearest voxel.

    Args:
        lungs: of the baseline.
        scan: the follow-up.
        their_lungs: its lungs.
        lesions: its lesions.
        alignment: of the two.
    """
    shape = lungs.labels.shape
    out = np.zeros(lungs.labels.size, np.uint8)
    hu = np.full(lungs.labels.size, HU_MIN, np.int16)
    share = np.zeros(lungs.labels.size, np.float32)
    for seen in lung_through(lungs, alignment, scan.geometry):
        value = nearest(scan.hu, seen.there, HU_MIN)
        lesion = nearest(lesions.labels, seen.there)
        tissue = np.where(value < HYPERLUCENT_BELOW_HU, HYPERLUCENT, AERATED).astype(np.uint8)
        tissue = np.where(lesion > 0, lesion, tissue)
        tissue[nearest(their_lungs.labels, seen.there) == 0] = OUTSIDE
        out[seen.here], hu[seen.here], share[seen.here] = tissue, value, seen.jacobian
    return Seen(out.reshape(shape), hu.reshape(shape), share.reshape(shape))


def tissues(scan: Scan, lesions: LabelMap, where: BoolArray) -> NDArray[np.uint8]:
    """The baseline's own tissue of voxels in ``where``, numbered as in ``Seen``."""
    bare = np.where(scan.hu < HYPERLUCENT_BELOW_HU, HYPERLUCENT, AERATED).astype(np.uint8)
    return np.where(where, np.where(lesions.labels > 0, lesions.labels, bare), 0).astype(np.uint8)


def near_borders(
    a: NDArray[np.uint8], b: NDArray[np.uint8], spacing_mm: tuple[float, ...]
) -> BoolArray:
    """Within 2.5 mm of a border between none, ground-glass and consolidation, in either."""
    size = tuple(2 * max(1, round(UNCERTAIN_MM / s)) + 1 for s in spacing_mm)
    found = np.zeros(a.shape, bool)
    for tissue in (a, b):
        lesion = np.where(tissue <= CONSOLIDATION, tissue, 0).astype(np.uint8)
        box = bounding_box(lesion > 0, (size[0], size[1], size[2]))
        if box is None:
            continue
        part = lesion[box]
        low = ndimage.minimum_filter(part, size, mode="nearest")
        high = ndimage.maximum_filter(part, size, mode="nearest")
        found[box] |= low != high
    return found


def transition_table(
    before: NDArray[np.uint8], seen: Seen, uncertain: BoolArray, lungs: LabelMap
) -> tuple[Transition, ...]:
    """Millilitres from each tissue to each.

    ``ml`` counts the baseline's volume, so rows sum to what the baseline had; ``followup_ml``
    weighs with the change of volume, so columns come near the follow-up's own volumes.
    """
    known = (before > 0) & (seen.tissue > 0)
    weights = np.broadcast_to(
        lungs.geometry.voxel_volumes_ml.astype(np.float64)[:, None, None], before.shape
    )[known]
    pair = before[known].astype(np.intp) * 8 + seen.tissue[known]
    doubt = uncertain[known] & (before[known] != seen.tissue[known])

    def sums(w: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(pair, weights=w, minlength=64).astype(np.float64)

    ml, theirs = sums(weights), sums(weights * seen.share[known])
    unsure = sums(weights * doubt)
    rows = []
    for b, mine in enumerate(TISSUES[:-1], start=1):
        for f, other in enumerate(TISSUES, start=1):
            at = b * 8 + f
            rows.append(
                Transition(mine, other, float(ml[at]), float(theirs[at]), float(unsure[at]))
            )
    return tuple(rows)


def change_labels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 resolved, 2 persistent, 3 new, 4 worsened, 5 improved, on the baseline's grid."""
    ill = (before == GROUND_GLASS) | (before == CONSOLIDATION)
    still = (after == GROUND_GLASS) | (after == CONSOLIDATION)
    out = np.zeros(before.shape, np.uint8)
    out[ill & ((after == AERATED) | (after == HYPERLUCENT))] = RESOLVED
    out[ill & still & (before == after)] = PERSISTENT
    out[((before == AERATED) | (before == HYPERLUCENT)) & still] = NEW
    out[(before == GROUND_GLASS) & (after == CONSOLIDATION)] = WORSENED
    out[(before == CONSOLIDATION) & (after == GROUND_GLASS)] = IMPROVED
    return out
