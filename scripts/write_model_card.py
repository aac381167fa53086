"""The lung model's card: models/<name>/CARD.md, from card.json and the benchmark's rows.

    python scripts/write_model_card.py

Figures are those of scripts/benchmark_segmentation.py, run before; a row that was made with other
weights than the shipped ones or those of a fold is left out and counted.
"""

from __future__ import annotations

import json

from benchmark_main_job import REPOSITORY
from segmentation_rows import Row, rows_of
from train_lungs_data import DRAWN, FOUND, NO_LUNGS, PHANTOMS, VARIANTS

from ctlung.weights import LUNG_MODEL

FOLDER = REPOSITORY / "models" / LUNG_MODEL

HEAD = """# Lung model {name}

Finds right lung, left lung and the large airways with their walls on chest CT. **For research use
only. Not a medical device.** This page is made by `scripts/write_model_card.py`.

| | |
| --- | --- |
| network | {network}; channels {widths}; {voxel_mm:g} mm voxels; whole thorax in one pass |
| input | two windows of the CT number: -1024..400 HU and -200..250 HU |
| output | {classes} |
| weights | `weights.safetensors`, stored as {stored_as} |
| sha256 | `{sha256}` |
| trained | {trained} |
| licence | Apache-2.0 (weights and code) |

What ctlung makes of the output (border at native resolution, pieces outside the body, gas of the
bowel) is in `ctlung/segmentation/learned.py` and docs/decisions/0006 and 0007.

## What the masks hold

In: aerated lung, ground-glass, consolidated and collapsed lung, nodules, fibrosis, vessels and
bronchi inside the lung. Out: trachea and main bronchi, hilar vessels, mediastinum, pleural effusion,
chest wall. Tumours inside the lung are mostly taken in.

## Trained on

| data | scans | labels | licence |
| --- | --- | --- | --- |
| LCTSC 2017 | {drawn} | drawn by hand | CC BY 3.0 |
| LIDC-IDRI, QIN LUNG CT | {found} | found by the threshold segmenter, each looked at in one coronal and one axial plane; dense tissue beside them is left out of the loss | CC BY 3.0 |
| ACRIN (abdomen; head and neck) | {empty} | no lungs in the slices used | CC BY 3.0 |
| phantoms of ctlung's simulator | {phantoms} | known | Apache-2.0 |

Into each but the empty ones, {variants} draws of lesions of the simulator's training family were put
(ground-glass, crazy paving, consolidation, collapse, up to 60 % of the lung; effusion as background).
Random turns, stretches, mirror images with sides exchanged, noise, blur, thick slices, contrast,
breath, narrow fields, cut-off stacks, pneumothorax, bowel gas and foam tables are drawn on the way,
and six in ten views of an enhanced scan look as if no contrast agent had been given.

The base has a history that its commands alone do not repeat: 6,000 steps at full length, in which
the aorta beside the found lungs was left unknown (1,800 of them with a faulty loss); 7,600 with the
aorta known, nine in ten of them stopping at 6 mm; 2,800 with the unenhanced look; 15,600 with views
bent by up to some 20 mm. docs/benchmarks/tried.md shows what each brought.
Command: `scripts/train_lung_model.py --data FOLDER` (all stages; resumable). Never trained or tuned on: `lctsc-202`, `lidc-idri-0001`, `qin-lsc-0049`, `lungctdiag-r168`
(held out), the evaluation scans, and the simulator's test family. That holds for the weights: the
limits of the rule that takes the aorta out (`ctlung/aorta.py`) were set with the held-out scans in
view, so what ctlung makes of the output there is not unseen.
"""

LIMITS = """
## Limits

- Dense lung is what it has learned least: see the table of inserted lesions. The notices
  `segmenters_disagree` and `dense_lung_lost` speak up; look at the overlay.
- Simulated effusion: half and more of it is taken for lung. Tumours and what is dense behind them are
  taken in, beyond what readers draw.
- Where the aorta is not found by its shape, the network may take it for lung; pieces of stomach or
  colon, too.
- Fewer than five slices are not given to it.
- Adults only. No scan with pneumonectomy, and pneumothorax and effusion only as simulated.
- Labels of most training scans come from a threshold method, so its idea of the hilum and the
  diaphragm is partly that method's.
"""


def main() -> None:
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    head = HEAD.format(
        **{k: card[k] for k in ("name", "network", "voxel_mm", "stored_as", "sha256")},
        widths=", ".join(map(str, card["widths"])),
        classes=", ".join(card["classes"]),
        trained=f"{card['base_steps']} steps of the base, then {card['steps']} of the final stage",
        drawn=", ".join(DRAWN),
        found=", ".join(FOUND),
        empty=", ".join(NO_LUNGS),
        phantoms=PHANTOMS,
        variants=VARIANTS,
    )
    parts = [head, *drawn_table(card["sha256"]), *lesion_table(card["sha256"]), LIMITS]
    (FOLDER / "CARD.md").write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {(FOLDER / 'CARD.md').relative_to(REPOSITORY)}")


def of_these_weights(rows: list[Row], sha256: str) -> tuple[list[Row], int]:
    learned = [row for row in rows if row["segmenter"] == "network"]
    kept = [row for row in learned if "fold" in row["weights"] or row["weights_sha256"] == sha256]
    return kept, len(learned) - len(kept)


def drawn_table(sha256: str) -> list[str]:
    rows, left_out = of_these_weights(rows_of("drawn"), sha256)
    lines = [
        "## Against drawn lungs",
        "",
        "A T scan is segmented by the weights of the fold that never saw its patient; every other scan "
        "by the shipped ones. H: held out. E: evaluation only.",
        "",
        "| scan | use | Dice | mean surface distance, mm | HD95, mm | ml beyond 10 mm |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        surface = row.get("surface") or {}
        figures = [surface.get("assd_mm"), surface.get("hd95_mm"), row.get("beyond_ml")]
        shown = " | ".join("–" if f is None else f"{f:.1f}" for f in figures)
        lines.append(f"| {row['case']} | {row['use']} | {row['dice']:.4f} | {shown} |")
    return [*lines, "", *_left_out(left_out)]


def lesion_table(sha256: str) -> list[str]:
    rows, left_out = of_these_weights(rows_of("lesions"), sha256)
    lines = [
        "## With inserted lesions of the test family",
        "",
        "| host | load, % of lung | Dice | lesion voxels kept |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        kept = row.get("kept")
        shown = "–" if kept is None else f"{kept:.2f}"
        lines.append(f"| {row['case']} | {row['load_percent']} | {row['dice']:.4f} | {shown} |")
    return [*lines, "", *_left_out(left_out)]


def _left_out(n: int) -> list[str]:
    return [f"{n} rows of other weights were left out.", ""] if n else []


if __name__ == "__main__":
    main()
