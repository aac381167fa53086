"""Lungs by density and shape alone, without learned weights.

Good on healthy and mildly diseased lungs. It cannot see airless lung that touches the chest
wall or the mediastinum, and says so where that probably happened (``dense_lung_lost``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctlung.arrays import BoolArray, LabelArray, bounding_box
from ctlung.errors import NotChestCT
from ctlung.morphology import close, fill_holes, fill_small_holes, grow, open_
from ctlung.notices import Notice
from ctlung.segmentation.airways import find_airways, large_airways, midline_mm
from ctlung.segmentation.body import AIR_HU, air_inside
from ctlung.segmentation.crop import body_box, pasted
from ctlung.segmentation.dense_lung import suspect_lost_lung
from ctlung.segmentation.refine import native_box, refine
from ctlung.segmentation.sides import MIN_LUNG_ML, lung_parts, split_sides, without_bowel_gas
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import WorkingGrid, spread, working_grid

VERSION = "1"
HOLE_MM2 = 150.0


@dataclass(frozen=True, eq=False)
class Air:
    """Air on the working grid, right and left not yet told apart.

    Attributes:
        parts: lung-like air, ml and bool ``[z, y, x]``, largest first.
        lumen: of the airways.
        airways: the large ones with their walls.
        hila: what lies close to the large airways.
    """

    parts: tuple[tuple[float, BoolArray], ...]
    lumen: BoolArray
    airways: BoolArray
    hila: BoolArray


@dataclass(frozen=True, eq=False)
class Found:
    """What was found on the working grid.

    Attributes:
        lungs: 1 right, 2 left; closed and filled.
        air: the lung-like air among it.
        lumen: of trachea and bronchi.
        airways: of the large ones, with their walls.
        cut: whether right and left touched and were cut apart.
    """

    lungs: LabelArray
    air: BoolArray
    lumen: BoolArray
    airways: BoolArray
    cut: bool


@dataclass(frozen=True)
class ThresholdSegmenter:
    """The segmenter without weights.

    Attributes:
        closing_mm: radius of the ball that closes vessels and nodules at the lung's surface.
        airway_wall_mm: what is taken off around the lumen of the large airways.
        hilum_mm: around them, tissue is hilum and never filled in as lung.
        stump_mm: what is narrower than a ball of this radius, beside an airway, is a bronchus
            on its way into the lung.
        working_mm: voxel size at which shape is decided.
        behind_warn_percent, dents_warn_ml: suspected lost dense lung of one side from which a
            notice is raised. Set by looking at all scans at hand; some healthy ones exceed
            ``dents_warn_ml`` (docs/benchmarks/README.md).
    """

    closing_mm: float = 6.0
    airway_wall_mm: float = 2.0
    hilum_mm: float = 6.0
    stump_mm: float = 6.0
    working_mm: float = 2.0
    behind_warn_percent: float = 10.0
    dents_warn_ml: float = 20.0

    @property
    def name(self) -> str:
        """Name and version."""
        return f"threshold-{VERSION}"

    def segment(self, scan: Scan) -> Segmentation:
        """Right (1) and left (2) lung on the grid of ``scan``.

        Raises:
            NotChestCT: there is no lung-like air in the body.
        """
        box = body_box(scan, self.working_mm)
        return pasted(self._segment(scan.crop(box)), scan, box)

    def _segment(self, scan: Scan) -> Segmentation:
        grid = working_grid(scan, self.working_mm)
        found = self.look(grid, self.air(grid))
        coarse = found.lungs
        filled = (coarse > 0) & ~found.air
        labels = refine(scan, grid, coarse, filled, found.airways & ~found.air, AIR_HU)
        notices = (*_touching(found.cut), *lost_dense_lung(grid, coarse, self.limits))
        return Segmentation(
            lungs=LabelMap(labels, scan.geometry, LUNG_LABELS),
            anatomy=Anatomy(airways=native_lumen(scan, grid, found.lumen)),
            notices=notices,
            segmenter=self.name,
        )

    @property
    def limits(self) -> tuple[float, float]:
        """``behind_warn_percent`` and ``dents_warn_ml``."""
        return self.behind_warn_percent, self.dents_warn_ml

    def air(self, grid: WorkingGrid, body: BoolArray | None = None) -> Air:
        """Lung-like air and airways on the working grid: what can be told before the sides.

        Args:
            grid: the scan at about ``working_mm``.
            body: the body's tissue, where it is known.

        Raises:
            NotChestCT: there is no lung-like air in the body.
        """
        inside = air_inside(grid, body)
        lumen = find_airways(grid, inside)
        large = large_airways(lumen, grid)
        airways = grow(large, self.airway_wall_mm, grid.spacing_mm)
        hila = grow(large, self.hilum_mm, grid.spacing_mm)
        parts = self._parts(grid, inside & ~airways)
        if not parts:
            raise NotChestCT(_no_lungs(grid, inside))
        return Air(tuple(parts), lumen, airways, hila)

    def look(self, grid: WorkingGrid, air: Air, sides: LabelArray | None = None) -> Found:
        """Lungs and airways on the working grid.

        Args:
            grid: the scan at about ``working_mm``.
            air: what :meth:`air` found there.
            sides: 1 or 2 everywhere, where somebody else has told right from left.
        """
        parts = list(air.parts)
        if sides is None:
            raw, cut = split_sides(grid, parts, _middle(grid, parts))
        else:
            aerated = np.logical_or.reduce([part for _, part in parts])
            raw, cut = np.where(aerated, sides, 0).astype(np.uint8), False
        lungs = self._fill(grid, raw, air.hila)
        lungs[self._stumps(grid, lungs, air.lumen)] = 0
        return Found(lungs, raw > 0, air.lumen, air.airways, cut)

    def _parts(self, grid: WorkingGrid, air: BoolArray) -> list[tuple[float, BoolArray]]:
        joined = lung_parts(grid, air)
        freed = np.zeros_like(air)
        for _, part in joined:
            freed |= without_bowel_gas(grid, part)
        return lung_parts(grid, freed)

    def _fill(self, grid: WorkingGrid, raw: LabelArray, hila: BoolArray) -> LabelArray:
        """Close the surface and fill what it encloses, each side for itself, but no hilum."""
        out = raw.copy()
        for side in (1, 2):
            solid = fill_holes(close(raw == side, self.closing_mm, grid.spacing_mm))
            solid = fill_small_holes(solid, HOLE_MM2 / (grid.spacing_mm[1] * grid.spacing_mm[2]))
            out[solid & (out == 0) & ~hila] = side
        return out

    def _stumps(self, grid: WorkingGrid, coarse: LabelArray, lumen: BoolArray) -> BoolArray:
        """Bronchi with their walls that stick out of the lung into the hilum."""
        stumps = np.zeros_like(lumen)
        if not lumen.any():
            return stumps
        near = grow(lumen, self.hilum_mm, grid.spacing_mm)
        for side in (1, 2):
            lung = coarse == side
            stumps |= lung & near & ~open_(lung, self.stump_mm, grid.spacing_mm)
        return stumps


def lost_dense_lung(
    grid: WorkingGrid, lungs: LabelArray, limits: tuple[float, float]
) -> tuple[Notice, ...]:
    """Notices ``dense_lung_lost``: where lungs that were found lie too far from the ribs.

    Args:
        grid: the scan.
        lungs: 1 right, 2 left, on that grid.
        limits: percent behind which soft tissue lies, and ml of dents, that are still normal.
    """
    behind_limit, dents_limit = limits
    notices = []
    for side, found in suspect_lost_lung(grid, lungs).items():
        name = LUNG_LABELS[side]
        lung = f"{name.split('_')[0]} lung"
        if found.behind_percent > behind_limit:
            notices.append(
                _dense_lung_lost(
                    f"Behind {found.behind_percent:.0f} % of the {lung} that was found, more "
                    "than 20 mm of soft tissue lie before the ribs",
                    (found.behind_percent, behind_limit, "%"),
                    name,
                )
            )
        elif found.dents_ml > dents_limit:
            notices.append(
                _dense_lung_lost(
                    f"The outer surface of the {lung} that was found is dented by about "
                    f"{found.dents_ml:.0f} ml of soft tissue",
                    (found.dents_ml, dents_limit, "ml"),
                    name,
                )
            )
    return tuple(notices)


def _dense_lung_lost(what: str, figures: tuple[float, float, str], region: str) -> Notice:
    measured, limit, unit = figures
    return Notice(
        "dense_lung_lost",
        "warn",
        f"{what}: consolidation, effusion or tumour was probably left out. Look at overlay.png; "
        "lung volume and inflammatory area may be too small.",
        measured=round(measured, 1),
        limit=limit,
        unit=unit,
        affects=("volumes", "lesions"),
        regions=(region,),
    )


def _no_lungs(grid: WorkingGrid, inside: BoolArray) -> str:
    ml = float(inside.sum()) * grid.voxel_ml
    what = "there is no lung-like air inside the body"
    if ml > MIN_LUNG_ML:
        median = float(np.median(grid.hu[inside]))
        what = (
            f"the {ml:.0f} ml of air inside the body (median {median:.0f} HU) are gas without "
            "lung tissue, as in bowel or an empty phantom, or pieces too small to be a lung"
        )
    return (
        f"No lungs were found: {what}. Check that the series shows the chest; `ctlung check` "
        "lists what the folder holds."
    )


def _touching(cut: bool) -> tuple[Notice, ...]:
    if not cut:
        return ()
    return (
        Notice(
            "lungs_touch",
            "note",
            "Right and left lung touch; the border between them was drawn where the connection "
            "is thinnest.",
        ),
    )


def _middle(grid: WorkingGrid, parts: list[tuple[float, BoolArray]]) -> float:
    """x of the patient's middle, weighted by how much lung each slice holds."""
    area = np.zeros(grid.hu.shape[0])
    for _, part in parts:
        area += part.sum(axis=(1, 2))
    return float((midline_mm(grid) * area).sum() / area.sum())


def native_lumen(scan: Scan, grid: WorkingGrid, lumen: BoolArray) -> BoolArray:
    """The airways' lumen at native resolution."""
    out = np.zeros(scan.geometry.shape, dtype=bool)
    small = bounding_box(lumen, (1, 1, 1))
    if small is not None:
        box = native_box(small, grid)
        out[box] = spread(lumen, grid, box) & (scan.hu[box] < AIR_HU)
    return out
