"""Slices of one series put into stacks that can be one volume (FIELD 3.3, 3.4).

A series UID promises little: localizers, second kernels and second acquisitions are found
under one. What differs in grid or direction is taken apart; what lies twice in one place is
taken apart by kernel, acquisition or image type, if one of them tells the two from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ctlung.reading.headers import SliceHeader

SPACING_TOLERANCE = 1e-3
DIRECTION_TOLERANCE = 1e-3
MAX_PARTS = 4


@dataclass(frozen=True)
class Part:
    """One stack of a series; ``told_by`` says what tells it from the others, if any.

    ``scattered``: it holds less than half of a series whose slices do not share a grid.
    """

    headers: tuple[SliceHeader, ...]
    told_by: str = ""
    scattered: bool = False


_KEYS: tuple[tuple[str, Callable[[SliceHeader], object]], ...] = (
    ("kernel", lambda h: h.kernel or ""),
    ("acquisition number", lambda h: h.acquisition_number),
    ("temporal position", lambda h: h.temporal_position),
    ("acquisition time", lambda h: h.acquisition_time),
    ("image type", lambda h: h.image_type),
)


def parts_of(headers: Sequence[SliceHeader], duplicate_mm: float) -> tuple[Part, ...]:
    """Take the CT slices of one series UID apart into stacks, in a fixed order."""
    found: list[Part] = []
    grids = _same_grid(headers, one_frame=_frames_mean_nothing(headers))
    for grid in grids:
        told_by = "grid" if len(grids) > 1 else ""
        scattered = len(grids) > 2 and 2 * len(grid) < len(headers)
        split = _split_duplicates(grid, duplicate_mm)
        found.extend(Part(p.headers, p.told_by or told_by, scattered) for p in split)
    return tuple(sorted(found, key=lambda p: (-len(p.headers), min(_name(h) for h in p.headers))))


def _name(header: SliceHeader) -> tuple[str, int]:
    return header.sop_uid, header.frame or 0


def _frames_mean_nothing(headers: Sequence[SliceHeader]) -> bool:
    """Some anonymisers give every slice a frame of reference of its own."""
    return len(headers) > 2 and len({h.frame_of_reference for h in headers}) == len(headers)


def _same_grid(headers: Sequence[SliceHeader], *, one_frame: bool) -> list[list[SliceHeader]]:
    groups: list[list[SliceHeader]] = []
    for header in sorted(headers, key=_name):
        for group in groups:
            if _fits(header, group[0], one_frame):
                group.append(header)
                break
        else:
            groups.append([header])
    return groups


def _fits(a: SliceHeader, b: SliceHeader, one_frame: bool) -> bool:
    return (
        (a.rows, a.columns, a.stack_id) == (b.rows, b.columns, b.stack_id)
        and (one_frame or a.frame_of_reference == b.frame_of_reference)
        and _near(a.pixel_spacing, b.pixel_spacing, SPACING_TOLERANCE)
        and _near(a.orientation, b.orientation, DIRECTION_TOLERANCE)
    )


def _near(a: Iterable[float] | None, b: Iterable[float] | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return all(abs(v - w) <= tolerance for v, w in zip(a, b, strict=True))


def _split_duplicates(headers: list[SliceHeader], duplicate_mm: float) -> list[Part]:
    whole = [Part(tuple(headers))]
    places = _places(headers, duplicate_mm)
    if places is None or _crowding(headers, places) == 1:
        return whole
    for name, key in _KEYS:
        groups: dict[object, list[int]] = {}
        for i, header in enumerate(headers):
            groups.setdefault(key(header), []).append(i)
        allowed = max(MAX_PARTS, _crowding(headers, places))
        if 2 <= len(groups) <= allowed and all(
            _crowding([headers[i] for i in g], [places[i] for i in g]) == 1 for g in groups.values()
        ):
            return [Part(tuple(headers[i] for i in g), name) for g in groups.values()]
    return whole


def _places(headers: Sequence[SliceHeader], tolerance: float) -> list[int] | None:
    """A number for each slice, the same for slices in one place; ``None`` without geometry."""
    first = headers[0].orientation
    if first is None or any(h.position is None for h in headers):
        return None
    normal = np.cross(first[:3], first[3:])
    along = np.array([np.asarray(h.position) @ normal for h in headers])
    order = np.argsort(along, kind="stable")
    steps = np.concatenate([[0], np.cumsum(np.diff(along[order]) >= tolerance)])
    places = np.empty(len(headers), dtype=np.int64)
    places[order] = steps
    return [int(p) for p in places]


def _crowding(headers: Sequence[SliceHeader], places: Sequence[int]) -> int:
    """The largest number of different objects in one place; copies of one object count once."""
    objects: dict[int, set[tuple[str, int]]] = {}
    for header, place in zip(headers, places, strict=True):
        objects.setdefault(place, set()).add(_name(header))
    return max(len(o) for o in objects.values())
