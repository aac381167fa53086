"""What finds lesions here, and how what it found is judged against a truth.

All arrays are ``[z, y, x]``, spacings mm in array order; label 1 is ground-glass, 2
consolidation. Found voxels belong to the nearest lesion of the truth, 10 mm away at most; what
lies further off was found elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage
from segmentation_rows import Row
from segmentation_scores import BoolArray, LabelArray, common_box, dice, millilitres

import ctlung
from ctlung import Anatomy, LabelMap, Scan
from ctlung.lesions.network import load_learned
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS

NEAR_MM = 10.0
SMALLEST_ML = 0.1
KINDS = {1: "ground_glass", 2: "consolidation"}


def by_rule(scan: Scan, lungs: LabelMap, anatomy: Anatomy) -> LabelArray:
    """ctlung's rule."""
    return np.asarray(ctlung.find_lesions(scan, lungs, anatomy, finder="rule").labels)


def by_network(scan: Scan, lungs: LabelMap, anatomy: Anatomy) -> LabelArray:
    """ctlung's learned finder."""
    return np.asarray(ctlung.find_lesions(scan, lungs, anatomy, finder=learned()).labels)


@cache
def learned() -> ctlung.LesionFinder:
    """The learned finder: of CTLUNG_LESION_MODEL, a folder, if that is set; else the shipped."""
    folder = os.environ.get("CTLUNG_LESION_MODEL")
    return load_learned("cpu", Path(folder) if folder else None)


def plain_bands(scan: Scan, lungs: LabelMap, _: Anatomy) -> LabelArray:
    """Every lung voxel of the bands ground-glass and consolidation (FIELD 2.2), airways too."""
    limits = Settings()
    edges = (
        limits.ground_glass_lower_hu,
        limits.consolidation_lower_hu,
        limits.consolidation_upper_hu,
    )
    label = np.searchsorted(edges, scan.hu, side="right")
    inside = (lungs.labels > 0) & (label > 0) & (label < len(edges))
    found: LabelArray = np.where(inside, label, 0).astype(np.uint8)
    return found


Finder = Callable[[Scan, LabelMap, Anatomy], LabelArray]
METHODS: dict[str, Finder] = {"rule": by_rule, "network": by_network, "bands": plain_bands}


def lung_map(labels: LabelArray, scan: Scan) -> LabelMap:
    """Lungs drawn by hand as ctlung knows them."""
    return LabelMap(labels, scan.geometry, LUNG_LABELS)


@dataclass(frozen=True, eq=False)
class Truth:
    """Lesions that are known.

    Attributes:
        labels: 1 ground-glass, 2 consolidation.
        hu: float, before rounding: what the CT number of a lesion is read from.
        lungs: 1 right, 2 left, effusion left out.
    """

    labels: LabelArray
    hu: np.ndarray
    lungs: LabelArray


def judge(found: LabelArray, scan: Scan, truth: Truth) -> Row:
    """Overlap, volumes and CT numbers of all lesions together, and of each."""
    spacing = scan.geometry.spacing_mm
    box = common_box(found > 0, truth.labels > 0, NEAR_MM, spacing)
    f, t, hu = found[box], truth.labels[box], scan.hu[box]
    lung_ml = millilitres(truth.lungs > 0, spacing)
    far = _nearest(t > 0, spacing)[0] > NEAR_MM
    out: Row = {
        "lung_ml": lung_ml,
        "dice": dice(f > 0, t > 0),
        "truth_ml": millilitres(t > 0, spacing),
        "found_ml": millilitres(f > 0, spacing),
        "elsewhere_ml": millilitres((f > 0) & far, spacing),
        "truth_hu": _mean(truth.hu[box], t > 0),
        "found_hu": _mean(hu, f > 0),
        "lesions": [],
    }
    parts = _parts(t)
    gap, nearest = _nearest(parts > 0, spacing)
    owner = np.where(gap <= NEAR_MM, parts[tuple(nearest)], 0)
    for label, kind in KINDS.items():
        out[f"dice_{kind}"] = dice(f == label, t == label) if (t == label).any() else None
        out[f"truth_{kind}_ml"] = millilitres(t == label, spacing)
        out[f"found_{kind}_ml"] = millilitres(f == label, spacing)
        for number in np.unique(parts[t == label]):
            if millilitres(parts == number, spacing) >= SMALLEST_ML:
                one = _One(label, parts == number, (f > 0) & (owner == number))
                out["lesions"].append(_lesion(one, f, hu, truth, box, spacing))
    return out


def _parts(t: LabelArray) -> np.ndarray:
    """Connected lesions of each kind, numbered from 1."""
    parts = np.zeros(t.shape, np.int32)
    for label in KINDS:
        named, _ = ndimage.label(t == label, structure=np.ones((3, 3, 3)))
        parts = np.where(named > 0, named + parts.max(), parts)
    return parts


def _nearest(mask: BoolArray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    """Distance to the mask, and the index of its nearest voxel; infinite where it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf), np.indices(mask.shape)
    gap, index = ndimage.distance_transform_edt(~mask, sampling=spacing, return_indices=True)
    return gap, index


@dataclass(frozen=True, eq=False)
class _One:
    label: int
    true: BoolArray
    near: BoolArray


def _lesion(
    one: _One,
    f: LabelArray,
    hu: np.ndarray,
    truth: Truth,
    box: tuple[slice, slice, slice],
    spacing: tuple[float, float, float],
) -> Row:
    true_hu, lungs = truth.hu[box], truth.lungs[box]
    surface = ndimage.binary_dilation(lungs == 0, iterations=2)
    middle = float(np.flatnonzero((lungs > 0).any(axis=(1, 2))).mean()) if lungs.any() else 0.0
    same = one.near & (f == one.label)
    return {
        "kind": KINDS[one.label],
        "ml": millilitres(one.true, spacing),
        "touches_pleura": bool((one.true & surface).any()),
        "lower": bool(np.nonzero(one.true)[0].mean() < middle),
        "dice": dice(one.near, one.true),
        "dice_same": dice(same, one.true),
        "found_ml": millilitres(one.near, spacing),
        "found_same_ml": millilitres(same, spacing),
        "truth_hu": _mean(true_hu, one.true),
        "found_hu": _mean(hu, one.near),
        "found_same_hu": _mean(hu, same),
    }


def _mean(hu: np.ndarray, where: BoolArray) -> float | None:
    return float(hu[where].mean(dtype=np.float64)) if where.any() else None
