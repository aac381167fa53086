"""From a scan and its masks to numbers, each with a unit or a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ctlung.arrays import FloatArray
from ctlung.measurement import withheld
from ctlung.measurement.calibration import calibrate, of_plain_blood
from ctlung.measurement.depth import rim_of
from ctlung.measurement.given_regions import GivenRegion, given_regions, lay_over, region_notices
from ctlung.measurement.histograms import histograms
from ctlung.measurement.lesions import connected_lesions
from ctlung.measurement.lobes import lobe_notices
from ctlung.measurement.reference import FarLung, far_lung
from ctlung.measurement.region_measures import LESION, Context, measure_region
from ctlung.measurement.regions import (
    Partition,
    partition_by_lobes,
    partition_by_thirds,
    split_by_depth,
)
from ctlung.measurement.scores import severity_scores
from ctlung.measurement.slice_rows import slice_rows
from ctlung.measurement.tally import RegionTally, Tally, tally
from ctlung.notices import Notice
from ctlung.records import Calibration, Fact, Lesion, Measurement, Provenance, ScanReport
from ctlung.settings import Settings
from ctlung.vocabulary import LESION_LABELS, LOBE_LABELS, LOBES, LUNG_LABELS, REGIONS
from ctlung.volume import Anatomy, LabelMap, Scan


def analyze(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    notices: Iterable[Notice] = (),
    *,
    settings: Settings | None = None,
    provenance: Provenance | None = None,
    dense_from_hu: int | None = None,
    lobes: LabelMap | None = None,
    regions: LabelMap | Sequence[LabelMap] = (),
    anatomy: Anatomy | None = None,
    calibration: Calibration | None = None,
) -> ScanReport:
    """Measure lungs and lesions: every measure of ``vocabulary.MEASURES`` in every region.

    Args:
        scan: int16 HU ``[z, y, x]``; padding (``outside_fov``) is left out of every measure.
        lungs: 1 right lung, 2 left lung, airways out, consolidation in; on the scan's grid.
        lesions: 1 ground-glass, 2 consolidation; on the scan's grid. Lesion voxels outside the
            lungs are left out, with a notice.
        notices: what the checks found. Effect ``null`` takes its ``affects`` away in its
            ``regions`` and the areas of its ``slices``; the number then carries the notice's
            code as its reason. The scan's own notices count too.
        settings: limits; the defaults of FIELD if not given.
        provenance: how the masks came about.
        dense_from_hu: lower edge of ``dense_ml`` and of the band dense; by default the upper edge
            of consolidation, 200 HU if a notice says that contrast agent was given.
        lobes: 1 lul, 2 lll, 3 rul, 4 rml, 5 rll; on the scan's grid. With them the report has
            the regions ``vocabulary.LOBES`` after the others. A lobe is what of it lies in the
            lung of its own side; what it has outside is left out, and lung without a lobe is in
            no lobe's numbers, with a notice where that is much.
        regions: any label maps on the scan's grid. Each named label becomes a region of its own,
            after the others, of what of it lies in the lungs; a notice says how much lies
            outside. The region ``user_gtv_1`` is the label named ``GTV-1``: ``user_`` and its
            name in small letters, digits and underscores. One label map cannot hold labels that
            overlap; several can, and each region is measured in full.
        anatomy: airways and vessels, where they are known; without airways there is no ``air_hu``.
        calibration: facts of this scan that have been measured already; those that have not are
            measured here.

    Returns:
        Measurements by region and measure in the order of the vocabulary; one row per slice of
        the scan (0.0 cm2 where there is no lung); the connected lesions, largest first; the
        severity scores; all notices. Numbers are unrounded.

    Raises:
        GeometryMismatch: a label map does not lie on the scan's grid.
        ValueError: labels other than those named above; ``dense_from_hu`` below the lower edge of
            consolidation; more than ``settings.max_regions`` regions.

    Source: FIELD 1.1, 1.2, 2.2 to 2.4, 3.4, 3.7, 5.
    """
    _require(lungs, scan, LUNG_LABELS, "lungs")
    _require(lesions, scan, LESION_LABELS, "lesions")
    limits = settings or Settings()
    told = tuple(dict.fromkeys((*scan.notices, *notices)))
    maps = (regions,) if isinstance(regions, LabelMap) else tuple(regions)
    for labels in maps:
        labels.require_grid_of(scan.geometry)
    given = given_regions(maps, limits)
    partition = lay_over(_partition(scan, lungs, lobes), maps, given)
    counts = tally(scan, partition, lesions)
    names = (*REGIONS, *(() if lobes is None else LOBES), *(r.name for r in given))
    found = {name: counts.of(partition.regions[name]) for name in names}
    context = _context(scan, found["lungs"], told, limits, dense_from_hu)
    facts, reference_ml = _facts(scan, lungs, lesions, anatomy, calibration, context, told)
    context = replace(context, calibration=facts)
    lungs_of = _lungs_of(given, partition, counts)
    measurements = tuple(
        m
        for name in names
        for m in measure_region(name, found[name], context, lungs_of.get(name, ()))
    )
    return ScanReport(
        measurements,
        slice_rows(found["lungs"], scan.geometry, context.taken, limits),
        _shown(connected_lesions(scan, lungs, lesions, limits), context.taken),
        (
            *told,
            *_outside(counts),
            *(lobe_notices(found, measurements, limits) if lobes is not None else ()),
            *region_notices(maps, given, found, limits),
            *_small(found, measurements, context),
        ),
        provenance or Provenance("", settings=limits.overrides()),
        severity_scores(measurements, limits),
        calibration=facts,
        histograms=() if _numbers_taken(context) else histograms(found["lungs"], reference_ml),
    )


def _numbers_taken(context: Context) -> bool:
    """Whether CT numbers are withheld; then no picture of them is given either."""
    return any(
        withheld.reason_for(context.taken, measure, "lungs")
        for measure in ("ct_number_lesion_hu", "lung_mean_hu")
    )


def _facts(
    scan: Scan,
    lungs: LabelMap,
    lesions: LabelMap,
    anatomy: Anatomy | None,
    known: Calibration | None,
    context: Context,
    told: tuple[Notice, ...],
) -> tuple[Calibration, FloatArray | None]:
    """Air, blood and the patient's own aerated lung; what is known already is not asked again.

    With the latter's volume at each HU, where it was looked for and found.
    """
    limits = context.settings
    facts = known or calibrate(scan, lungs, anatomy)
    enhanced = _contrast(told) or bool(scan.acquisition.contrast_agent)
    facts = of_plain_blood(facts, enhanced, limits)
    if facts.reference_hu.reason != "not_measured":
        return facts, None
    withheld_by = withheld.reason_for(context.taken, "ct_number_lesion_hu", "lungs")
    far = (
        FarLung(Fact(reason=withheld_by))
        if withheld_by
        else far_lung(scan, lungs, lesions, anatomy, limits)
    )
    return replace(facts, reference_hu=far.fact), far.volumes_ml


def _partition(scan: Scan, lungs: LabelMap, lobes: LabelMap | None) -> Partition:
    if lobes is None:
        partition = partition_by_thirds(lungs, scan.outside_fov)
    else:
        _require(lobes, scan, LOBE_LABELS, "lobes")
        partition = partition_by_lobes(lungs, lobes, scan.outside_fov)
    return split_by_depth(partition, rim_of(lungs))


def _lungs_of(
    given: Iterable[GivenRegion], partition: Partition, counts: Tally
) -> dict[str, tuple[str, ...]]:
    """The lungs that each of the user's regions lies in."""
    return {
        region.name: tuple(
            lung
            for lung, atom in zip(LUNG_LABELS.values(), partition.regions[region.name], strict=True)
            if counts.slice_counts[:, atom].any()
        )
        for region in given
    }


def _require(labels: LabelMap, scan: Scan, known: Mapping[int, str], what: str) -> None:
    labels.require_grid_of(scan.geometry)
    for number, name in labels.names.items():
        if known.get(number) != name and bool((labels.labels == number).any()):
            listed = ", ".join(f"{n} {text}" for n, text in known.items())
            raise ValueError(
                f"label {number} ({name!r}) of the {what} cannot be measured; known are {listed}. "
                "Renumber the label map, and name its labels so, before measuring."
            )


def _contrast(told: tuple[Notice, ...]) -> bool:
    return any(n.code == "contrast" for n in told)


def _context(
    scan: Scan,
    lungs: RegionTally,
    told: tuple[Notice, ...],
    limits: Settings,
    dense_from_hu: int | None,
) -> Context:
    if dense_from_hu is None:
        dense_from_hu = (
            limits.consolidation_upper_contrast_hu
            if _contrast(told)
            else limits.consolidation_upper_hu
        )
    if dense_from_hu < limits.consolidation_lower_hu:
        raise ValueError(
            f"dense_from_hu ({dense_from_hu}) lies below consolidation_lower_hu "
            f"({limits.consolidation_lower_hu})"
        )
    lung_slices = int(np.count_nonzero(lungs.slice_counts.sum(axis=1)))
    return Context(scan.geometry, limits, withheld.withholding(told), lung_slices, dense_from_hu)


def _shown(lesions: tuple[Lesion, ...], taken: tuple[Notice, ...]) -> tuple[Lesion, ...]:
    """The lesions without the numbers that a notice takes away; without areas, no lesions."""
    shown = []
    for lesion in lesions:
        region = lesion.region
        if withheld.reason_for(taken, "lesion_area_max_cm2", region):
            continue
        no_volume = withheld.reason_for(taken, "lesion_volume_measured_ml", region)
        no_mean = withheld.reason_for(taken, "ct_number_lesion_hu", region)
        shown.append(
            replace(
                lesion,
                volume_ml=None if no_volume else lesion.volume_ml,
                ground_glass_ml=None if no_volume else lesion.ground_glass_ml,
                consolidation_ml=None if no_volume else lesion.consolidation_ml,
                mean_hu=None if no_mean else lesion.mean_hu,
            )
        )
    return tuple(shown)


def _outside(counts: Tally) -> tuple[Notice, ...]:
    if counts.lesion_outside == 0:
        return ()
    return (
        Notice(
            "lesions_outside_lungs",
            "warn",
            f"{counts.lesion_outside} lesion voxels lie outside the lungs and were not measured; "
            "look whether the lungs leave dense tissue out or the lesions go too far.",
            counts.lesion_outside,
            0,
            "voxels",
            ("lesions",),
        ),
    )


def _small(
    regions: Mapping[str, RegionTally], measurements: tuple[Measurement, ...], context: Context
) -> tuple[Notice, ...]:
    """A warning where a CT number was given although the lesion is little (FIELD 5)."""
    limits = context.settings
    given = {m.region for m in measurements if m.measure == "ct_number_lesion_hu" and not m.reason}
    little: dict[str, float] = {}
    for name in (n for n in regions if n in given):
        volume, n = regions[name].volume_ml(*LESION), regions[name].n_voxels(*LESION)
        small = not context.single_slice and volume < limits.min_lesion_ml_warn
        if small or n < limits.min_voxels_warn:
            little[name] = volume
    if not little:
        return ()
    listed = ", ".join(name.replace("_", " ") for name in little)
    what = (
        f"fewer than {limits.min_voxels_warn} voxels"
        if context.single_slice
        else f"less than {limits.min_lesion_ml_warn:g} ml or {limits.min_voxels_warn} voxels"
    )
    return (
        Notice(
            "lesion_small",
            "warn",
            f"There is little lesion ({what}) in {listed}: its CT number there is uncertain.",
            None if context.single_slice else min(little.values()),
            None if context.single_slice else limits.min_lesion_ml_warn,
            "" if context.single_slice else "ml",
            ("ct_number_lesion_hu",),
            tuple(little),
        ),
    )
