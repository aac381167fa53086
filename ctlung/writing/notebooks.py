"""A scan, its report, a result and a comparison as a notebook shows them: a picture, a table."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from ctlung.change_records import Comparison
from ctlung.notices import Notice
from ctlung.records import ScanReport, ScanResult
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS, PAIR_NOTICES, RESEARCH_USE
from ctlung.volume import LabelMap, Scan
from ctlung.writing.change_picture import draw_change_row
from ctlung.writing.headline import (
    TABLE_HEADS,
    change_rows,
    headline,
    notices_by_weight,
    region_table,
    restoration_lines,
    short_notice,
)
from ctlung.writing.pages.page import clean, svg
from ctlung.writing.pages.plots import area_by_slice
from ctlung.writing.pictures import draw_row
from ctlung.writing.planes import Plane, choose_planes

LEVELS = 3
CHANGE_HEADS = ("", "baseline", "follow-up", "change", "what to make of it")
_NO_WARNINGS = Markup("<p>No warnings.</p>")
_CELL = "text-align:left;padding:.15em .9em .15em 0;border-bottom:1px solid rgba(128,128,128,.35)"

Row = Sequence[str]


def scan_html(scan: Scan) -> str:
    """Three axial levels, the grid, how it was taken, what reading had to say."""
    planes = _levels(scan)
    words = f"{_slices(planes)} of a chest CT in the lung window, the patient's right on the left."
    return _block(_picture(planes, words), _table((), _about(scan)), _notices(scan.notices))


def report_html(report: ScanReport) -> str:
    """Area by slice, the headline figures, the regions, the notices."""
    words = "Area of lung and of inflammation by slice. " + _said(report)
    return _block(svg(area_by_slice(report), words), *_numbers(report))


def result_html(result: ScanResult) -> str:
    """Three axial levels with outlines, the headline figures, the regions, the notices."""
    planes = _planes(result.scan, result.lungs, result.lesions, result.report)
    words = (
        f"{_slices(planes)} of a chest CT in the lung window with the outlines of both lungs, of "
        "ground-glass and of consolidation, the patient's right on the left. "
    )
    return _block(_picture(planes, words + _said(result.report)), *_numbers(result.report))


def comparison_html(comparison: Comparison) -> str:
    """Baseline, follow-up and change at one level, the changes, the notices of the pair."""
    lines = Markup("").join(Markup("<p>{}</p>").format(x) for x in restoration_lines(comparison))
    return _block(
        _change_picture(comparison),
        _table(CHANGE_HEADS, change_rows(comparison)),
        lines,
        _notices(comparison.notices),
    )


def scan_text(scan: Scan) -> str:
    """A line for a terminal."""
    return "Scan: " + ", ".join(f"{name} {clean(value)}" for name, value in _about(scan))


def report_text(report: ScanReport) -> str:
    """The headline figures for a terminal, a line each."""
    lines = (f"  {f.title}: {f.number}; {f.beside}".removesuffix("; ") for f in headline(report))
    return "\n".join(["ScanReport", *lines, f"  {_warnings(report.notices)} {RESEARCH_USE}"])


def result_text(result: ScanResult) -> str:
    """The same for a result."""
    return report_text(result.report).replace("ScanReport", "ScanResult", 1)


def comparison_text(comparison: Comparison) -> str:
    """The changes for a terminal, a line each."""
    rows = (
        f"  {title}: {before} → {after}, {delta}; {verdict}".removesuffix("; ")
        for title, before, after, delta, verdict in change_rows(comparison)
    )
    last = f"  {_warnings(comparison.notices)} {RESEARCH_USE}"
    return "\n".join(["Comparison", *rows, last])


def _block(*parts: Markup | None) -> str:
    """Takes colours and type from the notebook around it, light or dark."""
    body = Markup("").join(part for part in parts if part)
    foot = Markup("<p><small>{}</small></p>").format(RESEARCH_USE)
    style = "color:inherit;background:transparent;max-width:62em;line-height:1.4"
    return str(Markup('<div class="ctlung" style="{}">{}{}</div>').format(style, body, foot))


def _numbers(report: ScanReport) -> tuple[Markup, ...]:
    figures = [(f.title, f.number, f.beside) for f in headline(report)]
    regions = [(row.region, *row.cells) for row in region_table(report)]
    return (
        _table(("", "", ""), figures),
        _folded("By side", _table(("", *TABLE_HEADS), regions)),
        _notices(notices_by_weight(report)),
    )


def _table(heads: Row, rows: Iterable[Row]) -> Markup:
    """Rows whose first cell names the row."""
    head = Markup("").join(_cell("th", "col", text) for text in heads) if any(heads) else ""
    body = Markup("").join(
        Markup("<tr>{}{}</tr>").format(
            _cell("th", "row", row[0]), Markup("").join(_cell("td", "", text) for text in row[1:])
        )
        for row in rows
    )
    if head:
        head = Markup("<thead><tr>{}</tr></thead>").format(head)
    table = '<table style="color:inherit;background:transparent;border-collapse:collapse">'
    return Markup(table) + Markup("{}<tbody>{}</tbody></table>").format(head, body)


def _cell(tag: str, scope: str, text: str) -> Markup:
    weight = "font-weight:normal" if tag == "td" else "font-weight:600"
    named = Markup(' scope="{}"').format(scope) if scope else ""
    cell = Markup('<{tag}{named} style="{style};{weight}">{text}</{tag}>')
    return cell.format(tag=tag, named=named, style=_CELL, weight=weight, text=clean(text))


def _folded(title: str, inside: Markup) -> Markup:
    return Markup("<details><summary>{}</summary>{}</details>").format(title, inside)


def _notices(notices: Sequence[Notice]) -> Markup:
    """Those that limit a number, then the others, to be unfolded."""
    # One fact may both withhold numbers and warn; it is said once.
    grave = dict.fromkeys(_short(notice) for notice in notices if notice.effect != "note")
    notes = dict.fromkeys(notice.sentence for notice in notices if notice.effect == "note")
    first = Markup("<p>Read with care:</p>{}").format(_list(grave)) if grave else _NO_WARNINGS
    return first + (_folded("Good to know", _list(notes)) if notes else "")


def _list(items: Iterable[str]) -> Markup:
    lines = Markup("").join(Markup("<li>{}</li>").format(clean(text)) for text in items)
    return Markup("<ul>{}</ul>").format(lines)


def _short(notice: Notice) -> str:
    """In one line; what only two scans can say has no short form."""
    return notice.sentence if notice.code in PAIR_NOTICES else short_notice(notice)


def _warnings(notices: Sequence[Notice]) -> str:
    grave = {notice.code for notice in notices if notice.effect != "note"}
    return f"Read with care: {', '.join(sorted(grave))}." if grave else "No warnings."


def _about(scan: Scan) -> list[tuple[str, str]]:
    """Grid and acquisition; no name, no number, no date of anybody."""
    slices, rows, columns = scan.geometry.shape
    dz, dy, dx = scan.geometry.spacing_mm
    a = scan.acquisition
    facts = (
        ("voxels", f"{slices} slices of {columns} × {rows}"),
        ("spacing", f"{dz:.2f} mm, {dx:.2f} × {dy:.2f} mm in the slice"),
        ("from", scan.source.kind),
        ("kernel", a.kernel),
        ("thickness", f"{a.slice_thickness_mm:g} mm" if a.slice_thickness_mm else None),
        ("tube voltage", f"{a.kvp:g} kV" if a.kvp else None),
        ("contrast agent", a.contrast_agent),
        ("maker", a.manufacturer),
    )
    return [(name, value) for name, value in facts if value]


def _said(report: ScanReport) -> str:
    """The headline in one sentence, for those who do not see the picture."""
    return "; ".join(f"{f.title}: {f.number}" for f in headline(report)) + "."


def _levels(scan: Scan) -> tuple[Plane, ...]:
    nothing = np.zeros(scan.geometry.shape, np.uint8)
    lungs = LabelMap(nothing, scan.geometry, LUNG_LABELS)
    return _planes(scan, lungs, LabelMap(nothing, scan.geometry, LESION_LABELS), ScanReport(()))


def _planes(
    scan: Scan, lungs: LabelMap, lesions: LabelMap, report: ScanReport
) -> tuple[Plane, ...]:
    return choose_planes(scan, lungs, lesions, report, LEVELS)[0]


def _slices(planes: Sequence[Plane]) -> str:
    *most, last = (str(plane.index) for plane in planes)
    return f"Slices {', '.join(most)} and {last}" if most else f"Slice {last}"


def _picture(planes: Sequence[Plane], words: str) -> Markup:
    file = io.BytesIO()
    draw_row(planes, file)
    return _image(file.getvalue(), words)


def _change_picture(comparison: Comparison) -> Markup | None:
    maps = None if comparison.voxelwise is None else comparison.voxelwise.maps
    if maps is None:
        return None
    file = io.BytesIO()
    level = draw_change_row(maps, file)
    if level is None:
        return None
    words = f"Slice {level}: baseline, follow-up laid on it, change; patient's right on the left."
    key = "Change: green resolved, yellow persistent, red new, violet worsened, blue improved."
    return _image(file.getvalue(), words) + Markup("<p><small>{}</small></p>").format(key)


def _image(png: bytes, words: str) -> Markup:
    data = base64.b64encode(png).decode("ascii")
    style = "max-width:100%;height:auto"
    tag = Markup('<img style="{}" alt="{}" src="data:image/png;base64,{}">')
    return tag.format(style, words, data)
