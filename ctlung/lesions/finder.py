"""What every lesion finder promises: it says where; density says how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ctlung.arrays import BoolArray, Box
from ctlung.lesions.border import lesion_labels
from ctlung.settings import Settings
from ctlung.vocabulary import LESION_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan
from ctlung.working_grid import WorkingGrid


@dataclass(frozen=True, eq=False)
class Located:
    """Where lesions lie, on the working grid; their border is still to be drawn.

    Attributes:
        grid: the working grid of the scan.
        box: the part of it that was looked at; ``None`` where there is no lung.
        where: bool ``[z, y, x]`` on that part: voxels near which lesion may lie.
        dense: of those, what is consolidation; ``None`` if density is to tell, voxel by voxel.
    """

    grid: WorkingGrid
    box: Box | None = None
    where: BoolArray | None = None
    dense: BoolArray | None = None


@runtime_checkable
class LesionFinder(Protocol):
    """Finds inflammation inside given lungs.

    ``for_scan`` says who looks at a scan: itself, or whoever takes its place where it cannot.
    ``name`` goes into the provenance, and so does ``weights_sha256``, ``None`` for a finder
    without weights. ``by_density`` says whether ``locate`` looks at the bands of the settings.
    """

    @property
    def name(self) -> str:
        """Name and version, for the provenance."""
        ...

    @property
    def weights_sha256(self) -> str | None:
        """Of its weights, if it has any."""
        ...

    @property
    def by_density(self) -> bool:
        """Whether ``locate`` depends on the bands."""
        ...

    def for_scan(self, scan: Scan) -> LesionFinder:
        """Who looks at this scan."""
        ...

    def locate(
        self, scan: Scan, lungs: LabelMap, anatomy: Anatomy | None, settings: Settings
    ) -> Located:
        """Where lesions lie; scan and lungs on one grid, 1 right and 2 left lung."""
        ...


def outline(scan: Scan, lungs: LabelMap, located: Located, settings: Settings) -> LabelMap:
    """Label ground-glass (1) and consolidation (2), uint8 ``[z, y, x]``, at native resolution."""
    out = np.zeros(scan.geometry.shape, dtype=np.uint8)
    if located.box is not None and located.where is not None:
        lesion_labels(
            scan, lungs, located.grid, located.box, located.where, settings, out, located.dense
        )
    return LabelMap(out, scan.geometry, LESION_LABELS)


def find_lesions(
    finder: LesionFinder,
    scan: Scan,
    lungs: LabelMap,
    anatomy: Anatomy | None = None,
    *,
    settings: Settings | None = None,
) -> LabelMap:
    """Label ground-glass (1) and consolidation (2) inside the lungs, uint8 ``[z, y, x]``.

    Args:
        finder: says where they are.
        scan: the scan.
        lungs: 1 right, 2 left, on the scan's grid.
        anatomy: airways, if known: the rule leaves them and their walls out.
        settings: bands and sizes; the defaults are those of FIELD 2.2.

    Raises:
        GeometryMismatch: the lungs do not lie on the scan's grid.
    """
    settings = settings or Settings()
    lungs.require_grid_of(scan.geometry)
    return outline(scan, lungs, finder.locate(scan, lungs, anatomy, settings), settings)
