"""Segmenters by name."""

from __future__ import annotations

from ctlung.segmentation.protocol import Segmenter
from ctlung.segmentation.threshold import ThresholdSegmenter

SEGMENTERS = ("threshold",)
DEFAULT = "threshold"


def load_segmenter(name: str = "default") -> Segmenter:
    """Load a segmenter once, to serve any number of scans.

    Args:
        name: ``"default"`` or one of ``SEGMENTERS``.

    Raises:
        ValueError: no segmenter has that name.
    """
    wanted = DEFAULT if name == "default" else name
    if wanted == "threshold":
        return ThresholdSegmenter()
    raise ValueError(f"there is no segmenter {name!r}; known are: {', '.join(SEGMENTERS)}")
