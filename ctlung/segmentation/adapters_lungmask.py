"""lungmask: U-nets over single slices, for the lungs (R231) or the lobes (LTRCLobes).

Source: Hofmanninger et al., Eur Radiol Exp 2020; labels as in the package's own description.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ctlung.errors import ModelError
from ctlung.segmentation.adapters import (
    digest,
    not_installed,
    segmentation_from,
    weights_missing,
)
from ctlung.volume import Scan, Segmentation

LUNGS_MODEL, LOBES_MODEL = "R231", "LTRCLobes"

_LUNGS_CONVENTION = (
    "lungmask R231 takes pleural effusion, tumours and air pockets into the lungs and leaves the "
    "trachea out. Where there is effusion the lungs are too large, and effusion may be measured "
    "as consolidation: look at overlay.png."
)
_LOBES_CONVENTION = (
    "The lobes are those of lungmask LTRCLobes, which leaves very dense areas out, within the "
    "lungs of R231, which take pleural effusion, tumours and air pockets in and leave the trachea "
    "out. What R231 has more was given to the lobe beside it: borders of lobes in dense lung are "
    "guesses, and effusion may be measured as consolidation. Look at overlay.png."
)


@dataclass(frozen=True, eq=False)
class LungmaskSegmenter:
    """A loaded ``LMInferer`` of lungmask, for any number of scans."""

    name: str
    lobes: bool
    weights_sha256: str
    device: str
    inferer: Any

    def segment(self, scan: Scan) -> Segmentation:
        """Lungs, and lobes where this is the lobe model, on the grid of ``scan``.

        lungmask sees the slices as they are stored here, each for itself: rows from front to
        back, columns from the patient's right to the left, slices from the feet up. That is what
        it turns an image with directions to. Uneven or tilted stacks need no resampling.

        Raises:
            NotChestCT: no lung was found.
            ModelError: lungmask failed.
        """
        try:
            with _quiet():
                labels = self.inferer.apply(np.array(scan.hu))
        except Exception as error:
            raise ModelError(
                f"{self.name} failed on {self.device} ({_words(error)}); try --device cpu, or use "
                "the segmenter of ctlung."
            ) from error
        return segmentation_from(
            scan,
            np.asarray(labels, dtype=np.uint8),
            lobes=self.lobes,
            segmenter=self.name,
            weights_sha256=self.weights_sha256,
            device=self.device,
            convention=_LOBES_CONVENTION if self.lobes else _LUNGS_CONVENTION,
        )


def load_lungmask(lobes: bool, device: str = "auto") -> LungmaskSegmenter:
    """R231 or, with ``lobes``, LTRCLobes fused with R231.

    Never LTRCLobes alone: it leaves consolidated lung out, so that a worse lung looks better.

    Args:
        lobes: whether lobes are wanted.
        device: ``"auto"`` leaves the choice to lungmask.

    Raises:
        ModelError: lungmask is not installed, its weights are damaged, the device is not there.
        WeightsMissing: its weights are not in the cache of torch.
    """
    with _quiet():
        package = _package()
        models = (LOBES_MODEL, LUNGS_MODEL) if lobes else (LUNGS_MODEL,)
        paths = _weights(package, models)
        inferer = _inferer(package, paths, device)
    name = f"lungmask-{_version()}-{'_'.join(models)}"
    return LungmaskSegmenter(name, lobes, digest(paths), str(inferer.device), inferer)


def _package() -> ModuleType:
    try:
        from lungmask import mask
    except ImportError as error:
        raise not_installed("lungmask", "lungmask", _words(error)) from None
    found: ModuleType = mask
    return found


def _version() -> str:
    try:
        return importlib.metadata.version("lungmask")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _weights(package: ModuleType, models: tuple[str, ...]) -> tuple[Path, ...]:
    """The files where torch would look for the package's downloads."""
    try:
        addresses = [str(package.MODEL_URLS[model][0]) for model in models]
    except (AttributeError, KeyError):
        raise not_installed(
            "lungmask", "lungmask", f"its version {_version()} is not one that ctlung knows"
        ) from None
    folder = _torch_cache()
    places = {folder / address.rsplit("/", maxsplit=1)[-1]: address for address in addresses}
    missing = [path for path in places if not path.is_file()]
    if missing:
        wanted = " and ".join(places[path] for path in missing)
        raise weights_missing("lungmask", missing, f"Fetch {wanted} and put it into {folder}.")
    return tuple(places)


def _torch_cache() -> Path:
    """``checkpoints`` of torch's hub folder, found as torch itself documents it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _inferer(package: ModuleType, paths: tuple[Path, ...], device: str) -> Any:
    # Given paths, lungmask loads these files and never asks the network.
    fill = {"fillmodel_path": str(paths[1]), "fillmodel": LUNGS_MODEL} if len(paths) > 1 else {}
    try:
        inferer = package.LMInferer(
            modelpath=str(paths[0]), force_cpu=device != "auto", tqdm_disable=True, **fill
        )
    except Exception as error:
        listed = ", ".join(str(path) for path in paths)
        raise ModelError(
            f"lungmask cannot load its weights {listed} ({_words(error)}); the file is damaged "
            "or is of another version. Fetch it again."
        ) from error
    if device.startswith("cuda"):
        _move(inferer, device)
    return inferer


def _move(inferer: Any, device: str) -> None:
    try:
        for model in (inferer.model, inferer.fillmodelm):
            if model is not None:
                model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"The device {device} is not there for lungmask ({_words(error)}). Use --device cpu, "
            "or --device auto.",
            code="device",
        ) from error
    inferer.device = device


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lungmask's warning filter and its talk on stdout away from the user's program."""
    logger = logging.getLogger("lungmask")
    before = logger.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = before


def _words(error: BaseException) -> str:
    """The first line of what was said, or the kind of error."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
