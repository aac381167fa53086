"""The lesion model's card: models/<name>/CARD.md, from card.json and the benchmark's rows.

    python scripts/write_lesion_card.py

Figures are those of scripts/benchmark_lesions.py, run before; a row that was made with other
weights is left out and counted.
"""

from __future__ import annotations

import json

import numpy as np
from benchmark_main_job import REPOSITORY
from segmentation_rows import Row, rows_of
from train_lesions_data import VARIANTS
from train_lungs_data import FOUND

from ctlung.weights import LESION_MODEL

FOLDER = REPOSITORY / "models" / LESION_MODEL

HEAD = """# Lesion model {name}

Finds ground-glass and consolidation inside a lung mask on chest CT. **For research use only. Not a
medical device.** This page is made by `scripts/write_lesion_card.py`.

| | |
| --- | --- |
| network | {network}; channels {widths}; {voxel_mm:g} mm voxels; one lung at a time |
| input | the CT number in three windows (-1024..100 HU, -200..250 HU, and -100..+300 HU about the patient's own aerated peak), and the lung |
| output | {classes} |
| weights | `weights.safetensors`, stored as {stored_as} |
| sha256 | `{sha256}` |
| trained | {steps} steps: 9000 at a peak rate of 1.5e-3, then 200 and 3800 more with fresh small lesions at six steps in ten (rates 1.2e-3 and 1.6e-3 before the cosine) |
| licence | Apache-2.0 (weights and code) |

The network says where and of which kind; the border is drawn by density at native resolution
(`ctlung/lesions/border.py`).

## Trained on

{n_found} nearly healthy scans of LIDC-IDRI and QIN LUNG CT (CC BY 3.0): {found}. Lungs by the
threshold segmenter. Into each, {variants} draws of lesions of the simulator's training family were
put. What dense tissue the scans had themselves (`scripts/nodules.csv`, `scripts/abnormal.csv`, listed
by eye, not by a radiologist) is left out of the loss. Breath, gravity, contrast, slice thickness,
kernel, noise, turns and stretches are drawn on the way.

No scan of a patient with pneumonia was learned from. The LCTSC patients, the held-out and the
evaluation scans and the simulator's test family were never trained or tuned on.
Commands: `scripts/train_lesions_data.py`; `scripts/train_lesions.py --steps 9000` (as the script
was before fresh lesions came into it), `--steps 14000 --rate 1.2e-3` (stopped at step 9200),
`--steps {steps} --rate 1.6e-3`; `--export`. Loss: docs/benchmarks/lesion_training_loss.csv.

## What it does

Full tables: docs/benchmarks/lesions.md.

"""

LIMITS = """
## Limits

- What it takes for disease is what a simulator draws: soft or sharp ground-glass, crazy paving,
  consolidation. Fibrosis, tumour, nodules and scars may be taken for it or left out.
- It looks only inside the lung mask: what the mask leaves out is lost, and what it takes in too
  much (a piece of heart, aorta or effusion) may become consolidation.
- Of lesions under 5 ml about half are overlooked; of single ground-glass lesions of 5 ml put into deeply
  inflated healthy lungs, too. `--finder rule` finds more of them, and more that is none.
- Fewer than five slices are left to the rule.
- Adults only.
"""


def main() -> None:
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    head = HEAD.format(
        **{k: card[k] for k in ("name", "network", "voxel_mm", "stored_as", "sha256", "steps")},
        widths=", ".join(map(str, card["widths"])),
        classes=", ".join(card["classes"]),
        found=", ".join(FOUND),
        n_found=len(FOUND),
        variants=VARIANTS,
    )
    lines = ["| on | measured | rule | network |", "| --- | --- | ---: | ---: |", *_figures()]
    text = head + "\n".join(lines) + "\n" + LIMITS
    (FOLDER / "CARD.md").write_text(text, encoding="utf-8")
    print(f"written: {(FOLDER / 'CARD.md').relative_to(REPOSITORY)}")


def _figures() -> list[str]:
    lines = []
    for kind in ("ground_glass", "consolidation"):
        for lungs in ("own", "true"):
            chosen = [r for r in rows_of("inserted") if r["lungs"] == lungs and r["draw"] >= 0]
            figures = [_mean_dice(chosen, kind, method) for method in ("rule", "network")]
            what = f"{kind.replace('_', '-')} of 5 ml and more, {lungs} lungs"
            lines.append(_line(what, "mean Dice", figures, 3))
    for row in rows_of("healthy"):
        if row["method"] == "network":
            rule = next(
                r["percent"]
                for r in rows_of("healthy")
                if (r["case"], r["lungs"], r["method"]) == (row["case"], row["lungs"], "rule")
            )
            what = f"healthy {row['case']}, {row['lungs']} lungs"
            lines.append(_line(what, "% of lung", [rule, row["percent"]], 2))
    return lines


def _mean_dice(rows: list[Row], kind: str, method: str) -> float | None:
    found = [
        one["dice"]
        for row in rows
        if row["method"] == method
        for one in row["lesions"]
        if one["kind"] == kind and one["ml"] >= 5
    ]
    return float(np.mean(found)) if found else None


def _line(what: str, unit: str, figures: list[float | None], decimals: int) -> str:
    shown = " | ".join("–" if f is None else f"{f:.{decimals}f}" for f in figures)
    return f"| {what} | {unit} | {shown} |"


if __name__ == "__main__":
    main()
