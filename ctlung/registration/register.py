"""``register``: the follow-up's lungs onto the baseline's, each lung by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ctlung.alignment import Alignment, Field, SideMaps, inverse_of, lattice_over, sample
from ctlung.arrays import Box, bounding_box
from ctlung.registration import engine
from ctlung.registration.engine import Level
from ctlung.registration.features import MARGIN_MM, LungImage, lung_image
from ctlung.registration.quality import measure_quality
from ctlung.side_by_side import both
from ctlung.volume import LabelMap, Scan

LEVELS: tuple[tuple[float, Level], ...] = (
    (8.0, Level(steps=60, lattice=2, rate_mm=2.0, stiffness=1.0, outline=4.0)),
    (5.0, Level(steps=60, lattice=2, rate_mm=1.0, stiffness=1.0, outline=2.0)),
    (2.5, Level(steps=25, lattice=3, rate_mm=0.5, stiffness=1.0, outline=1.0)),
)
"""Voxel size in mm, and what is done there. Set on simulated breaths of LCTSC lungs."""
BACKWARD_LEVELS = 2
"""The way back is found anew on so many levels: what the two ways disagree on is not known."""
LEAST_LUNG_ML = 50.0

Progress = Callable[[str, float], None]
Visit = tuple[Scan, LabelMap, LabelMap]


def register(
    baseline: Visit,
    followup: Visit,
    progress: Progress | None = None,
) -> Alignment:
    """Map every point of the baseline's lungs to the follow-up.

    Optimised is the way from the baseline to the follow-up; the way back is its inverse.
    Lesions of both scans do not count, vessels and the lungs' surface lead. The same input gives
    the same map on one machine.

    Args:
        baseline: scan, lungs (1 right, 2 left) and lesions.
        followup: the same of the later scan.
        progress: called with a word and the finished fraction, 0 to 1.

    Returns:
        A map for each lung that has at least 50 ml in both scans, with its quality.

    Source: FIELD 6.
    """
    say = progress or (lambda word, share: None)
    if _same(baseline, followup):
        return _identity(baseline)
    say("laying the lungs on one another", 0.0)
    with engine.one_thread():
        found = both(
            lambda: _one_lung(baseline, followup, 1, say),
            lambda: _one_lung(baseline, followup, 2, lambda word, share: None),
        )
    maps = {side: one for side, one in zip((1, 2), found, strict=True) if one is not None}
    return Alignment(maps)


def _one_lung(baseline: Visit, followup: Visit, side: int, say: Progress) -> SideMaps | None:
    fixed, moving = _Side(*baseline, side), _Side(*followup, side)
    if min(fixed.ml, moving.ml) < LEAST_LUNG_ML:
        return None
    forward = _one_way(fixed, moving, len(LEVELS))
    say("laying the lungs on one another", 0.6)
    again = _one_way(moving, fixed, BACKWARD_LEVELS)
    say("laying the lungs on one another", 0.9)
    images = fixed.image(LEVELS[-1][0]), moving.image(LEVELS[-1][0])
    quality = measure_quality(*images, forward, again)
    near = measure_quality(*images, forward, again, near=True)
    assert quality is not None
    return SideMaps(forward, inverse_of(forward, images[1].grid), quality, near)


def _same(a: Visit, b: Visit) -> bool:
    return (
        a[0].geometry == b[0].geometry
        and np.array_equal(a[0].hu, b[0].hu)
        and np.array_equal(a[1].labels, b[1].labels)
    )


def _identity(visit: Visit) -> Alignment:
    """One scan against itself: every point stays exactly where it is."""
    maps = {}
    for side in (1, 2):
        one = _Side(*visit, side)
        if one.ml < LEAST_LUNG_ML:
            continue
        image = one.image(LEVELS[-1][0])
        field = Field(image.grid, np.zeros((3, *image.grid.shape), np.float32))
        quality = measure_quality(image, image, field, field)
        assert quality is not None
        near = measure_quality(image, image, field, field, near=True)
        maps[side] = SideMaps(field, field, quality, near)
    return Alignment(maps)


class _Side:
    """One lung of one scan; its images on the levels' grids are made once each."""

    def __init__(self, scan: Scan, lungs: LabelMap, lesions: LabelMap, side: int) -> None:
        lung = lungs.labels == side
        counts = lung.sum(axis=(1, 2))
        self.ml = float(counts @ scan.geometry.voxel_volumes_ml)
        self._images: dict[float, LungImage] = {}
        dz, dy, dx = scan.geometry.spacing_mm
        margin = [int(np.ceil((MARGIN_MM + 4.0) / s)) for s in (dz, dy, dx)]
        box: Box | None = bounding_box(lung, (margin[0], margin[1], margin[2]))
        if box is None:
            return
        self._scan = scan.crop(box)
        self._lung = lung[box]
        self._lesion = (lesions.labels[box] > 0) & self._lung

    def image(self, mm: float) -> LungImage:
        if mm not in self._images:
            geometry = self._scan.geometry
            grid = lattice_over(self._lung, geometry, mm, MARGIN_MM)
            self._images[mm] = lung_image(
                sample(self._scan.hu, geometry, grid, -1000.0),
                sample(self._lung.view(np.uint8), geometry, grid, 0.0),
                sample(self._lesion.view(np.uint8), geometry, grid, 0.0),
                grid,
            )
        return self._images[mm]


def _one_way(fixed: _Side, moving: _Side, levels: int) -> Field:
    field: Field | None = None
    affine = None
    for mm, level in LEVELS[:levels]:
        mine, theirs = fixed.image(mm), moving.image(mm)
        if affine is None:
            affine = engine.fit_affine(mine, theirs, engine.affine_start(mine, theirs))
        field = engine.refine(mine, theirs, affine, field, level)
    assert field is not None
    return field
