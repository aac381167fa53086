"""Inflammation by a learned network: it says where and of which kind, density draws the border.

The network sees one lung at a time at 2 mm. Its answer is brought to the working grid, and the
border is then drawn at native resolution as for the rule (:mod:`ctlung.lesions.border`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, Box, Float32Array, bounding_box
from ctlung.lesions.finder import LesionFinder, Located
from ctlung.lesions.network_input import VOXEL_MM, aerated_peak, channels
from ctlung.lesions.rules import RuleFinder
from ctlung.network_grid import from_network_grid, to_network_grid
from ctlung.settings import Settings
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

WORKING_MM = 2.0
MARGIN_MM = 16.0
CUT = 0.5
FEWEST_SLICES = 5

Probabilities = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True, eq=False)
class LearnedFinder:
    """A network and what makes lesions of what it says.

    Attributes:
        name: name and version of the model, for the provenance.
        weights_sha256: of its weights.
        probabilities: channels ``[4, z, y, x]`` (:func:`~ctlung.lesions.network_input.channels`)
            to float32 ``[3, z, y, x]``: none, ground-glass, consolidation.
    """

    name: str
    weights_sha256: str
    probabilities: Probabilities

    by_density: bool = False

    def for_scan(self, scan: Scan) -> LesionFinder:
        """Itself; the rule where there are too few slices for a network that looks in space."""
        return self if scan.hu.shape[0] >= FEWEST_SLICES else RuleFinder()

    def locate(
        self, scan: Scan, lungs: LabelMap, anatomy: Anatomy | None, settings: Settings
    ) -> Located:
        """Where lesions lie and of which kind, on the working grid.

        ``anatomy`` and ``settings`` are not used: the network knows airways and vessels by their
        looks.
        """
        grid = working_grid(scan, WORKING_MM)
        sides = [block_mean(lungs.labels == side, grid.factors) for side in (1, 2)]
        small = bounding_box((sides[0] + sides[1]) > 0.5, grid.voxels(MARGIN_MM))
        if small is None:
            return Located(grid)
        glass, dense = self._look(_part(grid, small), [side[small] for side in sides])
        where = ((sides[0] + sides[1])[small] > 0.5) & (glass + dense > CUT)
        return Located(grid, small, where, dense > glass)

    def _look(
        self, grid: WorkingGrid, sides: list[Float32Array]
    ) -> tuple[Float32Array, Float32Array]:
        """Probabilities of ground-glass and of consolidation on the working grid."""
        hu = to_network_grid(np.maximum(grid.hu, -1024), grid.spacing_mm, VOXEL_MM)
        lungs = [to_network_grid(side, grid.spacing_mm, VOXEL_MM) > 0.5 for side in sides]
        peak = aerated_peak(hu, lungs[0] | lungs[1])
        found = np.zeros((2, *hu.shape), np.float32)
        for lung, step in zip(lungs, (1, -1), strict=True):
            box = bounding_box(lung, (round(MARGIN_MM / VOXEL_MM),) * 3)
            if box is not None:
                # The left lung is shown in the mirror, so that a mirrored patient is the same.
                seen = channels(hu[box], lung[box], peak)[..., ::step]
                one = self.probabilities(np.ascontiguousarray(seen))[1:, ..., ::step]
                here = found[:, box[0], box[1], box[2]]
                np.copyto(here, one, where=lung[box])
        glass, dense = (from_network_grid(f, VOXEL_MM, grid) for f in found)
        return glass, dense


def _part(grid: WorkingGrid, small: Box) -> WorkingGrid:
    padding: BoolArray | None = None if grid.padding is None else grid.padding[small]
    return WorkingGrid(grid.hu[small], grid.spacing_mm, grid.factors, grid.native_shape, padding)
