"""What in lung is narrow and stands out: vessels, where nobody has named them."""

from __future__ import annotations

from scipy import ndimage

from ctlung.arrays import BoolArray, Float32Array
from ctlung.morphology import Spacing

NARROW_MM = 9.0
STANDS_OUT_HU = 100.0


def narrow_and_bright(hu: Float32Array, spacing_mm: Spacing) -> BoolArray:
    """Narrower than 9 mm and 100 HU above its surroundings; no HU band chooses.

    Trap: fissures, scars and small nodules are found too, vessels thinner than about 1.5 mm are
    not.
    """
    size = tuple(2 * int(0.5 * NARROW_MM / s) + 1 for s in spacing_mm)
    bright: BoolArray = hu - ndimage.grey_opening(hu, size, mode="nearest") > STANDS_OUT_HU
    return bright
