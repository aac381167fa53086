"""How sure the headline measures are: masks' edges, bands and noise moved, measured again.

Each source is moved by a stated step, everything is measured as before, and the four movements
are put together into one interval (:func:`with_intervals`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy import ndimage

from ctlung.arrays import BoolArray, Box, FloatArray, HUArray, LabelArray, bounding_box
from ctlung.lesions.finder import LesionFinder, Located, outline
from ctlung.measurement.headline_values import HEADLINE, SIDES, Values, headline_values
from ctlung.morphology import grow_faces
from ctlung.records import Measurement, ScanReport, Uncertainty
from ctlung.settings import Settings
from ctlung.side_by_side import both
from ctlung.volume import HU_MAX, HU_MIN, Anatomy, LabelMap, Scan
from ctlung.working_grid import block_size

BAND_STEP_HU = 25
NOISE_SEED = 20210613
NOISE_REPEATS = 2
NOISE_SMOOTH_PIXELS = 0.6
MARGIN_MM = 20.0
WORKING_MM = 2.0

TISSUE_HU = (-50, 150)
"""Mediastinum and muscle, where the noise of a scan is read."""
TISSUE_WINDOW = 9
TISSUE_PERCENTILE = 25.0
LEAST_WINDOWS = 200
DEFAULT_NOISE_HU = 20.0

FACTORS: Final = MappingProxyType(
    {
        "lung_volume_ml": 1.0,
        "lesion_percent": 3.5,
        "lesion_volume_ml": 2.8,
        "ground_glass_volume_ml": 2.6,
        "consolidation_volume_ml": 3.0,
        "lesion_area_max_cm2": 2.0,
        "ct_number_lesion_hu": 3.2,
        "lung_mean_hu": 1.0,
        "lung_weight_g": 1.0,
        "lesion_mass_percent": 2.4,
    }
)
"""By how much the movements are stretched: those of lesions by scripts/calibrate_intervals.py."""

DETECTION_ML = 5.0
"""A lesion of this size may be overlooked, or found where none is (FIELD 6)."""
FLOOR_HU: Final = MappingProxyType({"ct_number_lesion_hu": 30.0, "lung_mean_hu": 1.0})
FLOOR_TISSUE_HU = -500.0
"""Of the lesion that may be overlooked, for its mass."""

PUBLISHED_FLOORS: Final = MappingProxyType({"lung_volume_ml": 350.0})
"""Reproducibility coefficient over eight programs on the same images (FIELD 6, [47])."""

SOURCES = ("lung_edge", "lesion_edge", "band", "noise")


@dataclass(frozen=True, eq=False)
class _Case:
    """What is moved: a scan cut to its lungs, and what was found there."""

    scan: Scan
    lungs: LabelMap
    lesions: LabelMap
    anatomy: Anatomy
    located: Located | None
    finder: LesionFinder
    settings: Settings


def with_intervals(
    report: ScanReport,
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    anatomy: Anatomy,
    finder: LesionFinder,
    settings: Settings,
) -> ScanReport:
    """The report with an interval on each headline measure of both lungs and of each lung.

    Four things are moved, one at a time, and everything is measured again:

    - the edge of the lungs, one voxel in and out (lesions outside smaller lungs do not count);
    - the edge of the lesions inside the lungs, one voxel in and out;
    - the lower edges of ground-glass and consolidation, 25 HU down and up;
    - noise: as much again as the scan has, drawn from a fixed seed, the lesions looked for anew.

    With d the largest movement downwards of each (for noise the root mean square, both ways),
    ``low = value - factor * sqrt(sum d^2 + floor^2)``, and ``high`` likewise upwards; cut at 0,
    and at 100 for percentages. The floor is what one lesion of 5 ml makes (:func:`floor_of`). The
    factor was set once per measure so that 92 % of simulated cases of the training family were
    covered (docs/benchmarks/lesions.md says what it covers on others); for lungs it is 1. A
    measure that was withheld has no interval. The interval knows nothing of disease that was
    overlooked, of breath, or of a second scan of the same patient.

    Args:
        report: what was measured.
        scan: on its own grid.
        lungs: 1 right, 2 left.
        lesions: 1 ground-glass, 2 consolidation.
        anatomy: what the finder was given.
        finder: what found the lesions.
        settings: those of the report.
    """
    box = _box(scan, lungs)
    if box is None:
        return report
    part = _Case(
        scan.crop(box),
        lungs.crop(box),
        lesions.crop(box),
        Anatomy(None if anatomy.airways is None else anatomy.airways[box]),
        None,
        finder,
        settings,
    )
    base, moved = _moved(part)
    found = []
    for measurement in report.measurements:
        if measurement.region in SIDES and measurement.measure in HEADLINE:
            interval = _interval(measurement, base, moved)
            if interval is not None:
                found.append(interval)
    by_name = {(u.measure, u.region): u for u in found}
    measurements = tuple(
        replace(m, low=by_name[key].low, high=by_name[key].high)
        if (key := (m.measure, m.region)) in by_name
        else m
        for m in report.measurements
    )
    return replace(report, measurements=measurements, uncertainty=tuple(found))


def _box(scan: Scan, lungs: LabelMap) -> Box | None:
    """Around the lungs, on whole blocks of the working grid, so that it stays as it is."""
    spacing = scan.geometry.spacing_mm
    margin = [round(MARGIN_MM / s) for s in spacing]
    box = bounding_box(lungs.labels > 0, (margin[0], margin[1], margin[2]))
    if box is None:
        return None
    cut = []
    for b, s, n in zip(box, spacing, scan.geometry.shape, strict=True):
        block = block_size(s, WORKING_MM)
        cut.append(slice(b.start // block * block, min(n, -(-b.stop // block) * block)))
    return cut[0], cut[1], cut[2]


def _moved(case: _Case) -> tuple[Values, dict[str, list[Values]]]:
    """The headline values as they are, and after each movement, by its source."""
    if not case.finder.by_density:
        located = case.finder.locate(case.scan, case.lungs, case.anatomy, case.settings)
        case = replace(case, located=located)
    jobs: list[tuple[str, Callable[[], Values]]] = [
        ("base", partial(_measure, case)),
        *_jobs(case),
    ]
    # Two at a time; what is drawn or found does not depend on the order.
    first, second = both(
        lambda: [job() for _, job in jobs[0::2]], lambda: [job() for _, job in jobs[1::2]]
    )
    values: list[Values] = [{} for _ in jobs]
    values[0::2], values[1::2] = first, second
    moved: dict[str, list[Values]] = {source: [] for source in SOURCES}
    for (source, _), value in zip(jobs[1:], values[1:], strict=True):
        moved[source].append(value)
    return values[0], moved


def _jobs(case: _Case) -> Iterator[tuple[str, Callable[[], Values]]]:
    for number in range(NOISE_REPEATS):
        yield "noise", partial(_with_noise, case, number)
    for step in (-BAND_STEP_HU, BAND_STEP_HU):
        yield "band", partial(_with_bands, case, step)
    for out in (False, True):
        yield "lesion_edge", partial(_with_lesion_edge, case, out)
    for out in (False, True):
        yield "lung_edge", partial(_with_lung_edge, case, out)


def _measure(case: _Case) -> Values:
    return headline_values(case.scan, case.lungs, case.lesions, case.settings)


def _with_lung_edge(case: _Case, out: bool) -> Values:
    """Lungs one voxel larger, each where the other is not; or one voxel smaller."""
    labels = np.asarray(case.lungs.labels)
    moved = _grown(labels, labels == 0) if out else np.where(_inner(labels > 0), labels, 0)
    return _measure(replace(case, lungs=_labels(case.lungs, moved)))


def _with_lesion_edge(case: _Case, out: bool) -> Values:
    """Lesions one voxel larger inside the lungs; or one smaller, but for the lungs' own edge."""
    labels, inside = np.asarray(case.lesions.labels), np.asarray(case.lungs.labels) > 0
    if out:
        moved = _grown(labels, (labels == 0) & inside)
    else:
        moved = np.where(_inner((labels > 0) | ~inside), labels, 0)
    return _measure(replace(case, lesions=_labels(case.lesions, moved)))


def _grown(labels: LabelArray, room: BoolArray) -> LabelArray:
    """Each label grown by a voxel over faces into ``room``; where two meet, the lower one's."""
    moved = labels.copy()
    for label in (2, 1):
        moved[grow_faces(labels == label) & room] = label
    return moved


def _inner(mask: BoolArray) -> BoolArray:
    """Shrunk by one voxel over faces; the ends of the volume do not shrink."""
    return ~grow_faces(~mask)


def _with_bands(case: _Case, step: int) -> Values:
    settings = replace(
        case.settings,
        ground_glass_lower_hu=case.settings.ground_glass_lower_hu + step,
        consolidation_lower_hu=case.settings.consolidation_lower_hu + step,
    )
    located = case.located or case.finder.locate(case.scan, case.lungs, case.anatomy, settings)
    return _measure(replace(case, lesions=outline(case.scan, case.lungs, located, settings)))


def _with_noise(case: _Case, number: int) -> Values:
    rng = np.random.default_rng([NOISE_SEED, number])
    noisy = replace(case.scan, hu=_noisy(case.scan.hu, noise_hu(case.scan), rng))
    located = case.finder.locate(noisy, case.lungs, case.anatomy, case.settings)
    lesions = outline(noisy, case.lungs, located, case.settings)
    return _measure(replace(case, scan=noisy, lesions=lesions))


def _noisy(hu: HUArray, sd: float, rng: np.random.Generator) -> HUArray:
    """HU with correlated noise of that SD added, slice by slice."""
    out = np.empty_like(hu)
    for k, plane in enumerate(hu):
        noise = rng.standard_normal(plane.shape, np.float32)
        noise = ndimage.gaussian_filter(noise, NOISE_SMOOTH_PIXELS, truncate=3.0)
        noise *= np.float32(sd / max(float(noise.std()), 1e-6))
        noise += plane
        out[k] = np.clip(np.rint(noise), HU_MIN, HU_MAX)
    return out


def noise_hu(scan: Scan) -> float:
    """SD of the noise in soft tissue (HU): the lower quartile of the SD in small windows.

    Windows with anything but soft tissue in them are left out; 20 HU where there are too few.
    """
    low, high = TISSUE_HU
    found: list[FloatArray] = []
    for plane in scan.hu[:: max(1, scan.hu.shape[0] // 40)]:
        hu = plane.astype(np.float32)
        tissue = (plane >= low) & (plane < high)
        whole = ndimage.uniform_filter(tissue.astype(np.float32), TISSUE_WINDOW) > 0.999
        mean = ndimage.uniform_filter(hu, TISSUE_WINDOW)
        variance = ndimage.uniform_filter(hu * hu, TISSUE_WINDOW) - mean * mean
        found.append(np.sqrt(np.maximum(variance[whole], 0)).astype(np.float64))
    every = np.concatenate(found)
    if len(every) < LEAST_WINDOWS:
        return DEFAULT_NOISE_HU
    return float(np.percentile(every, TISSUE_PERCENTILE))


def _labels(like: LabelMap, labels: LabelArray) -> LabelMap:
    return LabelMap(labels.astype(np.uint8), like.geometry, like.names)


def _interval(
    measurement: Measurement, base: Values, moved: dict[str, list[Values]]
) -> Uncertainty | None:
    key = (measurement.measure, measurement.region)
    value, middle = measurement.value, base.get(key)
    if value is None or middle is None:
        return None
    steps = {s: _step(s, middle, [v.get(key) for v in moved[s]]) for s in SOURCES}
    floor = floor_of(measurement.measure, measurement.region, base)
    factor = FACTORS[measurement.measure]
    down, up = (
        factor * float(np.sqrt(floor**2 + sum(step[way] ** 2 for step in steps.values())))
        for way in (0, 1)
    )
    low, high = value - down, value + up
    if measurement.unit != "HU":
        low = max(0.0, low)
    if measurement.unit == "%":
        high = min(100.0, high)
    published = PUBLISHED_FLOORS.get(measurement.measure) if measurement.region == "lungs" else None
    return Uncertainty(
        measurement.measure,
        measurement.region,
        low,
        high,
        factor,
        **steps,
        published_floor=published,
    )


def floor_of(measure: str, region: str, values: Values) -> float:
    """A movement that is always there: that of one lesion of ``DETECTION_ML`` more or less.

    For CT numbers the floor of FIELD 6; for measures of the lung itself hardly anything.
    """
    if measure in FLOOR_HU:
        return FLOOR_HU[measure]
    if measure.startswith("lung_"):
        return 0.0
    if measure == "lesion_area_max_cm2":
        return float(np.pi * (3.0 * DETECTION_ML / (4.0 * np.pi)) ** (2.0 / 3.0))
    if measure == "lesion_percent":
        return _percent_of(DETECTION_ML, values["lung_volume_ml", region])
    if measure == "lesion_mass_percent":
        grams = DETECTION_ML * (FLOOR_TISSUE_HU + 1000.0) / 1000.0
        return _percent_of(grams, values["lung_weight_g", region])
    return DETECTION_ML


def _percent_of(part: float, whole: float | None) -> float:
    return 100.0 * part / whole if whole else 0.0


def _step(source: str, middle: float, values: list[float | None]) -> tuple[float, float]:
    """Largest movement downwards and upwards; for noise the root mean square, both ways.

    Where a movement leaves nothing to measure, the other way's movement stands for it.
    """
    apart = [v - middle for v in values if v is not None]
    if not apart:
        return 0.0, 0.0
    if source == "noise":
        spread = float(np.sqrt(np.mean(np.square(apart))))
        return spread, spread
    down, up = max(0.0, -min(apart)), max(0.0, *apart)
    if len(apart) < len(values):
        down = up = max(down, up)
    return down, up
