"""Plots of a page as SVG that takes the page's own ink, so that it reads in light and dark."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ctlung.arrays import IntArray
from ctlung.records import Histogram, ScanReport

_INK = "#010203"
"""Stands for the page's ink, which is put in afterwards."""
_STYLE = {
    "svg.hashsalt": "ctlung",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "patch.edgecolor": _INK,
    "hatch.color": _INK,
}
_METADATA = ("Date", "Creator", "Format", "Type")
GLASS, SOLID, LUNG, REFERENCE = "#e69f00", "#d55e00", "#56b4e9", "#009e73"
"""Of Okabe and Ito: told apart without colour vision; hatches and dashes differ too."""


def area_by_slice(report: ScanReport) -> str | None:
    """Lung and inflammatory area of each slice along the body, feet at the left."""
    rows = [r for r in report.slices if r.lung_area_cm2 is not None and r.lung_area_cm2 > 0]
    if len(rows) < 3:
        return None
    at = np.array([r.position_mm for r in rows])
    lung, glass, solid = (
        np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        for values in zip(
            *((r.lung_area_cm2, r.ground_glass_area_cm2, r.consolidation_area_cm2) for r in rows),
            strict=True,
        )
    )
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, axes = _figure()
        axes.plot(at, lung, color=LUNG, linewidth=1.5, linestyle="--", label="lung")
        axes.fill_between(at, 0, solid, color=SOLID, hatch="///", edgecolor=_INK, linewidth=0,
                          label="consolidation")  # fmt: skip
        axes.fill_between(at, solid, solid + glass, color=GLASS, linewidth=0, label="ground-glass")
        axes.set(xlabel="position, mm (feet to head)", ylabel="area, cm²", xlim=(at[0], at[-1]))
        axes.set_ylim(bottom=0)
        _legend(axes)
        return _svg(figure)


def hu_histogram(report: ScanReport) -> str | None:
    """CT numbers of the inflammatory area and of the patient's own aerated lung, each 100 %."""
    by_name = {h.tissue: h for h in report.histograms}
    shown = [
        (by_name[name], label, colour, style)
        for name, label, colour, style in (
            ("lesion", "inflammatory area", SOLID, "-"),
            ("reference", "own aerated lung, far from it", REFERENCE, "--"),
            ("other_lung", "all lung outside it", LUNG, ":"),
        )
        if name in by_name
    ]
    if not shown:
        return None
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, axes = _figure()
        for found, label, colour, style in shown:
            ml = np.array(found.ml)
            if found.tissue == "lesion":
                axes.stairs(100 * ml / ml.sum(), _edges(found), color=colour, fill=True, alpha=0.25)
            axes.stairs(100 * ml / ml.sum(), _edges(found), color=colour, linewidth=1.8,
                        linestyle=style, label=label)  # fmt: skip
        first = shown[0][0]
        axes.set(
            xlabel="CT number, HU",
            ylabel=f"share in {first.step_hu} HU, %",
            xlim=(first.start_hu, first.start_hu + first.step_hu * len(first.ml)),
        )
        axes.set_ylim(bottom=0)
        _legend(axes)
        return _svg(figure)


def _edges(found: Histogram) -> IntArray:
    return found.start_hu + found.step_hu * np.arange(len(found.ml) + 1)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 3.2), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot(facecolor="none")


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3)


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata=dict.fromkeys(_METADATA), transparent=True)
    text = out.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
