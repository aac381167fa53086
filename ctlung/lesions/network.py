"""The lesion network: its weights and the sizes it takes. Torch is in ``ctlung.unet``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ctlung.arrays import Float32Array
from ctlung.lesions.learned import LearnedFinder, Probabilities
from ctlung.lesions.network_input import N_CHANNELS
from ctlung.unet import Network, choose_device, load_unet
from ctlung.weights import LESION_MODEL, load_weights, models_folder

N_CLASSES = 3


def load_learned(device: str = "auto", folder: Path | None = None) -> LearnedFinder:
    """The learned finder, its weights loaded.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        folder: a model folder; the shipped one if ``None``.

    Raises:
        ValueError: no such kind of device.
        ModelError: weights missing or altered, or the GPU is not there.
    """
    weights = load_weights(folder or models_folder() / LESION_MODEL)
    network = load_unet(weights, N_CHANNELS, N_CLASSES, choose_device(device))
    return LearnedFinder(weights.name, weights.sha256, probabilities(network))


def probabilities(network: Network) -> Probabilities:
    """The network on channels of any size; what is added around them is air outside a lung."""

    def run(channels: Float32Array) -> Float32Array:
        _, z, y, x = channels.shape
        whole = network.fitting(channels.shape[1:])
        more = [(0, w - n) for w, n in zip(whole, (z, y, x), strict=True)]
        padded = np.pad(channels, [(0, 0), *more], constant_values=-1.0)
        return np.ascontiguousarray(network(padded)[:, :z, :y, :x])

    return run
