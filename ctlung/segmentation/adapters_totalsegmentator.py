"""TotalSegmentator: five lobes by nnU-Net, run as the program that its package installs.

As a program and not as a module: it may live in an environment of its own, its import costs
seconds, and it talks on stdout. It is given an empty home, in which sending statistics is
switched off, and a proxy that is not there: nothing of it reaches the network.

Source: Wasserthal et al., Radiology: Artificial Intelligence 2023.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import nibabel as nib
import numpy as np

from ctlung.arrays import LabelArray
from ctlung.errors import ModelError
from ctlung.segmentation.adapters import (
    digest,
    not_installed,
    segmentation_from,
    weights_missing,
)
from ctlung.vocabulary import LOBE_LABELS
from ctlung.volume import Scan, Segmentation

PROGRAM_VARIABLE = "CTLUNG_TOTALSEGMENTATOR"
PROGRAM = "TotalSegmentator"

CLASSES: Final = MappingProxyType(
    {
        "lul": "lung_upper_lobe_left",
        "lll": "lung_lower_lobe_left",
        "rul": "lung_upper_lobe_right",
        "rml": "lung_middle_lobe_right",
        "rll": "lung_lower_lobe_right",
    }
)
_USED = (298, 291)
"""Model for the coarse crop, and the one that holds the lobes."""
_ASKED_FOR = (291, 292, 293, 294, 295, 298)
"""The program downloads any of these that is missing, though it uses two of them for lobes."""

_CONVENTION = (
    "The lungs are the five lobes of TotalSegmentator. Trachea and pleural effusion are other "
    "structures of it (effusion in another of its tasks) and are not asked for: whether dense "
    "lung and effusion beside it are in the lobes is not stated by it. Look at overlay.png."
)


@dataclass(frozen=True)
class TotalSegmentatorSegmenter:
    """The program with its weights, for any number of scans."""

    name: str
    weights_sha256: str
    device: str
    program: Path
    weights: Path

    def segment(self, scan: Scan) -> Segmentation:
        """Lobes, and the lungs from them, on the grid of ``scan``.

        The program sees a copy with upright axes and the mean slice spacing: a tilt or uneven
        spacing is left out of it, and voxels go there and back one to one.

        Raises:
            NotChestCT: no lobe was found.
            ModelError: the program failed, or returned something else.
        """
        with tempfile.TemporaryDirectory(prefix="ctlung-") as folder:
            place = Path(folder)
            _write(scan, place / "scan.nii")
            said = self._run(place)
            labels = _read(scan, place / "lobes", self.name)
        return segmentation_from(
            scan,
            labels,
            lobes=True,
            segmenter=self.name,
            weights_sha256=self.weights_sha256,
            device=_ran_on(self.device, said),
            convention=_CONVENTION,
        )

    def _run(self, place: Path) -> str:
        arguments = ["-i", str(place / "scan.nii"), "-o", str(place / "lobes")]
        arguments += ["--roi_subset", *CLASSES.values(), "--device", _gpu_words(self.device)]
        (place / "home").mkdir()
        settings = {
            "totalseg_id": "",
            "send_usage_stats": False,
            "statistics_disclaimer_shown": True,
            "prediction_counter": 0,
        }
        (place / "home" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        return _call(
            (str(self.program), *arguments),
            {"TOTALSEG_HOME_DIR": str(place / "home"), "TOTALSEG_WEIGHTS_PATH": str(self.weights)},
        )


def load_totalsegmentator(device: str = "auto") -> TotalSegmentatorSegmenter:
    """The program ``TotalSegmentator`` (or what ``CTLUNG_TOTALSEGMENTATOR`` names).

    Args:
        device: ``"auto"`` and ``"cuda"`` let it take a GPU if it finds one, and the CPU if not.

    Raises:
        ModelError: the program is not there or does not start.
        WeightsMissing: a model that it would download is not in its folder of weights.
    """
    program = _program()
    weights = _weights_folder()
    checkpoints = _checkpoints(weights)
    version = _call((str(program), "--version"), {}).split()
    name = f"totalsegmentator-{version[-1] if version else 'unknown'}"
    return TotalSegmentatorSegmenter(name, digest(checkpoints), device, program, weights)


def _program() -> Path:
    named = os.environ.get(PROGRAM_VARIABLE)
    if named:
        found = shutil.which(Path(named).expanduser())
        if found is None:
            raise not_installed(
                PROGRAM,
                "totalsegmentator",
                f"{PROGRAM_VARIABLE} names {named}, which is no program",
            )
        return Path(found)
    # A program beside this Python need not be on the path.
    beside = shutil.which(PROGRAM, path=str(Path(sys.executable).parent))
    found = shutil.which(PROGRAM) or beside
    if found is None:
        raise not_installed(
            PROGRAM,
            "totalsegmentator",
            f"there is no program {PROGRAM}; one in another environment can be named in "
            f"{PROGRAM_VARIABLE}",
        )
    return Path(found)


def _weights_folder() -> Path:
    named = os.environ.get("TOTALSEG_WEIGHTS_PATH")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("TOTALSEG_HOME_DIR")
    return (Path(home) if home else Path.home() / ".totalsegmentator") / "nnunet" / "results"


def _checkpoints(weights: Path) -> list[Path]:
    """The files of the two models used, once it is sure that nothing would be downloaded."""
    found = {number: sorted(weights.glob(f"Dataset{number}_*")) for number in _ASKED_FOR}
    missing = [weights / f"Dataset{number}_..." for number in _ASKED_FOR if not found[number]]
    files = {n: [f for d in found[n] for f in sorted(d.glob("*/fold_0/*.pth"))] for n in _USED}
    missing += [found[n][0] / "..." / "fold_0" for n in _USED if found[n] and not files[n]]
    if missing:
        raise weights_missing(
            PROGRAM,
            missing,
            "Fetch them with: totalseg_download_weights -t total (or name their folder in "
            "TOTALSEG_WEIGHTS_PATH).",
        )
    return [file for number in _USED for file in files[number]]


def _gpu_words(device: str) -> str:
    return "cpu" if device == "cpu" else re.sub("^(cuda|auto)", "gpu", device)


def _ran_on(device: str, said: str) -> str:
    """The device, for the program falls back to the CPU and says so in passing."""
    if device == "cpu" or re.search("running on (the )?cpu", said, re.IGNORECASE):
        return "cpu"
    return "gpu" if device == "auto" else device


def _call(command: Sequence[str], extra: dict[str, str]) -> str:
    """Run without a network; what it said on both streams."""
    nowhere = "http://127.0.0.1:9"
    blocked = {name: nowhere for proxy in ("http", "https", "all") for name in _cases(proxy)}
    environment = {k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}
    environment |= blocked | {"PYTHONWARNINGS": "ignore"} | extra
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise not_installed(
            PROGRAM,
            "totalsegmentator",
            f"{command[0]} cannot be started: {(error.strerror or '').lower()}",
        ) from None
    said = done.stdout.decode("utf-8", errors="replace").strip()
    if done.returncode != 0:
        last = said.splitlines()[-1] if said else "it said nothing"
        raise ModelError(
            f"{PROGRAM} failed (exit code {done.returncode}): {last.rstrip('.')}. Run "
            f"{command[0]} by itself on a scan to see more, or use the segmenter of ctlung."
        )
    return said


def _cases(proxy: str) -> tuple[str, str]:
    return f"{proxy}_proxy", f"{proxy.upper()}_PROXY"


def _affine(scan: Scan) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    dz, dy, dx = scan.geometry.spacing_mm
    return np.diag([dx, dy, dz if dz > 0 else 1.0, 1.0])


def _write(scan: Scan, path: Path) -> None:
    """The scan as NIfTI in its own frame: axes run to the patient's right, front and head.

    RAS+, so that the program has nothing to turn.
    """
    ras = np.ascontiguousarray(scan.hu.transpose(2, 1, 0)[::-1, ::-1])
    nib.save(nib.Nifti1Image(ras, _affine(scan)), path)


def _read(scan: Scan, folder: Path, name: str) -> LabelArray:
    """Lobes on the canonical grid, from one NIfTI file for each."""
    labels = np.zeros(scan.geometry.shape, dtype=np.uint8)
    for number, lobe in LOBE_LABELS.items():
        path = folder / f"{CLASSES[lobe]}.nii.gz"
        try:
            image = nib.as_closest_canonical(nib.load(path))
            mask = np.asarray(image.dataobj)
        except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
            raise ModelError(
                f"{name} left no readable {path.name} ({type(error).__name__}): this version is "
                "not one that ctlung knows. Install another version."
            ) from None
        near = np.allclose(image.affine, _affine(scan), atol=1e-3)
        if mask.shape != scan.geometry.shape[::-1] or not near:
            raise ModelError(
                f"{name} returned {path.name} on another grid than that of the scan; install "
                "another version."
            )
        labels[mask[::-1, ::-1].transpose(2, 1, 0) > 0] = number
    return labels
