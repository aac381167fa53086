"""Train the lung network: a base on scans without drawn lungs, then folds and the final one.

    python scripts/train_lungs_data.py                first: the training cases
    python scripts/train_lungs.py base --steps 14000  no drawn lung is seen
    python scripts/train_lungs.py fold0 --steps 1800  from base; its LCTSC patients are left out
    python scripts/train_lungs.py final --steps 1800  from base; all T patients
    python scripts/train_lungs.py export              every stage -> checkpoints/lungs/*-export/
    python scripts/train_lungs.py ship                final -> models/

Each stage goes on from its last checkpoint in checkpoints/lungs/, which is not kept in the
repository. Which patients a fold leaves out stands in scripts/folds.json.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train_lungs_augment import view
from train_lungs_data import DRAWN, FOLDER, FOUND, NO_LUNGS, PHANTOMS, REPOSITORY, VOXEL_MM, Case

from ctlung.segmentation.network_input import N_CHANNELS, channels
from ctlung.weights import LUNG_MODEL

warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=FutureWarning)

SHAPE = (80, 96, 112)
WIDTHS = (24, 48, 96, 128, 128)
N_CLASSES = 4
CHECKPOINTS = REPOSITORY / "checkpoints" / "lungs"
FOLDS = json.loads((REPOSITORY / "scripts" / "folds.json").read_text(encoding="utf-8"))
STAGES = ("base", *FOLDS["lungs"], "final")
EMA = 0.998
SAVE_EVERY = 200
FULL_SHARE = {"base": 0.1}
FULL_SHARE_AFTER = 0.4
"""Share of steps that run the network to its end. The others stop at the features of 6 mm and are
judged there by a head that is not shipped: the last two layers, at 3 mm, take two thirds of a
step's time and have little to say about where dense lung lies."""
DENSE_HU, DENSE_WEIGHT = -250.0, 2.0
"""Dense lung is rare and the hardest: each of its voxels counts twice in the cross entropy."""


def monai_network(widths: tuple[int, ...] = WIDTHS) -> torch.nn.Module:
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=3,
        in_channels=N_CHANNELS,
        out_channels=N_CLASSES,
        channels=widths,
        strides=(2,) * (len(widths) - 1),
        num_res_units=2,
        norm=("INSTANCE", {"affine": True}),
    )


def norms_in_place(net: torch.nn.Module) -> None:
    """Over a batch of one, batch norm is instance norm, and spares a copy into another layout."""

    def forward(norm: torch.nn.InstanceNorm3d, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.batch_norm(
            x, None, None, norm.weight, norm.bias, True, 0.0, norm.eps
        )

    for module in net.modules():
        if isinstance(module, torch.nn.InstanceNorm3d):
            module.forward = forward.__get__(module)


def hosts(stage: str) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Kind of host: how often it is drawn, and the names."""
    phantoms = tuple(f"phantom-{i:02d}" for i in range(PHANTOMS))
    if stage == "base":
        return {
            "found": (0.66, FOUND),
            "phantoms": (0.22, phantoms),
            "empty": (0.12, tuple(NO_LUNGS)),
        }
    left_out = FOLDS["lungs"].get(stage, [])
    drawn = tuple(name for name in DRAWN if name not in left_out)
    return {
        "drawn": (0.55, drawn),
        "found": (0.28, FOUND),
        "phantoms": (0.07, phantoms),
        "empty": (0.10, tuple(NO_LUNGS)),
    }


def draw_case(stage: str, rng: np.random.Generator) -> Case:
    kinds = hosts(stage)
    kind = list(kinds)[int(rng.choice(len(kinds), p=[share for share, _ in kinds.values()]))]
    names = kinds[kind][1]
    folder = FOLDER / names[int(rng.integers(len(names)))]
    variants = sorted(folder.glob("variant-??.npy"))
    if variants and rng.random() < 0.78:
        return Case.load(variants[int(rng.integers(len(variants)))], mmap=True)
    return Case.load(folder / "host.npy", mmap=True)


def batch(stage: str, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, shares of the classes (0 where nobody knows), weight; at the network's voxels."""
    hu, labels, weight = view(draw_case(stage, rng), SHAPE, rng)
    known = weight.astype(np.float32)
    known[(labels > 0) & (labels < 3) & (hu > DENSE_HU)] *= DENSE_WEIGHT
    shares = np.stack([(labels == n) & (weight > 0) for n in range(N_CLASSES)])
    return (
        torch.from_numpy(channels(hu))[None].to(memory_format=torch.channels_last_3d),
        torch.from_numpy(shares.astype(np.float32))[None],
        torch.from_numpy(known)[None],
    )


def loss_of(logits: torch.Tensor, shares: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted cross entropy, and soft Dice over the patch where the label is known.

    With weights of 0 and 1 the same as MONAI's ``DiceLoss(include_background=False, batch=True,
    smooth_nr=1, smooth_dr=1)`` on masked inputs plus cross entropy, without its one-hot copies.
    Dice must not see other weights: weighted twice it would reward claiming too much.
    """
    known = shares.sum(1, keepdim=True)
    log_p = logits.log_softmax(1)
    entropy = -((log_p * shares).sum(1) * weight).sum() / weight.sum().clamp(min=1)
    p = log_p.exp()[:, 1:] * known
    truth = shares[:, 1:]
    both, each = (p * truth).sum((0, 2, 3, 4)), (p + truth).sum((0, 2, 3, 4))
    return entropy + (1 - (2 * both + 1) / (each + 1)).mean()


def coarse(shares: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares and mean weight of blocks of 2 x 2 x 2 voxels."""
    pool = torch.nn.functional.avg_pool3d
    return pool(shares, 2), pool(weight[:, None], 2)[:, 0]


def train(stage: str, steps: int, peak: float) -> None:
    torch.manual_seed(STAGES.index(stage))
    net = monai_network().to(memory_format=torch.channels_last_3d)
    norms_in_place(net)
    head = torch.nn.Conv3d(2 * WIDTHS[0], N_CLASSES, 1)
    both = torch.nn.ModuleList([net, head])
    optimizer = torch.optim.AdamW(both.parameters(), lr=peak, weight_decay=1e-3)
    path = CHECKPOINTS / f"{stage}.pt"
    done, average, base_steps = 0, None, 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        average, done = state["average"], state["done"]
        base_steps = state.get("base_steps", 0)
    elif stage != "base":
        base = torch.load(CHECKPOINTS / "base.pt", weights_only=True)
        net.load_state_dict(base["average"])
        head.load_state_dict(base["head"])
        base_steps = base["done"] + base["base_steps"]
    average = average or copy.deepcopy(net.state_dict())
    recent, ends, start = [], [], time.perf_counter()
    for step in range(done, steps):
        rng = np.random.default_rng(np.random.SeedSequence([STAGES.index(stage), step]))
        warm, share = min(1.0, (step + 1) / 100), step / steps
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        x, shares, weight = batch(stage, rng)
        with torch.autocast("cpu", torch.bfloat16):
            features = net.model[1](net.model[0](x))
            early = head(features)
        loss = loss_of(early.float(), *coarse(shares, weight))
        recent.append(float(loss.detach()))
        if rng.random() < FULL_SHARE.get(stage, FULL_SHARE_AFTER):
            with torch.autocast("cpu", torch.bfloat16):
                logits = net.model[2](features)
            late = loss_of(logits.float(), shares, weight)
            ends.append(float(late.detach()))
            loss = loss + late
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(EMA, (step + 1) / (step + 10))
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save(path, net, head, optimizer, average, (step + 1, base_steps))
            each = (time.perf_counter() - start) / (step + 1 - done)
            print(
                f"{stage} {step + 1}/{steps} loss {np.mean(recent):.4f} at 6 mm, "
                f"{np.mean(ends):.4f} at 3 mm, {each:.2f} s/step",
                file=sys.stderr,
                flush=True,
            )
            with path.with_suffix(".csv").open("a", encoding="utf-8") as log:
                log.write(f"{stage},{step + 1},{np.mean(recent):.4f},{np.mean(ends):.4f}\n")
            recent, ends = [], []


def save(
    path: Path,
    net: torch.nn.Module,
    head: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, torch.Tensor],
    steps: tuple[int, int],
) -> None:
    part = path.with_suffix(".part")
    torch.save(
        {
            "net": net.state_dict(),
            "head": head.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "done": steps[0],
            "base_steps": steps[1],
        },
        part,
    )
    part.rename(path)


def export(stage: str, folder: Path, name: str) -> None:
    """A model folder from a stage's averaged weights, rounded to float16."""
    state = torch.load(CHECKPOINTS / f"{stage}.pt", weights_only=True)
    card = {
        "name": name,
        "task": "right lung, left lung, large airways with their walls",
        "classes": ["background", "right_lung", "left_lung", "large_airways"],
        "widths": list(WIDTHS),
        "voxel_mm": VOXEL_MM,
        "stage": stage,
        "base_steps": state.get("base_steps", 0),
        "steps": state["done"],
    }
    export_to(folder, state["average"], card)


def export_to(folder: Path, average: dict[str, torch.Tensor], card: dict[str, Any]) -> None:
    """Write weights and card of a network of this kind."""
    from safetensors.numpy import save as to_bytes

    # The weights lie channels-last in training; safetensors writes memory as it lies.
    tensors = {
        k: np.ascontiguousarray(v.numpy(), dtype=np.float16) for k, v in sorted(average.items())
    }
    stored = to_bytes(tensors, metadata={"format": "pt"})
    whole = {
        "schema": "ctlung.model/1",
        "network": "residual U-Net, strided from its first level (MONAI UNet, num_res_units=2)",
        "stored_as": "float16",
        **card,
        "sha256": hashlib.sha256(stored).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(stored)
    (folder / "card.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stage", choices=(*STAGES, "export", "ship"))
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--rate", type=float, default=None, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.stage == "ship":
        export("final", REPOSITORY / "models" / LUNG_MODEL, LUNG_MODEL)
        return
    if options.stage == "export":
        for stage in STAGES:
            if (CHECKPOINTS / f"{stage}.pt").exists():
                export(stage, CHECKPOINTS / f"{stage}-export", f"{LUNG_MODEL}-{stage}")
        return
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    train(options.stage, options.steps, options.rate or (1e-3 if options.stage == "base" else 4e-4))


if __name__ == "__main__":
    main()
