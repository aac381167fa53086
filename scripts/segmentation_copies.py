"""Part "copies": one scan stored, turned or resampled otherwise gives the same lungs.

Every copy's lungs are brought back to the grid of the original scan by its geometry and held
against the lungs that the same segmenter finds there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import nibabel as nib
import numpy as np
from benchmark_main_job import REPOSITORY
from scipy import ndimage
from segmentation_cases import Segmenters, path_of, segment_or_none
from segmentation_drawn import provenance
from segmentation_rows import Recorder, Row
from segmentation_scores import LabelArray, dice

import ctlung
from ctlung import Scan
from ctlung.arrays import HUArray
from ctlung.geometry import Geometry

SCANS = ("lctsc-101", "phantom")
FACTOR = 1.5
TURN_DEGREES = 10.0
AIR_HU = -1000.0

Maker = Callable[[Scan, Path], tuple[Scan, Geometry]]
"""From a scan, in an empty folder: the copy, and where its voxels lie in the original."""


def run(recorder: Recorder, segmenters: Segmenters, names: list[str], cases: list[str]) -> None:
    """Every copy of both scans with every segmenter."""
    for case in SCANS:
        if cases and case not in cases:
            continue
        one = _One(case, segmenters)
        for name in names:
            for copy in COPIES:
                recorder.make(f"copies-{case}-{copy}-{name}", partial(one.measure, name, copy))


@dataclass
class _One:
    """One scan, and the lungs that each segmenter finds on the scan as it is."""

    case: str
    segmenters: Segmenters
    _plain: dict[str, LabelArray] = field(default_factory=dict)

    @cached_property
    def scan(self) -> Scan:
        phantom = REPOSITORY / "sample_scans" / "baseline"
        return ctlung.read_scan(phantom if self.case == "phantom" else path_of(self.case))

    def measure(self, name: str, copy: str) -> Row:
        segmenter, which = self.segmenters.load(name, self.case)
        if name not in self._plain:
            self._plain[name] = np.asarray(segmenter.segment(self.scan).lungs.labels)
        plain, scan = self._plain[name], self.scan
        with tempfile.TemporaryDirectory() as folder:
            other, grid = COPIES[copy](scan, Path(folder))
        found = segment_or_none(segmenter, other)
        back = np.zeros_like(plain)
        if found is not None:
            back = brought_back(np.asarray(found.lungs.labels), grid, scan.geometry)
        there = brought_back(plain, scan.geometry, grid)
        return {
            "part": "copies",
            "case": self.case,
            "copy": copy,
            "segmenter": name,
            "weights": which,
            **provenance(found),
            "voxels_equal": bool(np.array_equal(other.hu, scan.hu)),
            "dice_of_grid_alone": dice(brought_back(there, grid, scan.geometry) > 0, plain > 0),
            "dice": dice(back > 0, plain > 0),
            "dice_right": dice(back == 1, plain == 1),
            "dice_left": dice(back == 2, plain == 2),
        }


def brought_back(labels: LabelArray, grid: Geometry, onto: Geometry) -> LabelArray:
    """Labels 1 and 2 of one grid on another: each linearly, where it exceeds one half."""
    if grid.matches(onto):
        return labels
    out = np.zeros(onto.shape, np.uint8)
    matrix = np.linalg.inv(grid.matrix) @ onto.matrix
    for side in (1, 2):
        share = ndimage.affine_transform(
            (labels == side).astype(np.float32),
            matrix[:3, :3],
            matrix[:3, 3],
            onto.shape,
            order=1,
        )
        out[share > 0.5] = side
    return out


def resampled(scan: Scan, grid: Geometry, sigma: float = 0.0) -> HUArray:
    """HU on another grid, blurred by ``sigma`` voxels, linearly; air where nothing was scanned."""
    hu = scan.hu.astype(np.float32)
    if sigma > 0:
        hu = ndimage.gaussian_filter(hu, sigma)
    matrix = np.linalg.inv(scan.geometry.matrix) @ grid.matrix
    values = ndimage.affine_transform(
        hu, matrix[:3, :3], matrix[:3, 3], grid.shape, order=1, cval=AIR_HU
    )
    return np.rint(values).astype(np.int16)


def scaled(factor: float) -> Maker:
    """Voxels ``factor`` times as large, over the same extent."""

    def make(scan: Scan, folder: Path) -> tuple[Scan, Geometry]:
        shape = tuple(max(2, int((n - 1) / factor) + 1) for n in scan.geometry.shape)
        matrix = scan.geometry.matrix.copy()
        matrix[:, :3] *= factor
        # Blurred by about what a larger voxel averages.
        sigma = 0.29 * float(np.sqrt(max(0.0, factor**2 - 1)))
        grid = Geometry.from_affine(shape, matrix)
        return Scan(resampled(scan, grid, sigma), grid, scan.acquisition), grid

    return make


def turned(scan: Scan, folder: Path) -> tuple[Scan, Geometry]:
    """The patient turned on the table, about the volume's middle: the voxels are really others.

    The copy's own grid stays that of the scanner, so no header tells of the turn.
    """
    middle = (np.array(scan.geometry.shape) - 1) / 2
    c, s = np.cos(np.radians(TURN_DEGREES)), np.sin(np.radians(TURN_DEGREES))
    _, dy, dx = scan.geometry.spacing_mm
    turn = np.eye(4)
    turn[1:3, 1:3] = np.diag([1 / dy, 1 / dx]) @ [[c, -s], [s, c]] @ np.diag([dy, dx])
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    grid = Geometry.from_affine(scan.geometry.shape, scan.geometry.matrix @ turn)
    return Scan(resampled(scan, grid), scan.geometry, scan.acquisition), grid


def stored_as(turn: Callable[[np.ndarray], np.ndarray], axes: np.ndarray) -> Maker:
    """A NIfTI file whose array is ``turn`` of the plain one; its affine says so.

    ``axes`` is 4 x 4: index of the turned array, in voxels, to that of the plain one; its
    negative steps start at the far end.
    """

    def make(scan: Scan, folder: Path) -> tuple[Scan, Geometry]:
        plain = np.asarray(scan.hu).transpose(2, 1, 0)
        to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.geometry.matrix[:, [2, 1, 0, 3]]
        steps = axes.copy()
        for axis in range(3):
            if steps[axis, :3].min() < 0:
                steps[axis, 3] = plain.shape[axis] - 1
        image = nib.Nifti1Image(np.ascontiguousarray(turn(plain)), to_ras @ steps)
        nib.save(image, folder / "copy.nii.gz")
        copy = ctlung.read_scan(folder / "copy.nii.gz")
        return copy, copy.geometry

    return make


def feet_first(scan: Scan, folder: Path) -> tuple[Scan, Geometry]:
    """DICOM of a patient who lay feet first: rows run to the right, files from head to feet."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from support.dicom_files import Store, write_series

    spacing = scan.geometry.spacing_mm
    x, y, z = (float(v) for v in scan.geometry.to_mm((0, 0, 0)))
    tags = {"PatientPosition": "FFS", "ConvolutionKernel": "STANDARD"}
    store = Store(spacing=spacing, origin=(x, y, z), flip_x=True, tags=tags)
    write_series(folder, np.asarray(scan.hu), store, order="descending")
    copy = ctlung.read_scan(folder)
    return copy, copy.geometry


def _axes(*rows: tuple[int, int, int]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rows
    return matrix


COPIES: dict[str, Maker] = {
    "flipped": stored_as(lambda a: a[::-1, ::-1, ::-1], _axes((-1, 0, 0), (0, -1, 0), (0, 0, -1))),
    "rotated-90": stored_as(
        lambda a: np.rot90(a, axes=(0, 1)), _axes((0, 1, 0), (-1, 0, 0), (0, 0, 1))
    ),
    "feet-first": feet_first,
    "coarser": scaled(FACTOR),
    "finer": scaled(1 / FACTOR),
    "turned-10": turned,
}
