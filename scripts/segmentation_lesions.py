"""Part "lesions": lesions of the test family put into lungs drawn by hand, by load.

The drawn lungs are the room for the lesions and stay the truth; effusion leaves them. Never
tune anything on these figures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from segmentation_cases import (
    BY_NAME,
    HOSTS,
    Drawn,
    Segmenters,
    load_drawn,
    segment_or_none,
    with_sides,
)
from segmentation_drawn import provenance
from segmentation_rows import Recorder, Row
from segmentation_scores import LabelArray, beyond_ml, common_box, dice, millilitres

from ctlung import Scan, Segmenter
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.simulation import family_test
from ctlung.simulation.family_test_parameters import PARAMETERS
from ctlung.simulation.insertion import Inserted, LesionPlan

LOADS_PERCENT = (0, 5, 20, 50)
FIRST_STREAM = 90_000
"""Streams of the family from here on belong to this benchmark."""
SMALLEST_ML = 0.5


@dataclass(frozen=True, eq=False)
class Loaded:
    """A host with lesions: the scan, its lungs without effusion, and what was put in."""

    scan: Scan
    lungs: LabelArray
    inserted: Inserted | None


def run(
    recorder: Recorder,
    segmenters: Segmenters,
    names: list[str],
    cases: list[str],
    loads: list[int],
    draws: int,
) -> None:
    """Measure every host at every load with every segmenter."""
    for host in (_Host(h) for h in HOSTS if not cases or h in cases):
        for percent in loads:
            for draw in range(draws if percent else 1):
                one = _One(host, percent, draw, segmenters)
                for name in names:
                    row = f"lesions-{host.name}-{percent:02d}-{draw}-{name}"
                    recorder.make(row, partial(one.measure, name))


@dataclass
class _Host:
    name: str

    @cached_property
    def drawn(self) -> Drawn:
        return host_of(self.name)


@dataclass
class _One:
    """One host at one load; lesions are put in once, for all segmenters."""

    host: _Host
    percent: int
    draw: int
    segmenters: Segmenters

    @cached_property
    def loaded(self) -> Loaded:
        return load_host(self.host.drawn, self.host.name, self.percent, self.draw)

    def measure(self, name: str) -> Row:
        segmenter, which = self.segmenters.load(name, self.host.name)
        return {
            "part": "lesions",
            "case": self.host.name,
            "segmenter": name,
            "load_percent": self.percent,
            "draw": self.draw,
            "weights": which,
            "parameters_sha256": family_test.parameters_sha256(),
            **judge(segmenter, self.host.drawn, self.loaded),
        }


def host_of(host: str) -> Drawn:
    """A host whose lungs have sides."""
    drawn = load_drawn(BY_NAME[host])
    if drawn.sided:
        return drawn
    sides = ThresholdSegmenter().segment(drawn.scan).lungs.labels
    return replace(drawn, lungs=with_sides(drawn.lungs, np.asarray(sides)))


def stream_index(host: str, percent: int, draw: int) -> int:
    """Number of the family's stream for one host, load and draw; the same for ever."""
    return FIRST_STREAM + HOSTS.index(host) * 10_000 + percent * 50 + draw


def load_host(drawn: Drawn, host: str, percent: int, draw: int) -> Loaded:
    """Put lesions into ``percent`` of the lungs; none at all at 0."""
    if percent == 0:
        return Loaded(drawn.scan, drawn.lungs, None)
    rng = family_test.stream(stream_index(host, percent, draw))
    geometry = drawn.scan.geometry
    wanted_ml = percent / 100.0 * millilitres(drawn.lungs > 0, geometry.spacing_mm)
    inserted = family_test.insert(
        drawn.scan.hu.astype(np.float32), drawn.lungs, geometry, rng, plans_for(wanted_ml, rng)
    )
    hu = np.clip(np.rint(inserted.hu), -1024, 3071).astype(np.int16)
    return Loaded(replace(drawn.scan, hu=hu), inserted.lungs, inserted)


def plans_for(wanted_ml: float, rng: np.random.Generator) -> list[LesionPlan]:
    """Lesions drawn as the family draws them until they fill ``wanted_ml``; the last is cut.

    An effusion comes with them as often as in the family, beyond that volume.
    """
    lower = float(rng.uniform(*PARAMETERS.lower))
    plans: list[LesionPlan] = []
    left = wanted_ml
    while left > SMALLEST_ML:
        plan = family_test.random_plan(rng, lower)
        plans.append(replace(plan, ml=min(plan.ml, left)))
        left -= plan.ml
    if rng.random() < PARAMETERS.effusion:
        ml, hu = rng.uniform(*PARAMETERS.effusion_ml), rng.uniform(*PARAMETERS.effusion_hu)
        plans.append(LesionPlan("effusion", float(ml), float(hu), 1.0))
    return plans


def judge(segmenter: Segmenter, drawn: Drawn, loaded: Loaded) -> Row:
    """All figures of one host at one load."""
    spacing = drawn.scan.geometry.spacing_mm
    start = time.perf_counter()
    found = segment_or_none(segmenter, loaded.scan)
    seconds = time.perf_counter() - start
    empty = np.zeros(drawn.lungs.shape, np.uint8)
    labels = empty if found is None else np.asarray(found.lungs.labels)
    box = common_box(labels > 0, drawn.lungs > 0, 0.0, spacing)
    a, b = labels[box], loaded.lungs[box]
    truth_ml = millilitres(b > 0, spacing)
    out: Row = {
        "seconds": round(seconds, 2),
        **provenance(found),
        "dice": dice(a > 0, b > 0),
        "dice_right": dice(a == 1, b == 1),
        "dice_left": dice(a == 2, b == 2),
        "sides_drawn": drawn.sided,
        "lung_ml": truth_ml,
        "volume_error_ml": millilitres(a > 0, spacing) - truth_ml,
        "volume_error_percent": 100.0 * (millilitres(a > 0, spacing) / truth_ml - 1.0),
        "beyond_ml": beyond_ml(a > 0, b > 0, spacing),
    }
    if loaded.inserted is not None:
        out |= _kept(a, loaded.inserted, box, spacing)
        out["load_reached_percent"] = 100.0 * out["lesion_ml"] / truth_ml
    return out


def _kept(
    a: LabelArray,
    inserted: Inserted,
    box: tuple[slice, slice, slice],
    spacing: tuple[float, float, float],
) -> Row:
    lesions, effusion = inserted.lesions[box], inserted.effusion[box]
    out: Row = {
        "lesions": len(inserted.put_in),
        "lesion_ml": millilitres(lesions > 0, spacing),
        "effusion_ml": millilitres(effusion, spacing),
        "effusion_claimed_ml": millilitres(effusion & (a > 0), spacing),
    }
    for name, where in (
        ("", lesions > 0),
        ("_ground_glass", lesions == 1),
        ("_consolidation", lesions == 2),
    ):
        n = int(np.count_nonzero(where))
        kept = int(np.count_nonzero(where & (a > 0)))
        out[f"kept{name}"] = kept / n if n else None
    return out
