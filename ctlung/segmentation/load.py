"""Segmenters by name."""

from __future__ import annotations

from ctlung.segmentation.protocol import Segmenter
from ctlung.segmentation.threshold import ThresholdSegmenter

SEGMENTERS = ("network", "threshold", "lungmask", "lungmask-lobes", "totalsegmentator")
DEFAULT = "network"


def load_segmenter(name: str = "default", device: str = "auto") -> Segmenter:
    """Load a segmenter once, to serve any number of scans.

    Args:
        name: ``"default"`` or one of ``SEGMENTERS``.
        device: ``"auto"`` (a CUDA GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``;
            the threshold segmenter always runs on the CPU.

    Raises:
        ValueError: no segmenter has that name, or no device.
        ModelError: its weights or its package are missing or altered, or the device is not there.
    """
    wanted = DEFAULT if name == "default" else name
    if wanted == "threshold":
        return ThresholdSegmenter()
    if wanted == "network":
        from ctlung.segmentation.network import load_network

        return load_network(device)
    if wanted in ("lungmask", "lungmask-lobes", "totalsegmentator"):
        from ctlung.segmentation.adapters import load_adapter

        return load_adapter(wanted, device)
    raise ValueError(f"there is no segmenter {name!r}; known are: {', '.join(SEGMENTERS)}")
