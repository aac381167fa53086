"""Reconstruction kernels as soft, medium or sharp (FIELD 3.6); unknown rather than guessed."""

from __future__ import annotations

import re

from ctlung.volume import KernelClass

_GE: dict[str, KernelClass] = {
    "SOFT": "soft",
    "STANDARD": "medium",
    "CHEST": "medium",
    "DETAIL": "sharp",
    "LUNG": "sharp",
    "BONE": "sharp",
    "BONEPLUS": "sharp",
    "EDGE": "sharp",
    "ULTRA": "sharp",
}
_PHILIPS: dict[str, KernelClass] = {
    "A": "soft",
    "B": "soft",
    "C": "medium",
    # D is soft in one public table and lung in another (FIELD 3.6): disputed, so unknown.
    "E": "sharp",
    "F": "sharp",
    "L": "sharp",
    "YA": "sharp",
    "YB": "sharp",
    "YC": "sharp",
    "YD": "sharp",
}
_SIEMENS = re.compile(r"(BR|BF|BV|BL|HR|QR|B|I|J|Q)(\d{2})[A-Z]?$")
_CANON = re.compile(r"FC(\d{2})$")
_DISPUTED = frozenset({"FC51"})
_CANON_RANGES: tuple[tuple[int, int, KernelClass], ...] = (
    (1, 9, "soft"),
    (10, 10, "medium"),
    (11, 19, "soft"),
    (20, 29, "medium"),
    (30, 35, "sharp"),
    (50, 56, "sharp"),
    (80, 86, "sharp"),
)


def kernel_class(kernel: str | None, manufacturer: str | None = None) -> KernelClass:
    """Class of a kernel by its name; case and spaces do not matter.

    Args:
        kernel: the first value of ConvolutionKernel.
        manufacturer: decides where a name exists at two makers; a blank one does not hinder.
    """
    name = re.sub(r"\s+", "", kernel or "").upper()
    maker = (manufacturer or "").upper()
    if not name or name in _DISPUTED:
        return "unknown"
    if name in _GE:
        return _GE[name]
    if match := _CANON.fullmatch(name):
        return _canon(int(match[1]))
    if "PHILIPS" in maker:
        return _PHILIPS.get(name, "unknown")
    if match := _SIEMENS.match(name):
        return _siemens(match[1], int(match[2]))
    return "unknown"


def _canon(number: int) -> KernelClass:
    for first, last, kind in _CANON_RANGES:
        if first <= number <= last:
            return kind
    return "unknown"


def _siemens(family: str, number: int) -> KernelClass:
    if family in {"BL", "HR"} or number >= 50:
        return "sharp"
    return "soft" if number <= 36 else "medium"
