"""How far above half way the lung's border is drawn: docs/benchmarks/border.md.

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
SHIFTS_HU = (0, 30, 60, 80, 100)
TABLE = REPOSITORY / "docs" / "benchmarks" / "border.md"


def main() -> None:
    folder = data_folder() / "volumes"
    used = refine.EDGE_SHIFT_HU
    lines = [
        "# The border of the threshold segmenter",
        "",
        f"ctlung {__version__}; {time.strftime('%Y-%m-%d')}; {machine()}. Command: "
        f"`python scripts/benchmark_border.py`. Used: +{used:.0f} HU above the value half "
        "way between the patient's aerated lung and soft tissue. Threshold segmenter, T scans.",
        "",
        "Each cell: Dice / share of the drawn lung found / volume over drawn volume.",
        "",
        "| scan | " + " | ".join(f"+{h} HU" for h in SHIFTS_HU) + " |",
        "| --- |" + " --- |" * len(SHIFTS_HU),
    ]
    ratios = []
    for name in TRAINABLE:
        scan = ctlung.read_scan(folder / f"{name}.nii.gz")
        assert scan.source.stored is not None
        raw = np.asarray(nib.load(folder / f"{name}.lungs.nii.gz").dataobj)
        drawn = scan.source.stored.to_canonical(raw) > 0
        cells, row = [], []
        for hu in SHIFTS_HU:
            refine.EDGE_SHIFT_HU = hu
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
