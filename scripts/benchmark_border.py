"""At which HU the threshold segmenter draws the lung's border: docs/benchmarks/border.md.

    python scripts/benchmark_border.py

Only scans that may be trained on (use T of the data's README) are read.
"""

from __future__ import annotations

import time

import nibabel as nib
import numpy as np
from benchmark_main_job import HAND_DRAWN, REPOSITORY, data_folder, dice, machine

import ctlung
from ctlung.segmentation import refine
from ctlung.version import __version__

TRAINABLE = HAND_DRAWN[:4]
BORDERS_HU = (-430, -400, -370, -350, -330, -310, -280, -250)
TABLE = REPOSITORY / "docs" / "benchmarks" / "border.md"


def main() -> None:
    folder = data_folder() / "volumes"
    used = refine.BORDER_HU
    lines = [
        "# The border of the threshold segmenter",
        "",
        f"ctlung {__version__}; {time.strftime('%Y-%m-%d')}; {machine()}. Command: "
        f"`python scripts/benchmark_border.py`. Used: {used} HU. T scans only.",
        "",
        "Each cell: Dice / share of the drawn lung found / volume over drawn volume.",
        "",
        "| scan | " + " | ".join(f"{h} HU" for h in BORDERS_HU) + " |",
        "| --- |" + " --- |" * len(BORDERS_HU),
    ]
    ratios = []
    for name in TRAINABLE:
        scan = ctlung.read_scan(folder / f"{name}.nii.gz")
        assert scan.source.stored is not None
        raw = np.asarray(nib.load(folder / f"{name}.lungs.nii.gz").dataobj)
        drawn = scan.source.stored.to_canonical(raw) > 0
        cells, row = [], []
        for hu in BORDERS_HU:
            refine.BORDER_HU = hu
            found = ctlung.segment_lungs(scan, "threshold").lungs.labels > 0
            row.append(float(found.sum() / drawn.sum()))
            part = float((found & drawn).sum() / drawn.sum())
            cells.append(f"{dice(found, drawn):.4f} / {part:.4f} / {row[-1]:.4f}")
        ratios.append(row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = np.mean(ratios, axis=0)
    lines.append("| mean volume ratio | " + " | ".join(f"{m:.4f}" for m in means) + " |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {TABLE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
