"""The picture of a comparison: before, after and change at the same levels of the body."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import BinaryIO, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ctlung.arrays import bounding_box
from ctlung.change_records import ChangeMaps, Comparison
from ctlung.vocabulary import CHANGE_LABELS, RESEARCH_USE
from ctlung.volume import HU_MIN
from ctlung.writing.headline import change_rows, restoration_lines

LEVEL_HU, WIDTH_HU = -600, 1500
MOST_LEVELS = 5
COLOURS: Final = {
    "resolved": "#37c978",
    "persistent": "#ffd23f",
    "new": "#ff4d6d",
    "worsened": "#d04bff",
    "improved": "#3aa7ff",
}
_BLACK, _WHITE, _GREY, _AMBER = "#000000", "#f4f4f4", "#a9b1ba", "#ffb454"
_DPI, _ROW_PX, _PANEL_PX, _EDGE_PX, _TITLE_PX = 100, 330, 640, 16, 30
_SMALL_PX = 250
_COLUMNS = ("baseline", "follow-up, laid on it", "change")
_MARGIN_MM = 6.0


def draw_change(comparison: Comparison, maps: ChangeMaps, path: Path) -> None:
    """Draw up to five axial levels: baseline, follow-up laid on it, and what changed.

    The follow-up is shown where the baseline's lungs are, for only these were aligned. The
    patient's right is on the picture's left. The same input gives the same bytes.

    Args:
        comparison: its numbers and notices.
        maps: what is drawn.
        path: the PNG to write.
    """
    box = bounding_box(maps.lungs.labels > 0, _margin(maps))
    if box is None:
        return
    levels = _levels(maps)
    _, dy, dx = maps.lungs.geometry.spacing_mm
    high, wide = (box[1].stop - box[1].start) * dy, (box[2].stop - box[2].start) * dx
    width_px = round(_ROW_PX * wide / high)
    total_w = 3 * width_px + _PANEL_PX + 5 * _EDGE_PX
    total_h = max(len(levels), 3) * (_ROW_PX + _EDGE_PX) + _TITLE_PX + _EDGE_PX
    with mpl.rc_context():
        mpl.rcdefaults()
        size = total_w / _DPI, total_h / _DPI
        figure = Figure(figsize=size, dpi=_DPI, facecolor=_BLACK)
        canvas = FigureCanvasAgg(figure)
        for row, level in enumerate(levels):
            for column in range(3):
                left = _EDGE_PX + column * (width_px + _EDGE_PX)
                top = _TITLE_PX + _EDGE_PX + row * (_ROW_PX + _EDGE_PX)
                axes = figure.add_axes(
                    (
                        left / total_w,
                        1 - (top + _ROW_PX) / total_h,
                        width_px / total_w,
                        _ROW_PX / total_h,
                    )
                )
                _draw(axes, maps, (level, box[1], box[2]), column)
                if row == 0:
                    axes.set_title(_COLUMNS[column], color=_WHITE, fontsize=13, pad=6)
        _panel(figure, comparison, (3 * (width_px + _EDGE_PX) + _EDGE_PX) / total_w, total_h)
        canvas.print_png(str(path), metadata={"Software": None})  # type: ignore[no-untyped-call]


def draw_change_row(maps: ChangeMaps, file: BinaryIO) -> int | None:
    """Draw the level where most has changed: baseline, follow-up laid on it, change; no numbers.

    Args:
        maps: what is drawn.
        file: where the PNG goes; the same maps give the same bytes.

    Returns:
        The slice drawn; ``None``, and nothing is drawn, where there is no lung.
    """
    box = bounding_box(maps.lungs.labels > 0, _margin(maps))
    if box is None:
        return None
    level = max(_levels(maps), key=lambda k: int((maps.change.labels[k] > 0).sum()))
    _, dy, dx = maps.lungs.geometry.spacing_mm
    high, wide = (box[1].stop - box[1].start) * dy, (box[2].stop - box[2].start) * dx
    width_px = round(_SMALL_PX * wide / high)
    size = 3 * width_px + 2 * _EDGE_PX, _SMALL_PX + _TITLE_PX
    with mpl.rc_context():
        mpl.rcdefaults()
        inches = size[0] / _DPI, size[1] / _DPI
        figure = Figure(figsize=inches, dpi=_DPI, facecolor=_BLACK)
        canvas = FigureCanvasAgg(figure)
        for column, word in enumerate(_COLUMNS):
            left = column * (width_px + _EDGE_PX) / size[0]
            axes = figure.add_axes((left, 0, width_px / size[0], _SMALL_PX / size[1]))
            _draw(axes, maps, (level, box[1], box[2]), column)
            axes.set_title(word, color=_WHITE, fontsize=12, pad=5)
        canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return level


def _margin(maps: ChangeMaps) -> tuple[int, int, int]:
    _, dy, dx = maps.lungs.geometry.spacing_mm
    return 0, int(_MARGIN_MM / dy), int(_MARGIN_MM / dx)


def _levels(maps: ChangeMaps) -> list[int]:
    """The slices with the most lesion at either time, one from each fifth of the lungs."""
    lung = np.flatnonzero((maps.lungs.labels > 0).any(axis=(1, 2)))
    ill = (maps.change.labels > 0).sum(axis=(1, 2))
    parts = np.array_split(lung, min(MOST_LEVELS, len(lung)))
    chosen = [
        int(part[ill[part].argmax()]) if ill[part].any() else int(part[len(part) // 2])
        for part in parts
    ]
    return chosen[::-1]


def _draw(axes: Axes, maps: ChangeMaps, at: tuple[int, slice, slice], column: int) -> None:
    _, dy, dx = maps.lungs.geometry.spacing_mm
    hu = (maps.followup_hu if column == 1 else maps.baseline_hu)[at]
    change = maps.change.labels[at]
    wide, high = hu.shape[1] * dx, hu.shape[0] * dy
    low = LEVEL_HU - WIDTH_HU / 2
    grey = np.clip((hu.astype(np.float32) - low) / WIDTH_HU, 0, 1)
    if column == 1:
        grey[hu <= HU_MIN] = 0
    picture = np.repeat(grey[:, :, None], 3, axis=2).astype(np.float32)
    if column == 2:
        picture = _tinted(np.float32(0.75) * picture, change)
    axes.imshow(picture, extent=(0, wide, high, 0), interpolation="bilinear", aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if column == 0:
        mm = maps.lungs.geometry.slice_positions_mm[at[0]]
        axes.text(4, high - 4, f"slice {at[0]}, z {mm:.0f} mm", color=_GREY, fontsize=9)
        axes.text(4, high / 2, "R", color=_WHITE, fontsize=12)


def _tinted(picture: NDArray[np.float32], change: NDArray[np.uint8]) -> NDArray[np.float32]:
    out = picture.copy()
    for label, name in CHANGE_LABELS.items():
        where = change == label
        out[where] = 0.45 * out[where] + 0.55 * np.array(to_rgb(COLOURS[name]), np.float32)
    return out


def _panel(figure: Figure, comparison: Comparison, left: float, height_px: int) -> None:
    y = 1 - 30 / height_px

    def say(words: str, size: float, colour: str, weight: str = "normal", above: float = 0) -> None:
        nonlocal y
        for line in textwrap.wrap(words, int(820 / size)) or [""]:
            y -= (1.5 * size * _DPI / 72 + above) / height_px
            above = 0
            figure.text(left, y, line, fontsize=size, color=colour, fontweight=weight)

    say("What changed, and whether it is more than noise", 15, _WHITE, "bold")
    for title, before, after, delta, verdict in change_rows(comparison):
        say(title, 10.5, _GREY, above=9)
        say(f"{before} → {after}   {delta}", 12.5, _WHITE, "bold")
        if verdict:
            say(verdict, 10.5, _AMBER if "noise" in verdict else _WHITE)
    for line in restoration_lines(comparison):
        say(line, 10.5, _WHITE, above=6)
    found = comparison.voxelwise
    handles = []
    for name, colour in COLOURS.items():
        ml, unsure = found.ml(name) if found is not None else (0.0, 0.0)
        words = f"{name} {ml:.0f} ml" + (f" ({unsure:.0f} uncertain)" if unsure >= 0.5 else "")
        handles.append(Patch(color=colour, label=words))
    place = (left, y - 20 / height_px)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=place,
        frameon=False,
        labelcolor=_WHITE,
        fontsize=11,
        borderpad=0,
        borderaxespad=0,
    )
    y -= (20 + 24 * len(handles)) / height_px
    for notice in comparison.notices:
        if notice.effect in ("null", "warn"):
            say(notice.sentence, 9.5, _AMBER, above=5)
    figure.text(left, 12 / height_px, RESEARCH_USE, fontsize=11, color=_WHITE)
