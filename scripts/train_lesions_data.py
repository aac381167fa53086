"""Training cases of the lesion network: nearly healthy T scans with lesions put in, at 2 mm.

    python scripts/train_lesions_data.py      hosts, then variants

Hosts are the T scans without drawn lungs, so that the LCTSC patients stay unseen and need no
fold. Writes to checkpoints/lesions/data/, which is not kept in the repository. What was there
before (scripts/nodules.csv, scripts/abnormal.csv, listed by eye) is left out of the loss. All
lesions are of the simulator's training family.
"""

from __future__ import annotations

import csv
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from train_lungs_data import FOUND, coarse_labels, heavy_plans, read

import ctlung
from ctlung.geometry import Geometry
from ctlung.network_grid import to_network_grid
from ctlung.simulation import family_train
from ctlung.working_grid import working_grid

VOXEL_MM = 2.0
WORKING_MM = 2.0
VARIANTS = 16
FOLDER = REPOSITORY / "checkpoints" / "lesions" / "data"
LISTS = (REPOSITORY / "scripts" / "nodules.csv", REPOSITORY / "scripts" / "abnormal.csv")


@dataclass(frozen=True, eq=False)
class Case:
    """One case, ``[z, y, x]`` at 2 mm.

    Attributes:
        hu: int16.
        sides: 1 right, 2 left lung.
        lesions: 1 ground-glass, 2 consolidation.
        known: where the label can be trusted.
    """

    hu: np.ndarray
    sides: np.ndarray
    lesions: np.ndarray
    known: np.ndarray

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        hu = np.clip(np.rint(self.hu), -1024, 3071).astype(np.int16)
        code = self.sides.astype(np.int16) + 4 * self.lesions + 16 * self.known
        part = path.with_suffix(".part.npy")
        np.save(part, np.stack([hu, code.astype(np.int16)]))
        part.rename(path)

    @classmethod
    def load(cls, path: Path) -> Case:
        hu, code = np.load(path, mmap_mode="r")
        return cls(hu, code & 3, (code >> 2) & 3, (code >> 4) > 0)


def host(name: str) -> Case:
    """A scan with the threshold segmenter's lungs, cut to their box."""
    scan = read(name)
    grid = working_grid(scan, WORKING_MM)
    labels = coarse_labels(ctlung.segment_lungs(scan, "threshold").lungs.labels, grid)
    hu = to_network_grid(np.maximum(grid.hu, -1024), grid.spacing_mm, VOXEL_MM)
    shares = [to_network_grid(labels == n, grid.spacing_mm, VOXEL_MM) for n in range(3)]
    sides = np.stack(shares).argmax(axis=0)
    known = ~spheres(name, scan.geometry, hu.shape)
    where = np.argwhere(sides > 0)
    low, high = np.maximum(where.min(axis=0) - 12, 0), where.max(axis=0) + 13
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return Case(hu[box], sides[box], np.zeros_like(sides[box]), known[box])


def spheres(name: str, geometry: Geometry, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels at 2 mm inside what the lists say of a scan."""
    where = np.zeros(shape, bool)
    centres = [(np.arange(n) + 0.5) * VOXEL_MM for n in shape]
    for path in LISTS:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.DictReader(file) if line["scan"] == name]
        for line in lines:
            index = (int(line["slice"]), int(line["row"]), int(line["column"]))
            gaps = [
                (c - (i + 0.5) * s) ** 2
                for c, i, s in zip(centres, index, geometry.spacing_mm, strict=True)
            ]
            far = gaps[0][:, None, None] + gaps[1][None, :, None] + gaps[2][None, None, :]
            where |= far <= float(line["radius_mm"]) ** 2
    return where


def variant(clean: Case, rng: np.random.Generator) -> Case:
    """The host with lesions: seven in ten as the family draws a patient, else many."""
    sides = clean.sides.astype(np.uint8)
    geometry = Geometry.from_spacing(clean.hu.shape, (VOXEL_MM,) * 3)
    plans = None
    if rng.random() < 0.3:
        plans = heavy_plans(sides, rng, VOXEL_MM)
    done = family_train.insert(clean.hu.astype(np.float32), sides, geometry, rng, plans)
    return Case(done.hu, done.lungs, done.lesions, clean.known | (done.lesions > 0))


def main() -> None:
    start = time.perf_counter()
    for name in FOUND:
        path = FOLDER / name / "host.npy"
        if not path.exists():
            host(name).save(path)
            print(f"{time.perf_counter() - start:6.0f} s  {name}", file=sys.stderr, flush=True)
    for index in range(VARIANTS):
        for name in FOUND:
            path = FOLDER / name / f"variant-{index:02d}.npy"
            if path.exists():
                continue
            words = zlib.crc32(f"lesions-{name}".encode())
            seed = np.random.SeedSequence([family_train.FAMILY, words, index])
            variant(Case.load(FOLDER / name / "host.npy"), np.random.default_rng(seed)).save(path)
        print(f"{time.perf_counter() - start:6.0f} s  variant {index}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
