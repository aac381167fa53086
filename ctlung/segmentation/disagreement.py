"""Where two segmenters disagree about what is lung."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import BoolArray, LabelArray
from ctlung.morphology import open_
from ctlung.notices import Notice
from ctlung.vocabulary import LUNG_LABELS
from ctlung.working_grid import WorkingGrid

BORDER_MM = 4.0
"""Thinner than twice this, a difference is one of drawing a border."""
MORE_ML = 20.0
LESS_ML = 10.0


def disagreements(
    grid: WorkingGrid, network: LabelArray, threshold: LabelArray | None
) -> tuple[Notice, ...]:
    """Notices ``segmenters_disagree``, one for each way and lung.

    Args:
        grid: the scan.
        network: 1 right, 2 left, on that grid.
        threshold: the same by density; ``None`` where it found no lungs.
    """
    if threshold is None:
        return (
            Notice(
                "segmenters_disagree",
                "warn",
                "The network found lungs where the threshold segmenter found none: look at "
                "overlay.png before you use a number.",
                affects=("volumes", "lesions"),
            ),
        )
    more = open_((network > 0) & (threshold == 0), BORDER_MM, grid.spacing_mm)
    less = open_((network == 0) & (threshold > 0), BORDER_MM, grid.spacing_mm)
    notices = []
    for side, region in LUNG_LABELS.items():
        notices += _notice(grid, more & (network == side), region, network, MORE_ML, more=True)
        notices += _notice(grid, less & (threshold == side), region, network, LESS_ML, more=False)
    return tuple(notices)


def _notice(
    grid: WorkingGrid,
    where: BoolArray,
    region: str,
    lungs: LabelArray,
    limit_ml: float,
    *,
    more: bool,
) -> list[Notice]:
    ml = float(where.sum()) * grid.voxel_ml
    if ml <= limit_ml:
        return []
    lung = region.replace("_", " ")
    mean = float(grid.hu[where].mean())
    third = _third(where, lungs)
    if more:
        sentence = (
            f"{ml:.0f} ml of the {lung}, mostly in its {third} third (mean {mean:.0f} HU), were "
            "taken as lung by the network and left out by the threshold segmenter: dense lung, or "
            "tissue, effusion or tumour taken for it. Look at overlay.png before you use a number."
        )
    else:
        sentence = (
            f"{ml:.0f} ml beside the {lung}, mostly in its {third} third (mean {mean:.0f} HU), "
            "were left out by the network and taken as lung by the threshold segmenter: aerated "
            "lung that was missed, or gas outside the lung. Look at overlay.png; volume and "
            "inflammatory area may be too small."
        )
    return [
        Notice(
            "segmenters_disagree",
            "warn",
            sentence,
            measured=round(ml, 1),
            limit=limit_ml,
            unit="ml",
            affects=("volumes", "lesions"),
            regions=(region,),
        )
    ]


def _third(where: BoolArray, lungs: LabelArray) -> str:
    heights = np.flatnonzero((lungs > 0).any(axis=(1, 2)))
    middle = float(np.median(np.flatnonzero(where.any(axis=(1, 2)))))
    share = (middle - heights[0]) / max(1, heights[-1] - heights[0])
    return ("lower", "middle", "upper")[min(2, max(0, int(3 * share)))]
