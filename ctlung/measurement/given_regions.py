"""Regions that the user hands in: their names, their atoms, and what is said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctlung.arrays import FloatArray, bounding_box
from ctlung.geometry import Geometry
from ctlung.measurement.regions import Overlay, Partition
from ctlung.measurement.tally import RegionTally
from ctlung.notices import Notice
from ctlung.settings import Settings
from ctlung.vocabulary import LUNG_LABELS, USER_PREFIX, region_word
from ctlung.volume import LabelMap

_LISTED = 12


@dataclass(frozen=True)
class GivenRegion:
    """One label of one of the label maps.

    Attributes:
        name: in the report: ``user_`` and its own name in small letters, digits and underscores.
        title: its name as given.
        number: place of its label map among those given.
        label: in that label map.
    """

    name: str
    title: str
    number: int
    label: int


def given_regions(maps: Sequence[LabelMap], settings: Settings) -> tuple[GivenRegion, ...]:
    """Every named label of the label maps in their order, each under a name of its own.

    A name of which nothing can be kept becomes ``label_7``, after the label; of two that come out
    alike the later one ends in ``_2``. A label that is named and does not occur is a region too:
    it has no lung.

    Raises:
        ValueError: more than ``settings.max_regions``.
    """
    found: list[GivenRegion] = []
    taken: set[str] = set()
    for number, labels in enumerate(maps):
        for label, title in sorted(labels.names.items()):
            if label == 0:
                continue
            stem = name = USER_PREFIX + (region_word(title) or f"label_{label}")
            again = 1
            while name in taken:
                again += 1
                name = f"{stem}_{again}"
            taken.add(name)
            found.append(GivenRegion(name, title, number, label))
    if len(found) > settings.max_regions:
        raise ValueError(
            f"{len(found)} regions are more than max_regions ({settings.max_regions}); give those "
            "that matter"
        )
    return tuple(found)


def lay_over(
    partition: Partition, maps: Sequence[LabelMap], given: Sequence[GivenRegion]
) -> Partition:
    """The partition with an overlay for each label map: two atoms a region, right and left.

    A region is what of it lies in the lungs. Label maps may overlap each other: each region is
    counted in full.
    """
    n_parcels = partition.atom_of.shape[1]
    lungs = tuple(LUNG_LABELS.values())
    side = np.zeros(n_parcels, dtype=np.int64)
    for number, lung in enumerate(lungs):
        side[np.isin(partition.atom_of[0], partition.regions[lung])] = number
    tables = [np.zeros((256, n_parcels), dtype=np.int64) for _ in maps]
    regions = dict(partition.regions)
    for place, region in enumerate(given):
        first = partition.n_atoms + len(lungs) * place
        tables[region.number][region.label] = first + side
        regions[region.name] = tuple(range(first, first + len(lungs)))
    return replace(
        partition,
        n_atoms=partition.n_atoms + len(lungs) * len(given),
        regions=regions,
        overlays=tuple(Overlay(m.labels, t) for m, t in zip(maps, tables, strict=True)),
    )


def region_notices(
    maps: Sequence[LabelMap],
    given: Sequence[GivenRegion],
    regions: Mapping[str, RegionTally],
    settings: Settings,
) -> tuple[Notice, ...]:
    """Notices ``given_regions``: that regions were given, and what of them lies outside the lungs.

    Args:
        maps: as they were given.
        given: their regions.
        regions: counts by region.
        settings: above ``region_outside_warn_percent`` of a region the notice is a warning.
    """
    if not given:
        return ()
    digest = hashlib.sha256()
    for labels in maps:
        digest.update(np.ascontiguousarray(labels.labels).data)
    listed = _listing([f"{r.name} ('{r.title}')" for r in given])
    said = Notice(
        "given_regions",
        "note",
        f"{len(given)} region(s) were given and measured as far as they lie in the lungs: {listed} "
        f"(sha256 of the regions {digest.hexdigest()[:16]}...).",
        regions=tuple(r.name for r in given),
    )
    return (said, *_outside(maps, given, regions, settings))


def _outside(
    maps: Sequence[LabelMap],
    given: Sequence[GivenRegion],
    regions: Mapping[str, RegionTally],
    settings: Settings,
) -> tuple[Notice, ...]:
    amounts = [_amounts(m) for m in maps]
    unit = "cm2" if maps[0].geometry.shape[0] == 1 else "ml"
    beyond: list[tuple[float, float, str]] = []
    for region in given:
        whole = float(amounts[region.number][region.label])
        inside = _amount(regions[region.name], maps[region.number].geometry)
        left_out = whole - inside
        if left_out > 1e-9 * whole:
            beyond.append((left_out, 100.0 * left_out / whole, region.name))
    if not beyond:
        return ()
    beyond.sort(key=lambda item: -item[0])
    worst = max(percent for _, percent, _ in beyond)
    warn = worst > settings.region_outside_warn_percent
    listed = _listing([f"{ml:.1f} {unit} ({p:.0f} %) of {name}" for ml, p, name in beyond])
    return (
        Notice(
            "given_regions",
            "warn" if warn else "note",
            f"Outside the lungs, and not measured, lie {listed}; where that should be lung, look "
            "at overlay.png whether the lungs leave dense tissue out.",
            measured=beyond[0][0],
            unit=unit,
            affects=("volumes_and_parts",),
            regions=tuple(name for _, _, name in beyond),
        ),
    )


def _amounts(labels: LabelMap) -> FloatArray:
    """ml of each label; cm2 in a single slice."""
    amounts = np.zeros(256)
    box = bounding_box(labels.labels > 0)
    if box is None:
        return amounts
    voxels = _voxel_amounts(labels.geometry)[box[0]]
    for plane, voxel in zip(labels.labels[box], voxels, strict=True):
        amounts += np.bincount(plane.ravel(), minlength=256) * voxel
    return amounts


def _amount(region: RegionTally, geometry: Geometry) -> float:
    return float(region.slice_counts.sum(axis=1) @ _voxel_amounts(geometry))


def _voxel_amounts(geometry: Geometry) -> FloatArray:
    if geometry.shape[0] == 1:
        return np.array([geometry.pixel_area_mm2 / 100.0])
    return geometry.voxel_volumes_ml


def _listing(items: Sequence[str]) -> str:
    more = len(items) - _LISTED
    return ", ".join(items[:_LISTED]) + (f" and {more} more" if more > 0 else "")
