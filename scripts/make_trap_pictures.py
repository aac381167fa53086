"""Make docs/traps/: what each number can hide, on phantoms whose truth is known.

    python scripts/make_trap_pictures.py [TRAP ...]

Writes a PNG for each trap and `traps.json` with the numbers that stand in the pictures and in
docs/traps.md. The same bytes every time. Numbers are counted over the true masks: what is shown is
a property of the measure, not an error of a segmenter.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import label

from ctlung.arrays import BoolArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.settings import Settings
from ctlung.simulation.breathing import Breath
from ctlung.simulation.opacities import Opacity
from ctlung.simulation.scanner import Protocol, Series, acquire
from ctlung.simulation.thorax import Phantom, Thorax, phantom_grid, render

FOLDER = Path(__file__).parent.parent / "docs" / "traps"
PERSON = Thorax(seed=5)
GLASS, SOLID, OLD, LUNG = "#f0e442", "#d55e00", "#56b4e9", "#009e73"
"""Of Okabe and Ito; lines differ in their dashes as well."""
_DPI = 100
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}
Facts = dict[str, float]


def survivors(figure: Figure) -> Facts:
    """Thin ground-glass clears, a dense core stays: the mean of what is still inflamed rises."""
    grid = _around((-80.0, 45.0, 100.0), (12, 120, 130), (2.5, 1.0, 1.0))
    centre, glass, core = (-84.0, 45.0, 100.0), (30.0, 27.0, 32.0), (13.0, 12.0, 14.0)
    dense = Opacity("consolidation", (centre,), (core,), 15.0, ragged_mm=0.0)
    ill = Opacity("ground_glass", (centre,), (glass,), -600.0, ragged_mm=0.0)
    before = render(PERSON, grid, (ill, dense))
    after = render(PERSON, grid, (replace(ill, hu=-820.0), dense))
    was, still = before.lesions > 0, after.lesions == 2
    then, now = (_scan(p, k).hu for k, p in enumerate((before, after)))
    facts = {
        "current_baseline": _mean(then, was),
        "current_followup": _mean(now, still),
        "region_baseline": _mean(then, was),
        "region_followup": _mean(now, was),
    }
    k = grid.shape[0] // 2
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    for axes, hu, words in ((left, then, "baseline"), (middle, now, "follow-up")):
        _show(axes, hu[k], grid)
        axes.set_title(words)
    _outline(left, was[k], grid, GLASS, "-")
    _outline(middle, was[k], grid, OLD, "--")
    _outline(middle, still[k], grid, SOLID, "-")
    for name, colour, dash, words, place in (
        ("current", SOLID, "-", "of what is inflamed now", (-0.05, 60)),
        ("region", OLD, "--", "of what was inflamed at baseline", (-0.05, -860)),
    ):
        ends = [facts[f"{name}_baseline"], facts[f"{name}_followup"]]
        right.plot((0, 1), ends, dash, color=colour, marker="o", linewidth=2.5)
        right.text(*place, f"{words}:\n{_hu(ends[0])} → {_hu(ends[1])} HU", va="center")
    right.set(xlim=(-0.1, 1.1), xticks=(0, 1), ylabel="mean CT number, HU", ylim=(-980, 170))
    right.set_xticklabels(("baseline", "follow-up"))
    return facts


def partial_volume(figure: Figure) -> Facts:
    """A dense lesion of 12 mm in thin and thick slices."""
    middle = (-108.0, 12.0, 118.0)
    fine = _around(middle, (60, 60, 60), (1.0, 0.75, 0.75))
    ball = Opacity("consolidation", (middle,), ((6.0,) * 3,), 20.0, ragged_mm=0.0)
    phantom = render(PERSON, fine, (ball,))
    facts: Facts = {}
    plots = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.3))
    for axes, mm, dash in zip(plots, (1, 5, 10), ("-", "--", ":"), strict=False):
        grid = _thick(fine, mm)
        hu = _scan(phantom, mm, Protocol(geometry=grid, noise_hu=0.0)).hu
        where = _above_half_way(hu, grid)
        facts[f"mean_{mm}"] = _mean(hu, where)
        facts[f"ml_{mm}"] = round(float(where.sum() * np.prod(grid.spacing_mm)) / 1000.0, 2)
        k = int(where.sum(axis=(1, 2)).argmax())
        _show(axes, hu[k], grid)
        _outline(axes, where[k], grid, SOLID, "-")
        axes.set_title(f"{mm} mm: {_hu(facts[f'mean_{mm}'])} HU\n{facts[f'ml_{mm}']:.2f} ml")
        row = hu[k, grid.shape[1] // 2]
        plots[3].plot(np.arange(len(row)) * 0.75, row, "k" + dash, label=f"{mm} mm")
    plots[3].set(xlabel="mm across the lesion", ylabel="HU", xlim=(6, 39), ylim=(-950, 330))
    plots[3].legend(frameon=False, loc="upper center", handlelength=2.5, ncols=2, columnspacing=1)
    truth = phantom.lesions > 0
    facts["true_ml"] = round(float(truth.sum() * np.prod(fine.spacing_mm)) / 1000.0, 2)
    facts["true_hu"] = 20.0
    return facts


def breath(figure: Figure) -> Facts:
    """One healthy person, breathed in and breathed out."""
    grid = phantom_grid(PERSON, (4.0, 2.6, 2.6), margin_mm=20.0, field_mm=340.0)
    limits = Settings()
    facts: Facts = {}
    plots = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for axes, name, lift, dash in zip(plots, ("in", "out"), (0.0, 95.0), "-:", strict=False):
        moved = Breath(lift_mm=lift, fall_mm=0.15 * lift)
        phantom = render(PERSON, grid, (), moved)
        hu = _scan(phantom, int(lift)).hu
        lung = phantom.lungs > 0
        ml = float(np.prod(grid.spacing_mm)) / 1000.0
        low, high = limits.ground_glass_lower_hu, limits.consolidation_lower_hu
        band = lung & (hu >= low) & (hu < high)
        facts[f"litres_{name}"] = round(float(lung.sum()) * ml / 1000.0, 1)
        facts[f"mean_{name}"] = _mean(hu, lung)
        facts[f"band_{name}"] = round(float(100.0 * band.sum() / lung.sum()), 1)
        y = int(lung.sum(axis=(0, 2)).argmax())
        _show(axes, hu[::-1, y], grid, coronal=True)
        axes.set_title(f"breathed {name}: {facts[f'litres_{name}']:.1f} l")
        _histogram(plots[2], hu[lung], dash, f"{name}: mean {_hu(facts[f'mean_{name}'])} HU, "
                   f"{facts[f'band_{name}']:.0f} % in the band")  # fmt: skip
    plots[2].axvspan(low, high, color=GLASS, alpha=0.35, linewidth=0)
    plots[2].text((low + high) / 2, 14, "band of\nground-glass", ha="center", va="bottom")
    plots[2].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.55, 1.22))
    return facts


def kernel(figure: Figure) -> Facts:
    """One healthy slab with a soft and with a sharp kernel."""
    grid = _around((-75.0, 15.0, 130.0), (10, 200, 130), (2.0, 0.8, 0.8))
    phantom = render(PERSON, grid)
    lung = phantom.lungs > 0
    facts: Facts = {}
    plots = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    for axes, name, noise, dash in zip(plots, ("soft", "sharp"), (12, 55), "-:", strict=False):
        hu = _scan(phantom, noise, Protocol(kernel=name, noise_hu=float(noise))).hu
        facts[f"mean_{name}"] = _mean(hu, lung)
        facts[f"laa_950_{name}"] = round(100.0 * float((hu[lung] < -950).mean()), 1)
        _show(axes, hu[5], grid)
        axes.set_title(f"{name} kernel")
        _histogram(plots[2], hu[lung], dash, f"{name}: mean {_hu(facts[f'mean_{name}'])} HU, "
                   f"{facts[f'laa_950_{name}']:.1f} % below −950")  # fmt: skip
    plots[2].axvspan(-1050, -950, color=OLD, alpha=0.35, linewidth=0)
    plots[2].text(-1000, 20, "LAA", ha="center", va="bottom")
    plots[2].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.55, 1.22))
    return facts


def cut_off(figure: Figure) -> Facts:
    """The lowest 80 mm of the lungs, where the disease is, are not on the scan."""
    grid = phantom_grid(PERSON, (4.0, 2.6, 2.6), margin_mm=20.0, field_mm=340.0)
    base = Opacity("ground_glass", ((-80.0, 45.0, 55.0), (84.0, 50.0, 50.0)),
                   ((42.0, 40.0, 44.0),) * 2, -600.0, ragged_mm=1.0, seed=3)  # fmt: skip
    phantom = render(PERSON, grid, (base,))
    lung, lesion = phantom.lungs > 0, phantom.lesions > 0
    hu = _scan(phantom, 1).hu
    whole = bounding_box(lung)
    assert whole is not None
    start = whole[0].start + int(80.0 / grid.spacing_mm[0])
    y = int(lesion.sum(axis=(0, 2)).argmax())
    facts: Facts = {}
    for axes, name, first in zip(figure.subplots(1, 2), ("whole", "cut"), (0, start), strict=True):
        ml = float(np.prod(grid.spacing_mm)) / 1000.0
        facts[f"litres_{name}"] = round(float(lung[first:].sum()) * ml / 1000.0, 1)
        share = lesion[first:].sum() / lung[first:].sum()
        facts[f"percent_{name}"] = round(100.0 * float(share), 1)
        shown = hu[:, y].copy()
        shown[:first] = -1024
        _show(axes, shown[::-1], grid, coronal=True)
        _outline(axes, np.where(np.arange(grid.shape[0])[:, None] < first, False, lesion[:, y])
                 [::-1], grid, GLASS, "-", coronal=True)  # fmt: skip
        axes.set_title(f"{name}: {facts[f'litres_{name}']:.1f} l of lung in view,\n"
                       f"{facts[f'percent_{name}']:.1f} % of it inflamed")  # fmt: skip
    return facts


def other_level(figure: Figure) -> Facts:
    """The largest area of the follow-up lies at another level than the baseline's."""
    grid = phantom_grid(PERSON, (4.0, 2.6, 2.6), margin_mm=10.0, field_mm=340.0)
    low, high = (-84.0, 40.0, 78.0), (-76.0, 30.0, 175.0)
    first = Opacity("ground_glass", (low, high), ((38.0, 40.0, 30.0), (26.0, 28.0, 22.0)), -600.0)
    second = Opacity("ground_glass", (low, high), ((16.0, 18.0, 14.0), (25.0, 27.0, 21.0)), -600.0)
    areas, planes = [], []
    for opacity in (first, second):
        phantom = render(PERSON, grid, (replace(opacity, ragged_mm=0.5),))
        lesion = phantom.lesions > 0
        areas.append(lesion.sum(axis=(1, 2)) * float(np.prod(grid.spacing_mm[1:])) / 100.0)
        y = int(lesion[:, :, : lesion.shape[2] // 2].sum(axis=(0, 2)).argmax())
        planes.append((_scan(phantom, len(planes)).hu[:, y], lesion[:, y]))
    k, j = (int(a.argmax()) for a in areas)
    facts = {
        "largest_baseline": round(float(areas[0][k]), 1),
        "largest_followup": round(float(areas[1][j]), 1),
        "same_level_followup": round(float(areas[1][k]), 1),
    }
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for axes, (hu, lesion), words in zip((left, middle), planes, ("baseline", "follow-up"),
                                         strict=True):  # fmt: skip
        _show(axes, hu[::-1], grid, coronal=True)
        _outline(axes, lesion[::-1], grid, GLASS, "-", coronal=True)
        axes.set_title(words)
        for level, dash in ((k, "-"), (j, ":")):
            height = (grid.shape[0] - 1 - level + 0.5) * grid.spacing_mm[0]
            axes.axhline(height, color=OLD, linestyle=dash, linewidth=1.5)
    at = np.asarray(grid.slice_positions_mm)
    for area, dash, words in zip(areas, "-:", ("baseline", "follow-up"), strict=True):
        right.plot(area, at, "k" + dash, label=words)
    right.axhline(at[k], color=OLD, linestyle="-", linewidth=1.5)
    right.axhline(at[j], color=OLD, linestyle=":", linewidth=1.5)
    right.set(xlabel="inflammatory area, cm²", ylabel="height, mm", ylim=(at[0], at[-1]), xlim=0)
    then, now, there = (f"{value:.0f}" for value in facts.values())
    right.set_title(f"largest: {then} → {now} cm²\nat the baseline's level: {then} → {there} cm²")
    right.legend(frameon=False, loc="lower right")
    return facts


TRAPS: dict[str, tuple[Callable[[Figure], Facts], tuple[float, float]]] = {
    "survivors": (survivors, (9.6, 3.1)),
    "partial_volume": (partial_volume, (9.6, 3.3)),
    "breath": (breath, (9.6, 3.4)),
    "kernel": (kernel, (9.6, 3.4)),
    "cut_off": (cut_off, (7.0, 3.8)),
    "other_level": (other_level, (9.6, 3.4)),
}


def draw(trap: str, path: Path) -> Facts:
    """Draw one trap as PNG, and say its numbers."""
    function, size = TRAPS[trap]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        facts = function(figure)
        canvas.print_png(str(path), metadata={"Software": None})
    return facts


def _around(
    middle: Sequence[float], shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> Geometry:
    """A small grid about a point, LPS mm."""
    x, y, z = middle
    (nz, ny, nx), (dz, dy, dx) = shape, spacing
    origin = (x - (nx - 1) / 2 * dx, y - (ny - 1) / 2 * dy, z - (nz - 1) / 2 * dz)
    return Geometry.from_spacing(shape, spacing, origin)


def _thick(fine: Geometry, mm: int) -> Geometry:
    """Slices of another thickness over the same stretch, two of them meeting in its middle."""
    dz, dy, dx = fine.spacing_mm
    count = int(fine.shape[0] * dz / mm) // 2 * 2
    x, y, z = fine.to_mm([(n - 1) / 2 for n in fine.shape])
    return _around((x, y, z), (count, *fine.shape[1:]), (float(mm), dy, dx))


def _scan(phantom: Phantom, stream: int, protocol: Protocol | None = None) -> Series:
    how = protocol or Protocol(noise_hu=10.0)
    return acquire(phantom.hu, phantom.geometry, how, np.random.default_rng([5, stream]))


def _above_half_way(hu: np.ndarray[Any, Any], grid: Geometry) -> BoolArray:
    """What touches the middle and is denser than half way between lung and soft tissue."""
    pieces, _ = label(hu > -400)
    middle = tuple(n // 2 for n in grid.shape)
    found: BoolArray = pieces == pieces[middle]
    return found


def _mean(hu: np.ndarray[Any, Any], where: BoolArray) -> float:
    return round(float(hu[where].mean()))


def _hu(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


def _show(
    axes: Axes, plane: np.ndarray[Any, Any], grid: Geometry, *, coronal: bool = False
) -> None:
    axes.imshow(
        plane, cmap="gray", vmin=-1350, vmax=150, interpolation="nearest",
        extent=_extent(plane, grid, coronal),
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def _extent(
    plane: np.ndarray[Any, Any], grid: Geometry, coronal: bool
) -> tuple[float, float, float, float]:
    dz, dy, dx = grid.spacing_mm
    return 0.0, plane.shape[1] * dx, plane.shape[0] * (dz if coronal else dy), 0.0


def _outline(
    axes: Axes, mask: BoolArray, grid: Geometry, colour: str, dash: str, *, coronal: bool = False
) -> None:
    if not mask.any():
        return
    _, wide, tall, _ = _extent(mask, grid, coronal)
    y = (np.arange(mask.shape[0]) + 0.5) * tall / mask.shape[0]
    x = (np.arange(mask.shape[1]) + 0.5) * wide / mask.shape[1]
    axes.contour(x, y, mask, levels=[0.5], colors=[colour], linestyles=[dash], linewidths=[1.8])


def _histogram(axes: Axes, hu: np.ndarray[Any, Any], dash: str, words: str) -> None:
    counts, edges = np.histogram(hu, np.arange(-1050, -149, 20))
    axes.stairs(100.0 * counts / len(hu), edges, color="k", linestyle=dash, label=words)
    axes.set(xlabel="CT number of the lung, HU", ylabel="% of lung", xlim=(-1050, -200))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traps", nargs="*", metavar="TRAP", help=", ".join(TRAPS))
    chosen = parser.parse_args().traps or list(TRAPS)
    FOLDER.mkdir(exist_ok=True)
    table = FOLDER / "traps.json"
    facts = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    for trap in chosen:
        facts[trap] = draw(trap, FOLDER / f"{trap}.png")
        print(trap, facts[trap])
    ordered = {trap: facts[trap] for trap in TRAPS if trap in facts}
    table.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
