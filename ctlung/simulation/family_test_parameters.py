"""What the test family spans (HOUSE 5). Its sha256 is recorded with every benchmark.

A change here changes every figure: it needs a note and the old and new figures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """Ranges of the test family; volumes log-uniform, all else uniform."""

    ml: tuple[float, float] = (0.5, 300.0)
    ground_glass_rise_hu: tuple[float, float] = (80.0, 350.0)
    consolidation_hu: tuple[float, float] = (-100.0, 60.0)
    edge_mm: tuple[float, float] = (0.0, 6.0)
    touching_pleura: float = 0.65
    lower: tuple[float, float] = (0.0, 1.0)
    lesions: tuple[int, int] = (1, 6)
    ground_glass: float = 0.45
    crazy_paving: float = 0.15
    consolidation: float = 0.32
    collapse: float = 0.08
    effusion: float = 0.15
    effusion_ml: tuple[float, float] = (30.0, 400.0)
    effusion_hu: tuple[float, float] = (0.0, 25.0)
    collapse_ml: tuple[float, float] = (10.0, 200.0)
    collapse_hu: tuple[float, float] = (20.0, 60.0)
    air_bronchogram: float = 0.5
    air_bronchogram_from_ml: float = 8.0
    field_mm: tuple[float, float] = (5.0, 14.0)
    stretch: tuple[float, float] = (1.0, 2.5)
    roughness: tuple[float, float] = (0.08, 0.35)
    texture_fraction: float = 0.15
    septum_cell_mm: tuple[float, float] = (9.0, 16.0)
    septum_hu: float = 180.0


PARAMETERS = Parameters()
