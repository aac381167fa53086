"""Part "inserted": lesions of the test family in lungs drawn by hand, patient by patient.

Each draw is one diseased patient as the family draws them. Lungs are ctlung's own ("own": the
network, of a T patient the weights of the fold that left it out) and the drawn ones ("true").
Never tune anything on these figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from lesions_cases import METHODS, Truth, judge, lung_map
from segmentation_cases import HOSTS, Drawn, Segmenters
from segmentation_lesions import host_of
from segmentation_rows import Recorder, Row

from ctlung import Anatomy, LabelMap, Scan, Segmentation
from ctlung.simulation import family_test

FIRST_STREAM = 200_000
"""Streams of the family from here on belong to this part."""
LUNGS = ("own", "true")


def run(
    recorder: Recorder,
    segmenters: Segmenters,
    methods: list[str],
    cases: list[str],
    draws: int,
) -> None:
    """Each host without lesions (draw -1: what is found that nobody put in), then each draw."""
    for host in (_Host(h) for h in HOSTS if not cases or h in cases):
        for draw in range(-1, draws):
            one = _One(host, draw, segmenters)
            for lungs in LUNGS:
                for method in methods:
                    name = f"inserted-{host.name}-{draw:+d}-{lungs}-{method}"
                    recorder.make(name, partial(one.measure, lungs, method))


@dataclass
class _Host:
    name: str

    @cached_property
    def drawn(self) -> Drawn:
        return host_of(self.name)


@dataclass
class _One:
    """One host with the lesions of one draw; put in and segmented once for all methods."""

    host: _Host
    draw: int
    segmenters: Segmenters

    @cached_property
    def truth_and_scan(self) -> tuple[Truth, Scan]:
        drawn = self.host.drawn
        hu = drawn.scan.hu.astype(np.float32)
        if self.draw < 0:
            return Truth(np.zeros_like(drawn.lungs), hu, drawn.lungs), drawn.scan
        rng = family_test.stream(FIRST_STREAM + HOSTS.index(self.host.name) * 1000 + self.draw)
        put = family_test.insert(hu, drawn.lungs, drawn.scan.geometry, rng)
        whole = np.clip(np.rint(put.hu), -1024, 3071).astype(np.int16)
        return Truth(put.lesions, put.hu, put.lungs), replace(drawn.scan, hu=whole)

    @cached_property
    def segmentation(self) -> Segmentation:
        segmenter, _ = self.segmenters.load("network", self.host.name)
        return segmenter.segment(self.truth_and_scan[1])

    def masks(self, lungs: str) -> tuple[LabelMap, Anatomy]:
        """Airways are ctlung's own in both: nobody drew them."""
        truth, scan = self.truth_and_scan
        if lungs == "true":
            return lung_map(truth.lungs, scan), self.segmentation.anatomy
        return self.segmentation.lungs, self.segmentation.anatomy

    def measure(self, lungs: str, method: str) -> Row:
        truth, scan = self.truth_and_scan
        which = self.segmenters.weights_for("network", self.host.name)
        return {
            "part": "inserted",
            "case": self.host.name,
            "draw": self.draw,
            "lungs": lungs,
            "method": method,
            "weights": which,
            "weights_sha256": self.segmentation.weights_sha256,
            "parameters_sha256": family_test.parameters_sha256(),
            **judge(METHODS[method](scan, *self.masks(lungs)), scan, truth),
        }
