"""The records of a search: one per series that could be CT, one per kind of thing set aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ctlung.reading.headers import SliceHeader
from ctlung.reading.kinds import Role
from ctlung.volume import KernelClass, SourceKind


@dataclass(frozen=True)
class SeriesInfo:
    """One stack of CT slices, or one image file; usable or not, and why.

    Attributes:
        series_uid: Series Instance UID; for an image file, its file name.
        n_slices: slices, copies counted once.
        shape: canonical number of slices, rows, columns; ``None`` where it is unknown.
        spacing_mm: z (between centres, along the normal), y, x.
        orientation: ``axial``, ``coronal``, ``sagittal`` or ``unknown``.
        kind: where it came from.
        usable: whether it can be measured.
        reason: why not; or, for a usable one, why it is used only when named.
        code: short stable word for why not.
        role: only ``inspiration`` is ever chosen by itself.
        part: what tells this stack from others under the same UID; empty for most.
        extent_mm: from the first slice centre to the last.
        patient_key, study_key: equal for one patient, one study; never shown.
    """

    series_uid: str
    n_slices: int
    shape: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float] | None
    kernel: str | None
    kernel_class: KernelClass
    slice_thickness_mm: float | None
    acquisition_date: str | None
    description: str | None
    contrast_agent: str | None
    patient_position: str | None
    orientation: str
    kind: SourceKind
    usable: bool
    reason: str | None = None
    code: str | None = None
    role: Role = "inspiration"
    derived: bool = False
    part: str = ""
    extent_mm: float = 0.0
    patient_key: str = field(default="", repr=False)
    study_key: tuple[str, str] = field(default=("", ""), repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    headers: tuple[SliceHeader, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SetAside:
    """Objects that are no slices of a chest CT: of one kind, how many, and what they are."""

    kind: str
    n: int
    sentence: str
    series_uids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SeriesListing:
    """All that was found under a path."""

    series: tuple[SeriesInfo, ...]
    set_aside: tuple[SetAside, ...]
    n_files: int = 1

    @property
    def usable(self) -> tuple[SeriesInfo, ...]:
        """The series that can be measured."""
        return tuple(s for s in self.series if s.usable)

    def count(self, kind: str) -> int:
        """How many objects of a kind were set aside."""
        return sum(s.n for s in self.set_aside if s.kind == kind)
