"""Simulated pairs of real lungs with a known change, measured end to end.

A pair is one host twice: lesions with their fates, a breath between the visits
(``ctlung.simulation.followup``), kernel and noise of each visit drawn anew. Lungs of a T patient
are found by the weights of the fold that left it out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lesions_cases import learned, lung_map
from scipy import ndimage
from segmentation_cases import BY_NAME, Drawn, Segmenters, path_of
from segmentation_lesions import host_of
from segmentation_rows import Row
from segmentation_scores import BoolArray, LabelArray

import ctlung
from ctlung import Anatomy, LabelMap, Scan, ScanResult
from ctlung.alignment import Alignment
from ctlung.comparison.change import FACTORS, changes
from ctlung.comparison.voxelwise import region_interval
from ctlung.geometry import Geometry
from ctlung.lesions.finder import Located
from ctlung.measurement.headline_values import headline_values
from ctlung.morphology import grow
from ctlung.notices import Notice
from ctlung.records import Measurement, Uncertainty
from ctlung.settings import Settings
from ctlung.simulation.breathing import Breath, breathe
from ctlung.simulation.followup import Fate, Insert, Pair, Visit, simulate_pair
from ctlung.simulation.insertion import LesionPlan
from ctlung.simulation.scanner import Protocol, acquire
from ctlung.two_scans import align
from ctlung.vocabulary import LESION_LABELS
from ctlung.working_grid import block_mean

JUDGED = (
    "lung_volume_ml",
    "lung_mean_hu",
    "lung_weight_g",
    "lesion_percent",
    "lesion_volume_ml",
    "lesion_mass_percent",
    "ct_number_lesion_hu",
    "ct_number_baseline_region_hu",
)
REGION = JUDGED[-1]
KINDS = ("resolved", "persistent", "new", "worsened", "improved")
NEAR_PLEURA_MM = 10.0
OWN_MM = 5.0


@dataclass(frozen=True)
class Plan:
    """What happens between two visits: lesions, fates, breath, protocols, seed."""

    lesions: tuple[LesionPlan, ...]
    fates: tuple[Fate, ...]
    lift_mm: float
    protocols: tuple[Protocol, Protocol]
    seed: int


def breath_of(drawn: Drawn, lift_mm: float) -> Breath:
    """A breath that fits the patient: from the lungs' lower end to their apex."""
    geometry = drawn.scan.geometry
    lung = drawn.lungs > 0
    z, y, x = (np.flatnonzero(lung.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1)))
    low, high = geometry.to_mm([z[0], y[0], x[0]]), geometry.to_mm([z[-1], y[-1], x[-1]])
    middle = (low + high) / 2
    return Breath(
        lift_mm,
        0.15 * lift_mm,
        float(low[2]) - 10.0,
        float(high[2]),
        float(min(low[1], high[1])) - 20.0,
        float(max(low[1], high[1])),
        (float(middle[0]), float(middle[1])),
    )


@dataclass(frozen=True, eq=False)
class Host:
    """A patient without disease, as far as one knows: what is found there as it is, and 5 mm
    around it, counts neither as lesion nor as healthy lung that lesions may be put into."""

    name: str
    drawn: Drawn
    own: BoolArray

    @classmethod
    def load(cls, name: str) -> Host:
        drawn = host_of(name) if name in BY_NAME else own_lungs(name)
        lungs = lung_map(drawn.lungs, drawn.scan)
        found = ctlung.find_lesions(drawn.scan, lungs, finder=learned()).labels > 0
        return cls(name, drawn, grow(found, OWN_MM, drawn.scan.geometry.spacing_mm))

    @property
    def room(self) -> LabelArray:
        """Lung that lesions may be put into."""
        return np.where(self.own, 0, self.drawn.lungs).astype(np.uint8)

    def own_after(self, breath: Breath) -> BoolArray:
        """Where what is its own lies after a breath."""
        hu = np.zeros(self.own.shape, np.float32)
        _, moved, _ = breathe(hu, self.own.astype(np.uint8), self.drawn.scan.geometry, breath)
        found: BoolArray = moved > 0
        return found


def own_lungs(name: str) -> Drawn:
    """A scan whose lungs nobody drew: what ctlung finds in it as it is stands for them."""
    scan = ctlung.read_scan(path_of(name))
    labels = ctlung.segment_lungs(scan).lungs.labels
    return Drawn(scan, np.asarray(labels), True, None, np.ones(len(scan.hu), bool))


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The shipped finder, blind where ``own`` is. On the whole scan's grid, or on a crop of it."""

    inner: ctlung.LesionFinder
    own: BoolArray
    geometry: Geometry

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def weights_sha256(self) -> str | None:
        return self.inner.weights_sha256

    @property
    def by_density(self) -> bool:
        return self.inner.by_density

    def for_scan(self, scan: Scan) -> Elsewhere:
        return replace(self, inner=self.inner.for_scan(scan))

    def locate(
        self, scan: Scan, lungs: LabelMap, anatomy: Anatomy | None, settings: Settings
    ) -> Located:
        found = self.inner.locate(scan, lungs, anatomy, settings)
        if found.box is None or found.where is None:
            return found
        offset = np.linalg.solve(
            self.geometry.matrix[:3, :3], scan.geometry.matrix[:3, 3] - self.geometry.matrix[:3, 3]
        )
        part = tuple(
            slice(round(o), round(o) + n) for o, n in zip(offset, scan.hu.shape, strict=True)
        )
        off = block_mean(self.own[part], found.grid.factors)[found.box] > 0.25
        dense = None if found.dense is None else found.dense & ~off
        return replace(found, where=found.where & ~off, dense=dense)


def make_pair(host: Host, plan: Plan, insert: Insert) -> tuple[Pair, Scan, Scan]:
    """The pair and its two scans."""
    drawn = host.drawn
    hu = drawn.scan.hu.astype(np.float32)
    geometry = drawn.scan.geometry
    breath = breath_of(drawn, plan.lift_mm)
    pair = simulate_pair(
        hu, drawn.lungs, geometry, insert, plan.lesions, plan.fates, breath, plan.seed, host.room
    )
    scans = []
    for number, visit in enumerate((pair.baseline, pair.followup)):
        rng = np.random.default_rng(np.random.SeedSequence([plan.seed, number]))
        series = acquire(visit.hu, geometry, plan.protocols[number], rng)
        outside = drawn.scan.outside_fov
        if outside is not None:
            outside = on_slices(outside, geometry, series.geometry)
        scans.append(
            replace(drawn.scan, hu=series.hu, geometry=series.geometry, outside_fov=outside)
        )
    return pair, scans[0], scans[1]


def measured(
    host: Host, pair: Pair, scans: tuple[Scan, Scan], segmenters: Segmenters
) -> tuple[ScanResult, ScanResult]:
    """What ``ctlung segment --uncertainty`` makes of both, what is the host's own left out."""
    segmenter, _ = segmenters.load("network", host.name)
    owns = host.own, host.own_after(pair.breath)
    first, second = (
        ctlung.segment(
            scan,
            segmenter=segmenter,
            finder=Elsewhere(
                learned(), on_slices(own, host.drawn.scan.geometry, scan.geometry), scan.geometry
            ),
            uncertainty=True,
        )
        for scan, own in zip(scans, owns, strict=True)
    )
    return first, second


def on_slices(mask: BoolArray, geometry: Geometry, slices: Geometry) -> BoolArray:
    """A mask on the nearest of other slices."""
    there = np.asarray(slices.slice_positions_mm)[:, None]
    nearest = np.abs(np.asarray(geometry.slice_positions_mm)[None] - there).argmin(axis=1)
    return mask[nearest]


def spread(geometry: Geometry, times: float) -> Geometry:
    """The same pixels on slices ``times`` as far apart, from the same lowest slice."""
    step = times * geometry.spacing_mm[0]
    number = int((geometry.shape[0] - 1) // times) + 1
    matrix = geometry.matrix.copy()
    matrix[:3, 0] *= times
    positions = geometry.slice_positions_mm[0] + step * np.arange(number)
    return Geometry.from_affine((number, *geometry.shape[1:]), matrix, positions.tolist())


def judge_pair(
    pair: Pair, baseline: ScanResult, followup: ScanResult, true_masks: bool = False
) -> Row:
    """Change of each measure with its interval beside the truth; voxel answers; alignment."""
    start = time.perf_counter()
    comparison = ctlung.compare(baseline, followup, same_person=True)
    seconds = time.perf_counter() - start
    right = true_changes(pair, baseline.scan)
    rows: dict[str, Row] = {}
    for name in JUDGED:
        c = comparison[name]
        rows[name] = {
            "truth": right[name],
            "delta": c.delta,
            "low": c.low,
            "high": c.high,
            "floor": c.floor,
            "claimed": c.claimed,
            "breath": c.breath,
            "factor": FACTORS[name],
            "reason": c.reason,
        }
    found = comparison.voxelwise
    assert found is not None
    rows[REGION]["size"] = size_of(rows[REGION])
    truth_ml = true_amounts(pair, baseline.scan)
    amounts = {}
    for kind in KINDS if found.transitions else ():
        ml, unsure = found.ml(kind)
        amounts[kind] = {"ml": ml, "uncertain_ml": unsure, "truth_ml": truth_ml[kind]}
    return {
        "measures": rows,
        "reports": [_kept(report) for report in (comparison.baseline, comparison.followup)],
        "withheld": [vars(n) for n in comparison.notices if n.effect == "null"],
        "amounts": amounts,
        "index": found.restoration.index,
        "reason": found.reason,
        "quality": {k: vars(q) for k, q in found.quality.items()},
        "near_lesions": {k: vars(q) for k, q in found.near_lesions.items()},
        "lesion_ml": _ml(pair.baseline.lesions > 0, baseline.scan),
        "volume_ratio": float((pair.followup.lungs > 0).sum() / (pair.baseline.lungs > 0).sum()),
        "compare_s": round(seconds, 1),
        "true_masks": true_masks,
    }


def size_of(row: Row) -> float | None:
    """What movements move the change in the baseline's area by, from its interval (HU)."""
    if row["delta"] is None:
        return None
    delta, breath = row["delta"], row["breath"] or 0.0
    if delta > 0:
        reach = delta - row["low"] - max(0.0, breath)
    else:
        reach = row["high"] - delta - max(0.0, -breath)
    return float(reach / FACTORS[REGION])


def _kept(report: ctlung.ScanReport) -> Row:
    """What a report says of both lungs, as far as changes need it."""
    return {
        "measurements": [
            vars(m) for m in report.measurements if m.region == "lungs" and m.measure in JUDGED
        ],
        "uncertainty": [vars(u) for u in report.uncertainty if u.region == "lungs"],
    }


def judged_again(row: Row) -> Row:
    """The row with its intervals and claims made anew by the present code."""
    reports = [
        ctlung.ScanReport(
            tuple(Measurement(**m) for m in kept["measurements"]),
            uncertainty=tuple(Uncertainty(**u) for u in kept["uncertainty"]),
        )
        for kept in row["reports"]
    ]
    notices = [Notice(**n) for n in row["withheld"]]
    found = {c.measure: c for c in changes(reports[0], reports[1], notices)}
    measures = {}
    for name, old in row["measures"].items():
        if name in found:
            c = found[name]
            new = {"low": c.low, "high": c.high, "claimed": c.claimed, "breath": c.breath}
        elif old["delta"] is not None:
            low, high = region_interval(old["delta"], old["size"], old["breath"])
            above = abs(old["delta"]) > old["floor"]
            new = {"low": low, "high": high, "claimed": above and not low <= 0.0 <= high}
        else:
            new = {}
        measures[name] = {**old, **new}
    return {**row, "measures": measures}


def true_result(visit: Visit, scan: Scan) -> ScanResult:
    """A result with the true masks."""
    lungs = lung_map(visit.lungs, scan)
    lesions = LabelMap(visit.lesions.astype(np.uint8), scan.geometry, LESION_LABELS)
    return ScanResult(scan, lungs, lesions, ctlung.analyze(scan, lungs, lesions))


def true_changes(pair: Pair, scan: Scan) -> dict[str, float | None]:
    """Of the judged measures, from the scans without noise and the true masks."""
    values = []
    for visit in (pair.baseline, pair.followup):
        hu = np.clip(np.rint(visit.hu), -1024, 3071).astype(np.int16)
        lesions = LabelMap(visit.lesions.astype(np.uint8), scan.geometry, LESION_LABELS)
        lungs = lung_map(visit.lungs, scan)
        values.append(headline_values(replace(scan, hu=hu), lungs, lesions, Settings()))
    changed: dict[str, float | None] = {}
    for name in JUDGED[:-1]:
        b, f = (v.get((name, "lungs")) for v in values)
        changed[name] = None if b is None or f is None else f - b
    before = pair.baseline.lesions > 0
    after = (pair.carried > 0) & (pair.followup.lungs > 0)
    changed[REGION] = (
        float(pair.followup.hu[after].mean() - pair.baseline.hu[before].mean())
        if before.any() and after.any()
        else None
    )
    return changed


def true_amounts(pair: Pair, scan: Scan) -> dict[str, float]:
    """ml of what resolved, persisted and so on, in the baseline's volume."""
    b, f = pair.baseline.lesions, pair.unbreathed
    where = {
        "resolved": (b > 0) & (f == 0),
        "persistent": (b > 0) & (f == b),
        "new": (b == 0) & (f > 0),
        "worsened": (b == 1) & (f == 2),
        "improved": (b == 2) & (f == 1),
    }
    return {kind: _ml(mask, scan) for kind, mask in where.items()}


def target_error(
    alignment: Alignment, pair: Pair, drawn: Drawn, points: int = 4000
) -> dict[str, Any]:
    """Distance (mm) between where points of the lungs are put and where they are."""
    rows = []
    geometry = drawn.scan.geometry
    for side, maps in alignment.sides.items():
        lung = pair.baseline.lungs == side
        depth = ndimage.distance_transform_edt(lung, sampling=geometry.spacing_mm)
        index = np.argwhere(lung)
        chosen = index[
            np.random.default_rng(side).choice(len(index), min(points, len(index)), False)
        ]
        at = geometry.to_mm(chosen).astype(np.float32)
        gap = np.linalg.norm(maps.forward(at.T).T - pair.breath.forward(at), axis=1)
        start = np.linalg.norm(at - pair.breath.forward(at), axis=1)
        near = depth[tuple(chosen.T)] < NEAR_PLEURA_MM
        ill = pair.baseline.lesions[tuple(chosen.T)] > 0
        rows.append(np.stack([gap, start, near, ill], axis=1))
    gap, start, near, ill = np.concatenate(rows).T
    return {
        "before_mm": float(start.mean()),
        "mean_mm": float(gap.mean()),
        "p95_mm": float(np.percentile(gap, 95)),
        "near_pleura_mm": float(gap[near > 0].mean()),
        "near_pleura_p95_mm": float(np.percentile(gap[near > 0], 95)),
        "in_lesions_mm": float(gap[ill > 0].mean()) if (ill > 0).any() else None,
    }


def draw_protocols(
    rng: np.random.Generator, kernels: Sequence[str] = ("soft", "medium")
) -> tuple[Protocol, Protocol]:
    """Kernel and noise of each visit."""
    found = []
    for _ in range(2):
        kernel: Any = kernels[int(rng.integers(len(kernels)))]
        found.append(Protocol(kernel, noise_hu=float(np.exp(rng.uniform(np.log(4), np.log(20))))))
    return found[0], found[1]


def aligned(baseline: ScanResult, followup: ScanResult) -> Alignment:
    """As ``ctlung.compare`` aligns them."""
    return align(baseline, followup)


def _ml(mask: Any, scan: Scan) -> float:
    return float(mask.sum(axis=(1, 2)) @ scan.geometry.voxel_volumes_ml)
