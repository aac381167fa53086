"""A model folder: card.json and weights.safetensors. Data only; nothing in it is ever run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.errors import WeightsAltered, WeightsMissing

LUNG_MODEL = "lung-unet-3mm-2"
"""Folder of the shipped lung model."""
LESION_MODEL = "lesion-unet-2mm-2"
"""Folder of the shipped lesion model."""

_REINSTALL = "Install ctlung again, or do without it (--segmenter threshold, --finder rule)."


@dataclass(frozen=True, eq=False)
class Weights:
    """A model as it lies on disk.

    Attributes:
        name: name and version, for the provenance.
        voxel_mm: edge of the cubic voxels that the network sees.
        widths: channels of each level.
        tensors: parameter name to values, float32.
        sha256: of weights.safetensors.
    """

    name: str
    voxel_mm: float
    widths: tuple[int, ...]
    tensors: dict[str, NDArray[np.float32]]
    sha256: str


def models_folder() -> Path:
    """Where shipped models lie: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def load_weights(folder: Path) -> Weights:
    """Read a model folder and hold its weights against the sha256 of its card.

    Args:
        folder: holds card.json and weights.safetensors.

    Raises:
        WeightsMissing: a file is not there or cannot be read.
        WeightsAltered: the weights are not those that the card speaks of.
    """
    card_path, path = folder / "card.json", folder / "weights.safetensors"
    try:
        card: dict[str, Any] = json.loads(card_path.read_text(encoding="utf-8"))
        stored = path.read_bytes()
    except (OSError, ValueError) as error:
        raise WeightsMissing(
            f"The model {folder.name} cannot be read ({type(error).__name__}): it needs "
            f"card.json and weights.safetensors. {_REINSTALL}"
        ) from None
    found = hashlib.sha256(stored).hexdigest()
    if found != card.get("sha256"):
        raise WeightsAltered(
            f"The weights of {folder.name} have the sha256 {found[:12]}..., its card says "
            f"{str(card.get('sha256'))[:12]}...: the file was changed or is damaged. {_REINSTALL}"
        )
    from safetensors.numpy import load

    tensors = {name: value.astype(np.float32) for name, value in load(stored).items()}
    return Weights(
        str(card["name"]),
        float(card["voxel_mm"]),
        tuple(int(n) for n in card["widths"]),
        tensors,
        found,
    )
