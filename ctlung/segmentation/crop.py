"""The part of a scan that holds the body, and labels found there back on the whole scan.

Half of a field of view is air around the patient; nothing there has to be looked at.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ctlung.arrays import Box, bounding_box
from ctlung.morphology import open_box
from ctlung.segmentation.body import THIN_MM, TISSUE_HU
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import block_mean, block_size

COARSE_MM = 4.0
STEP_MM = 6.0
MARGIN_MM = 20.0
PIECE_SHARE = 0.02


def body_box(scan: Scan, working_mm: float) -> Box:
    """Whole slices of ``scan``, cut to rows and columns around everything thick and soft.

    Thick: wider than ``THIN_MM``; pieces smaller than ``PIECE_SHARE`` of the largest do not count.
    Starts and stops are multiples of the blocks of a working grid of ``working_mm``, so that its
    voxels stay the same. The whole volume, where there is no such tissue.
    """
    dz, dy, dx = scan.geometry.spacing_mm
    depth, *plane = scan.geometry.shape
    fy, fx = (max(1, round(COARSE_MM / d)) for d in (dy, dx))
    coarse = block_mean(scan.hu[:: max(1, round(STEP_MM / dz))], (1, fy, fx))
    ny, nx = (2 * round(THIN_MM / 2 / (f * d)) + 1 for f, d in ((fy, dy), (fx, dx)))
    thick = open_box(coarse > TISSUE_HU, (1, ny, nx))
    labels, _ = ndimage.label(thick)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    box = bounding_box((sizes >= max(1.0, PIECE_SHARE * sizes.max()))[labels])
    if box is None:
        return slice(0, depth), slice(0, plane[0]), slice(0, plane[1])
    cut = [slice(0, depth)]
    for found, n, f, d in zip(box[1:], plane, (fy, fx), (dy, dx), strict=True):
        block, margin = block_size(d, working_mm), round(MARGIN_MM / d)
        start = max(0, found.start * f - margin) // block * block
        stop = -(-(found.stop * f + margin) // block) * block
        cut.append(slice(start, min(n, stop)))
    return cut[0], cut[1], cut[2]


def pasted(found: Segmentation, scan: Scan, box: Box) -> Segmentation:
    """What was found in ``box``, on the grid of the whole ``scan``; background elsewhere."""
    labels = np.zeros(scan.geometry.shape, np.uint8)
    labels[box] = found.lungs.labels
    airways = None
    if found.anatomy.airways is not None:
        airways = np.zeros(scan.geometry.shape, bool)
        airways[box] = found.anatomy.airways
    return replace(
        found,
        lungs=LabelMap(labels, scan.geometry, found.lungs.names),
        anatomy=Anatomy(airways=airways),
    )
