"""Part "drawn": lungs against lungs drawn by hand."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cached_property, partial

import numpy as np
from segmentation_cases import DRAWN, Case, Drawn, Segmenters, load_drawn, segment_or_none
from segmentation_rows import Recorder, Row
from segmentation_scores import (
    BoolArray,
    LabelArray,
    Spacing,
    beyond_ml,
    common_box,
    dice,
    millilitres,
    surface_parts,
    surface_scores,
)

from ctlung import Segmentation
from ctlung.segmentation.threshold import ThresholdSegmenter

ROOM_MM = 25.0
"""Around the lungs: holds every airway within the 20 mm that make the hilum."""


def run(recorder: Recorder, segmenters: Segmenters, names: list[str], cases: list[str]) -> None:
    """Measure every case with every segmenter."""
    for case in DRAWN:
        if cases and case.name not in cases:
            continue
        one = _One(case, segmenters)
        for name in names:
            recorder.make(f"drawn-{case.name}-{name}", partial(one.measure, name))


@dataclass
class _One:
    """One case; its files are read when the first segmenter is there."""

    case: Case
    segmenters: Segmenters

    @cached_property
    def drawn(self) -> Drawn:
        return load_drawn(self.case)

    @cached_property
    def airways(self) -> BoolArray | None:
        # Of one segmenter, so that all are judged by the same parts of the surface.
        looked = segment_or_none(ThresholdSegmenter(), self.drawn.scan)
        return None if looked is None else looked.anatomy.airways

    def measure(self, name: str) -> Row:
        segmenter, which = self.segmenters.load(name, self.case.name)
        scan = self.drawn.scan
        start = time.perf_counter()
        found = segment_or_none(segmenter, scan)
        seconds = time.perf_counter() - start
        return {
            "part": "drawn",
            "case": self.case.name,
            "use": self.case.use,
            "segmenter": name,
            "weights": which,
            "seconds": round(seconds, 2),
            **provenance(found),
            **judge(self.case, self.drawn, found, self.airways),
        }


def provenance(found: Segmentation | None) -> Row:
    """What segmented, or that it refused."""
    if found is None:
        return {"refused": True, "weights_sha256": None, "device": None, "segmenter_version": None}
    return {
        "refused": False,
        "weights_sha256": found.weights_sha256,
        "device": found.device,
        "segmenter_version": found.segmenter,
        "notices": sorted({n.code for n in found.notices}),
    }


def judge(case: Case, drawn: Drawn, found: Segmentation | None, airways: BoolArray | None) -> Row:
    """All figures of one case."""
    shape = drawn.lungs.shape
    labels = np.zeros(shape, np.uint8) if found is None else np.asarray(found.lungs.labels)
    spacing = drawn.scan.geometry.spacing_mm
    box = common_box(labels > 0, drawn.lungs > 0, ROOM_MM, spacing)
    a, b = labels[box], drawn.lungs[box]
    judged = drawn.judged[box[0]]
    out = overlap(a[judged], b[judged], spacing, drawn.sided, case.millimetres)
    out |= {"sided": drawn.sided, "millimetres": case.millimetres}
    tumour = None if drawn.tumour is None else drawn.tumour[box]
    if tumour is not None:
        free = ~tumour[judged]
        out["dice_outside_tumour"] = dice((a[judged] > 0) & free, (b[judged] > 0) & free)
    if not case.millimetres:
        return out
    where = np.broadcast_to(judged[:, None, None], a.shape)
    out["beyond_ml"] = beyond_ml(a > 0, b > 0, spacing, judged=where)
    if tumour is not None:
        out["beyond_outside_tumour_ml"] = beyond_ml(a > 0, (b > 0), spacing, judged=where & ~tumour)
    parts = surface_parts(b > 0, None if airways is None else airways[box], spacing)
    whole = surface_scores(a > 0, b > 0, spacing, parts=parts, judged_slices=judged)
    out["surface"] = asdict(whole.whole)
    out["surface_parts"] = {part: asdict(s) for part, s in whole.parts.items()}
    out["airways_found"] = airways is not None and bool(airways.any())
    if drawn.sided:
        for side, name in ((1, "right"), (2, "left")):
            one = surface_scores(a == side, b == side, spacing, judged_slices=judged)
            out[f"surface_{name}"] = asdict(one.whole)
    return out


def overlap(a: LabelArray, b: LabelArray, spacing: Spacing, sided: bool, trusted: bool) -> Row:
    """Dice and volume error; millilitres only where the spacing is known."""
    found_ml, drawn_ml = millilitres(a > 0, spacing), millilitres(b > 0, spacing)
    out: Row = {
        "dice": dice(a > 0, b > 0),
        "volume_error_percent": 100.0 * (found_ml - drawn_ml) / drawn_ml,
    }
    if trusted:
        out |= {"volume_error_ml": found_ml - drawn_ml, "drawn_ml": drawn_ml}
    if sided:
        out |= {"dice_right": dice(a == 1, b == 1), "dice_left": dice(a == 2, b == 2)}
    return out
