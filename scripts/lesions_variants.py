"""Part "variants": one scan taken again with another kernel, dose or slice thickness.

Simulated from real scans by ctlung's own scanner model, noise on top of the noise that is there:
it says how far a measure moves, not what a second visit to a scanner would give. Lungs are found
anew on each variant by the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from lesions_cases import METHODS
from segmentation_cases import Segmenters, path_of
from segmentation_rows import Recorder, Row

import ctlung
from ctlung import LabelMap, Scan
from ctlung.geometry import Geometry
from ctlung.simulation.scanner import Protocol, acquire
from ctlung.vocabulary import LESION_LABELS

SCANS = ("lidc-idri-0001", "ricord-1a-001012")
NOISE_HU = 12.0
VARIANTS = {
    "soft kernel, full dose": Protocol("soft", NOISE_HU),
    "medium kernel": Protocol("medium", NOISE_HU),
    "sharp kernel": Protocol("sharp", 3.0 * NOISE_HU),
    "half dose": Protocol("soft", NOISE_HU, 0.5),
    "quarter dose": Protocol("soft", NOISE_HU, 0.25),
    "slices twice as thick": Protocol("soft", NOISE_HU),
    "slices four times as thick": Protocol("soft", NOISE_HU),
}
THICKER = {"slices twice as thick": 2, "slices four times as thick": 4}
MEASURES = (
    "lesion_percent",
    "lesion_volume_ml",
    "lesion_area_max_cm2",
    "ct_number_lesion_hu",
    "lesion_mass_percent",
    "lung_volume_ml",
    "lung_mean_hu",
    "lung_weight_g",
)


def run(recorder: Recorder, segmenters: Segmenters, methods: list[str], cases: list[str]) -> None:
    """Every variant of every scan with every method."""
    for name in (n for n in SCANS if not cases or n in cases):
        one = _One(name, segmenters)
        for number, variant in enumerate(VARIANTS):
            for method in methods:
                row = f"variants-{name}-{number}-{method}"
                recorder.make(row, partial(one.measure, variant, method))


@dataclass
class _One:
    """One scan; the last variant is kept for the next method."""

    name: str
    segmenters: Segmenters

    def __post_init__(self) -> None:
        self._last: tuple[str, Scan, ctlung.Segmentation] | None = None

    @cached_property
    def scan(self) -> Scan:
        return ctlung.read_scan(path_of(self.name))

    def measure(self, variant: str, method: str) -> Row:
        if self._last is None or self._last[0] != variant:
            taken = taken_again(self.scan, variant)
            segmenter, _ = self.segmenters.load("network", self.name)
            self._last = variant, taken, segmenter.segment(taken)
        _, scan, masks = self._last
        found = METHODS[method](scan, masks.lungs, masks.anatomy)
        report = ctlung.analyze(
            scan, masks.lungs, LabelMap(found, scan.geometry, LESION_LABELS), masks.notices
        )
        return {
            "part": "variants",
            "case": self.name,
            "variant": variant,
            "method": method,
            "weights": self.segmenters.weights_for("network", self.name),
            "weights_sha256": masks.weights_sha256,
            **{name: report.value(name) for name in MEASURES},
        }


def taken_again(scan: Scan, variant: str) -> Scan:
    """The scan as another protocol would show it; the same noise for the same variant."""
    whole = scan.geometry
    protocol = VARIANTS[variant]
    factor = THICKER.get(variant, 1)
    if factor > 1:
        protocol = replace(protocol, geometry=_thicker(whole, factor))
    rng = np.random.default_rng([7, list(VARIANTS).index(variant)])
    series = acquire(scan.hu.astype(np.float32), whole, protocol, rng)
    outside = None if scan.outside_fov is None else scan.outside_fov[:: max(1, factor)]
    if outside is not None:
        outside = outside[: series.geometry.shape[0]]
    spacing = float(series.geometry.spacing_mm[0])
    return replace(
        scan,
        hu=series.hu,
        geometry=series.geometry,
        outside_fov=outside,
        acquisition=replace(scan.acquisition, slice_thickness_mm=spacing),
    )


def _thicker(geometry: Geometry, factor: int) -> Geometry:
    """The slices of ``geometry`` taken ``factor`` at a time; what is left over at the head goes."""
    slices = geometry.shape[0] // factor
    matrix = np.array(geometry.matrix, dtype=np.float64)
    matrix[:3, 3] += matrix[:3, 0] * (factor - 1) / 2.0
    matrix[:3, 0] *= factor
    return Geometry.from_affine((slices, *geometry.shape[1:]), matrix)
