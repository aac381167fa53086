"""Whether the lungs are in the scan from end to end and from side to side (FIELD 5)."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import BoolArray, FloatArray
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap, Scan


def coverage_notices(areas_cm2: FloatArray, settings: Settings) -> tuple[Notice, ...]:
    """Lungs cut off at the first or last slice; ``areas_cm2`` is (right and left, slices)."""
    n = areas_cm2.shape[1]
    if n < 2:
        return ()
    notices: list[Notice] = []
    for end, k in (("bottom", 0), ("top", n - 1)):
        for row, name in enumerate(LUNG_LABELS.values()):
            largest = float(areas_cm2[row].max())
            percent = 100.0 * float(areas_cm2[row, k]) / largest if largest else 0.0
            if percent > settings.coverage_warn_percent:
                notices.append(_cut_off(end, name, percent, settings))
    return tuple(notices)


def _cut_off(end: str, name: str, percent: float, settings: Settings) -> Notice:
    side = name.split("_", maxsplit=1)[0]
    null = percent > settings.coverage_null_percent
    told = (
        "its volume, percentages and thirds, and core and rim, are withheld; the part in view is "
        "given as lung_volume_measured_ml and lesion_volume_measured_ml"
        if null
        else "its numbers are those of the part in view"
    )
    return Notice(
        f"coverage_{end}",
        "null" if null else "warn",
        f"The {side} lung is cut off at the {end} of the scan (the last slice still shows "
        f"{percent:.0f} % of its largest area), so it is incomplete: {told}.",
        measured=percent,
        limit=settings.coverage_null_percent if null else settings.coverage_warn_percent,
        unit="%",
        affects=("volumes", "thirds"),
        regions=(name,),
    )


def field_notices(scan: Scan, lungs: LabelMap, settings: Settings) -> tuple[Notice, ...]:
    """Lungs cut by the edge of the field of view or by padding."""
    notices: list[Notice] = []
    for label, name in LUNG_LABELS.items():
        touching, surface = _touching(scan, lungs.labels == label)
        total = float(surface.sum())
        percent = 100.0 * float(touching.sum()) / total if total else 0.0
        if percent <= settings.fov_warn_percent:
            continue
        null = percent > settings.fov_null_percent
        slices = tuple(int(k) for k in np.flatnonzero(touching)) if null else ()
        notices.append(
            Notice(
                "fov_truncation",
                "null" if null else "warn",
                f"The field of view cuts the {name.split('_')[0]} lung ({percent:.1f} % of its "
                "surface): "
                + (
                    "volumes, percentages and the areas of those slices are withheld. "
                    "Reconstruct with a larger field where the raw data allow."
                    if null
                    else "its numbers are slightly too small."
                ),
                measured=percent,
                limit=settings.fov_null_percent if null else settings.fov_warn_percent,
                unit="%",
                affects=("volumes", "thirds"),
                regions=(name,),
                slices=slices,
            )
        )
    return tuple(notices)


def _touching(scan: Scan, lung: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Surface pixels per slice that touch edge or padding, and all in-plane surface pixels."""
    depth = lung.shape[0]
    touching, surface = np.zeros(depth), np.zeros(depth)
    for k in range(depth):
        plane = lung[k]
        if not plane.any():
            continue
        surface[k] = np.count_nonzero(plane & ~_eroded(plane))
        beyond = np.zeros(plane.shape, dtype=bool)
        beyond[[0, -1], :] = True
        beyond[:, [0, -1]] = True
        if scan.outside_fov is not None:
            beyond |= _grown(scan.outside_fov[k])
        touching[k] = np.count_nonzero(plane & beyond)
    return touching, surface


def _eroded(plane: BoolArray) -> BoolArray:
    padded = np.pad(plane, 1)
    inner: BoolArray = (
        padded[1:-1, 1:-1]
        & padded[:-2, 1:-1]
        & padded[2:, 1:-1]
        & padded[1:-1, :-2]
        & padded[1:-1, 2:]
    )
    return inner


def _grown(plane: BoolArray) -> BoolArray:
    return ~_eroded(~plane) | plane
