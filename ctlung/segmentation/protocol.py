"""What every segmenter promises, and how one is loaded by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ctlung.volume import Scan, Segmentation


@runtime_checkable
class Segmenter(Protocol):
    """Finds the lungs of a scan.

    ``name`` goes into the provenance. ``segment`` takes any :class:`~ctlung.volume.Scan` and
    returns labels 1 (right lung) and 2 (left lung) on that scan's own grid: consolidated lung,
    nodules and intrapulmonary vessels in; trachea, main bronchi, hilar vessels, effusion out
    (FIELD 4.1). The scan is not changed, and one segmenter serves any number of scans.
    """

    @property
    def name(self) -> str:
        """Name and version, for the provenance."""
        ...

    def segment(self, scan: Scan) -> Segmentation:
        """Labels on the grid of ``scan``; raises ``NotChestCT`` where there are no lungs."""
        ...
