"""Part "pneumonia": real disease and held-out patients without drawn lungs, to be looked at.

Contact sheets of every tenth slice show the contours of both segmenters; the figures say how
much the two differ and how much lesion only one of them could have counted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from benchmark_main_job import REPOSITORY
from segmentation_cases import PNEUMONIAS, UNDRAWN_HELD_OUT, Segmenters, path_of, segment_or_none
from segmentation_drawn import provenance
from segmentation_rows import FOLDER, Recorder, Row
from segmentation_scores import BoolArray, LabelArray, common_box, millilitres

import ctlung
from ctlung import Scan, Segmentation

EVERY = 10
PER_SHEET = 12
COLUMNS = 4
WINDOW_HU = (-1150, 350)
DENSE_HU = -400
COLOURS = {"network": "#ffd400", "threshold": "#00b7ff"}
OTHER_COLOUR = "#ff5fd7"


def run(recorder: Recorder, segmenters: Segmenters, names: list[str], cases: list[str]) -> None:
    """Figures of each scan by segmenter, and the contact sheets."""
    for case in (*PNEUMONIAS, *UNDRAWN_HELD_OUT):
        if cases and case not in cases:
            continue
        one = _One(case, segmenters)
        for name in names:
            # The sheets and the differences need every mask, so no row is left out here.
            recorder.make(f"pneumonia-{case}-{name}", partial(one.measure, name), always=True)
        if one.found:
            for path in contact_sheets(case, one.scan, one.found):
                print(f"look at {path.relative_to(REPOSITORY)}", file=sys.stderr, flush=True)


@dataclass
class _One:
    """One scan and what each segmenter has found on it."""

    case: str
    segmenters: Segmenters
    found: dict[str, Segmentation | None] = field(default_factory=dict)

    @cached_property
    def scan(self) -> Scan:
        return ctlung.read_scan(path_of(self.case))

    def measure(self, name: str) -> Row:
        segmenter, which = self.segmenters.load(name, self.case)
        self.found[name] = segment_or_none(segmenter, self.scan)
        return {
            "part": "pneumonia",
            "case": self.case,
            "segmenter": name,
            "weights": which,
            "held_out": self.case in UNDRAWN_HELD_OUT,
            **provenance(self.found[name]),
            **figures(self.scan, name, self.found),
        }


def figures(scan: Scan, name: str, found: dict[str, Segmentation | None]) -> Row:
    """Volumes of one segmenter, and what the threshold segmenter has otherwise.

    The threshold segmenter comes first, so that the others find it.
    """
    spacing = scan.geometry.spacing_mm
    mine = found[name]
    lungs = _mask(scan, mine)
    out: Row = {
        "lung_ml": millilitres(lungs, spacing),
        "dense_ml": millilitres(lungs & (scan.hu > DENSE_HU), spacing),
        "lesion_ml": 0.0,
    }
    if mine is None:
        return out
    lesions = ctlung.find_lesions(scan, mine.lungs, mine.anatomy).labels > 0
    out["lesion_ml"] = millilitres(lesions, spacing)
    if name != "threshold" and "threshold" in found:
        other = _mask(scan, found["threshold"])
        out |= {
            "only_this_ml": millilitres(lungs & ~other, spacing),
            "only_threshold_ml": millilitres(other & ~lungs, spacing),
            "lesion_outside_threshold_ml": millilitres(lesions & ~other, spacing),
        }
    return out


def _mask(scan: Scan, found: Segmentation | None) -> BoolArray:
    if found is None:
        return np.zeros(scan.geometry.shape, bool)
    mask: BoolArray = np.asarray(found.lungs.labels) > 0
    return mask


def contact_sheets(case: str, scan: Scan, found: dict[str, Segmentation | None]) -> list[Path]:
    """PNG files of every tenth slice, the lungs' borders in the colours of ``COLOURS``."""
    labels = {name: np.asarray(s.lungs.labels) for name, s in found.items() if s is not None}
    union = np.zeros(scan.geometry.shape, bool)
    for one in labels.values():
        union |= one > 0
    if not union.any():
        return []
    box = common_box(union, union, 30.0, scan.geometry.spacing_mm)
    slices = list(range(box[0].start - box[0].start % EVERY, box[0].stop, EVERY))
    sheets = [slices[i : i + PER_SHEET] for i in range(0, len(slices), PER_SHEET)]
    return [
        _sheet(FOLDER / f"{case}-{i + 1}.png", case, scan, labels, chosen, box)
        for i, chosen in enumerate(sheets)
    ]


def _sheet(
    path: Path,
    case: str,
    scan: Scan,
    labels: dict[str, LabelArray],
    slices: list[int],
    box: tuple[slice, slice, slice],
) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = -(-len(slices) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 3.9 * rows), layout="tight", facecolor="black")
    FigureCanvasAgg(figure)
    _, dy, dx = scan.geometry.spacing_mm
    for place, k in enumerate(slices, start=1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(
            scan.hu[k, box[1], box[2]],
            cmap="gray",
            vmin=WINDOW_HU[0],
            vmax=WINDOW_HU[1],
            aspect=dy / dx,
        )
        for name, one in labels.items():
            for side in (1, 2):
                _outline(axes, one[k, box[1], box[2]] == side, COLOURS.get(name, OTHER_COLOUR))
        axes.set_title(f"{case}  slice {k}", color="white", fontsize=9)
        axes.set_axis_off()
    lines = [Line2D([], [], color=COLOURS.get(n, OTHER_COLOUR), label=n) for n in labels]
    figure.legend(handles=lines, loc="upper left", ncols=len(lines), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, facecolor="black")
    return path


def _outline(axes: object, mask: BoolArray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.9)  # type: ignore[attr-defined]
