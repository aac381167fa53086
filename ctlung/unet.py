"""The networks of ctlung in plain torch: the one place that imports it.

The same residual U-Net as MONAI's ``UNet`` (two units a level, strided from its first level,
affine instance norm, PReLU), with the same names of parameters, so that weights trained there
load here; a test holds both networks' outputs equal. MONAI itself takes seconds to import.

Source: Kerfoot et al., Left-ventricle quantification using residual U-Net, STACOM 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctlung.arrays import Float32Array
from ctlung.errors import ModelError
from ctlung.weights import Weights

THREADS = 2
"""Threads of a network on the CPU, always: sums of small layers are split by their number, so
another number moves voxels that lie just at the border."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network on its device. Float32 on the CPU, mixed precision on CUDA.

    Attributes:
        net: from ``[1, channels, z, y, x]`` to logits ``[1, classes, z, y, x]``.
        device: where it lies.
        step: what each spatial size must be a multiple of; see :meth:`fitting`.
    """

    net: nn.Module
    device: torch.device
    step: int

    def __call__(self, channels: Float32Array) -> Float32Array:
        """Probabilities ``[classes, z, y, x]``, 1 in sum, from ``[channels, z, y, x]``."""
        given = torch.from_numpy(channels)[None].to(self.device)
        with (
            _threads(THREADS),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"),
        ):
            logits = self.net(given.to(memory_format=torch.channels_last_3d))
            found: Float32Array = logits.float().softmax(1)[0].cpu().numpy()
        return found

    def fitting(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The least size that the network takes and that holds ``shape``.

        Twice the step at least: over one voxel at the deepest level its norm is not defined.
        """
        return tuple(max(2, -(-n // self.step)) * self.step for n in shape)


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


def load_unet(weights: Weights, n_channels: int, n_classes: int, device: torch.device) -> Network:
    """The network of a model folder, ready to use.

    Raises:
        ModelError: the weights do not fit the network that the card describes.
    """
    net = ResidualUNet(n_channels, n_classes, weights.widths)
    try:
        net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.tensors.items()})
    except RuntimeError:
        raise ModelError(
            f"The weights of {weights.name} do not fit the network that its card describes; "
            "install ctlung again."
        ) from None
    return Network(net.train(False).to(device), device, 2**net.levels)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ResidualUNet(nn.Module):
    """Residual U-Net: logits ``[n, classes, z, y, x]`` from ``[n, channels, z, y, x]``.

    Each spatial size must be a multiple of ``2 ** levels``.
    """

    def __init__(self, n_channels: int, n_classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = len(widths) - 1
        self.model = _level(n_channels, n_classes, widths, top=True)

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
