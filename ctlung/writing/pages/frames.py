"""Planes of a scan as small pictures that a page can hold by the hundred.

One picture serves both windows: it is not grey as seen but CT numbers in two straight pieces,
finer where soft tissue lies. The page makes grey of it (``window_table``).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ctlung.arrays import HUArray, LabelArray
from ctlung.volume import HU_MAX, HU_MIN
from ctlung.writing.pages.outlines import outline
from ctlung.writing.planes import Plane

KNOTS_HU = (HU_MIN, -160.0, 240.0)
KNOTS_CODE = (0.0, 150.0, 255.0)
"""CT numbers and the codes 0 to 255 that stand for them, straight between; denser is 255."""
WIDEST_PX = 420
QUALITY = 72
_STEPS = 51
_CODES = np.interp(np.arange(HU_MIN, HU_MAX + 1), KNOTS_HU, KNOTS_CODE).round().astype(np.uint8)


@dataclass(frozen=True)
class Frame:
    """One plane: its number along the stack's axis, its words, pictures and outlines.

    Attributes:
        index: along z, y or x of the scan.
        title: which plane, and where in mm.
        words: what a person who does not see the picture should know.
        pictures: JPEG files in base64.
        paths: SVG paths in half pixels of the picture, one for each kind of outline.
    """

    index: int
    title: str
    words: str
    pictures: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """Frames of one size (px) and orientation; ``start`` is the frame to begin with."""

    kind: str
    width: int
    height: int
    edges: tuple[str, str, str, str]
    start: int
    frames: tuple[Frame, ...]

    @property
    def n_bytes(self) -> int:
        """What the pictures and outlines take up on the page."""
        return sum(len(p) for f in self.frames for p in (*f.pictures, *f.paths))


def window_table(level_hu: float, width_hu: float) -> str:
    """Grey (0 to 1) of a window at evenly spaced codes, for SVG's ``feComponentTransfer``."""
    codes = np.linspace(0, 255, _STEPS + 1)
    hu = np.interp(codes, KNOTS_CODE, KNOTS_HU)
    grey = np.clip((hu - level_hu) / width_hu + 0.5, 0, 1)
    return " ".join(f"{g:.3g}" for g in grey)


def title_of(plane: Plane) -> str:
    """Which plane, and where in mm, as one phrase."""
    return ", ".join(plane.title.split("   "))


def size_px(plane: Plane) -> tuple[int, int]:
    """Width and height of a plane's picture: square pixels, at most ``WIDEST_PX`` wide."""
    high_mm, wide_mm = plane.size_mm
    pixel = max(min(plane.pixel_mm), wide_mm / WIDEST_PX, high_mm / WIDEST_PX)
    return max(1, round(wide_mm / pixel)), max(1, round(high_mm / pixel))


def picture(hu: HUArray, size: tuple[int, int]) -> str:
    """A 2D array of HU as a JPEG file of ``size`` (width, height), in base64."""
    image = Image.fromarray(_CODES[hu.astype(np.int32) - HU_MIN])
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return base64.b64encode(out.getvalue()).decode("ascii")


def outlines(
    parts: Sequence[tuple[LabelArray, Sequence[int]]], size: tuple[int, int]
) -> tuple[str, ...]:
    """One path for each label of each array, all of which cover a picture of ``size``."""
    found = []
    for labels, numbers in parts:
        scale = size[1] / labels.shape[0], size[0] / labels.shape[1]
        there = np.bincount(labels.ravel(), minlength=256) > 0
        found += [outline(labels == n, scale) if there[n] else "" for n in numbers]
    return tuple(found)
