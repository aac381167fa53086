"""Train the lesion network on lesions of the training family in T lungs.

    python scripts/train_lesions_data.py             first: the training cases
    python scripts/train_lesions.py --steps 8000     goes on from its last checkpoint
    python scripts/train_lesions.py --export         averaged weights -> checkpoints/lesions/export/

The LCTSC patients are not among the hosts, so these weights may be judged on them. The checkpoint
lies in checkpoints/lesions/, which is not kept in the repository.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
import warnings

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional
from train_lesions_data import FOLDER, REPOSITORY, VOXEL_MM, Case
from train_lungs import coarse, export_to, loss_of, norms_in_place, save
from train_lungs_augment import cut, turn
from train_lungs_data import FOUND

from ctlung.geometry import Geometry
from ctlung.lesions.network_input import N_CHANNELS, aerated_peak, channels
from ctlung.simulation import family_train
from ctlung.simulation.insertion import LesionPlan

warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=FutureWarning)

SHAPE = (128, 104, 80)
WIDTHS = (16, 32, 64, 96)
CLASSES = ("none", "ground_glass", "consolidation")
NAME = "lesion-unet-2mm-2"
CHECKPOINT = REPOSITORY / "checkpoints" / "lesions" / "lesions.pt"
EMA = 0.998
SAVE_EVERY = 200
FULL_SHARE = 0.5
LESION_WEIGHT = 3.0
CLEAN_SHARE = 0.3
FRESH_SHARE = 0.6
FAMILY_SEED = 77


def monai_network() -> torch.nn.Module:
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=3,
        in_channels=N_CHANNELS,
        out_channels=len(CLASSES),
        channels=WIDTHS,
        strides=(2,) * (len(WIDTHS) - 1),
        num_res_units=2,
        norm=("INSTANCE", {"affine": True}),
    )


def draw_case(rng: np.random.Generator) -> tuple[Case, int]:
    """A case and the side to look at."""
    folder = FOLDER / FOUND[int(rng.integers(len(FOUND)))]
    variants = sorted(folder.glob("variant-??.npy"))
    path = folder / "host.npy"
    if variants and rng.random() >= CLEAN_SHARE:
        path = variants[int(rng.integers(len(variants)))]
    return Case.load(path), int(rng.integers(1, 3))


class OneLung:
    """What ``cut`` needs: HU; labels 0 outside, 1 lung, 2 ground-glass, 3 consolidation, 4 the
    other lung; weight 1 where they are known."""

    def __init__(self, case: Case, side: int) -> None:
        sides = np.asarray(case.sides)
        self.hu = case.hu
        mine = np.where(sides == side, 1 + np.asarray(case.lesions), 0)
        self.labels = np.where(sides == 3 - side, 4, mine).astype(np.uint8)
        self.weight = np.asarray(case.known).astype(np.uint8)
        where = np.argwhere(sides[::4, ::4, ::4] == side) * 4
        self.middle = (where.min(axis=0) + where.max(axis=0)) / 2


def view(
    case: Case, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, labels (as ``OneLung``) and weight of one patch around one lung."""
    one = OneLung(case, side)
    centre = one.middle + rng.uniform(-1, 1, 3) * np.array([18, 8, 8])
    hu, labels, weight = cut(one, centre, turn(rng), SHAPE, rng)
    if rng.random() < 0.5:
        hu, labels, weight = (a[:, :, ::-1] for a in (hu, labels, weight))
    hu, labels, weight = (np.ascontiguousarray(a) for a in (hu, labels, weight))
    if rng.random() < FRESH_SHARE:
        hu = _fresh(hu, labels, rng)
    _breathe(hu, labels, rng)
    _enhance(hu, rng)
    return _scanner(hu, rng), labels, weight


def _fresh(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few small lesions where no earlier step had any; ``labels`` is changed in place.

    The variants of a host are few: a network learns where their lesions lie, and that lung which
    it has seen healthy stays so.
    """
    room = (labels == 1).astype(np.uint8)
    if room.sum() * VOXEL_MM**3 < 200_000:
        return hu
    plans = []
    for _ in range(int(rng.integers(1, 6))):
        ml, edge = float(np.exp(rng.uniform(np.log(0.5), np.log(40)))), float(rng.uniform(0, 5))
        touches, lower = bool(rng.random() < 0.6), float(rng.uniform(0, 1))
        if rng.random() < 0.7:
            rise = float(rng.uniform(100, 380))
            plans.append(LesionPlan("ground_glass", ml, rise, edge, touches, lower=lower))
        else:
            dense = float(rng.uniform(-110, 65))
            plans.append(LesionPlan("consolidation", ml, dense, edge / 2, touches, lower=lower))
    done = family_train.insert(
        hu, room, Geometry.from_spacing(hu.shape, (VOXEL_MM,) * 3), rng, plans
    )
    labels[done.lesions > 0] = 1 + done.lesions[done.lesions > 0]
    return done.hu


def _weight(classes: np.ndarray) -> np.ndarray:
    """What a voxel counts: more in a lesion, most in a small one."""
    parts, count = ndimage.label(classes > 0)
    ml = np.bincount(parts.ravel(), minlength=count + 1) * (VOXEL_MM**3 / 1000)
    each = LESION_WEIGHT * np.clip(np.sqrt(30.0 / np.maximum(ml, 0.1)), 1.0, 3.0)
    each[0] = 1.0
    found: np.ndarray = each.astype(np.float32)[parts]
    return found


def _breathe(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """More or less air in both lungs, most of it where there is most air; denser at the back."""
    if rng.random() < 0.3:
        return
    share = np.clip(-hu / 850, 0, 1) * (labels > 0)
    hu += np.float32(rng.uniform(-60, 110)) * share
    if rng.random() < 0.5:
        rows = np.linspace(-0.5, 0.5, hu.shape[1], dtype=np.float32)[None, :, None]
        hu += np.float32(rng.uniform(0, 90)) * rows * share
    if rng.random() < 0.5:
        hu += _dependent(labels, rng) * share


def _dependent(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """HU to add in lung that lies lowest: a band along the back wall, thicker here than there.

    What every patient has who does not breathe in deeply; it is no lesion.
    """
    lung = labels > 0
    n = lung.shape[1]
    last = np.where(lung.any(axis=1), n - 1 - lung[:, ::-1].argmax(axis=1), 0)
    gap = VOXEL_MM * np.maximum(last[:, None] - np.arange(n)[None, :, None], 0).astype(np.float32)
    uneven = ndimage.gaussian_filter(
        rng.standard_normal((lung.shape[0], lung.shape[2])).astype(np.float32),
        float(rng.uniform(3, 10)),
    )
    uneven /= max(float(np.abs(uneven).max()), 1e-6)
    reach = np.float32(rng.uniform(6, 28)) * (1 + np.float32(0.6) * uneven)[:, None, :]
    rise = np.float32(rng.uniform(40, 320))
    band: np.ndarray = rise * np.exp(-gap / np.maximum(reach, 2)) * lung
    return band


def _enhance(hu: np.ndarray, rng: np.random.Generator) -> None:
    draw = rng.random()
    if draw < 0.5:
        level = np.float32(rng.uniform(30, 60))
        hu -= np.float32(rng.uniform(0.7, 1)) * np.clip(hu - level, 0, 250)
    elif draw < 0.7:
        dense = hu > 0
        hu[dense] *= np.float32(rng.uniform(0.7, 1.6))
    hu += np.float32(rng.uniform(-10, 10))


def _scanner(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thick slices, blur or a sharper kernel, noise."""
    draw = rng.random()
    if draw < 0.3:
        step = float(rng.uniform(2.5, 6)) / VOXEL_MM
        n = max(2, round(hu.shape[0] / step))
        thick = ndimage.uniform_filter1d(hu, max(1, round(step)), axis=0, mode="nearest")
        few = functional.interpolate(
            torch.from_numpy(thick)[None, None], (n, *hu.shape[1:]), mode="nearest"
        )
        hu = functional.interpolate(few, hu.shape, mode="trilinear", align_corners=False)[0, 0]
        hu = hu.numpy().copy()
    elif draw < 0.5:
        hu = ndimage.gaussian_filter(hu, float(rng.uniform(0.3, 0.7)))
    elif draw < 0.7:
        hu = hu + np.float32(rng.uniform(0.2, 0.8)) * (hu - ndimage.gaussian_filter(hu, 0.8))
    if rng.random() < 0.7:
        sd = float(np.exp(rng.uniform(np.log(4), np.log(60))))
        noise = rng.standard_normal(hu.shape, np.float32)
        if rng.random() < 0.5:
            noise = ndimage.uniform_filter(noise, 2) * 2.8
        hu = hu + np.float32(sd) * noise
    return np.clip(hu, -1024, 3071)


def _beyond(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft tissue beside this lung that a lung mask might take in: aorta, heart, chest wall."""
    mine = (labels > 0) & (labels < 4)
    if not mine.any():
        return np.zeros_like(mine)
    near = np.argwhere(ndimage.binary_dilation(mine, iterations=5) & (labels == 0) & (hu > -50))
    found = np.zeros_like(mine)
    if len(near):
        grid = np.ogrid[tuple(slice(0, n) for n in hu.shape)]
        for centre in near[rng.integers(0, len(near), int(rng.integers(1, 4)))]:
            radius = float(rng.uniform(4, 12))
            long = float(rng.uniform(1, 4))
            gap = [(g - c) ** 2 for g, c in zip(grid, centre, strict=True)]
            found |= gap[0] / long**2 + gap[1] + gap[2] <= radius**2
    return found & (labels == 0) & (hu > -100)


def batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, shares of the classes inside the lung (0 elsewhere), weight."""
    case, side = draw_case(rng)
    hu, labels, weight = view(case, side, rng)
    lung = (labels > 0) & (labels < 4)
    seen = lung
    draw = rng.random()
    if draw < 0.2:
        seen = ndimage.binary_dilation(lung)
    elif draw < 0.4:
        seen = ndimage.binary_erosion(lung)
    beyond = _beyond(hu, labels, rng) if rng.random() < 0.3 else np.zeros_like(lung)
    seen = seen | beyond
    given = channels(hu, seen, aerated_peak(hu, labels > 0))
    known = (lung | beyond) & (weight > 0)
    classes = np.where(lung, labels - 1, 0)
    shares = np.stack([(classes == n) & known for n in range(len(CLASSES))])
    weights = known.astype(np.float32) * _weight(np.where(known, classes, 0))
    return (
        torch.from_numpy(given)[None].to(memory_format=torch.channels_last_3d),
        torch.from_numpy(shares.astype(np.float32))[None],
        torch.from_numpy(weights.astype(np.float32))[None],
    )


def train(steps: int, peak: float) -> None:
    torch.manual_seed(FAMILY_SEED)
    net = monai_network().to(memory_format=torch.channels_last_3d)
    norms_in_place(net)
    head = torch.nn.Conv3d(2 * WIDTHS[0], len(CLASSES), 1)
    both = torch.nn.ModuleList([net, head])
    optimizer = torch.optim.AdamW(both.parameters(), lr=peak, weight_decay=1e-3)
    done, average = 0, None
    if CHECKPOINT.exists():
        state = torch.load(CHECKPOINT, weights_only=True)
        net.load_state_dict(state["net"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        average, done = state["average"], state["done"]
    average = average or copy.deepcopy(net.state_dict())
    recent, ends, start = [], [], time.perf_counter()
    for step in range(done, steps):
        rng = np.random.default_rng(np.random.SeedSequence([FAMILY_SEED, step]))
        warm, share = min(1.0, (step + 1) / 100), step / steps
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        x, shares, weight = batch(rng)
        with torch.autocast("cpu", torch.bfloat16):
            features = net.model[1](net.model[0](x))
            early = head(features)
        loss = loss_of(early.float(), *coarse(shares, weight))
        recent.append(float(loss.detach()))
        if rng.random() < FULL_SHARE:
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
            CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
            save(CHECKPOINT, net, head, optimizer, average, (step + 1, 0))
            each = (time.perf_counter() - start) / (step + 1 - done)
            print(
                f"lesions {step + 1}/{steps} loss {np.mean(recent):.4f} at 4 mm, "
                f"{np.mean(ends):.4f} at 2 mm, {each:.2f} s/step",
                file=sys.stderr,
                flush=True,
            )
            recent, ends = [], []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.export:
        train(options.steps, options.rate)
        return
    state = torch.load(CHECKPOINT, weights_only=True)
    card = {
        "name": NAME,
        "task": "inflamed lung inside a lung mask, one lung at a time",
        "classes": list(CLASSES),
        "widths": list(WIDTHS),
        "voxel_mm": VOXEL_MM,
        "steps": state["done"],
    }
    export_to(CHECKPOINT.parent / "export", state["average"], card)


if __name__ == "__main__":
    main()
