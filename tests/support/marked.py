"""Results whose masks tell every axis and direction apart, and readers that know no ctlung."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from support.small_result import KEY, small_result

from ctlung.geometry import Geometry
from ctlung.identity import Key
from ctlung.records import ScanReport, ScanResult, SliceRow
from ctlung.vocabulary import LESION_LABELS, LOBE_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap, Scan

Array = np.ndarray[Any, Any]
NAMES = {
    "Right lung": ("lungs", 1),
    "Left lung": ("lungs", 2),
    "Ground-glass opacity": ("lesions", 1),
    "Consolidation": ("lesions", 2),
    "Right upper lobe": ("lobes", 3),
    "Right middle lobe": ("lobes", 4),
    "Right lower lobe": ("lobes", 5),
    "Left upper lobe": ("lobes", 1),
    "Left lower lobe": ("lobes", 2),
}
"""Segment label to label map and number, in the order of segments."""


def marked(
    scan: Scan, *, lesions: bool = True, lobes: bool = True, key: Key | None = KEY, seed: int = 3
) -> ScanResult:
    """A result on ``scan`` with random masks: lesions and lobes inside the lungs."""
    rng = np.random.default_rng(seed)
    shape = scan.geometry.shape
    lungs = rng.integers(0, 3, shape)
    found = rng.integers(0, 3, shape) * (lungs > 0) * lesions
    parts = np.where(lungs == 1, rng.integers(3, 6, shape), rng.integers(1, 3, shape))
    parts[lungs == 0] = 0

    def labels(values: Array, names: Any) -> LabelMap:
        return LabelMap(values.astype(np.uint8), scan.geometry, names)

    return ScanResult(
        scan,
        labels(lungs, LUNG_LABELS),
        labels(found, LESION_LABELS),
        report_on(scan, key),
        labels(parts, LOBE_LABELS) if lobes else None,
    )


def report_on(scan: Scan, key: Key | None) -> ScanReport:
    """The numbers of the small result as if they were of ``scan``."""
    base = small_result().report
    uids = scan.source.identifiers.sop_uids
    rows = tuple(
        SliceRow(
            k, z, 1.0, None, None, None, None, None, key.digest("sop", uids[k]) if key else None
        )
        for k, z in enumerate(scan.geometry.slice_positions_mm)
    )
    provenance = dataclasses.replace(
        base.provenance,
        source_kind=scan.source.kind,
        input_digest=scan.source.digest,
        shape=scan.geometry.shape,
        key_fingerprint=key.fingerprint if key else None,
    )
    # That slice is not in this scan.
    numbers = tuple(m for m in base.measurements if m.measure != "lesion_area_max_slice")
    return dataclasses.replace(base, measurements=numbers, slices=rows, provenance=provenance)


def truth(result: ScanResult) -> dict[str, Array]:
    """The mask ``[z, y, x]`` of each segment that is not empty, by its label."""
    masks = {}
    for label, (name, number) in NAMES.items():
        labels = getattr(result, name)
        if labels is not None and (labels.labels == number).any():
            masks[label] = np.asarray(labels.labels == number)
    return masks


def placed(path: Path, grid: Geometry) -> dict[str, Array]:
    """The segments of a DICOM SEG on ``grid``, by pydicom alone: each pixel by its own mm."""
    dataset = dcmread(path)
    labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in dataset.SegmentSequence}
    masks = {label: np.zeros(grid.shape, bool) for label in labels.values()}
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        rows, columns = np.nonzero(pixels)
        points = _millimetres(dataset, frame, rows, columns)
        offsets = points - _origins(grid)[_slice_of(points, grid)]
        steps = np.linalg.lstsq(grid.matrix[:3, 1:3], offsets.T, rcond=None)[0].T
        index = np.rint(steps).astype(int)
        assert np.abs(steps - index).max(initial=0) < 0.01
        told = frame if "SegmentIdentificationSequence" in frame else shared
        number = int(told.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks[labels[number]][_slice_of(points, grid), index[:, 0], index[:, 1]] = True
    return masks


def _millimetres(dataset: Dataset, frame: Dataset, rows: Array, columns: Array) -> Array:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    ways = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    points: Array = (
        first
        + columns[:, None] * between_columns * ways[:3]
        + rows[:, None] * between_rows * ways[3:]
    )
    return points


def _slice_of(points: Array, grid: Geometry) -> Array:
    along = points @ grid.normal
    apart = np.abs(along[:, None] - np.asarray(grid.slice_positions_mm))
    assert apart.min(axis=1).max(initial=0) < 0.01
    found: Array = apart.argmin(axis=1)
    return found


def _origins(grid: Geometry) -> Array:
    positions = np.asarray(grid.slice_positions_mm)
    step = grid.matrix[:3, 0] / float(grid.matrix[:3, 0] @ grid.normal)
    origins: Array = grid.matrix[:3, 3] + (positions - positions[0])[:, None] * step
    return origins
