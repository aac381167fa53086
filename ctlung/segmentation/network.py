"""The lung network: its weights, its windows along z, its classes. Torch is in ``ctlung.unet``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctlung.arrays import Float32Array
from ctlung.segmentation.learned import NetworkSegmenter
from ctlung.segmentation.network_input import N_CHANNELS, channels
from ctlung.unet import Network, choose_device, device_name, load_unet
from ctlung.weights import LUNG_MODEL, load_weights, models_folder

N_CLASSES = 4
WINDOW = 144
OVERLAP = 48
"""Slices that the network sees at once, and how many two neighbouring windows share."""


def load_network(device: str = "auto", folder: Path | None = None) -> NetworkSegmenter:
    """The learned segmenter, its weights loaded.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        folder: a model folder; the shipped one if ``None``.

    Raises:
        ValueError: no such kind of device.
        ModelError: weights missing or altered, or the GPU is not there.
    """
    chosen = choose_device(device)
    weights = load_weights(folder or models_folder() / LUNG_MODEL)
    return NetworkSegmenter(
        weights.name,
        weights.sha256,
        weights.voxel_mm,
        device_name(chosen),
        probabilities(load_unet(weights, N_CHANNELS, N_CLASSES, chosen)),
    )


def probabilities(network: Network) -> Callable[[Float32Array], Float32Array]:
    """A function from HU ``[z, y, x]`` on the network's grid to float32 ``[4, z, y, x]``.

    The classes are background, right lung, left lung, large airways; they sum to 1. A long scan
    is taken in overlapping windows along z.
    """

    def run(hu: Float32Array) -> Float32Array:
        whole = network.fitting(hu.shape)
        padded = np.pad(
            hu, [(0, w - n) for w, n in zip(whole, hu.shape, strict=True)], constant_values=-1024
        )
        total = np.zeros((N_CLASSES, *whole), np.float32)
        share = np.zeros(whole[0], np.float32)
        for start, stop in windows(whole[0]):
            weight = _ramp(stop - start, start > 0, stop < whole[0])
            found = network(channels(padded[start:stop]))
            total[:, start:stop] += weight[None, :, None, None] * found
            share[start:stop] += weight
        total /= share[None, :, None, None]
        z, y, x = hu.shape
        return np.ascontiguousarray(total[:, :z, :y, :x])

    return run


def windows(depth: int) -> list[tuple[int, int]]:
    """Slices ``[start, stop)`` of each window: one, where the scan is short enough."""
    if depth <= WINDOW:
        return [(0, depth)]
    starts = [*range(0, depth - WINDOW, WINDOW - OVERLAP), depth - WINDOW]
    return [(start, start + WINDOW) for start in starts]


def _ramp(depth: int, before: bool, after: bool) -> Float32Array:
    weight = np.ones(depth, np.float32)
    rise = (np.arange(OVERLAP, dtype=np.float32) + 1) / (OVERLAP + 1)
    if before:
        weight[:OVERLAP] = np.minimum(weight[:OVERLAP], rise)
    if after:
        weight[-OVERLAP:] = np.minimum(weight[-OVERLAP:], rise[::-1])
    return weight
