"""A whole result on a coarse chest, with its drawn lungs, in a fraction of a second."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
from support.chest import VESSELS, Blob, chest

from ctlung import api
from ctlung.geometry import Geometry
from ctlung.identity import Key
from ctlung.records import ScanResult
from ctlung.volume import LabelMap, Scan, Segmentation, Source, StoredGrid

KEY = Key(b"a secret of the trial")
COARSE = (8.0, 4.0, 4.4)
GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
SOLID = Blob((120, 20, 85), (20, 20, 20), 20)


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A segmenter that knows the answer."""

    lungs: LabelMap
    name: str = "drawn by hand"
    lobes: LabelMap | None = None

    def segment(self, scan: Scan) -> Segmentation:
        return Segmentation(self.lungs, lobes=self.lobes, segmenter=self.name)


@lru_cache(maxsize=4)
def small_result(*, identifiers: bool = False, with_key: bool = True) -> ScanResult:
    """From an array, with names in its source and hashes in its report."""
    c = chest(spacing=COARSE, blobs=(GLASS, SOLID), vessels=VESSELS)
    key = KEY if with_key else None
    return api.segment(c.scan, segmenter=Drawn(c.lung_map), key=key, identifiers=identifiers)


def on_grid(geometry: Geometry, stored: StoredGrid | None = None) -> ScanResult:
    """The small result as if it lay on another grid of its shape."""
    base = small_result()
    source = dataclasses.replace(base.scan.source, stored=stored)
    scan = dataclasses.replace(base.scan, geometry=geometry, source=source)
    names: dict[str, Any] = {"geometry": geometry}
    return ScanResult(
        scan,
        dataclasses.replace(base.lungs, **names),
        dataclasses.replace(base.lesions, **names),
        base.report,
    )


def empty_result() -> ScanResult:
    """Two slices in which nothing was found."""
    shape = (2, 8, 9)
    geometry = Geometry.from_spacing(shape, (2.0, 3.0, 3.0))
    scan = Scan(np.full(shape, 40, np.int16), geometry, source=Source("array", ""))
    nothing = np.zeros(shape, np.uint8)
    return ScanResult(
        scan,
        LabelMap(nothing, geometry, {1: "right_lung", 2: "left_lung"}),
        LabelMap(nothing, geometry, {1: "ground_glass", 2: "consolidation"}),
        dataclasses.replace(small_result().report, measurements=(), slices=(), lesions=()),
    )
