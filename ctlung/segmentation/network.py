"""The lung network in plain torch: the one place of ctlung that imports it.

The same residual U-Net as MONAI's ``UNet`` (two units a level, strided from its first level,
affine instance norm, PReLU), with the same names of parameters, so that weights trained there
load here; a test holds both networks' outputs equal. MONAI itself takes seconds to import.

Source: Kerfoot et al., Left-ventricle quantification using residual U-Net, STACOM 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ctlung.arrays import Float32Array
from ctlung.errors import ModelError
from ctlung.segmentation.learned import NetworkSegmenter
from ctlung.segmentation.network_input import N_CHANNELS, channels
from ctlung.segmentation.weights import Weights, load_weights

N_CLASSES = 4
WINDOW = 144
OVERLAP = 48
"""Slices that the network sees at once, and how many two neighbouring windows share."""
THREADS = 2
"""Threads of the network on the CPU, always: sums of small layers are split by their number, so
another number moves voxels that lie just at the border."""


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
    weights = load_weights(folder)
    return NetworkSegmenter(
        weights.name,
        weights.sha256,
        weights.voxel_mm,
        device_name(chosen),
        probabilities(build(weights).to(chosen), chosen),
    )


def choose_device(device: str) -> torch.device:
    """The device of a name; ``auto`` takes a CUDA GPU if there is one."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda:0" if there else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number.isdigit() or device == "cuda"):
        raise ValueError(f"there is no device {device!r}; known are auto, cpu, cuda and cuda:N")
    index = int(number or 0)
    if index >= there:
        raise ModelError(
            f"The device {device} is not there: this machine has {there} CUDA GPUs that this "
            "installation of torch can use. Use --device cpu, or --device auto.",
            code="device",
        )
    return torch.device("cuda", index)


def device_name(device: torch.device) -> str:
    """For the provenance: ``cpu``, or the GPU by name."""
    if device.type == "cpu":
        return "cpu"
    return f"{device} ({torch.cuda.get_device_name(device)})"


def build(weights: Weights) -> LungUNet:
    """The network of a model folder, ready to use.

    Raises:
        ModelError: the weights do not fit the network that the card describes.
    """
    net = LungUNet(weights.widths)
    try:
        net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.tensors.items()})
    except RuntimeError:
        raise ModelError(
            f"The weights of {weights.name} do not fit the network that its card describes; "
            "install ctlung again."
        ) from None
    return net.train(False)


def probabilities(net: nn.Module, device: torch.device) -> Callable[[Float32Array], Float32Array]:
    """A function from HU ``[z, y, x]`` on the network's grid to float32 ``[4, z, y, x]``.

    The classes are background, right lung, left lung, large airways; they sum to 1. Float32 on
    the CPU, mixed precision on CUDA. A long scan is taken in overlapping windows along z.
    """
    deepest = 2 ** getattr(net, "levels", 4)

    def run(hu: Float32Array) -> Float32Array:
        # Two voxels at the deepest level: over one, its norm is not defined.
        whole = tuple(max(2, -(-n // deepest)) * deepest for n in hu.shape)
        padded = np.pad(
            hu, [(0, w - n) for w, n in zip(whole, hu.shape, strict=True)], constant_values=-1024
        )
        total = np.zeros((N_CLASSES, *whole), np.float32)
        share = np.zeros(whole[0], np.float32)
        for start, stop in windows(whole[0]):
            weight = _ramp(stop - start, start > 0, stop < whole[0])
            total[:, start:stop] += weight[None, :, None, None] * one(padded[start:stop])
            share[start:stop] += weight
        total /= share[None, :, None, None]
        z, y, x = hu.shape
        return np.ascontiguousarray(total[:, :z, :y, :x])

    def one(hu: Float32Array) -> Float32Array:
        given = torch.from_numpy(channels(hu))[None].to(device)
        with (
            _threads(THREADS),
            torch.inference_mode(),
            torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"),
        ):
            logits = net(given.to(memory_format=torch.channels_last_3d))
            found: Float32Array = logits.float().softmax(1)[0].cpu().numpy()
        return found

    return run


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


class LungUNet(nn.Module):
    """Residual U-Net: logits ``[n, 4, z, y, x]`` from ``[n, 2, z, y, x]``.

    Each spatial size must be a multiple of ``2 ** levels``.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = len(widths) - 1
        self.model = _level(N_CHANNELS, N_CLASSES, widths, top=True)

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the input's resolution."""
        logits: Tensor = self.model(x)
        return logits


class _Activated(nn.Module):
    """Norm and activation under MONAI's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.N = nn.InstanceNorm3d(width, affine=True)
        self.A = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        # Batch norm would spare a copy here, but is less exact.
        y: Tensor = self.A(self.N(x))
        return y


class _Convolution(nn.Module):
    def __init__(self, into: int, out: int, stride: int, up: bool, last: bool) -> None:
        super().__init__()
        self.conv: nn.Module = (
            nn.ConvTranspose3d(into, out, 3, stride, padding=1, output_padding=stride - 1)
            if up
            else nn.Conv3d(into, out, 3, stride, padding=1)
        )
        self.adn: nn.Module = nn.Identity() if last else _Activated(out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.adn(self.conv(x))
        return y


class _Residual(nn.Module):
    def __init__(self, into: int, out: int, stride: int, units: int, last: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for n in range(units):
            unit = _Convolution(into if n == 0 else out, out, stride if n == 0 else 1, False, last)
            self.conv.add_module(f"unit{n}", unit)
        self.residual: nn.Module = nn.Identity()
        if stride > 1:
            self.residual = nn.Conv3d(into, out, 3, stride, padding=1)
        elif into != out:
            self.residual = nn.Conv3d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) + self.residual(x)
        return y


class _Skip(nn.Module):
    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.submodule(x)], dim=1)


def _level(into: int, out: int, widths: tuple[int, ...], top: bool) -> nn.Sequential:
    """Down, everything below, up."""
    width = widths[0]
    if len(widths) > 2:
        below: nn.Module = _level(width, width, widths[1:], top=False)
        joined = 2 * width
    else:
        below = _Residual(width, widths[1], 1, 2, last=False)
        joined = width + widths[1]
    return nn.Sequential(
        _Residual(into, width, 2, 2, last=False),
        _Skip(below),
        nn.Sequential(
            _Convolution(joined, out, 2, up=True, last=False),
            _Residual(out, out, 1, 1, last=top),
        ),
    )
