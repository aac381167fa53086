"""The check picture of one scan: contours on lung-window planes, with the numbers beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from ctlung.arrays import BoolArray
from ctlung.records import ScanReport
from ctlung.vocabulary import RESEARCH_USE
from ctlung.volume import LabelMap, Scan
from ctlung.writing.headline import (
    TABLE_HEADS,
    headline,
    notices_by_weight,
    region_table,
    short_notice,
)
from ctlung.writing.planes import Plane, choose_planes, count

WINDOW_LEVEL_HU, WINDOW_WIDTH_HU = -600, 1500
WIDTH_PX = 2400
COLOURS = {
    "right lung": "#4cc2ff",
    "left lung": "#5fe08a",
    "ground-glass": "#ffd23f",
    "consolidation": "#ff5d5d",
}
_DPI = 100
_PANEL_PX, _EDGE_PX, _GAP_PX, _TITLE_PX = 560, 14, 6, 24
_BLACK, _WHITE, _GREY, _AMBER = "#000000", "#f4f4f4", "#a9b1ba", "#ffb454"
_SMALL_PX = 250
_LINE_WIDTH = 1.0
_LAYOUTS = ((8, 4), (6, 3), (4, 2))
"""How many axial planes, and how many of them in a row."""
_HALO = [withStroke(linewidth=2.5, foreground=_BLACK)]


@dataclass(frozen=True)
class _Spot:
    """Where a plane goes, px from the left and the top."""

    plane: Plane
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class _Words:
    """Words in the side panel: one or more cells at shares of its width, on one line."""

    cells: tuple[tuple[float, str], ...]
    size_pt: float
    colour: str
    above_px: float = 0.0
    weight: str = "normal"
    bar: str | None = None

    @property
    def height_px(self) -> float:
        return self.above_px + 1.36 * self.size_pt * _DPI / 72


def draw_overlay(
    scan: Scan, lungs: LabelMap, lesions: LabelMap, report: ScanReport, path: Path
) -> None:
    """Draw the check picture as PNG, 2400 px wide; the same input gives the same bytes.

    Axial, coronal and sagittal planes in the lung window (level -600 HU, width 1500), in true
    proportion, the patient's right on the picture's left; contours of both lungs, of
    ground-glass and of consolidation; the headline numbers, what was not given and why, and
    the notices. No name, no identifier, no date.

    Args:
        scan: HU ``[z, y, x]``.
        lungs: 1 right, 2 left, on the grid of ``scan``.
        lesions: 1 ground-glass, 2 consolidation, on the grid of ``scan``.
        report: its numbers and notices.
        path: the file to write.
    """
    panel = _panel(scan, report)
    panel_height = sum(words.height_px for words in panel) + 70
    spots, montage_height = _fitting(scan, lungs, lesions, report, panel_height)
    height = int(np.ceil(max(montage_height, panel_height) + 2 * _EDGE_PX))
    with mpl.rc_context():
        mpl.rcdefaults()
        figure = Figure(figsize=(WIDTH_PX / _DPI, height / _DPI), dpi=_DPI, facecolor=_BLACK)
        canvas = FigureCanvasAgg(figure)
        for spot in spots:
            _draw_plane(figure, spot, (WIDTH_PX, height))
        _draw_panel(figure, panel, height)
        # Without this matplotlib writes its version and so changes the bytes.
        canvas.print_png(str(path), metadata={"Software": None})  # type: ignore[no-untyped-call]


def draw_row(planes: Sequence[Plane], file: BinaryIO) -> None:
    """Draw planes side by side as a small PNG, in the style of the check picture, without words.

    Args:
        planes: at least one, as :func:`ctlung.writing.planes.choose_planes` gives them.
        file: where the PNG goes; the same planes give the same bytes.
    """
    scale = _SMALL_PX / max(plane.size_mm[0] for plane in planes)
    spots: list[_Spot] = []
    left = 0.0
    for plane in planes:
        tall, wide = (scale * mm for mm in plane.size_mm)
        spots.append(_Spot(plane, left, _TITLE_PX, wide, tall))
        left += wide + _GAP_PX
    size = int(np.ceil(left - _GAP_PX)), _SMALL_PX + _TITLE_PX
    with mpl.rc_context():
        mpl.rcdefaults()
        inches = size[0] / _DPI, size[1] / _DPI
        figure = Figure(figsize=inches, dpi=_DPI, facecolor=_BLACK)
        canvas = FigureCanvasAgg(figure)
        for spot in spots:
            _draw_plane(figure, spot, size)
        canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def _fitting(
    scan: Scan, lungs: LabelMap, lesions: LabelMap, report: ScanReport, panel_height: float
) -> tuple[list[_Spot], float]:
    """The layout that leaves the least of the canvas black beside a panel of that height."""
    best: tuple[float, list[_Spot], float] | None = None
    counts = count(lungs, lesions)
    for most, in_a_row in _LAYOUTS:
        planes = choose_planes(scan, lungs, lesions, report, most, counts)
        spots, height = _arrange(*planes, in_a_row)
        short = panel_height - height
        black = short * (WIDTH_PX - _PANEL_PX) if short > 0 else -short * _PANEL_PX
        if best is None or black < best[0]:
            best = black, spots, height
    assert best is not None
    return best[1], best[2]


def _arrange(
    across: Sequence[Plane], along: Sequence[Plane], in_a_row: int
) -> tuple[list[_Spot], float]:
    """Rows of planes, each row as wide as the montage and all planes of it at one scale."""
    rows = [across[k : k + in_a_row] for k in range(0, len(across), in_a_row)]
    scale = min((_row_scale(row) for row in rows), default=1.0)
    if along:
        rows.append(along)
    spots: list[_Spot] = []
    top = float(_EDGE_PX)
    for row in rows:
        factor = _row_scale(row) if row is along else scale
        tallest = 0.0
        left = float(_EDGE_PX)
        for plane in row:
            height, width = (factor * mm for mm in plane.size_mm)
            spots.append(_Spot(plane, left, top + _TITLE_PX, width, height))
            left += width + _GAP_PX
            tallest = max(tallest, height)
        top += _TITLE_PX + tallest + _GAP_PX
    return spots, top - _EDGE_PX


def _row_scale(row: Sequence[Plane]) -> float:
    """Pixels per mm at which a row is as wide as the montage, but not taller than sensible."""
    room = WIDTH_PX - _PANEL_PX - 3 * _EDGE_PX - _GAP_PX * (len(row) - 1)
    wide = sum(plane.size_mm[1] for plane in row)
    tall = max(plane.size_mm[0] for plane in row)
    return float(min(room / wide, 1300.0 / tall))


def _draw_plane(figure: Figure, spot: _Spot, size_px: tuple[int, int]) -> None:
    plane = spot.plane
    tall, wide = plane.size_mm
    width_px, height_px = size_px
    axes = figure.add_axes(
        (
            spot.left / width_px,
            1 - (spot.top + spot.height) / height_px,
            spot.width / width_px,
            spot.height / height_px,
        )
    )
    axes.imshow(
        plane.hu,
        cmap="gray",
        vmin=WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2,
        vmax=WINDOW_LEVEL_HU + WINDOW_WIDTH_HU / 2,
        extent=(0, wide, tall, 0),
        interpolation="bicubic",
        aspect="auto",
    )
    for array, label, colour in (
        (plane.lungs, 1, COLOURS["right lung"]),
        (plane.lungs, 2, COLOURS["left lung"]),
        (plane.lesions, 1, COLOURS["ground-glass"]),
        (plane.lesions, 2, COLOURS["consolidation"]),
    ):
        _draw_contour(axes, array == label, plane.pixel_mm, colour)
    axes.set(xlim=(0, wide), ylim=(tall, 0), xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(plane.largest)
        side.set_color(COLOURS["ground-glass"])
        side.set_linewidth(2.5)
    _draw_marks(axes, spot)


def _draw_contour(axes: Axes, mask: BoolArray, pixel_mm: tuple[float, float], colour: str) -> None:
    if not mask.any():
        return
    high, wide = pixel_mm
    # A rim of background closes contours at the edge of the crop; the little blur takes the
    # corners off the pixels without moving a straight border.
    soft = gaussian_filter(np.pad(mask, 1).astype(np.float32), 0.5)
    y = (np.arange(soft.shape[0]) - 0.5) * high
    x = (np.arange(soft.shape[1]) - 0.5) * wide
    axes.contour(x, y, soft, levels=[0.5], colors=[colour], linewidths=[_LINE_WIDTH])


def _draw_marks(axes: Axes, spot: _Spot) -> None:
    plane = spot.plane
    tall, wide = plane.size_mm
    mm = wide / spot.width
    left, right, top, bottom = plane.edges
    for x, y, letter, across, up in (
        (8 * mm, tall / 2, left, "left", "center"),
        (wide - 8 * mm, tall / 2, right, "right", "center"),
        (wide / 2, 6 * mm, top, "center", "top"),
        (wide / 2, tall - 6 * mm, bottom, "center", "bottom"),
    ):
        strong = letter in "RL"
        _text(axes, x, y, letter, 15 if strong else 11, _WHITE if strong else _GREY, across, up)
    for level in plane.levels_mm:
        axes.add_line(Line2D([0, 4], [level, level], color=_WHITE, linewidth=1.2))
    title = plane.title + ("   largest area" if plane.largest else "")
    colour = COLOURS["ground-glass"] if plane.largest else _WHITE
    # Above the plane, where no marker and no lung is.
    _text(axes, 0, -5 * mm, title, 11, colour, "left", "bottom")
    long = 50 if wide > 140 else 20
    start, level = wide - 10 * mm - long, tall - 12 * mm
    bar = Line2D([start, start + long], [level, level], color=_WHITE, linewidth=2.5)
    bar.set_path_effects([withStroke(linewidth=4.5, foreground=_BLACK)])
    axes.add_line(bar)
    _text(
        axes, start + long / 2, level - 5 * mm, f"{long // 10} cm", 10, _WHITE, "center", "bottom"
    )


def _text(
    axes: Axes, x: float, y: float, words: str, size: float, colour: str, across: str, up: str
) -> None:
    axes.text(
        x, y, words, fontsize=size, color=colour, ha=across, va=up, path_effects=_HALO
    )  # fmt: skip


def _panel(scan: Scan, report: ScanReport) -> list[_Words]:
    lines = [_Words(((0.0, "Lungs and inflammatory area"),), 17, _WHITE, weight="bold")]
    lines += _wrapped(_acquired(scan), 11, _GREY, 4)
    for figure in headline(report):
        lines.append(_Words(((0.0, figure.title),), 11.5, _GREY, 15))
        lines.append(
            _Words(
                ((0.0, figure.number),),
                19 if figure.given else 15,
                _WHITE if figure.given else _AMBER,
                weight="bold",
            )
        )
        if figure.beside:
            lines += _wrapped(figure.beside, 11.5, _GREY if figure.given else _AMBER)
    columns = (0.0, 0.36, 0.55, 0.74, 1.0)
    heads = ("", *TABLE_HEADS)
    lines.append(_Words(tuple(zip(columns, heads, strict=True)), 11, _GREY, 20))
    for row in region_table(report):
        cells = tuple(zip(columns, (row.region, *row.cells), strict=True))
        lines.append(_Words(cells, 12, _WHITE, 3))
    for k, (name, colour) in enumerate(COLOURS.items()):
        lines.append(_Words(((0.09, name),), 11.5, _WHITE, 20 if k == 0 else 2, bar=colour))
    return lines + _notices(report)


def _notices(report: ScanReport) -> list[_Words]:
    grave = [n for n in notices_by_weight(report) if n.effect != "note"]
    if not grave:
        return [_Words(((0.0, "No warnings."),), 11.5, _GREY, 20)]
    lines = [_Words(((0.0, "Read with care"),), 12.5, _AMBER, 20, weight="bold")]
    # One fact may both withhold numbers and warn; on the picture it is said once.
    said = {short_notice(n): n.effect for n in reversed(grave)}
    for text in list(reversed(said))[:10]:
        withheld = "; numbers withheld" if said[text] == "null" else ""
        lines += _wrapped("• " + text + withheld, 11, _WHITE, 3)
    if len(said) > 10:
        lines += _wrapped(f"and {len(said) - 10} more, see report.json", 11, _GREY, 3)
    return lines


def _acquired(scan: Scan) -> str:
    dz, dy, dx = scan.geometry.spacing_mm
    slices, rows, columns = scan.geometry.shape
    size = f"{columns} × {rows} × {slices}, {dx:.2f} × {dy:.2f} × {dz:.2f} mm"
    kernel = scan.acquisition.kernel
    return size + (f", kernel {kernel}" if kernel else "")


def _wrapped(words: str, size: float, colour: str, above: float = 0.0) -> list[_Words]:
    characters = int(_PANEL_PX / (0.52 * size * _DPI / 72))
    lines = textwrap.wrap(words, characters, subsequent_indent="")
    return [
        _Words(((0.0, line),), size, colour, above if k == 0 else 0.0)
        for k, line in enumerate(lines)
    ]


def _draw_panel(figure: Figure, panel: Sequence[_Words], height_px: int) -> None:
    left = WIDTH_PX - _PANEL_PX - _EDGE_PX
    top = float(_EDGE_PX)
    for words in panel:
        top += words.height_px
        y = 1 - (top - 0.3 * words.size_pt * _DPI / 72) / height_px
        for k, (share, cell) in enumerate(words.cells):
            figure.text(
                (left + share * _PANEL_PX) / WIDTH_PX,
                y,
                cell,
                fontsize=words.size_pt,
                color=words.colour,
                fontweight=words.weight,
                ha="left" if k == 0 else "right",
                va="baseline",
            )
        if words.bar:
            level = y + 0.38 * words.size_pt * _DPI / 72 / height_px
            ends = [left / WIDTH_PX, (left + 0.07 * _PANEL_PX) / WIDTH_PX]
            figure.add_artist(Line2D(ends, [level, level], color=words.bar, linewidth=3))
    figure.text(
        left / WIDTH_PX,
        (_EDGE_PX + 6) / height_px,
        RESEARCH_USE,
        fontsize=12,
        color=_WHITE,
        ha="left",
        va="baseline",
    )
