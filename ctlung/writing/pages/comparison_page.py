"""The page of one comparison: what changed, before and after side by side, every change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ctlung.arrays import LabelArray
from ctlung.change_records import Change, ChangeMaps, Comparison
from ctlung.vocabulary import CHANGE_LABELS, CHANGE_PAIRS, LUNG_LABELS, MEASURES, PAIR_MEASURES
from ctlung.volume import Scan
from ctlung.writing.headline import (
    CHANGE_MEASURES,
    EFFECT_ORDER,
    ChangeRow,
    change_row,
    reason_words,
    restoration_lines,
    words,
)
from ctlung.writing.pages.flow import flow
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
from ctlung.writing.pages.plots import area_by_slice
from ctlung.writing.pages.scan_page import provenance_rows
from ctlung.writing.planes import Kind, stack

PRIMARY = ("lesion_percent", "ct_number_baseline_region_hu")
"""The two end points of the trial that this serves (FIELD 7)."""
MOST_FRAMES: dict[Kind, int] = {"axial": 160, "coronal": 32, "sagittal": 32}
LEAST_ML = 0.05
"""Less is not listed on the page; ``transitions.csv`` has it."""
_INFLAMED = "inflamed"
_BEFORE, _AFTER = (1, 2, 4, 5), (2, 3, 4, 5)
"""Labels of the change map that were inflamed at baseline, and that are at follow-up."""


@dataclass(frozen=True)
class Line:
    """One change with the definition of what changed."""

    definition: Definition
    row: ChangeRow


def comparison_page(comparison: Comparison) -> str:
    """``report.html`` of a pair: the same comparison gives the same bytes; under 8 MB."""
    found = comparison.voxelwise
    maps = None if found is None else found.maps
    stacks = () if maps is None else comparison_stacks(maps)
    transitions = () if found is None else found.transitions
    order = [*MEASURES, *PAIR_MEASURES]
    names = sorted({c.measure for c in comparison.changes}, key=order.index)
    there = {c.measure for c in comparison.changes if c.region == "lungs"}
    shown = [line(comparison[m]) for m in CHANGE_MEASURES if m in there]
    return render(
        "comparison.html.j2",
        "ctlung: two chest CT compared",
        primary=[one for one in shown if one.definition.name in PRIMARY],
        others=[one for one in shown if one.definition.name not in PRIMARY],
        restoration=restoration_lines(comparison),
        days=_days(comparison),
        notices=sorted(comparison.notices, key=lambda n: EFFECT_ORDER[n.effect]),
        visits=[
            (
                word,
                sorted(report.notices, key=lambda n: EFFECT_ORDER[n.effect]),
                provenance_rows(report.provenance),
                svg(area_by_slice(report), f"Lung and inflammatory area by slice, {word}"),
            )
            for word, report in (
                ("baseline", comparison.baseline),
                ("follow-up", comparison.followup),
            )
        ],
        why_no_voxels=_why_no_voxels(comparison),
        stacks=stacks,
        panels=_panels(),
        outlines=(
            (tuple(LUNG_LABELS.values()), "lungs"),
            ((_INFLAMED,), "inflammatory area"),
            *(((name,), name) for name in CHANGE_LABELS.values()),
        ),
        data=as_json(stacks),
        flow=svg(flow(transitions), "What became of the inflamed lung; the table has the numbers"),
        transitions=[
            (words(t.before), words(t.after), _what(t.before, t.after), t.ml, t.uncertain_ml)
            for t in transitions
            if t.ml >= LEAST_ML
        ],
        tracks=() if found is None else found.tracks,
        quality=() if found is None else tuple(found.quality.items()),
        regions=_by_region(comparison.changes),
        definitions=[definition(name) for name in names],
        word=words,
    )


def line(change: Change) -> Line:
    """A change as words, with its definition."""
    return Line(definition(change.measure), change_row(change))


def comparison_stacks(maps: ChangeMaps) -> tuple[Stack, ...]:
    """Axial, coronal and sagittal frames of both scans, fewer where they would be too large."""
    most = dict(MOST_FRAMES)
    while True:
        stacks = tuple(_stacks(maps, most))
        n_bytes = sum(s.n_bytes for s in stacks)
        if not stacks or n_bytes <= TARGET_BYTES or most["axial"] <= 8:
            return stacks
        share = 0.95 * TARGET_BYTES / n_bytes
        shown = {s.kind: len(s.frames) for s in stacks}
        most = {kind: max(8, int(share * shown.get(kind, 8))) for kind in most}


def _stacks(maps: ChangeMaps, most: dict[Kind, int]) -> Iterator[Stack]:
    grid = maps.lungs.geometry
    before, after = Scan(maps.baseline_hu, grid), Scan(maps.followup_hu, grid)
    ill = (maps.change.labels > 0).sum(axis=(1, 2))
    worst = int(ill.argmax()) if ill.any() else None
    for kind, count in most.items():
        always = worst if kind == "axial" else None
        pair = [stack(scan, maps.lungs, maps.change, kind, count, always)
                for scan in (before, after)]  # fmt: skip
        if not pair[0]:
            continue
        size = size_px(pair[0][0])
        frames = [
            Frame(
                b.index,
                title_of(b),
                _words(b.lesions, b.kind),
                (picture(b.hu, size), picture(f.hu, size)),
                outlines(
                    (
                        (b.lungs, tuple(LUNG_LABELS)),
                        (np.isin(b.lesions, _BEFORE).astype(np.uint8), (1,)),
                        (np.isin(b.lesions, _AFTER).astype(np.uint8), (1,)),
                        (b.lesions, tuple(CHANGE_LABELS)),
                    ),
                    size,
                ),
            )
            for b, f in zip(*pair, strict=True)
        ]
        counts = [int((p.lesions > 0).sum()) for p in pair[0]]
        start = int(np.argmax(counts)) if any(counts) else len(counts) // 2
        yield Stack(kind, *size, pair[0][0].edges, start, tuple(frames))


def _words(change: LabelArray, kind: Kind) -> str:
    there = [name for label, name in CHANGE_LABELS.items() if (change == label).any()]
    return f"{kind} view; " + (", ".join(there) if there else "no inflammatory area")


def _panels() -> tuple[Panel, ...]:
    lungs = tuple(enumerate(LUNG_LABELS.values()))
    changes = tuple((4 + k, name) for k, name in enumerate(CHANGE_LABELS.values()))
    return (
        Panel("baseline", 0, (*lungs, (2, _INFLAMED))),
        Panel("follow-up, laid on the baseline", 1, (*lungs, (3, _INFLAMED)), covered=True),
        Panel("change", 0, (*lungs, *changes), filled=True),
    )


def _what(before: str, after: str) -> str:
    for what, pairs in CHANGE_PAIRS.items():
        if (before, after) in pairs:
            return what
    return ""


def _why_no_voxels(comparison: Comparison) -> str:
    found = comparison.voxelwise
    if found is None:
        return "The scans were not laid on one another; whole lungs were compared."
    if found.reason is not None:
        return f"There are no voxel answers: {reason_words(found.reason)}."
    return "" if found.maps is not None else "The images are not at hand."


def _by_region(changes: Sequence[Change]) -> tuple[tuple[str, tuple[Line, ...]], ...]:
    found: dict[str, list[Line]] = {}
    for c in changes:
        found.setdefault(c.region, []).append(line(c))
    return tuple((words(region), tuple(lines)) for region, lines in found.items())


def _days(comparison: Comparison) -> str:
    if comparison.days is None:
        return "The days between the scans are not known."
    said = [f"{comparison.days} days from baseline to follow-up"]
    for event, days in (
        ("infusion", comparison.days_since_infusion),
        ("first symptoms", comparison.days_since_onset),
    ):
        if days is not None:
            said.append(f"days since {event}: {days[0]} and {days[1]}")
    return "; ".join(said) + "."
