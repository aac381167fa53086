"""From a stack of DICOM slices to one int16 volume in HU (FIELD 3.2), slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctlung.arrays import BoolArray, HUArray
from ctlung.errors import IncompleteSeries, UnreadableFile
from ctlung.reading.archive import FileRef, Opener, denied_error
from ctlung.reading.dataset import Damaged, NotDicom, guarded
from ctlung.reading.decoding import Decoder
from ctlung.reading.headers import SliceHeader
from ctlung.reading.hounsfield import constant_fill, reaching_border
from ctlung.reading.pixels import PixelFile, padded
from ctlung.reading.stack import Stack
from ctlung.settings import Settings
from ctlung.volume import HU_MAX, HU_MIN

INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, eq=False)
class Voxels:
    """The pixels of a stack, canonical.

    Attributes:
        hu: int16 ``[z, y, x]`` in [-1024, 3071].
        outside_fov: padding, or ``None``.
        headers: of the slice kept in each place.
        n_padded_by_tag, n_padded_by_fill: voxels that a tag named, and that only a constant
            fill gave away.
        n_low, n_high: measured voxels clipped at either end.
    """

    hu: HUArray
    outside_fov: BoolArray | None
    headers: tuple[SliceHeader, ...]
    n_padded_by_tag: int
    n_padded_by_fill: int
    n_low: int
    n_high: int


class _Files:
    """Keeps the last file open: the frames of one file are read one after the other."""

    def __init__(self, opener: Opener, settings: Settings, decoder: Decoder) -> None:
        self._opener, self._settings, self._decoder = opener, settings, decoder
        self._ref: FileRef | None = None
        self._file: PixelFile | None = None

    def get(self, ref: FileRef) -> PixelFile:
        if self._file is None or self._ref != ref:
            self._file = None
            with guarded(), self._opener.open(ref) as stream:
                self._file = PixelFile(stream, self._settings, self._decoder)
            self._ref = ref
        return self._file


def read_voxels(
    stack: Stack,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> Voxels:
    """Decode, rescale and place every slice of a stack.

    HU = stored x slope + intercept in float64 with each slice's own figures, rounded once
    (half to even). Padding is told from the stored values before that.

    Raises:
        UnreadableFile: a slice is damaged, cut short, or may not be read.
        IncompleteSeries: different slices lie in one place (code ``mixed_series``).
    """
    depth = stack.geometry.shape[0]
    raw = _room_for(stack)
    outside: BoolArray | None = None
    kept: list[SliceHeader] = []
    _, rows, columns = stack.geometry.shape
    with Opener() as opener, Decoder(rows * columns) as decoder:
        files = _Files(opener, settings, decoder)
        for k, slot in enumerate(stack.slots):
            where = f"slice {k + 1} of {depth}, counted from the feet"
            kept.append(slot[0])
            hu, padding = _slice(files, slot[0], where)
            for copy in slot[1:]:
                _require_same(_slice(files, copy, where)[0], hu, k, stack)
            raw[k] = stack.in_plane.apply(hu)
            if padding is not None:
                if outside is None:
                    outside = np.zeros(raw.shape, dtype=np.bool_)
                outside[k] = stack.in_plane.apply(padding)
            if progress is not None:
                progress(k + 1, depth)
    by_tag = 0 if outside is None else int(np.count_nonzero(outside))
    outside = _with_fill(raw, outside)
    total = 0 if outside is None else int(np.count_nonzero(outside))
    n_low, n_high = _clip(raw, outside)
    return Voxels(raw, outside, tuple(kept), by_tag, total - by_tag, n_low, n_high)


def _room_for(stack: Stack) -> HUArray:
    try:
        return np.empty(stack.geometry.shape, dtype=np.int16)
    except MemoryError:
        gigabytes = np.prod(stack.geometry.shape) * 2 / 1e9
        raise UnreadableFile(
            f"The scan needs {gigabytes:.1f} GB of memory, which this machine does not have; use "
            "a thicker reconstruction or a larger machine.",
            code="no_memory",
        ) from None


def _slice(
    files: _Files, header: SliceHeader, where: str
) -> tuple[np.ndarray[Any, np.dtype[np.int16]], BoolArray | None]:
    """One slice as it is stored, in HU that are rounded but not clipped, and its padding."""
    try:
        file = files.get(header.ref)
        if (file.rows, file.columns) != (header.rows, header.columns):
            raise Damaged("it changed while it was read")
        with guarded():
            values, words = file.stored_values(header.frame)
    except PermissionError:
        raise denied_error(where) from None
    except (Damaged, NotDicom, OSError, MemoryError, UnreadableFile) as e:
        detail = str(e) if isinstance(e, Damaged) else "it cannot be read"
        raise UnreadableFile(
            f"The file of {where}, is damaged: {detail}. Get the series again from the archive."
        ) from e
    assert header.slope is not None
    assert header.intercept is not None
    hu = values * header.slope + header.intercept
    rounded = np.clip(np.rint(hu), INT16.min, INT16.max).astype(np.int16)
    padding = padded(values, words, header.padding, file.signed, header.bits_allocated)
    return rounded, _believable(padding, hu)


def _believable(padding: BoolArray | None, hu: NDArray[np.floating[Any]]) -> BoolArray | None:
    """Padding below -1024 HU is certain; a value that air can have must reach the border.

    Some writers name 0 as padding where 0 is also the coldest air that they store.
    """
    if padding is None:
        return None
    doubtful = padding & (hu >= HU_MIN)
    if not doubtful.any():
        return padding
    believed: BoolArray = (padding & ~doubtful) | reaching_border(doubtful)
    return believed if believed.any() else None


def _require_same(copy: HUArray, hu: HUArray, k: int, stack: Stack) -> None:
    if not np.array_equal(copy, hu):
        raise IncompleteSeries(
            f"Two different slices lie in one place, {stack.geometry.slice_positions_mm[k]:.1f} "
            f"mm along the body (slice {k + 1} of {len(stack.slots)}, counted from the feet), "
            "and neither kernel, acquisition nor image type tells them apart: two series are "
            "mixed. Export the series again, each by itself.",
            code="mixed_series",
        )


def _with_fill(raw: HUArray, outside: BoolArray | None) -> BoolArray | None:
    fill = constant_fill(raw) if outside is None else constant_fill(_without(raw, outside))
    if fill is None:
        return outside
    return fill if outside is None else fill | outside


def _without(raw: HUArray, outside: BoolArray) -> HUArray:
    """The volume with known padding out of the way of the search for more."""
    rest: HUArray = np.where(outside, np.int16(HU_MIN), raw)
    return rest


def _clip(raw: HUArray, outside: BoolArray | None) -> tuple[int, int]:
    """Clip in place, slice by slice; what is outside does not count."""
    low = high = 0
    for k, slab in enumerate(raw):
        if outside is not None:
            slab[outside[k]] = HU_MIN
        low += int(np.count_nonzero(slab < HU_MIN))
        high += int(np.count_nonzero(slab > HU_MAX))
        np.clip(slab, HU_MIN, HU_MAX, out=slab)
    return low, high
