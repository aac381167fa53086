"""Two visits of a chest of blocks, laid on one another by a map that is known."""

from __future__ import annotations

import numpy as np

from ctlung.alignment import Alignment, Field, PatientGrid, SideMaps, inverse_of
from ctlung.arrays import Box
from ctlung.change_records import Comparison, Quality
from ctlung.comparison.compare import compare_reports, with_voxels
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.records import ScanResult
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan

GRID = Geometry.from_spacing((60, 60, 100), (2.5, 2.5, 2.5), (-124.0, -74.0, 0.0))
GOOD = Quality(0.99, 0.4, 0.8, 1.5, 1.2, 0.0, 0.0)
VOXEL_ML = 2.5**3 / 1000
AERATED = -850


def block_lungs() -> np.ndarray:
    z, y, x = (np.arange(n, dtype=float) for n in GRID.shape)
    out = np.zeros(GRID.shape, np.uint8)
    for label, middle in ((1, 25), (2, 75)):
        gap = (
            ((z[:, None, None] - 30) / 26) ** 2
            + ((y[None, :, None] - 30) / 26) ** 2
            + ((x[None, None, :] - middle) / 20) ** 2
        )
        out[gap < 1] = label
    return out


def blocks(*parts: tuple[Box, int], lift: int = 0) -> ScanResult:
    """Lungs of one CT number with blocks of another; all moved by whole slices."""
    lungs = block_lungs()
    hu = np.where(lungs > 0, AERATED, 40).astype(np.int16)
    lesions = np.zeros_like(lungs)
    for where, value in parts:
        hu[where] = value
        lesions[where] = 2 if value > -300 else 1
    lesions[lungs == 0] = 0
    hu, lungs, lesions = (np.roll(a, lift, axis=0) for a in (hu, lungs, lesions))
    scan = Scan(hu, GRID)
    maps = LabelMap(lungs, GRID, LUNG_LABELS), LabelMap(lesions, GRID, LESION_LABELS)
    return ScanResult(scan, *maps, analyze(scan, *maps, ()))


def known_alignment(lift: int = 0, quality: Quality = GOOD) -> Alignment:
    grid = PatientGrid((-124.0, -74.0, 0.0), 2.5, GRID.shape)
    moved = np.zeros((3, *GRID.shape), np.float32)
    moved[2] = 2.5 * lift
    forward = Field(grid, moved)
    maps = SideMaps(forward, inverse_of(forward, grid), quality)
    return Alignment({1: maps, 2: maps})


def compared(b: ScanResult, f: ScanResult, lift: int = 0, quality: Quality = GOOD) -> Comparison:
    return with_voxels(compare_reports(b.report, f.report), b, f, known_alignment(lift, quality))


BOX = (slice(20, 32), slice(30, 42), slice(18, 30))
CORE = (slice(24, 28), slice(34, 38), slice(22, 26))
OTHER = (slice(34, 42), slice(20, 28), slice(70, 78))
