"""Do the bones tell one person from another? Scans turned, breathed and thinned out, and others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from benchmark_main_job import data_folder
from comparison_pairs import breath_of, spread
from scipy import ndimage
from scipy.spatial.transform import Rotation
from segmentation_cases import Drawn, path_of
from segmentation_rows import Recorder, Row

import ctlung
from ctlung import LabelMap, Scan
from ctlung.registration.bones import bone_match
from ctlung.segmentation.threshold import ThresholdSegmenter
from ctlung.simulation.breathing import breathe
from ctlung.simulation.scanner import Protocol, acquire
from ctlung.vocabulary import LUNG_LABELS

PERSONS = (
    "lctsc-101", "lctsc-102", "lctsc-103", "lctsc-201", "lctsc-202", "lung1-001", "lung1-002",
    "lung1-003", "lidc-idri-0001", "lidc-idri-0002", "lidc-idri-1011", "ricord-1a-001012",
    "qin-lsc-0003", "qin-lsc-0014", "qin-lung-01-0007", "covid-ct-md-p001",
)  # fmt: skip
TURNS_DEGREES = ((12.0, 0.0, 0.0), (0.0, 6.0, 6.0))
LIFTS_MM = (-45.0, 45.0)
CUT = 0.25
"""Share of slices that the other scan lacks, below or above."""


@dataclass(frozen=True, eq=False)
class Person:
    """A scan and its lungs."""

    scan: Scan
    lungs: LabelMap


def measure(recorder: Recorder) -> None:
    """A row per person against itself, one per person against those that come after it."""
    people = {name: _person(ctlung.read_scan(path_of(name))) for name in PERSONS}
    phases = sorted((data_folder() / "opentps-4dct").glob("phase*.nii.gz"))
    first = _person(ctlung.read_scan(phases[0]))
    recorder.make(
        "persons-same-opentps",
        lambda: _row(
            "same",
            "opentps-4dct",
            {p.name.split(".")[0]: _match(first, _person(ctlung.read_scan(p))) for p in phases[1:]},
        ),
    )
    everyone = {**people, "opentps-4dct": first}
    names = list(everyone)
    for number, name in enumerate(names):
        me = everyone[name]

        def same(me: Person = me, name: str = name) -> Row:
            return _row("same", name, {how: _match(me, other) for how, other in _again(me)})

        def others(me: Person = me, name: str = name, later: int = number + 1) -> Row:
            found = {other: _match(me, everyone[other]) for other in names[later:]}
            return _row("other", name, found)

        if name in people:
            recorder.make(f"persons-same-{name}", same)
        if number + 1 < len(names):
            recorder.make(f"persons-other-{name}", others)


def _row(kind: str, name: str, dice: dict[str, float | None]) -> Row:
    return {"part": "persons", "kind": kind, "case": name, "dice": dice}


def _person(scan: Scan) -> Person:
    return Person(scan, ThresholdSegmenter().segment(scan).lungs)


def _match(a: Person, b: Person) -> float | None:
    return bone_match((a.scan, a.lungs), (b.scan, b.lungs))


def _again(me: Person) -> Iterator[tuple[str, Person]]:
    """The same person once more: turned, breathed, less of it, on thick noisy slices."""
    for turn in TURNS_DEGREES:
        yield f"turned {turn}", _turned(me, turn)
    for lift in LIFTS_MM:
        yield f"breathed {lift:+.0f}", _breathed(me, lift)
    depth = me.scan.geometry.shape[0]
    whole = slice(None)
    low, high = round(CUT * depth), round((1 - CUT) * depth)
    for word, kept in (("lower part missing", slice(low, depth)), ("upper", slice(0, high))):
        box = (kept, slice(0, me.scan.hu.shape[1]), slice(0, me.scan.hu.shape[2]))
        scan = me.scan.crop(box)
        labels = np.ascontiguousarray(me.lungs.labels[kept, whole, whole])
        yield word, Person(scan, LabelMap(labels, scan.geometry, LUNG_LABELS))
    geometry = spread(me.scan.geometry, 2.0)
    rng = np.random.default_rng(7)
    coarse = acquire(
        me.scan.hu.astype(np.float32),
        me.scan.geometry,
        Protocol("soft", noise_hu=20.0, geometry=geometry),
        rng,
    )
    scan = replace(me.scan, hu=coarse.hu, geometry=coarse.geometry, outside_fov=None)
    labels = np.ascontiguousarray(me.lungs.labels[::2][: len(coarse.hu)])
    yield "every other slice, noisy", Person(scan, LabelMap(labels, geometry, LUNG_LABELS))


def _turned(me: Person, degrees: tuple[float, float, float]) -> Person:
    """Turned about the volume's middle, in mm, around x, y and z."""
    spacing = np.array(me.scan.geometry.spacing_mm)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()[::-1, ::-1]
    matrix = np.diag(1 / spacing) @ turn @ np.diag(spacing)
    middle = (np.array(me.scan.hu.shape) - 1) / 2
    how = {"matrix": matrix, "offset": middle - matrix @ middle}
    hu = ndimage.affine_transform(me.scan.hu, order=1, mode="nearest", **how)
    labels = ndimage.affine_transform(me.lungs.labels, order=0, mode="constant", **how)
    scan = replace(me.scan, hu=hu, outside_fov=None)
    return Person(scan, LabelMap(labels, me.scan.geometry, LUNG_LABELS))


def _breathed(me: Person, lift_mm: float) -> Person:
    labels = np.asarray(me.lungs.labels)
    drawn = Drawn(me.scan, labels, True, None, np.ones(len(labels), bool))
    breath = breath_of(drawn, lift_mm)
    hu, lungs, _ = breathe(me.scan.hu.astype(np.float32), labels, me.scan.geometry, breath)
    scan = replace(me.scan, hu=np.rint(hu).astype(np.int16))
    return Person(scan, LabelMap(lungs, me.scan.geometry, LUNG_LABELS))
