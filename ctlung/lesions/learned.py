"""Inflammation by a learned network: it says where and of which kind, density draws the border.

The network sees one lung at a time at 2 mm. Its answer is brought to the working grid, and the
border is then drawn at native resolution as for the rule (:mod:`ctlung.lesions.border`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, Box, Float32Array, bounding_box
from ctlung.lesions.border import lesion_labels
from ctlung.lesions.network_input import VOXEL_MM, aerated_peak, channels
from ctlung.network_grid import from_network_grid, to_network_grid
from ctlung.settings import Settings
from ctlung.vocabulary import LESION_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

WORKING_MM = 2.0
MARGIN_MM = 16.0
CUT = 0.5

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

    def find(
        self,
        scan: Scan,
        lungs: LabelMap,
        anatomy: Anatomy | None = None,
        *,
        settings: Settings | None = None,
    ) -> LabelMap:
        """Label ground-glass (1) and consolidation (2) inside the lungs, uint8 ``[z, y, x]``.

        Args:
            scan: the scan.
            lungs: 1 right, 2 left, on the scan's grid.
            anatomy: not used: the network knows airways and vessels by their looks.
            settings: where the border may lie; the defaults are those of FIELD 2.2.

        Raises:
            GeometryMismatch: the lungs do not lie on the scan's grid.
        """
        settings = settings or Settings()
        lungs.require_grid_of(scan.geometry)
        out = np.zeros(scan.geometry.shape, dtype=np.uint8)
        grid = working_grid(scan, WORKING_MM)
        sides = [block_mean(lungs.labels == side, grid.factors) for side in (1, 2)]
        small = bounding_box((sides[0] + sides[1]) > 0.5, grid.voxels(MARGIN_MM))
        if small is not None:
            part = _part(grid, small)
            glass, dense = self._look(part, [side[small] for side in sides])
            where = ((sides[0] + sides[1])[small] > 0.5) & (glass + dense > CUT)
            lesion_labels(scan, lungs, grid, small, where, settings, out, dense > glass)
        return LabelMap(out, scan.geometry, LESION_LABELS)

    def _look(
        self, grid: WorkingGrid, sides: list[Float32Array]
    ) -> tuple[Float32Array, Float32Array]:
        """Probabilities of ground-glass and of consolidation on the working grid."""
        hu = to_network_grid(np.maximum(grid.hu, -1024), grid.spacing_mm, VOXEL_MM)
        lungs = [to_network_grid(side, grid.spacing_mm, VOXEL_MM) > 0.5 for side in sides]
        peak = aerated_peak(hu, lungs[0] | lungs[1])
        found = np.zeros((2, *hu.shape), np.float32)
        for lung in lungs:
            box = bounding_box(lung, (round(MARGIN_MM / VOXEL_MM),) * 3)
            if box is not None:
                one = self.probabilities(channels(hu[box], lung[box], peak))[1:]
                here = found[:, box[0], box[1], box[2]]
                np.copyto(here, one, where=lung[box])
        glass, dense = (from_network_grid(f, VOXEL_MM, grid) for f in found)
        return glass, dense


def _part(grid: WorkingGrid, small: Box) -> WorkingGrid:
    padding: BoolArray | None = None if grid.padding is None else grid.padding[small]
    return WorkingGrid(grid.hu[small], grid.spacing_mm, grid.factors, grid.native_shape, padding)
