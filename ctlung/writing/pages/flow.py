"""What became of the inflamed lung, as bands that flow from baseline to follow-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from ctlung.change_records import Transition
from ctlung.vocabulary import CHANGE_PAIRS
from ctlung.writing.headline import words

COLOURS = {
    "resolved": "#37c978",
    "persistent": "#e0b000",
    "new": "#ff4d6d",
    "worsened": "#b84be0",
    "improved": "#3a9bff",
    "left the lung": "#8a939b",
}
_SHOWN = {"aerated": "aerated", "hyperlucent": "aerated"}
_ORDER = ("consolidation", "ground_glass", "aerated", "outside")
_WIDTH, _HEIGHT, _TOP = 640, 300, 34
_LEFT, _RIGHT, _BAR, _GAP = 170, 470, 12, 16
_LEAST_ML = 0.05


@dataclass(frozen=True)
class Band:
    """Lung that was ``before`` and is ``after``, ml of the baseline; what that is called."""

    before: str
    after: str
    ml: float
    what: str


def bands(transitions: Iterable[Transition]) -> tuple[Band, ...]:
    """All that was or is inflamed; aerated lung of all densities counts as one."""
    sums: dict[tuple[str, str], float] = {}
    for t in transitions:
        key = _SHOWN.get(t.before, t.before), _SHOWN.get(t.after, t.after)
        sums[key] = sums.get(key, 0.0) + t.ml
    called = {pair: what for what, pairs in CHANGE_PAIRS.items() for pair in pairs}
    return tuple(
        Band(before, after, ml, called.get((before, after), "left the lung"))
        for before in _ORDER
        for after in _ORDER
        for ml in [sums.get((before, after), 0.0)]
        if ml >= _LEAST_ML and (before, after) != ("aerated", "aerated")
        if not (before == "aerated" and after == "outside")
    )


def flow(transitions: Iterable[Transition]) -> str | None:
    """The bands as SVG with the page's own ink, or ``None`` where there is nothing to draw."""
    found = bands(transitions)
    if not found:
        return None
    left = _nodes((b.before, b.ml) for b in found)
    right = _nodes((b.after, b.ml) for b in found)
    gaps = _GAP * (max(len(left), len(right)) - 1)
    scale = (_HEIGHT - gaps) / sum(b.ml for b in found)
    starts, ends = _tops(left, scale), _tops(right, scale)
    parts = [_head()]
    at_left, at_right = dict(starts), dict(ends)
    for b in found:
        high = b.ml * scale
        parts.append(_band(b, at_left[b.before], at_right[b.after], high))
        at_left[b.before] += high
        at_right[b.after] += high
    parts += [_node(n, ml, starts[n], ml * scale, side="left") for n, ml in left.items()]
    parts += [_node(n, ml, ends[n], ml * scale, side="right") for n, ml in right.items()]
    return "".join(parts) + "</svg>"


def _nodes(amounts: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, ml in amounts:
        sums[name] = sums.get(name, 0.0) + ml
    return {name: sums[name] for name in _ORDER if name in sums}


def _tops(nodes: Mapping[str, float], scale: float) -> dict[str, float]:
    tops, y = {}, float(_TOP)
    for name, ml in nodes.items():
        tops[name] = y
        y += ml * scale + _GAP
    return tops


def _head() -> str:
    size = f"{_WIDTH} {_TOP + _HEIGHT + 30}"
    text = "".join(
        f'<text x="{x}" y="16" text-anchor="{anchor}" fill="currentColor" '
        f'font-weight="600">{word}</text>'
        for x, anchor, word in ((_LEFT, "end", "baseline"), (_RIGHT, "start", "follow-up"))
    )
    return f'<svg viewBox="0 0 {size}" width="{_WIDTH}" font-size="13" class="plot">{text}'


def _band(b: Band, y0: float, y1: float, high: float) -> str:
    x0, x1 = _LEFT + _BAR, _RIGHT - _BAR
    middle = (x0 + x1) / 2
    path = (
        f"M{x0} {y0:.1f}C{middle} {y0:.1f} {middle} {y1:.1f} {x1} {y1:.1f}"
        f"L{x1} {y1 + high:.1f}C{middle} {y1 + high:.1f} {middle} {y0 + high:.1f} "
        f"{x0} {y0 + high:.1f}z"
    )
    said = f"{words(b.before)} to {words(b.after)}: {b.ml:.0f} ml, {b.what}"
    drawn = (
        f'<path d="{path}" fill="{COLOURS[b.what]}" fill-opacity="0.55" stroke="{COLOURS[b.what]}">'
        f"<title>{escape(said)}</title></path>"
    )
    if high < 13:
        return drawn
    y = (y0 + y1 + high) / 2 + 4
    return drawn + (
        f'<text x="{middle}" y="{y:.1f}" text-anchor="middle" fill="currentColor">'
        f"{b.what} {b.ml:.0f} ml</text>"
    )


def _node(name: str, ml: float, y: float, high: float, *, side: str) -> str:
    x = _LEFT if side == "left" else _RIGHT - _BAR
    text, anchor = (_LEFT - 8, "end") if side == "left" else (_RIGHT + 8, "start")
    return (
        f'<rect x="{x}" y="{y:.1f}" width="{_BAR}" height="{max(high, 1):.1f}" '
        f'fill="currentColor"/><text x="{text}" y="{y + high / 2 + 4:.1f}" '
        f'text-anchor="{anchor}" fill="currentColor">{words(name)} {ml:.0f} ml</text>'
    )
