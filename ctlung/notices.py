"""What a reader must know before believing a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effect = Literal["note", "warn", "null", "refuse"]


@dataclass(frozen=True)
class Notice:
    """One check that has something to say.

    Attributes:
        code: stable word from ``vocabulary.NOTICES``.
        effect: ``note`` (good to know), ``warn`` (measured, but read with care), ``null``
            (the measures in ``affects`` are withheld), ``refuse`` (no report at all).
        sentence: what is wrong, where, what to do.
        measured, limit, unit: the value found, the limit of ``Settings``, and their unit.
        affects: names of measures, or of groups in ``vocabulary.GROUPS``; for ``null``, those
            withheld.
        regions: the regions concerned; empty means all.
        slices: for per-slice effects, the slice numbers concerned (0 at the feet).
    """

    code: str
    effect: Effect
    sentence: str
    measured: float | str | None = None
    limit: float | str | None = None
    unit: str = ""
    affects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    slices: tuple[int, ...] = ()
