"""Lungs by a learned network, their aerated border drawn by density.

The network sees the whole thorax at a few millimetres and decides what is lung, dense lung
included, and on which side it lies. Where lung is aerated, the edge between air and tissue then
decides in a thin band at native resolution; where it is dense, the network does. The threshold
segmenter looks at the same scan, and where the two disagree a notice says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from ctlung.aorta import aorta_mask, find_aorta
from ctlung.arrays import BoolArray, Box, Float32Array, LabelArray, bounding_box
from ctlung.errors import NotChestCT
from ctlung.morphology import grow, grow_faces, open_, shrink_faces
from ctlung.network_grid import from_network_grid, to_network_grid
from ctlung.segmentation.body import AIR_HU, among, body_tissue
from ctlung.segmentation.crop import body_box, pasted
from ctlung.segmentation.disagreement import disagreements
from ctlung.segmentation.refine import refine
from ctlung.segmentation.sides import GAS_MEDIAN_HU, SHALLOW_SLICES, without_bowel_gas
from ctlung.segmentation.threshold import (
    Air,
    Found,
    ThresholdSegmenter,
    lost_dense_lung,
    native_lumen,
)
from ctlung.side_by_side import both
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import WorkingGrid, working_grid

WORKING_MM = 2.0
BODY_HU = -300.0
MARGIN_VOXELS = 4
DENSE_BALL_MM = 3.0
WALL_VOXELS = 2
AIR_VOXELS = 2
PERHAPS = 0.1
MIN_LUNGS_ML = 100.0
MIN_UNSEEN_ML = 500.0
"""Least lung to go on with; the second where no lung-like air was found by its density."""
ISLAND_ML = 20.0
FAR_ISLAND_MM = 10.0
FAR_ISLAND_SHARE = 0.05
AIRLESS_SHARE = 0.2
GAS_HU = -930.0
WHITE_LUNG_ML = 500.0
TOUCHING_SHARE = 0.1
AORTA_WALL_MM = 2.0
"""Unenhanced, the descending aorta looks like airless lung beside the left lung. Where it is found
by its shape, it is no lung."""

Probabilities = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True, eq=False)
class NetworkSegmenter:
    """A network and everything around it that makes lungs of what it says.

    Attributes:
        name: name and version of the model.
        weights_sha256: of its weights.
        voxel_mm: edge of the voxels that it sees.
        device: where it runs, for the provenance.
        probabilities: HU ``[z, y, x]`` to float32 ``[4, z, y, x]``: background, right lung, left
            lung, large airways.
        threshold: the segmenter that it is held against.
    """

    name: str
    weights_sha256: str
    voxel_mm: float
    device: str
    probabilities: Probabilities
    threshold: ThresholdSegmenter = field(default_factory=ThresholdSegmenter)

    def segment(self, scan: Scan) -> Segmentation:
        """Right (1) and left (2) lung on the grid of ``scan``.

        Fewer than five slices are left to the threshold segmenter: the network has learned from
        volumes.

        Raises:
            NotChestCT: there are no lungs.
        """
        if scan.geometry.shape[0] < SHALLOW_SLICES:
            return self.threshold.segment(scan)
        box = body_box(scan, WORKING_MM)
        return pasted(self._segment(scan.crop(box)), scan, box)

    def _segment(self, scan: Scan) -> Segmentation:
        grid = working_grid(scan, WORKING_MM)
        (right, left, airway), (body, air) = both(lambda: self._look(grid), lambda: self._air(grid))
        lungs = right + left
        coarse = np.where(lungs > 0.5, np.where(right >= left, 1, 2), 0).astype(np.uint8)
        found = None
        if air is not None:
            found = self.threshold.look(grid, air, np.where(right >= left, 1, 2).astype(np.uint8))
        aorta = aorta_beside(grid, found)
        coarse[aorta & (grid.hu >= AIR_HU)] = 0
        coarse = within_body(coarse, body)
        coarse[~without_bowel_gas(grid, coarse > 0)] = 0
        if found is not None:
            coarse = without_foreign(coarse, found, grid)
        coarse = without_islands(coarse, grid)
        _require_lungs(grid, coarse, found)
        dense = airless(coarse, grid)
        coarse = without_wall(coarse, dense, grid)
        free = (lungs > PERHAPS) & (airway < PERHAPS) & (grid.hu < AIR_HU)
        coarse = into_air(coarse, free)
        never = ((airway > 0.5) | aorta) & (coarse == 0)
        labels = refine(scan, grid, coarse, dense, never, AIR_HU, dense)
        lumen = None if found is None else native_lumen(scan, grid, found.lumen)
        return Segmentation(
            lungs=LabelMap(labels, scan.geometry, LUNG_LABELS),
            anatomy=Anatomy(airways=lumen),
            notices=(
                *disagreements(grid, coarse, None if found is None else found.lungs),
                *lost_dense_lung(grid, coarse, self.threshold.limits),
            ),
            segmenter=self.name,
            weights_sha256=self.weights_sha256,
            device=self.device,
        )

    def _look(self, grid: WorkingGrid) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Probabilities of right lung, left lung and large airways on the working grid."""
        hu = to_network_grid(np.maximum(grid.hu, -1024), grid.spacing_mm, self.voxel_mm)
        seen = bounding_box(hu > BODY_HU, (MARGIN_VOXELS,) * 3)
        classes = np.zeros((3, *hu.shape), np.float32)
        if seen is not None:
            classes[:, seen[0], seen[1], seen[2]] = self.probabilities(hu[seen])[1:]
        right, left, airway = (from_network_grid(c, self.voxel_mm, grid) for c in classes)
        return right, left, airway

    def _air(self, grid: WorkingGrid) -> tuple[BoolArray, Air | None]:
        """The body's tissue, and lung-like air if there is any."""
        body = body_tissue(grid)
        try:
            return body, self.threshold.air(grid, body)
        except NotChestCT:
            return body, None


def aorta_beside(grid: WorkingGrid, found: Found | None) -> BoolArray:
    """The descending aorta with its wall; nothing where it was not found for sure."""
    if found is None:
        return np.zeros(grid.hu.shape, dtype=bool)
    discs = find_aorta(grid, (found.lungs == 1, found.lungs == 2))
    return aorta_mask(grid, discs, AORTA_WALL_MM)


def _require_lungs(grid: WorkingGrid, coarse: LabelArray, found: Found | None) -> None:
    inside = grid.hu[shrink_faces(coarse > 0, 2)]
    ml = float((coarse > 0).sum()) * grid.voxel_ml
    what = "There is too little lung in it. "
    if len(inside) and float(np.median(inside)) < GAS_MEDIAN_HU:
        what = (
            f"What looks like lungs ({ml:.0f} ml, median {np.median(inside):.0f} HU) is gas "
            "without lung tissue, as in an empty phantom. "
        )
    elif ml >= (MIN_LUNGS_ML if found is not None else MIN_UNSEEN_ML):
        return
    raise NotChestCT(
        f"No lungs were found in this scan. {what}Check that the series shows the chest; "
        "`ctlung check` lists what the folder holds."
    )


def airless(coarse: LabelArray, grid: WorkingGrid) -> BoolArray:
    """Airless lung thicker than a ball of ``DENSE_BALL_MM``: there no edge of air can decide."""
    tissue = (coarse > 0) & (grid.hu >= AIR_HU)
    thick = grow(open_(tissue, DENSE_BALL_MM, grid.spacing_mm), DENSE_BALL_MM, grid.spacing_mm)
    dense: BoolArray = thick & (coarse > 0)
    return dense


def without_wall(coarse: LabelArray, dense: BoolArray, grid: WorkingGrid) -> LabelArray:
    """Lungs whose aerated border does not reach into the tissue around them."""
    outside = coarse == 0
    thin = ~outside & (grid.hu >= AIR_HU) & ~dense
    reached = outside
    for _ in range(WALL_VOXELS):
        reached = grow_faces(reached) & (reached | thin)
    return np.where(reached, 0, coarse).astype(np.uint8)


def into_air(coarse: LabelArray, free: BoolArray) -> LabelArray:
    """Lungs that reach the edge of the air that they touch, right and left in turn.

    ``free``: aerated voxels that may be lung.
    """
    out = coarse.copy()
    for _ in range(AIR_VOXELS):
        for side in (1, 2):
            out[grow_faces(out == side) & free & (out == 0)] = side
    return out


def without_foreign(coarse: LabelArray, found: Found, grid: WorkingGrid) -> LabelArray:
    """Lungs without what cannot be lung beside what the threshold segmenter found.

    Gas that it took for none of the lungs is in a bowel. Dense lung lies against aerated lung;
    a piece of tissue that hardly touches any is spleen, liver or heart. A side without air at
    all is as large as a lung and stays.
    """
    out = coarse.copy()
    beyond = (coarse > 0) & (found.lungs == 0)
    out[beyond & (grid.hu < GAS_HU)] = 0
    tissue = beyond & (grid.hu >= AIR_HU)
    labels, n = ndimage.label(open_(tissue, DENSE_BALL_MM, grid.spacing_mm))
    sizes = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml
    for i, where in enumerate(ndimage.find_objects(labels), start=1):
        if where is None or sizes[i] >= WHITE_LUNG_ML:
            continue
        z, y, x = (slice(max(0, w.start - 4), w.stop + 4) for w in where)
        core = labels[z, y, x] == i
        piece = grow_faces(core, 2) & tissue[z, y, x]
        around = grow_faces(piece) & ~piece
        if float(found.air[z, y, x][around].mean()) < TOUCHING_SHARE:
            out[z, y, x][piece] = 0
    return out


def within_body(coarse: LabelArray, body: BoolArray) -> LabelArray:
    """Pieces that lie mostly within the body: the foam of a table looks like lung."""
    out = coarse.copy()
    labels, n = ndimage.label(coarse > 0)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    inside = np.bincount(labels[among(body)], minlength=n + 1)
    outside = inside < 0.5 * sizes
    outside[0] = False
    out[outside[labels]] = 0
    return out


def without_islands(coarse: LabelArray, grid: WorkingGrid) -> LabelArray:
    """Small pieces join the lung that they touch, or go if they lie far from any or hold no air.

    A large piece stays wherever it lies: lung may be cut in two by disease or by the field.
    """
    out = coarse.copy()
    for side in (1, 2):
        labels, n = ndimage.label(out == side)
        if n < 2:
            continue
        sizes = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml
        sizes[0] = 0
        main = grow(labels == int(sizes.argmax()), FAR_ISLAND_MM, grid.spacing_mm)
        for i, where in enumerate(ndimage.find_objects(labels), start=1):
            if where is None or sizes[i] >= max(ISLAND_ML, FAR_ISLAND_SHARE * sizes.max()):
                continue
            z, y, x = (slice(max(0, w.start - 1), w.stop + 1) for w in where)
            wide = (z, y, x)
            piece = labels[wide] == i
            edge = grow_faces(piece) & ~piece
            if (out[wide][edge] == 3 - side).any():
                out[wide][piece] = 3 - side
            elif not (main[wide] & piece).any() or _airless(grid, wide, piece):
                out[wide][piece] = 0
    return out


def _airless(grid: WorkingGrid, box: Box, piece: BoolArray) -> bool:
    return float((grid.hu[box][piece] < AIR_HU).mean()) < AIRLESS_SHARE
