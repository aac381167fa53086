"""A file's numbers to Hounsfield units, or a sentence that says why they are none."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctlung.arrays import BoolArray, HUArray
from ctlung.errors import NotHounsfield
from ctlung.notices import Notice
from ctlung.reading.hounsfield import constant_fill, to_int16_hu
from ctlung.settings import Settings
from ctlung.volume import HU_MIN

_FAR = 2.0**30
"""Beyond any CT number, and within int32."""


def to_hu(
    values: np.ndarray[Any, Any],
    slope: float,
    intercept: float,
    name: str,
    settings: Settings,
) -> tuple[HUArray, BoolArray | None, tuple[Notice, ...]]:
    """Rescale, find padding, refuse what is not HU, round and clip.

    Args:
        values: ``[z, y, x]``, integers or floats; NaN and infinity are padding.
        slope, intercept: ``HU = values * slope + intercept``, in float64.
        name: of the file, for the error sentence.
        settings: limits.

    Returns:
        int16 HU, the padding (``None`` if there is none), and notices.

    Raises:
        NotHounsfield: no negative value, too small a range, or nothing finite.

    Source: FIELD 3.2, 5 ``hu_range``.
    """
    rounded, nowhere = _rounded(values, slope, intercept)
    outside = _padding(rounded, nowhere)
    low, high = _range(rounded, outside, name)
    _require_hu(low, high, values.dtype.kind == "f", name, settings)
    hu, _, _ = to_int16_hu(rounded, outside)
    return hu, outside, _padding_notice(outside)


def _rounded(
    values: np.ndarray[Any, Any], slope: float, intercept: float
) -> tuple[np.ndarray[Any, Any], BoolArray | None]:
    """Whole HU before clipping, and where the file holds no finite number."""
    if values.dtype.kind in "iu" and slope == 1.0 and intercept == 0.0:
        return values, None
    rounded = np.empty(values.shape, dtype=np.int32)
    nowhere = np.zeros(values.shape, dtype=np.bool_)
    for k, plane in enumerate(values):
        exact = plane.astype(np.float64) * slope + intercept
        finite = np.isfinite(exact)
        nowhere[k] = ~finite
        rounded[k] = np.rint(np.clip(np.where(finite, exact, HU_MIN), -_FAR, _FAR))
    return rounded, nowhere if nowhere.any() else None


def _padding(rounded: np.ndarray[Any, Any], nowhere: BoolArray | None) -> BoolArray | None:
    fill = constant_fill(rounded)
    if fill is None or nowhere is None:
        return nowhere if fill is None else fill
    both: BoolArray = fill | nowhere
    return both


def _range(rounded: np.ndarray[Any, Any], outside: BoolArray | None, name: str) -> tuple[int, int]:
    measured = rounded if outside is None else rounded[~outside]
    if measured.size == 0:
        raise NotHounsfield(
            f"{name} holds no measured value, only padding; convert the original DICOM series "
            "again.",
            code="hu_range",
        )
    return int(measured.min()), int(measured.max())


def _require_hu(low: int, high: int, fractions: bool, name: str, settings: Settings) -> None:
    if high - low >= settings.hu_range_refuse and low < 0:
        return
    raise NotHounsfield(
        f"The values of {name} run from {low} to {high}: {_guess(low, high, fractions)} CT numbers "
        "in HU are needed (air near -1000, water 0), over a range of at least "
        f"{settings.hu_range_refuse:g}.",
        code="hu_range",
    )


def _guess(low: int, high: int, fractions: bool) -> str:
    """What such a range usually is, and what to do."""
    if low >= 0 and high <= 1 and fractions:
        return "a scan normalised to 0..1, or a probability map. Give the scan before that step."
    if low >= 0 and high <= 20:
        return "a label map or mask, it seems. Give the scan that it was drawn on."
    if low >= 0 and high <= 255:
        return "an 8-bit picture, it seems, in which HU are lost. Give the original scan."
    if low >= 0 and high > 60_000:
        return (
            "negative numbers were stored as unsigned, it seems. Convert the original DICOM "
            "series again."
        )
    if low >= 0:
        return (
            "no value is below 0, so the rescale intercept (mostly -1024) was left out when the "
            "file was made. Convert the original DICOM series again."
        )
    return "a windowed or normalised picture, it seems. Give the original scan."


def _padding_notice(outside: BoolArray | None) -> tuple[Notice, ...]:
    if outside is None:
        return ()
    percent = 100.0 * float(outside.mean())
    return (
        Notice(
            "padding",
            "note",
            f"{percent:.1f} % of the voxels are padding, where nothing was measured; they are "
            "left out of every measure.",
            percent,
            unit="%",
        ),
    )
