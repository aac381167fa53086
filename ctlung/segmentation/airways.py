"""Trachea and main bronchi: found from the top, grown until it would leak (FIELD 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctlung.arrays import BoolArray, FloatArray
from ctlung.morphology import open_
from ctlung.working_grid import WorkingGrid

Labels2D = NDArray[np.int32]

LUMEN_HU = -800.0
MIN_AREA_MM2, MAX_AREA_MM2 = 40.0, 900.0
MIN_LENGTH_MM = 20.0
LARGE_RADIUS_MM = 2.0
MAX_VOLUME_ML = 150.0
MAX_JUMP = 2.0


@dataclass(frozen=True)
class _Piece:
    """One round patch of air in one slice."""

    k: int
    label: int
    y: float
    x: float
    area_mm2: float
    roundness: float


def find_airways(grid: WorkingGrid, inside: BoolArray) -> BoolArray:
    """Lumen of trachea and bronchi, as far as it can be followed without leaking into lung.

    All false where no trachea was found.
    """
    lumen = (grid.hu < LUMEN_HU) & inside
    chain, labels = _trachea_chain(grid, lumen)
    seed = np.zeros_like(lumen)
    for piece in chain:
        seed[piece.k] |= labels[piece.k] == piece.label
    if not seed.any():
        return seed
    return _grow(grid, inside, seed)


def _pieces(grid: WorkingGrid, lumen: BoolArray) -> tuple[list[list[_Piece]], list[Labels2D]]:
    _, dy, dx = grid.spacing_mm
    rows: list[list[_Piece]] = []
    labels: list[Labels2D] = []
    for k in range(lumen.shape[0]):
        lab, n = ndimage.label(lumen[k])
        labels.append(lab.astype(np.int32))
        found: list[_Piece] = []
        if n:
            areas = np.bincount(lab.ravel(), minlength=n + 1) * dy * dx
            for i, where in enumerate(ndimage.find_objects(lab), start=1):
                if where is None or not MIN_AREA_MM2 <= areas[i] <= MAX_AREA_MM2:
                    continue
                height = (where[0].stop - where[0].start) * dy
                width = (where[1].stop - where[1].start) * dx
                # A disc fills pi/4 of its box and its box is square.
                roundness = areas[i] / (0.785 * max(height, width) ** 2)
                if roundness < 0.35:
                    continue
                found.append(
                    _Piece(
                        k,
                        i,
                        (where[0].start + where[0].stop) * 0.5 * dy,
                        (where[1].start + where[1].stop) * 0.5 * dx,
                        float(areas[i]),
                        float(min(roundness, 1.0)),
                    )
                )
        rows.append(found)
    return rows, labels


def _trachea_chain(grid: WorkingGrid, lumen: BoolArray) -> tuple[list[_Piece], list[Labels2D]]:
    """The best chain of overlapping round patches: long, round, steady, near the midline."""
    rows, labels = _pieces(grid, lumen)
    dz = grid.spacing_mm[0]
    middle = midline_mm(grid)
    best: dict[tuple[int, int], tuple[float, _Piece | None]] = {}
    top: tuple[float, _Piece | None] = (0.0, None)
    for k in range(len(rows)):
        for piece in rows[k]:
            off = abs(piece.x - middle[k])
            worth = dz * (piece.roundness - 0.3) * (1.0 if off < 30 else 0.4 if off < 50 else -1.0)
            before: tuple[float, _Piece | None] = (0.0, None)
            for other in rows[k - 1] if k else []:
                step = np.hypot(piece.y - other.y, piece.x - other.x)
                ratio = max(piece.area_mm2, other.area_mm2) / min(piece.area_mm2, other.area_mm2)
                if step > max(5.0, 1.5 * dz) or ratio > 2.0:
                    continue
                score = best[(k - 1, other.label)][0] - 0.3 * step
                if score > before[0]:
                    before = (score, other)
            best[(k, piece.label)] = (before[0] + worth, before[1])
            if before[0] + worth > top[0]:
                top = (before[0] + worth, piece)
    chain: list[_Piece] = []
    piece_at = top[1]
    while piece_at is not None:
        chain.append(piece_at)
        piece_at = best[(piece_at.k, piece_at.label)][1]
    if len(chain) * dz < MIN_LENGTH_MM:
        return [], labels
    return chain, labels


def midline_mm(grid: WorkingGrid) -> FloatArray:
    """x (mm from the first column) of the middle of the soft tissue of each slice."""
    tissue = (grid.hu > -300) & (grid.hu < 1500)
    profile = tissue.sum(axis=1).astype(np.float64)
    # Arms and table weigh little against a median over the trunk.
    cumulative = np.cumsum(profile, axis=1)
    total = cumulative[:, -1:]
    x = np.argmax(cumulative >= 0.5 * np.maximum(total, 1), axis=1)
    smooth: FloatArray = ndimage.median_filter(x.astype(np.float64), 9, mode="nearest")
    return smooth * grid.spacing_mm[2]


def _grow(grid: WorkingGrid, inside: BoolArray, seed: BoolArray) -> BoolArray:
    """Raise the threshold step by step; roll back where the tree explodes."""
    current = seed
    volume = max(float(seed.sum()) * grid.voxel_ml, 1.0)
    for limit in range(-975, -780, 15):
        allowed = ((grid.hu < limit) & inside) | seed
        labels, _ = ndimage.label(allowed)
        wanted = np.unique(labels[seed])
        grown = np.isin(labels, wanted[wanted > 0])
        ml = float(grown.sum()) * grid.voxel_ml
        if ml > MAX_VOLUME_ML or (ml > MAX_JUMP * volume and ml - volume > 10.0):
            break
        current, volume = grown, max(volume, ml)
    return current


def large_airways(lumen: BoolArray, grid: WorkingGrid) -> BoolArray:
    """Trachea, main and lobar bronchi: the lumen wide enough to hold a ball of 4 mm across.

    What is narrower runs inside the lung and belongs to it (FIELD 4.1).
    """
    return open_(lumen, LARGE_RADIUS_MM, grid.spacing_mm)
