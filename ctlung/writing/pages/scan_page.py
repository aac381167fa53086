"""The page of one scan: numbers first, slices to scroll through, every measure, its provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ctlung.records import Measurement, Provenance, ScanReport, ScanResult, SliceRow
from ctlung.vocabulary import LESION_LABELS, LUNG_LABELS, MEASURES
from ctlung.writing.headline import (
    NOT_GIVEN,
    TABLE_HEADS,
    headline,
    notices_by_weight,
    reason_words,
    region_table,
    rounded,
    words,
)
from ctlung.writing.pages.frames import Frame, Stack, outlines, picture, size_px, title_of
from ctlung.writing.pages.page import (
    TARGET_BYTES,
    Definition,
    Panel,
    as_json,
    definition,
    render,
    svg,
)
from ctlung.writing.pages.plots import area_by_slice, hu_histogram
from ctlung.writing.planes import Kind, Plane, stack

PRIMARY = ("lesion_percent", "ct_number_lesion_hu")
"""The two end points of the trial that this serves (FIELD 1)."""
_OUTLINED = (*LUNG_LABELS.values(), *LESION_LABELS.values())
MOST_FRAMES: dict[Kind, int] = {"axial": 320, "coronal": 48, "sagittal": 48}


@dataclass(frozen=True)
class Cell:
    """One measure of one region as words."""

    definition: Definition
    value: str
    interval: str
    reason: str


def scan_page(result: ScanResult) -> str:
    """``report.html``: the same result gives the same bytes; under 8 MB; nothing is fetched.

    Shows what the report shows: no name and no identifier unless the report holds them in clear.
    """
    report = result.report
    figures = headline(report)
    stacks = scan_stacks(result)
    names = sorted({m.measure for m in report.measurements}, key=list(MEASURES).index)
    return render(
        "scan.html.j2",
        "ctlung: one chest CT",
        primary=[f for f in figures if f.measure in PRIMARY],
        others=[f for f in figures if f.measure not in PRIMARY],
        notices=notices_by_weight(report),
        stacks=stacks,
        panels=[Panel("", 0, tuple(enumerate(_OUTLINED)))],
        outlines=(
            (_OUTLINED[:2], "lungs"),
            *(((name,), words(name)) for name in _OUTLINED[2:]),
        ),
        data=as_json(stacks),
        area_plot=svg(area_by_slice(report), "Lung and inflammatory area by slice"),
        histogram=svg(hu_histogram(report), "CT numbers of lesions and of the own aerated lung"),
        heads=TABLE_HEADS,
        regions=region_table(report),
        measures=measures_by_region(report),
        definitions=[definition(name) for name in names],
        scores=[s for s in report.scores if s.value is not None],
        provenance=provenance_rows(report.provenance),
    )


def scan_stacks(result: ScanResult) -> tuple[Stack, ...]:
    """Axial, coronal and sagittal frames, fewer of them where all would make the page too large."""
    most = dict(MOST_FRAMES)
    while True:
        stacks = tuple(_stacks(result, most))
        n_bytes = sum(s.n_bytes for s in stacks)
        if n_bytes <= TARGET_BYTES or most["axial"] <= 8:
            return stacks
        share = TARGET_BYTES / n_bytes
        shown = len(stacks[0].frames)
        most = {
            "axial": max(8, int(0.95 * share * shown)),
            "coronal": max(8, int(share * most["coronal"])),
            "sagittal": max(8, int(share * most["sagittal"])),
        }


def _stacks(result: ScanResult, most: dict[Kind, int]) -> Iterator[Stack]:
    largest = _largest(result.report)
    rows = {row.slice: row for row in result.report.slices}
    for kind, count in most.items():
        always = largest if kind == "axial" else None
        planes = stack(result.scan, result.lungs, result.lesions, kind, count, always)
        if planes:
            yield _stack(planes, largest, rows)


def _stack(planes: Sequence[Plane], largest: int | None, rows: dict[int, SliceRow]) -> Stack:
    size = size_px(planes[0])
    frames = []
    for p in planes:
        row = rows.get(p.index) if p.kind == "axial" else None
        parts = ((p.lungs, tuple(LUNG_LABELS)), (p.lesions, tuple(LESION_LABELS)))
        paths = outlines(parts, size)
        frames.append(
            Frame(p.index, title_of(p), _words(p, row), (picture(p.hu, size),), paths)
        )  # fmt: skip
    return Stack(planes[0].kind, *size, planes[0].edges, _start(planes, largest), tuple(frames))


def _start(planes: Sequence[Plane], largest: int | None) -> int:
    """The slice of the largest inflammatory area; else the plane with the most lesion or lung."""
    if planes[0].kind == "axial" and largest is not None:
        return min(range(len(planes)), key=lambda k: abs(planes[k].index - largest))
    ill = [int((p.lesions > 0).sum()) for p in planes]
    lung = [int((p.lungs > 0).sum()) for p in planes]
    return max(range(len(planes)), key=lambda k: (ill[k], lung[k], -k))


def _words(plane: Plane, row: SliceRow | None) -> str:
    if row is None:
        ill = "with" if (plane.lesions > 0).any() else "without"
        return f"{plane.kind} view {ill} inflammatory area"
    if row.lung_area_cm2 is None or row.lesion_area_cm2 is None:
        return f"areas {NOT_GIVEN}; {reason_words(row.reason or '')}"
    return f"lung {row.lung_area_cm2:.1f} cm², inflammatory area {row.lesion_area_cm2:.1f} cm²"


def _largest(report: ScanReport) -> int | None:
    try:
        value = report.value("lesion_area_max_slice")
    except KeyError:
        return None
    return None if value is None else int(value)


def measures_by_region(report: ScanReport) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Every measure of every region, in the order of the report."""
    found: dict[str, list[Cell]] = {}
    for m in report.measurements:
        found.setdefault(m.region, []).append(_cell(m))
    return tuple((words(region), tuple(cells)) for region, cells in found.items())


def _cell(m: Measurement) -> Cell:
    about = definition(m.measure)
    if m.value is None:
        return Cell(about, NOT_GIVEN, "", reason_words(m.reason or ""))
    interval = ""
    if m.low is not None and m.high is not None:
        low, high = (rounded(replace(m, value=end)) for end in (m.low, m.high))
        interval = f"{low} to {high}"
    return Cell(about, rounded(m), interval, "")


def provenance_rows(p: Provenance) -> tuple[tuple[str, str], ...]:
    """What was read and by what it was measured, as words."""
    facts = dict(p.acquisition)
    spacing = " × ".join(f"{s:.3g}" for s in p.spacing_mm)
    rows = [
        ("ctlung", p.version),
        ("lungs found by", _with_digest(p.segmenter, p.weights_sha256)),
        ("lesions found by", _with_digest(p.lesion_method, p.lesion_weights_sha256)),
        ("ran on", p.device),
        ("read from", f"{p.source_kind}, {p.n_files} files; {p.chosen_because}"),
        ("slices, rows, columns", " × ".join(str(n) for n in p.shape)),
        ("spacing, mm", spacing),
        ("sha256 of the voxels", p.input_digest),
        ("settings changed", ", ".join(f"{k} = {v}" for k, v in p.settings.items()) or "none"),
    ]
    rows += [(words(k), _text(v)) for k, v in facts.items() if v not in (None, "", [], ())]
    if p.identifiers is not None:
        rows += [(words(k), _text(v)) for k, v in p.identifiers.items() if k != "sop_uids" and v]
    return tuple(rows)


def _with_digest(name: str, digest: str | None) -> str:
    return f"{name} (weights sha256 {digest})" if digest else name


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
