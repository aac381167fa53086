"""What was tried with the lung network: each on the same cases, the network alone at its voxels.

    python scripts/benchmark_tried.py NAME=CHECKPOINT.pt ...    adds rows
    python scripts/benchmark_tried.py --write                   docs/benchmarks/tried.md

Cases: the four LCTSC T hosts with lungs drawn by hand, clean and with lesions of the training
family (variants 0 to 5 of each). A stage of training may be judged here if it has not seen these
patients: `base`, or the fold that left them out (give --cases). Choosing here is fair: these
patients are for training; the evaluation scans and the test family stay out of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from segmentation_rows import described_machine
from train_lungs import N_CLASSES, WIDTHS, monai_network
from train_lungs_data import DRAWN, FOLDER, REPOSITORY, VOXEL_MM, Case

from ctlung.segmentation.network_input import channels

ROWS = REPOSITORY / "benchmark_output" / "tried.json"
PAGE = REPOSITORY / "docs" / "benchmarks" / "tried.md"
VARIANTS = 6
DENSE_HU = -250.0
BEYOND_MM = 10.0
ML = VOXEL_MM**3 / 1000


def cases(names: tuple[str, ...]) -> list[tuple[str, Path]]:
    files = ["host.npy", *(f"variant-{i:02d}.npy" for i in range(VARIANTS))]
    return [(name, FOLDER / name / file) for name in names for file in files]


def found(
    net: torch.nn.Module, head: torch.nn.Module | None, hu: np.ndarray, mirrored: bool
) -> np.ndarray:
    """Probability of lung; with ``head``, from the features of 6 mm."""
    whole = [(0, -n % 16) for n in hu.shape]
    padded = np.pad(hu.astype(np.float32), whole, constant_values=-1024)
    ways = (1, -1) if mirrored else (1,)
    total = 0.0
    for way in ways:
        x = torch.from_numpy(channels(np.ascontiguousarray(padded[:, :, ::way])))[None]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            if head is None:
                logits = net(x.to(memory_format=torch.channels_last_3d))
            else:
                logits = head(net.model[1](net.model[0](x)))
                logits = torch.nn.functional.interpolate(
                    logits.float(), padded.shape, mode="trilinear", align_corners=False
                )
        p = logits.float().softmax(1)[0].numpy()
        total = total + (p[1] + p[2])[:, :, ::way]
    z, y, x_ = hu.shape
    return np.asarray(total)[:z, :y, :x_] / len(ways)


def scores(lung: np.ndarray, case: Case) -> dict[str, float]:
    truth = (case.labels == 1) | (case.labels == 2)
    dense = truth & (case.hu > DENSE_HU)
    beyond = lung & (ndimage.distance_transform_edt(~truth, (VOXEL_MM,) * 3) > BEYOND_MM)
    return {
        "dice": 2 * float((lung & truth).sum()) / float(lung.sum() + truth.sum()),
        "dense_ml": float(dense.sum()) * ML,
        "dense_kept_ml": float((dense & lung).sum()) * ML,
        "beyond_ml": float(beyond.sum()) * ML,
        "beyond_soft_ml": float((beyond & (case.hu > DENSE_HU)).sum()) * ML,
    }


def judge(name: str, path: Path, how: str, names: tuple[str, ...]) -> dict[str, object]:
    state = torch.load(path, weights_only=True)
    net = monai_network().train(False)
    net.load_state_dict(state["average"])
    head = None
    if how == "6mm":
        head = torch.nn.Conv3d(2 * WIDTHS[0], N_CLASSES, 1)
        head.load_state_dict(state["head"])
    start = time.perf_counter()
    rows = []
    for _, file in cases(names):
        case = Case.load(file)
        lung = found(net, head, case.hu, how == "mirrored") > 0.5
        rows.append({"case": f"{file.parent.name}/{file.stem}", **scores(lung, case)})
    return {
        "name": name,
        "how": how,
        "steps": state["done"],
        "base_steps": state.get("base_steps", 0),
        "cases": rows,
        "seconds": (time.perf_counter() - start) / len(rows),
    }


def summary(row: dict[str, object]) -> str:
    each: list[dict[str, float]] = row["cases"]  # type: ignore[assignment]
    hosts = [c for c in each if str(c["case"]).endswith("host")]
    sick = [c for c in each if not str(c["case"]).endswith("host")]
    kept = sum(c["dense_kept_ml"] for c in sick) / sum(c["dense_ml"] for c in sick)
    return (
        f"| {row['name']} | {row['how']} | {row['base_steps']} + {row['steps']} "
        f"| {np.mean([c['dice'] for c in hosts]):.4f} | {np.mean([c['dice'] for c in sick]):.4f} "
        f"| {kept:.3f} | {np.mean([c['beyond_ml'] for c in hosts]):.1f} "
        f"| {np.mean([c['beyond_soft_ml'] for c in hosts]):.1f} "
        f"| {np.mean([c['beyond_ml'] for c in sick]):.1f} "
        f"| {np.mean([c['beyond_soft_ml'] for c in sick]):.1f} | {len(each)} |"
    )


BEGIN, END = "<!-- table: benchmark_tried.py -->", "<!-- end of table -->"
HEAD = (
    "| what | how | steps before + here | Dice, clean | Dice, with lesions | dense lung kept "
    "| beyond 10 mm, clean, ml | of it soft tissue, ml | beyond 10 mm, with lesions, ml "
    "| of it soft tissue, ml | cases |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--how", choices=("3mm", "6mm", "mirrored"), default="3mm")
    parser.add_argument("--cases", nargs="+", default=list(DRAWN))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []
    for item in options.checkpoints:
        name, _, path = item.partition("=")
        row = judge(name, Path(path), options.how, tuple(options.cases))
        rows.append(row)
        print(summary(row), file=sys.stderr, flush=True)
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    ROWS.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.write:
        lines = [HEAD, *(summary(row) for row in rows), "", f"- Machine: {described_machine()}"]
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"{BEGIN}\n{END}\n"
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(before + "\n".join([BEGIN, *lines, END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
