"""Lesion finders by name."""

from __future__ import annotations

from ctlung.lesions.finder import LesionFinder
from ctlung.lesions.rules import RuleFinder

FINDERS = ("rule", "network")
DEFAULT = "network"


def load_finder(name: str = "default", device: str = "auto") -> LesionFinder:
    """Load a lesion finder once, to serve any number of scans.

    Args:
        name: ``"default"`` or one of ``FINDERS``.
        device: ``"auto"`` (a CUDA GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``;
            the rule always runs on the CPU.

    Raises:
        ValueError: no finder has that name, or no device.
        ModelError: its weights are missing or altered, or the device is not there.
    """
    wanted = DEFAULT if name == "default" else name
    if wanted == "rule":
        return RuleFinder()
    if wanted == "network":
        from ctlung.lesions.network import load_learned

        return load_learned(device)
    raise ValueError(f"there is no lesion finder {name!r}; known are: {', '.join(FINDERS)}")
