"""The engine: one lung onto another, coarse to fine, by gradient descent. The only torch here.

The map is affine plus a displacement on a control lattice, made smooth by cubic-like weights.
What is minimised at each level: squared differences of the features, each counted as far as both
scans trust it there, plus the squared slopes of the displacement. Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ctlung.alignment import Field, PatientGrid
from ctlung.arrays import Float32Array
from ctlung.registration.features import LungImage


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch works in one thread meanwhile: both lungs are done side by side, and sums do not
    depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        steps: of descent.
        lattice: control points are so many voxels apart.
        rate_mm: length of the first steps.
        stiffness: weight of the displacement's slopes.
        outline: weight of the outline beside the detail.
    """

    steps: int
    lattice: int
    rate_mm: float
    stiffness: float
    outline: float
    lncc: bool = False


def affine_start(fixed: LungImage, moving: LungImage) -> np.ndarray:
    """3 x 4 map that puts box on box, from the 2nd to the 98th percentile of each axis."""
    start = np.zeros((3, 4))
    mine = fixed.grid.points()[:, fixed.lung]
    theirs = moving.grid.points()[:, moving.lung]
    for c in range(3):
        low, high = np.percentile(mine[c], (2, 98))
        low2, high2 = np.percentile(theirs[c], (2, 98))
        scale = (high2 - low2) / (high - low)
        start[c, c], start[c, 3] = scale, low2 - scale * low
    return start


def fit_affine(
    fixed: LungImage, moving: LungImage, start: np.ndarray, steps: int = 60
) -> np.ndarray:
    """The affine map that lays the outlines on one another best."""
    points = torch.from_numpy(fixed.grid.points().reshape(3, -1))
    inside = points[:, torch.from_numpy(fixed.lung.reshape(-1))]
    middle = inside.double().mean(dim=1).float()
    centred = points - middle[:, None]
    size = float(centred.abs().max())
    matrix = torch.from_numpy(start[:, :3]).float()
    shift = torch.from_numpy(start[:, 3]).float() + matrix @ middle
    more = torch.zeros(3, 4, requires_grad=True)
    channels, theirs = _channels(fixed), _channels(moving)
    goal = channels[:, 1:2].reshape(1, -1)
    detail, trust = channels[:, 0].reshape(-1), channels[:, 2].reshape(-1)
    optimiser = torch.optim.Adam([more], lr=1.0)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2.0 * (1 - step / steps) + 0.1
        optimiser.zero_grad()
        a, t = matrix + more[:, :3] / size, shift + more[:, 3]
        where = a @ centred + t[:, None]
        seen = _look(theirs, moving.grid, where.reshape(3, *fixed.grid.shape))
        loss = ((seen[0, 1].reshape(-1) - goal[0]) ** 2).mean() * 4
        w = trust * seen[0, 2].reshape(-1)
        loss = loss + 0.1 * (w * (seen[0, 0].reshape(-1) - detail) ** 2).sum() / (w.sum() + 1)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    a, t = (matrix + more[:, :3] / size).detach(), (shift + more[:, 3]).detach()
    found = np.zeros((3, 4))
    found[:, :3] = a.numpy()
    found[:, 3] = (t - a @ middle).numpy()
    return found


def refine(
    fixed: LungImage, moving: LungImage, affine: np.ndarray, field: Field | None, level: Level
) -> Field:
    """The displacement (relative to the identity) after one level."""
    points = torch.from_numpy(fixed.grid.points())
    base = _affine_displacement(points, affine)
    lattice_shape = [max(4, (n - 1) // level.lattice + 3) for n in fixed.grid.shape]
    control = torch.zeros(1, 3, *lattice_shape)
    if field is not None:
        rest = _onto(field, fixed.grid) - base.numpy()
        control = functional.interpolate(
            torch.from_numpy(rest)[None], size=lattice_shape, mode="trilinear", align_corners=True
        )
    control = control.clone().requires_grad_(True)
    mine, theirs = _channels(fixed), _channels(moving)
    optimiser = torch.optim.Adam([control], lr=level.rate_mm, betas=(0.9, 0.99))
    spacing = [
        fixed.grid.spacing_mm * (n - 1) / (m - 1)
        for n, m in zip(fixed.grid.shape, lattice_shape, strict=True)
    ]
    shape = fixed.grid.shape
    for step in range(level.steps):
        for group in optimiser.param_groups:
            group["lr"] = level.rate_mm * (1 - 0.8 * step / level.steps)
        optimiser.zero_grad()
        smooth = _smooth(control)
        u = functional.interpolate(smooth, size=shape, mode="trilinear", align_corners=True)
        seen = _look(theirs, moving.grid, points + base + u[0])
        loss = _difference(mine, seen, level) + level.stiffness * _slopes(smooth, spacing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        u = functional.interpolate(
            _smooth(control), size=shape, mode="trilinear", align_corners=True
        )
        return Field(fixed.grid, (base + u[0]).numpy())


def _difference(mine: torch.Tensor, seen: torch.Tensor, level: Level) -> torch.Tensor:
    outline = ((seen[:, 1] - mine[:, 1]) ** 2).mean()
    # Weights have no slope: nothing is won or lost by looking where the other scan is ill.
    w = (mine[:, 2] * seen[:, 2]).detach()
    if level.lncc:
        detail = _lncc(mine[:, 0:1], seen[:, 0:1], w[:, None])
    else:
        detail = (w * (seen[:, 0] - mine[:, 0]) ** 2).sum() / (w.sum() + 1)
    return detail + level.outline * outline


def _lncc(a: torch.Tensor, b: torch.Tensor, w: torch.Tensor, radius: int = 2) -> torch.Tensor:
    def box(v: torch.Tensor) -> torch.Tensor:
        k = 2 * radius + 1
        for size, pad in (
            ((k, 1, 1), (radius, 0, 0)),
            ((1, k, 1), (0, radius, 0)),
            ((1, 1, k), (0, 0, radius)),
        ):
            v = functional.avg_pool3d(v, size, stride=1, padding=pad, count_include_pad=False)
        return v

    n = box(w) + 1e-3
    ma, mb = box(w * a) / n, box(w * b) / n
    vaa = box(w * a * a) / n - ma * ma + 0.02
    vbb = box(w * b * b) / n - mb * mb + 0.02
    vab = box(w * a * b) / n - ma * mb
    cc = vab / torch.sqrt(vaa * vbb)
    return ((1 - cc) * w).sum() / (w.sum() + 1)


def _slopes(u: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
    total = u.new_zeros(())
    for axis, s in enumerate(spacing):
        step = u.diff(dim=2 + axis) / s
        total = total + (step * step).mean()
    return total


def _smooth(control: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        control = functional.avg_pool3d(control, 3, stride=1, padding=1, count_include_pad=False)
    return control


def _channels(image: LungImage) -> torch.Tensor:
    return torch.from_numpy(np.stack([image.detail, image.outline, image.trust])[None])


def _look(channels: torch.Tensor, grid: PatientGrid, where: torch.Tensor) -> torch.Tensor:
    """Channels at LPS points ``[3, z, y, x]``."""
    parts = [
        2.0 * (where[c] - grid.origin_mm[c]) / (grid.spacing_mm * (grid.shape[2 - c] - 1)) - 1.0
        for c in range(3)
    ]
    at = torch.stack(parts, dim=-1)[None]
    return functional.grid_sample(
        channels, at, mode="bilinear", padding_mode="border", align_corners=True
    )


def _affine_displacement(points: torch.Tensor, affine: np.ndarray) -> torch.Tensor:
    a, t = torch.from_numpy(affine[:, :3]).float(), torch.from_numpy(affine[:, 3]).float()
    return torch.einsum("ij,jzyx->izyx", a, points) + t[:, None, None, None] - points


def _onto(field: Field, grid: PatientGrid) -> Float32Array:
    points = grid.points()
    moved: Float32Array = field(points) - points
    return moved
