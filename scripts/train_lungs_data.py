"""Training cases of the lung network: real T scans, phantoms and scans without lungs, at 3 mm.

    python scripts/train_lungs_data.py            hosts, then variants with lesions
    python scripts/train_lungs_data.py --hosts    hosts only

Reads T scans only (data/README.md). Writes to checkpoints/lungs/data/, which is not kept in the
repository. Hosts: the scan and its labels on the network's grid. Variants: the host with lesions
of the simulator's training family put in. Labels: 1 right lung, 2 left lung, 3 large airways with
their walls; weight 0 where nobody knows.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from benchmark_main_job import HAND_DRAWN, REPOSITORY, data_folder
from scipy import ndimage

import ctlung
from ctlung.geometry import Geometry
from ctlung.morphology import close, grow
from ctlung.network_grid import to_network_grid
from ctlung.segmentation.airways import find_airways, large_airways
from ctlung.segmentation.body import air_inside
from ctlung.simulation import family_train
from ctlung.simulation.insertion import LesionPlan
from ctlung.simulation.thorax import phantom_grid, random_thorax, render
from ctlung.volume import Scan
from ctlung.working_grid import WorkingGrid, block_mean, working_grid

VOXEL_MM = 3.0
WORKING_MM = 2.0
AIRWAY_WALL_MM = 2.0
UNSURE_MM, UNSURE_TUMOUR_MM = 6.0, 20.0
"""Soft tissue that a closing of this radius adds to lungs found by a threshold may be lung.

20 mm everywhere left the aorta beside the left lung unknown on every found host, and the network
then took it for lung. Only TUMOUR needs it: a large tumour at the wall.
"""
TUMOUR = ("qin-lung-01-0013",)
UNKNOWN = {"qin-lsc-0003": (slice(9, 35), slice(24, 42), slice(55, 88))}
"""Bowel gas that the threshold segmenter takes for lung (seen by eye), in network voxels."""

DRAWN = HAND_DRAWN[:4]
FOUND = (
    "lidc-idri-0002",
    "lidc-idri-0003",
    "lidc-idri-1011",
    "qin-lsc-0003",
    "qin-lsc-0009",
    "qin-lsc-0014",
    "qin-lsc-0028",
    "qin-lsc-0055",
    "qin-lsc-0064",
    "qin-lsc-0088",
    "qin-lung-01-0007",
    "qin-lung-01-0013",
)
NO_LUNGS = {"negative-acrin-0": slice(40, None), "negative-acrin-1": slice(None, 86)}
PHANTOMS = 12
VARIANTS = 40
FOLDER = REPOSITORY / "checkpoints" / "lungs" / "data"


@dataclass(frozen=True, eq=False)
class Case:
    """One training case on the network's grid: HU, labels, weight (0 or 1)."""

    hu: np.ndarray
    labels: np.ndarray
    weight: np.ndarray

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        hu = np.clip(np.rint(self.hu), -1024, 3071).astype(np.int16)
        stacked = np.stack([hu, self.labels.astype(np.int16) + 8 * self.weight.astype(np.int16)])
        part = path.with_suffix(".part.npy")
        np.save(part, stacked)
        part.rename(path)

    @classmethod
    def load(cls, path: Path, mmap: bool = False) -> Case:
        stacked = np.load(path, mmap_mode="r" if mmap else None)
        return cls(stacked[0], stacked[1] & 7, stacked[1] >> 3)


def on_network_grid(
    grid_hu: np.ndarray, labels: np.ndarray, weight: np.ndarray, spacing: tuple[float, ...]
) -> Case:
    hu = to_network_grid(np.maximum(grid_hu, -1024), spacing, VOXEL_MM)
    shares = np.stack([to_network_grid(labels == n, spacing, VOXEL_MM) for n in range(4)])
    sure = to_network_grid(weight, spacing, VOXEL_MM) > 0.5
    return Case(hu, shares.argmax(axis=0), sure)


def airways_with_walls(grid: WorkingGrid) -> np.ndarray:
    lumen = find_airways(grid, air_inside(grid))
    return grow(large_airways(lumen, grid), AIRWAY_WALL_MM, grid.spacing_mm)


def coarse_labels(labels: np.ndarray, grid: WorkingGrid) -> np.ndarray:
    return sum(
        side * (block_mean(labels == side, grid.factors) > 0.5).astype(np.uint8) for side in (1, 2)
    )


def drawn_host(name: str) -> Case:
    scan = read(name)
    raw = np.asarray(nib.load(data_folder() / "volumes" / f"{name}.lungs.nii.gz").dataobj)
    drawn = scan.source.stored.to_canonical(raw) > 0
    found = ctlung.segment_lungs(scan, "threshold").lungs.labels
    nearest = ndimage.distance_transform_edt(
        found == 0, scan.geometry.spacing_mm, return_distances=False, return_indices=True
    )
    sides = np.where(drawn, found[tuple(nearest)], 0).astype(np.uint8)
    grid = working_grid(scan, WORKING_MM)
    labels = coarse_labels(sides, grid)
    labels[airways_with_walls(grid) & (labels == 0)] = 3
    return on_network_grid(grid.hu, labels, np.ones(labels.shape, bool), grid.spacing_mm)


def found_host(name: str) -> Case:
    scan = read(name)
    grid = working_grid(scan, WORKING_MM)
    labels = coarse_labels(ctlung.segment_lungs(scan, "threshold").lungs.labels, grid)
    lungs = labels > 0
    unsure = np.zeros_like(lungs)
    reach = UNSURE_TUMOUR_MM if name in TUMOUR else UNSURE_MM
    for side in (1, 2):
        unsure |= close(labels == side, reach, grid.spacing_mm) & ~lungs & (grid.hu > -400)
    airways = airways_with_walls(grid) & ~lungs
    labels[airways] = 3
    case = on_network_grid(grid.hu, labels, ~unsure | airways, grid.spacing_mm)
    if name in UNKNOWN:
        case.weight[UNKNOWN[name]] = False
    return case


def empty_host(name: str) -> Case:
    scan = read(name)
    keep = NO_LUNGS[name]
    grid = working_grid(Scan(scan.hu[keep].copy(), _cut(scan.geometry, keep)), WORKING_MM)
    nothing = np.zeros(grid.hu.shape, np.uint8)
    return on_network_grid(grid.hu, nothing, nothing == 0, grid.spacing_mm)


def phantom_host(index: int) -> Case:
    rng = np.random.default_rng(np.random.SeedSequence([family_train.FAMILY, 900, index]))
    thorax = random_thorax(rng)
    geometry = phantom_grid(thorax, (VOXEL_MM,) * 3, margin_mm=float(rng.uniform(20, 90)))
    drawn = render(thorax, geometry)
    labels = drawn.lungs.copy()
    labels[ndimage.binary_dilation(drawn.airways) & (labels == 0)] = 3
    hu = drawn.hu + (drawn.blood * float(rng.choice([0, 0, 120, 220])))
    return Case(hu, labels, np.ones(labels.shape, bool))


def read(name: str) -> Scan:
    return ctlung.read_scan(data_folder() / "volumes" / f"{name}.nii.gz")


def _cut(geometry: Geometry, keep: slice) -> Geometry:
    z = range(*keep.indices(geometry.shape[0]))
    box = (slice(z[0], z[-1] + 1), slice(0, geometry.shape[1]), slice(0, geometry.shape[2]))
    return geometry.crop(box)


def variant(host: Case, rng: np.random.Generator) -> Case:
    """The host with lesions: half of them as a patient has, half with up to 60 % of the lung."""
    sides = np.where(host.labels < 3, host.labels, 0).astype(np.uint8)
    geometry = Geometry.from_spacing(host.hu.shape, (VOXEL_MM,) * 3)
    plans = None if rng.random() < 0.4 else heavy_plans(sides, rng)
    done = family_train.insert(host.hu.astype(np.float32), sides, geometry, rng, plans)
    noise = done.hu.astype(np.float32)
    labels = np.where(done.lungs > 0, done.lungs, np.where(sides > 0, 0, host.labels))
    return Case(noise, labels, host.weight | (done.fraction > 0.2))


def heavy_plans(
    lungs: np.ndarray, rng: np.random.Generator, voxel_mm: float = VOXEL_MM
) -> tuple[LesionPlan, ...]:
    room = float((lungs > 0).sum()) * voxel_mm**3 / 1000
    wanted = room * float(rng.uniform(0.1, 0.6))
    lower = float(rng.uniform(0, 1))
    plans: list[LesionPlan] = []
    while wanted > 10 and len(plans) < 14:
        ml = min(wanted, float(np.exp(rng.uniform(np.log(20), np.log(700)))))
        wanted -= ml
        dense = rng.random() < 0.65
        touches = bool(rng.random() < 0.85)
        if dense:
            collapse = rng.random() < 0.15
            hu = float(rng.uniform(-110, 75))
            plans.append(
                LesionPlan("collapse", min(ml, 300.0), float(rng.uniform(25, 75)), 1.5)
                if collapse
                else LesionPlan(
                    "consolidation", ml, hu, float(rng.uniform(0, 3)), touches,
                    bool(rng.random() < 0.5), lower,
                )
            )  # fmt: skip
        else:
            rise = float(rng.uniform(90, 500))
            plans.append(
                LesionPlan("ground_glass", ml, rise, float(rng.uniform(0, 6)), touches, lower=lower)
            )
    if rng.random() < 0.2:
        plans.append(LesionPlan("effusion", float(rng.uniform(30, 500)), float(rng.uniform(0, 25))))
    return tuple(plans)


def host_names() -> tuple[str, ...]:
    phantoms = tuple(f"phantom-{i:02d}" for i in range(PHANTOMS))
    return (*DRAWN, *FOUND, *NO_LUNGS, *phantoms)


def make_host(name: str) -> Case:
    if name in DRAWN:
        return drawn_host(name)
    if name in FOUND:
        return found_host(name)
    if name in NO_LUNGS:
        return empty_host(name)
    return phantom_host(int(name.split("-")[1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hosts", action="store_true")
    parser.add_argument("--variants", type=int, default=VARIANTS)
    options = parser.parse_args()
    start = time.perf_counter()
    for name in host_names():
        path = FOLDER / name / "host.npy"
        if not path.exists():
            make_host(name).save(path)
            print(f"{time.perf_counter() - start:6.0f} s  {name}", file=sys.stderr, flush=True)
    if options.hosts:
        return
    for index in range(options.variants):
        for name in host_names():
            path = FOLDER / name / f"variant-{index:02d}.npy"
            if name in NO_LUNGS or path.exists():
                continue
            seed = np.random.SeedSequence([family_train.FAMILY, zlib.crc32(name.encode()), index])
            variant(Case.load(FOLDER / name / "host.npy"), np.random.default_rng(seed)).save(path)
        print(
            f"{time.perf_counter() - start:6.0f} s  variants {index}", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    main()
