"""The scans that lung segmenters are judged on, their references, and who segments which.

A T patient (data README) is segmented by the weights of the fold that left that patient out,
every other scan by the shipped weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from benchmark_main_job import REPOSITORY, data_folder
from segmentation_scores import BoolArray, LabelArray, largest_per_label

import ctlung
from ctlung import GeometryMismatch, ModelError, NotChestCT, Scan, Segmentation, Segmenter

FOLDS = REPOSITORY / "scripts" / "folds.json"
TRAINED_ON = ("lctsc-101", "lctsc-102", "lctsc-103", "lctsc-201")
"""Patients with lungs drawn by hand that some weights have seen."""


@dataclass(frozen=True)
class Case:
    """A scan with drawn lungs.

    Attributes:
        name: of the scan.
        use: ``T``, ``H`` or ``E`` of the data README.
        undrawn_slices: slices whose reference is not complete, counted from 0 at the feet.
        largest_pieces: the reference has loose islands that are no lung.
        millimetres: whether its spacing can be trusted.
        tumour: a file of the tumour lies beside the lungs'.
    """

    name: str
    use: str
    undrawn_slices: tuple[int, ...] = ()
    largest_pieces: bool = False
    millimetres: bool = True
    tumour: bool = False


DRAWN = (
    *(Case(name, "T") for name in TRAINED_ON),
    Case("lctsc-202", "H"),
    Case("lung1-001", "E", tumour=True),
    Case("lung1-002", "E", undrawn_slices=(29, 30, 37, 43, 44), tumour=True),
    Case("lung1-003", "E", largest_pieces=True, tumour=True),
    Case("onkodicom-thorax", "E", tumour=True),
    Case("cip-ct64", "E"),
    Case("medseg-rp1", "E", millimetres=False),
    Case("medseg-rp7", "E", millimetres=False),
)
BY_NAME = {case.name: case for case in DRAWN}
HOSTS = (*TRAINED_ON, "lctsc-202", "lung1-003", "cip-ct64")
PNEUMONIAS = ("ricord-1a-001012", "covid-ct-md-p001", "covid-ct-md-cap001")
UNDRAWN_HELD_OUT = ("lidc-idri-0001", "qin-lsc-0049", "lungctdiag-r168")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scan and what was drawn on it, all on the scan's grid.

    Attributes:
        scan: the scan.
        lungs: 1 right, 2 left; 1 for both where the reference has no sides.
        sided: whether it has.
        tumour: where it was drawn, if it was.
        judged: slices whose reference counts, bool ``[z]``.
    """

    scan: Scan
    lungs: LabelArray
    sided: bool
    tumour: BoolArray | None
    judged: BoolArray


def path_of(name: str) -> Path:
    """A scan of the data folder: a DICOM folder or a NIfTI file."""
    folder = data_folder() / "dicom" / name
    return folder if folder.is_dir() else data_folder() / "volumes" / f"{name}.nii.gz"


def load_drawn(case: Case) -> Drawn:
    """Read a case with its reference."""
    scan = ctlung.read_scan(path_of(case.name))
    lungs = labels_on(scan, _drawing(case.name, "lungs"))
    if case.largest_pieces:
        lungs = largest_per_label(lungs)
    tumour = labels_on(scan, _drawing(case.name, "gtv")) > 0 if case.tumour else None
    judged = np.ones(len(lungs), bool)
    judged[list(case.undrawn_slices)] = False
    return Drawn(scan, lungs, bool((lungs == 2).any()), tumour, judged)


def _drawing(name: str, what: str) -> Path:
    structures = data_folder() / "dicom" / f"{name}-structures"
    if structures.is_dir():
        return structures / f"{what}.nii.gz"
    return data_folder() / "volumes" / f"{name}.{what}.nii.gz"


def labels_on(scan: Scan, path: Path) -> LabelArray:
    """A NIfTI label file on the canonical grid of ``scan``.

    Raises:
        GeometryMismatch: it lies elsewhere.
    """
    image: Any = nib.load(path)
    stored = scan.source.stored
    if stored is not None:
        there = stored.to_canonical(np.asarray(image.dataobj))
    else:
        nearest = nib.as_closest_canonical(image)
        there = np.asarray(nearest.dataobj)[::-1, ::-1, :].transpose(2, 1, 0)  # RAS to LPS
        size = np.array(nearest.shape)
        ends = nearest.affine @ np.array([[size[0] - 1, size[1] - 1, 0, 1]]).T
        first = np.array([-ends[0, 0], -ends[1, 0], ends[2, 0]])
        if np.abs(first - scan.geometry.to_mm((0, 0, 0))).max() > 0.1:
            raise GeometryMismatch(f"{path.name} does not lie where its scan lies.")
    if there.shape != scan.geometry.shape:
        raise GeometryMismatch(
            f"{path.name} has {there.shape} voxels, its scan {scan.geometry.shape}."
        )
    return np.ascontiguousarray(np.rint(there).astype(np.uint8))


def with_sides(drawn: LabelArray, sides: LabelArray) -> LabelArray:
    """A drawing without sides, split by the nearest label of ``sides`` (1 right, 2 left).

    Raises:
        ValueError: ``sides`` is empty.
    """
    from scipy import ndimage

    if not (sides > 0).any():
        raise ValueError("without a right and a left lung nothing can be split")
    nearest = ndimage.distance_transform_edt(
        sides == 0, return_distances=False, return_indices=True
    )
    split: LabelArray = np.where(drawn > 0, sides[tuple(nearest)], 0).astype(np.uint8)
    return split


@dataclass
class Segmenters:
    """Segmenters by name and case, each loaded once.

    Attributes:
        device: for the network.
        folds_folder: holds ``fold0-export`` and its like.
        model: a model folder in place of the shipped one; ``None`` takes the shipped one.
    """

    device: str = "auto"
    folds_folder: Path = REPOSITORY / "checkpoints" / "lungs"
    model: Path | None = None
    _loaded: dict[str, Segmenter] = field(default_factory=dict)

    def weights_state(self) -> str:
        """Sha256 over the weights of all model folders that may serve here."""
        shipped = REPOSITORY / "models"
        files = [*shipped.glob("*/*.safetensors"), *self.folds_folder.glob("fold*/*.safetensors")]
        files += [] if self.model is None else [*self.model.glob("*.safetensors")]
        digest = hashlib.sha256()
        for path in sorted(files):
            digest.update(path.parent.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def load(self, name: str, case: str) -> tuple[Segmenter, str]:
        """The segmenter for a case, and which weights it has: ``shipped``, ``fold0``, ``none``...

        Raises:
            ModelError: weights, package or device are not there.
        """
        which = "none" if name == "threshold" else self.weights_for(name, case)
        key = f"{name}/{which}"
        if key not in self._loaded:
            self._loaded[key] = self._new(name, which)
        return self._loaded[key], which

    def weights_for(self, name: str, case: str) -> str:
        """``fold…`` for a patient that the shipped network was trained on, else ``shipped``."""
        if name == "network" and case in TRAINED_ON:
            folds: dict[str, list[str]] = json.loads(FOLDS.read_text(encoding="utf-8"))["lungs"]
            for fold, left_out in folds.items():
                if case in left_out:
                    return fold
            raise ModelError(
                f"No fold of {FOLDS.name} left {case} out, so no weights may be judged on it; "
                "train one that does."
            )
        return "shipped" if self.model is None or name != "network" else self.model.name

    def _new(self, name: str, which: str) -> Segmenter:
        folder = self.model
        if which.startswith("fold"):
            folder = self.folds_folder / f"{which}-export"
        if name != "network" or folder is None:
            return missing_package_said(lambda: ctlung.load_segmenter(name, device=self.device))

        def network() -> Segmenter:
            from ctlung.segmentation.network import load_network

            return load_network(self.device, folder)

        return missing_package_said(network)


def missing_package_said(load: Any) -> Segmenter:
    """A segmenter, or a ``ModelError`` where the package that it runs on is not installed."""
    try:
        loaded: Segmenter = load()
    except ImportError as error:
        raise ModelError(f"A package that the segmenter needs is missing: {error}.") from None
    return loaded


def segment_or_none(segmenter: Segmenter, scan: Scan) -> Segmentation | None:
    """The lungs, or ``None`` where the segmenter says that there are none."""
    try:
        return segmenter.segment(scan)
    except NotChestCT:
        return None
