"""Random views of a training case: crop, turn, stretch, blur, noise, contrast, cut fields."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional
from train_lungs_data import VOXEL_MM, Case

AIR_HU = -1000.0
CONTROL = (5, 6, 7)
BEND_VOXELS = 3.5
"""Largest SD of the bends at some 60 mm distance. There are few hosts: seen again and again in one
shape, they are learned by heart, and the aorta of the next patient is a lesion in theirs."""
SWAPPED = np.array([0, 2, 1, 3, 4, 5, 6, 7], np.uint8)


def view(
    case: Case, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, labels and weight of one patch; weight is 1 outside the scan, which is background."""
    centre = _centre(case, rng)
    turned = turn(rng)
    hu, labels, weight = cut(case, centre, turned, shape, rng)
    if rng.random() < 0.5:
        hu, weight = hu[:, :, ::-1], weight[:, :, ::-1]
        labels = SWAPPED[labels[:, :, ::-1]]
    hu, labels, weight = (np.ascontiguousarray(a) for a in (hu, labels, weight))
    _breathe(hu, labels, rng)
    _gas(hu, labels, rng)
    _bowel(hu, labels, rng)
    _table(hu, labels, rng)
    _unenhanced(hu, rng)
    _contrast(hu, rng)
    hu = _scanner(hu, rng)
    _field(hu, labels, weight, rng)
    return hu, labels, weight


def _centre(case: Case, rng: np.random.Generator) -> np.ndarray:
    lungs = np.argwhere((case.labels[::4, ::4, ::4] > 0) & (case.labels[::4, ::4, ::4] < 3)) * 4
    if len(lungs):
        middle = (lungs.min(axis=0) + lungs.max(axis=0)) / 2
        reach = np.array([14, 8, 10]) if rng.random() < 0.6 else np.array([60, 25, 35])
        return middle + rng.uniform(-1, 1, 3) * reach
    size = np.array(case.hu.shape)
    return size * rng.uniform(0.2, 0.8, 3)


def turn(rng: np.random.Generator) -> np.ndarray:
    """Output offsets to source offsets, both in voxels [z, y, x]."""
    limits = np.deg2rad([10, 10, 20] if rng.random() < 0.8 else [25, 25, 60])
    about_x, about_y, about_z = rng.uniform(-1, 1, 3) * limits * (rng.random() < 0.7)
    turned = np.eye(3)
    for angle, (i, j) in ((about_x, (0, 1)), (about_y, (0, 2)), (about_z, (1, 2))):
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turned = turned @ step
    size = np.exp(rng.uniform(-0.25, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
    return turned * size


def cut(
    case: Case,
    centre: np.ndarray,
    turn: np.ndarray,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    half = np.abs(turn) @ (np.array(shape) / 2) + 2 + 2 * BEND_VOXELS
    low = np.floor(np.maximum(centre - half, 0)).astype(int)
    high = np.ceil(np.minimum(centre + half, case.hu.shape)).astype(int)
    high = np.maximum(high, low + 2)
    low = np.minimum(low, np.array(case.hu.shape) - 2).clip(0)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    hu = torch.from_numpy(case.hu[box].astype(np.float32))
    coded = torch.from_numpy((case.labels[box] + 8 * case.weight[box]).astype(np.float32))
    size = np.array(hu.shape)
    # grid_sample wants x, y, z from -1 to 1 over the source's voxel edges.
    scale = 2.0 / size
    matrix = (scale[:, None] * turn) * (np.array(shape) / 2)[None, :]
    offset = (centre - low) * scale - 1.0
    theta = np.concatenate([matrix, offset[:, None]], axis=1)[::-1]
    theta = np.concatenate([theta[:, 2::-1], theta[:, 3:]], axis=1)
    grid = functional.affine_grid(
        torch.from_numpy(theta.astype(np.float32).copy())[None], [1, 1, *shape], align_corners=False
    )
    grid = grid + _bends(shape, rng) * torch.from_numpy(scale[::-1].astype(np.float32).copy())
    inside = (grid.abs() <= 1).all(dim=-1)[0].numpy()
    drawn = functional.grid_sample(
        hu[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0].numpy()
    named = functional.grid_sample(
        coded[None, None], grid, mode="nearest", padding_mode="border", align_corners=False
    )[0, 0].numpy()
    named = np.where(inside, named, 8).astype(np.uint8)
    drawn = np.where(inside, drawn, np.float32(AIR_HU - 24 * (rng.random() < 0.5)))
    return drawn, named & 7, named >> 3


def _bends(shape: tuple[int, int, int], rng: np.random.Generator) -> torch.Tensor:
    """Smooth displacements in voxels of the source, ``[1, z, y, x, 3]``."""
    sd = float(rng.uniform(0, BEND_VOXELS)) * (rng.random() < 0.8)
    control = torch.from_numpy((sd * rng.standard_normal((1, 3, *CONTROL))).astype(np.float32))
    field = functional.interpolate(control, shape, mode="trilinear", align_corners=True)
    return field.movedim(1, -1)


def _breathe(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """More or less air in the lungs: expiration or emphysema."""
    if rng.random() < 0.5:
        return
    lungs = (labels == 1) | (labels == 2)
    share = np.clip(-hu / 850, 0, 1) * lungs
    hu += np.float32(rng.uniform(-70, 190)) * share


def _gas(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Rarely: pneumothorax in front, or one side without a lung."""
    draw = rng.random()
    side = int(rng.integers(1, 3))
    lung = labels == side
    if draw > 0.06 or not lung.any():
        return
    if draw > 0.02:
        rows = (
            np.arange(hu.shape[1])[None, :, None]
            + rng.normal(0, 0.2) * np.arange(hu.shape[2])[None, None, :]
        )
        level = np.where(lung, rows, np.inf)
        limit = np.quantile(level[lung], rng.uniform(0.03, 0.3))
        gone = lung & (level < limit)
        hu[gone] = AIR_HU + rng.normal(0, 8, int(gone.sum()))
    else:
        gone = ndimage.binary_dilation(lung) & (hu < 0) | lung
        hu[gone] = rng.uniform(0, 35) + rng.normal(0, 10, int(gone.sum()))
    labels[gone] = 0


def _bowel(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Bubbles of gas in soft tissue: stomach, colon, a hernia."""
    if rng.random() > 0.3:
        return
    tissue = (labels == 0) & (hu > -120) & (hu < 200)
    tissue[hu.shape[0] * 2 // 3 :] = False
    where = np.argwhere(tissue[::2, ::2, ::2]) * 2
    if len(where) == 0:
        return
    for _ in range(int(rng.integers(1, 5))):
        middle, radii = where[int(rng.integers(len(where)))], rng.uniform(2, 11, 3)
        low = np.maximum(middle - 12, 0)
        box = tuple(slice(a, m + 13) for a, m in zip(low, middle, strict=True))
        offsets = np.indices(hu[box].shape) + (low - middle)[:, None, None, None]
        far = ((offsets / radii[:, None, None, None]) ** 2).sum(axis=0)
        gas = (far < 1) & (labels[box] == 0) & (hu[box] > -200)
        hu[box][gas] = AIR_HU + rng.uniform(0, 60) + rng.normal(0, 10, int(gas.sum()))


def _table(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """A table of foam behind the back."""
    if rng.random() > 0.3:
        return
    rows = np.flatnonzero((hu[::4] > -300).mean(axis=(0, 2)) > 0.05)
    if len(rows) == 0:
        return
    start = rows[-1] - int(rng.integers(0, 6))
    stop = start + int(rng.integers(3, 22))
    width = int(hu.shape[2] * rng.uniform(0.4, 1.0))
    left = int(rng.integers(0, hu.shape[2] - width + 1))
    slab = hu[:, start:stop, left : left + width]
    free = (slab < -900) & (labels[:, start:stop, left : left + width] == 0)
    slab[free] = rng.uniform(-960, -450) + rng.normal(0, 15, int(free.sum()))


def _unenhanced(hu: np.ndarray, rng: np.random.Generator) -> None:
    """As if no contrast agent had been given: all but bone as dense as muscle.

    Nearly all scans without drawn lungs are enhanced. Without this, what is dense but not bright
    is consolidation there, and the aorta of an unenhanced patient is taken for it.
    """
    if rng.random() < 0.4:
        return
    level, bone = float(rng.uniform(30, 60)), float(rng.uniform(180, 340))
    left = float(rng.uniform(0, 0.15))
    above = np.maximum(hu - np.float32(level), 0)
    soft = np.minimum(above, np.float32(bone - level))
    hu -= np.float32(1 - left) * soft


def _contrast(hu: np.ndarray, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        hu += np.float32(rng.uniform(-12, 12))
    if rng.random() < 0.5:
        dense = hu > 0
        hu[dense] *= np.float32(rng.uniform(0.6, 1.7))


def _scanner(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thick slices, blur, noise."""
    draw = rng.random()
    if draw < 0.25:
        step = float(rng.uniform(4, 9)) / VOXEL_MM
        n = max(2, round(hu.shape[0] / step))
        thick = ndimage.uniform_filter1d(hu, max(1, round(step)), axis=0, mode="nearest")
        coarse = torch.from_numpy(thick)[None, None]
        coarse = functional.interpolate(coarse, (n, *hu.shape[1:]), mode="nearest")
        hu = functional.interpolate(
            coarse, hu.shape, mode="trilinear", align_corners=False
        )[0, 0].numpy().copy()  # fmt: skip
    elif draw < 0.4:
        hu = ndimage.gaussian_filter(hu, float(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.5:
        sd = float(np.exp(rng.uniform(np.log(4), np.log(90))))
        noise = rng.standard_normal(hu.shape, np.float32)
        if rng.random() < 0.5:
            noise = ndimage.uniform_filter(noise, 2) * 2.8
        hu = hu + np.float32(sd) * noise
    floor = -1024.0 if rng.random() < 0.7 else -1000.0
    return np.maximum(hu, np.float32(floor))


def _field(
    hu: np.ndarray, labels: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> None:
    """A narrow round field of view, or slices that end early; beyond it nothing was measured."""
    beyond = np.zeros(hu.shape, bool)
    if rng.random() < 0.2:
        rows, columns = np.indices(hu.shape[1:])
        middle = np.array(hu.shape[1:]) / 2 + rng.normal(0, 6, 2)
        radius = float(rng.uniform(0.28, 0.55)) * min(hu.shape[1:])
        beyond |= (((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2) > radius**2)[None]
    if rng.random() < 0.3:
        cut = int(rng.integers(0, hu.shape[0] // 2))
        if rng.random() < 0.5:
            beyond[:cut] = True
        else:
            beyond[hu.shape[0] - cut :] = True
    hu[beyond] = -1024
    labels[beyond] = 0
    weight[beyond] = 1
