"""Segmenters of other packages behind the protocol of ctlung.

What they share: the device's name, the sentence that a missing part deserves, and the way from
their labels to a :class:`~ctlung.volume.Segmentation`. An adapter never fetches anything: weights
that do not lie where the package looks for them are refused before the package is called, for
each of these packages would download them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ctlung.arrays import LabelArray
from ctlung.errors import ModelError, NotChestCT, WeightsMissing
from ctlung.notices import Notice
from ctlung.segmentation.airways import find_airways
from ctlung.segmentation.body import air_inside
from ctlung.segmentation.protocol import Segmenter
from ctlung.segmentation.threshold import native_lumen
from ctlung.vocabulary import LOBE_LABELS, LOBES_OF, LUNG_LABELS
from ctlung.volume import Anatomy, LabelMap, Scan, Segmentation
from ctlung.working_grid import working_grid

ADAPTERS = ("lungmask", "lungmask-lobes", "totalsegmentator")
AIRWAYS_MM = 2.0
_CHUNK = 1 << 20


def load_adapter(name: str, device: str = "auto") -> Segmenter:
    """A third-party segmenter that is installed with its weights.

    Args:
        name: ``"lungmask"`` (U-net R231: right and left lung), ``"lungmask-lobes"`` (LTRCLobes
            fused with R231: five lobes) or ``"totalsegmentator"`` (five lobes).
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises:
        ValueError: no adapter has that name, or no device.
        ModelError: the package is not installed, or the device is not there.
        WeightsMissing: its weights are not where the package looks for them.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"there is no device {device!r}; known are auto, cpu, cuda and cuda:N")
    if name in ("lungmask", "lungmask-lobes"):
        from ctlung.segmentation.adapters_lungmask import load_lungmask

        return load_lungmask(name == "lungmask-lobes", device)
    if name == "totalsegmentator":
        from ctlung.segmentation.adapters_totalsegmentator import load_totalsegmentator

        return load_totalsegmentator(device)
    raise ValueError(f"there is no adapter {name!r}; known are: {', '.join(ADAPTERS)}")


def not_installed(package: str, extra: str, why: str) -> ModelError:
    """The error where a package cannot be used."""
    return ModelError(
        f"The segmenter {package} cannot be used ({why}). Install it into this environment with: "
        f"pip install 'ctlung[{extra}]'",
        code="package_missing",
    )


def weights_missing(package: str, missing: Iterable[Path], how: str) -> WeightsMissing:
    """The error where a package would have to download its weights."""
    listed = ", ".join(str(path) for path in missing)
    return WeightsMissing(
        f"The weights of {package} are not there, and ctlung never downloads any: {listed} is "
        f"missing. {how}"
    )


def digest(paths: Iterable[Path]) -> str:
    """sha256 of each file, in order, joined by ``+``."""
    found = []
    for path in paths:
        sha = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
        found.append(sha.hexdigest())
    return "+".join(found)


def segmentation_from(
    scan: Scan,
    labels: LabelArray,
    *,
    lobes: bool,
    segmenter: str,
    weights_sha256: str,
    device: str,
    convention: str,
) -> Segmentation:
    """What a package found, as a segmentation of ``scan``; padding is no lung.

    Args:
        scan: on the canonical grid.
        labels: uint8 ``[z, y, x]`` on that grid: 1 right and 2 left lung or, if ``lobes``,
            1 lul, 2 lll, 3 rul, 4 rml, 5 rll, from which the lungs follow.
        lobes: which of the two.
        segmenter, weights_sha256, device: for the provenance.
        convention: the sentence of the notice ``segmenter_convention``.

    Raises:
        ModelError: labels of another shape or with other numbers.
        NotChestCT: no label at all.

    Source: FIELD 3.7, 4.1.
    """
    names = LOBE_LABELS if lobes else LUNG_LABELS
    if labels.shape != scan.geometry.shape or int(labels.max(initial=0)) > max(names):
        raise ModelError(
            f"{segmenter} returned labels up to {int(labels.max(initial=0))} on "
            f"{labels.shape} voxels where 0 to {max(names)} on {scan.geometry.shape} were "
            "expected: this version is not one that ctlung knows. Install another version, or "
            "use the segmenter of ctlung."
        )
    found = np.array(labels, dtype=np.uint8)
    if scan.outside_fov is not None:
        found[scan.outside_fov] = 0
    if not found.any():
        raise NotChestCT(
            f"{segmenter} found no lung in this scan: it is not a chest CT, or the lungs are not "
            "in view. Choose a series that shows the chest."
        )
    grid = working_grid(scan, AIRWAYS_MM)
    lumen = find_airways(grid, air_inside(grid))
    return Segmentation(
        lungs=LabelMap(_LUNG_OF_LOBE[found] if lobes else found, scan.geometry, LUNG_LABELS),
        anatomy=Anatomy(airways=native_lumen(scan, grid, lumen)),
        lobes=LabelMap(found, scan.geometry, LOBE_LABELS) if lobes else None,
        notices=(
            Notice("segmenter_convention", "note", convention, affects=("volumes", "lesions")),
        ),
        segmenter=segmenter,
        weights_sha256=weights_sha256,
        device=device,
    )


def _lung_of_lobe() -> LabelArray:
    table = np.zeros(1 + max(LOBE_LABELS), dtype=np.uint8)
    for number, lobe in LOBE_LABELS.items():
        table[number] = next(n for n, lung in LUNG_LABELS.items() if lobe in LOBES_OF[lung])
    return table


_LUNG_OF_LOBE = _lung_of_lobe()
