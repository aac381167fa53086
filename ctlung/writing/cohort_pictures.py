"""Plots of a trial as SVG text: the same numbers give the same text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#555555")
"""Of Okabe and Ito: told apart without colour vision; markers differ too."""
MARKERS = ("o", "s", "^")
_METADATA = ("Date", "Creator", "Format", "Type")
"""What matplotlib would write into a file; without it there is no date and no link."""
_STYLE = {
    "svg.hashsalt": "ctlung",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Dot:
    """One patient's change of one measure."""

    patient: str
    arm: str
    baseline: float
    followup: float
    within_noise: bool = False

    @property
    def delta(self) -> float:
        """Follow-up less baseline."""
        return self.followup - self.baseline


@dataclass(frozen=True)
class Interval:
    """A line of a forest plot."""

    label: str
    value: float
    low: float
    high: float


def spaghetti(dots: Sequence[Dot], arms: Sequence[str], label: str) -> str:
    """A line per patient from baseline to follow-up, arms side by side on one scale."""
    figure, axes = _figure(6.4, 3.6, max(1, len(arms)))
    for number, (arm, ax) in enumerate(zip(arms or ("",), axes, strict=True)):
        mine = [d for d in dots if not arms or d.arm == arm]
        for d in mine:
            ax.plot([0, 1], [d.baseline, d.followup], color=COLOURS[number % 3], alpha=0.6,
                    marker=MARKERS[number % 3], markersize=4, linewidth=1)  # fmt: skip
        if mine:
            middle = [float(np.median([getattr(d, n) for d in mine])) for n in
                      ("baseline", "followup")]  # fmt: skip
            ax.plot([0, 1], middle, color="black", linewidth=2.5, label="median")
            ax.legend(frameon=False)
        ax.set_xticks([0, 1], ["baseline", "follow-up"])
        ax.set_xlim(-0.25, 1.25)
        ax.set_title(f"{arm} (n = {len(mine)})" if arm else f"n = {len(mine)}")
    axes[0].set_ylabel(_wrapped(label, 34))
    ends = [v for d in dots for v in (d.baseline, d.followup)]
    _share_scale(axes, ends)
    return _svg(figure)


def waterfall(dots: Sequence[Dot], arms: Sequence[str], label: str) -> str:
    """A bar per patient, by size of the change; what is within noise is hatched."""
    figure, (ax,) = _figure(6.4, 3.6, 1)
    order = sorted(dots, key=lambda d: (-d.delta, d.patient))
    for place, d in enumerate(order):
        number = list(arms).index(d.arm) if d.arm in arms else 2
        ax.bar(place, d.delta, color=COLOURS[number % 3], edgecolor="white",
               hatch="///" if d.within_noise else None)  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(order)), [d.patient for d in order], rotation=90, fontsize=7)
    ax.set_ylabel(_wrapped(f"change of {label}", 34))
    for number, arm in enumerate(arms):
        ax.bar([0], [0], color=COLOURS[number % 3], label=arm)
    if any(d.within_noise for d in order):
        ax.bar([0], [0], color="white", edgecolor="grey", hatch="///", label="within noise")
    if arms:
        ax.legend(frameon=False)
    return _svg(figure)


def side_by_side(dots: Sequence[Dot], arms: Sequence[str], label: str) -> str:
    """All changes of each arm, with median and quartiles."""
    figure, (ax,) = _figure(4.2, 3.6, 1)
    for number, arm in enumerate(arms or ("",)):
        delta = sorted(d.delta for d in dots if not arms or d.arm == arm)
        if not delta:
            continue
        spread = np.linspace(-0.14, 0.14, len(delta)) if len(delta) > 1 else np.zeros(1)
        ax.plot(number + spread, delta, MARKERS[number % 3], color=COLOURS[number % 3], alpha=0.7)
        low, middle, high = np.percentile(delta, [25, 50, 75])
        ax.plot([number - 0.25, number + 0.25], [middle, middle], color="black", linewidth=2.5)
        ax.plot([number + 0.25] * 2, [low, high], color="black", linewidth=1.5)
    ax.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    ax.set_xticks(range(max(1, len(arms))), list(arms) or ["all"])
    ax.set_ylabel(_wrapped(f"change of {label}", 34))
    return _svg(figure)


def forest(lines: Sequence[Interval], label: str) -> str:
    """Estimates with their intervals, one below the other."""
    figure, (ax,) = _figure(6.4, 0.7 + 0.34 * max(1, len(lines)), 1)
    for place, one in enumerate(reversed(lines)):
        ax.plot([one.low, one.high], [place, place], color="black", linewidth=1.2)
        ax.plot([one.value], [place], "s", color=COLOURS[0], markersize=6)
    ax.axvline(0, color="grey", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(lines)), [one.label for one in reversed(lines)])
    ax.set_ylim(-0.6, len(lines) - 0.4)
    ax.set_xlabel(_wrapped(label, 44))
    return _svg(figure)


def bland_altman(first: Sequence[float], second: Sequence[float], label: str) -> str:
    """Difference of repeat scans against their mean, with bias and limits of agreement."""
    figure, (ax,) = _figure(5.0, 3.6, 1)
    a, b = np.asarray(first, float), np.asarray(second, float)
    middle, apart = (a + b) / 2, b - a
    ax.plot(middle, apart, "o", color=COLOURS[0])
    bias = float(apart.mean())
    sd = float(apart.std(ddof=1)) if len(apart) > 1 else 0.0
    for value, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
        ax.axhline(value, color="black", linewidth=1, linestyle=style)
        ax.annotate(f"{value:.1f}", (1.0, value), xycoords=("axes fraction", "data"))
    ax.set_xlabel(_wrapped(f"mean of both scans, {label}", 44))
    ax.set_ylabel("second less first")
    return _svg(figure)


def _figure(width: float, height: float, panels: int) -> tuple[Figure, list[Axes]]:
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        return figure, [figure.add_subplot(1, panels, k + 1) for k in range(panels)]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _share_scale(axes: Sequence[Axes], values: Sequence[float]) -> None:
    if not values:
        return
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 1.0
    for ax in axes:
        ax.set_ylim(low - margin, high + margin)


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure.savefig(out, format="svg", metadata=dict.fromkeys(_METADATA))
    text = out.getvalue()
    return text[text.index("<svg") :]
