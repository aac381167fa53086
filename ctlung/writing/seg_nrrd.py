"""Labels as 3D Slicer's segmentation file ``.seg.nrrd``: with names, colours and codes.

The header is ours: only so is the gzip free of a time, and a tilted gantry keeps its shear. Maps
that overlap (lungs, lesions, lobes) lie in layers of one file: its first axis, a list.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ctlung.arrays import BoolArray, Box, FloatArray, LabelArray, bounding_box
from ctlung.change_records import ChangeMaps
from ctlung.geometry import Geometry
from ctlung.records import ScanResult
from ctlung.volume import LabelMap, StoredGrid
from ctlung.writing.dicom_codes import LUNG, STRUCTURES
from ctlung.writing.label_names import rgb, title

SEGMENTS_FILE: Final = "segments.seg.nrrd"
CHANGE_SEGMENTS_FILE: Final = "change.seg.nrrd"
MARGIN_MM: Final = 10.0
"""How far beyond the labels a file reaches."""
_GZIP_LEVEL: Final = 1
_REPRESENTATION: Final = "Binary labelmap"


def write_segments(result: ScanResult, path: Path) -> None:
    """Write lungs, lesions and lobes as one segmentation, on the grid of the masks.

    The box that is not background and 10 mm around it, in LPS; the same result gives the same
    bytes. Empty segments are kept, so that a reader finds them by name.
    """
    maps = [result.lungs, result.lesions, *([result.lobes] if result.lobes is not None else [])]
    _write(maps, result.scan.source.stored, path)


def write_change_segments(maps: ChangeMaps, path: Path) -> None:
    """Write what is resolved, persistent, new, worsened and improved as one segmentation."""
    _write([maps.change], maps.stored, path)


@dataclass(frozen=True, eq=False)
class _Cropped:
    """Layers ``[i, j, k]`` on the file's grid, and where they lie: voxels from the whole grid's
    first, and the affine ``(i, j, k, 1)`` to LPS mm."""

    layers: tuple[LabelArray, ...]
    offset: tuple[int, int, int]
    affine: FloatArray


def _write(maps: Sequence[LabelMap], stored: StoredGrid | None, path: Path) -> None:
    cropped = _crop(maps, stored or _slice_stack(maps[0].geometry))
    names = [m.names for m in maps]
    with path.open("wb") as raw:
        raw.write(_header(cropped, names).encode("utf-8"))
        with gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as file:
            for k in range(cropped.layers[0].shape[2]):
                slab = np.stack([layer[:, :, k] for layer in cropped.layers])
                file.write(slab.tobytes(order="F"))


def _crop(maps: Sequence[LabelMap], grid: StoredGrid) -> _Cropped:
    geometry = maps[0].geometry
    box = _box([m.labels > 0 for m in maps], geometry)
    start = [0, 0, 0]
    for axis, part in enumerate(box):
        flipped = grid.flipped[axis]
        start[grid.order[axis]] = geometry.shape[axis] - part.stop if flipped else part.start
    affine = np.array(grid.affine, dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ start
    layers = tuple(grid.to_stored(m.labels[box]) for m in maps)
    return _Cropped(layers, (start[0], start[1], start[2]), affine)


def _box(masks: Sequence[BoolArray], geometry: Geometry) -> Box:
    dz, dy, dx = (int(np.ceil(MARGIN_MM / step)) if step > 0 else 0 for step in geometry.spacing_mm)
    found = bounding_box(np.logical_or.reduce(masks), (dz, dy, dx))
    depth, height, width = geometry.shape
    return found or (slice(0, depth), slice(0, height), slice(0, width))


def _slice_stack(geometry: Geometry) -> StoredGrid:
    """Without a file of its own, the sorted slices: axes to the patient's left, back and head."""
    affine = tuple(tuple(float(row[a]) for a in (2, 1, 0, 3)) for row in geometry.matrix)
    return StoredGrid((2, 1, 0), (False, False, False), affine)  # type: ignore[arg-type]


def _header(cropped: _Cropped, names: Sequence[Mapping[int, str]]) -> str:
    several = len(cropped.layers) > 1
    sizes = cropped.layers[0].shape
    step = [_vector(cropped.affine[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0004",
        "# Segmentation of 3D Slicer, written by ctlung",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, ([len(cropped.layers)] if several else []) + [*sizes])),
        "space directions: " + " ".join((["none"] if several else []) + step),
        "kinds: " + " ".join((["list"] if several else []) + ["domain"] * 3),
        "encoding: gzip",
        f"space origin: {_vector(cropped.affine[:3, 3])}",
        *_segments(cropped, names),
        f"Segmentation_ContainedRepresentationNames:={_REPRESENTATION}|",
        f"Segmentation_MasterRepresentation:={_REPRESENTATION}",
        "Segmentation_ReferenceImageExtentOffset:=" + " ".join(map(str, cropped.offset)),
    ]
    return "\n".join(lines) + "\n\n"


def _segments(cropped: _Cropped, names: Sequence[Mapping[int, str]]) -> list[str]:
    ends = [
        f"{start} {start + n - 1}"
        for start, n in zip(cropped.offset, cropped.layers[0].shape, strict=True)
    ]
    every = [
        (layer, number, name)
        for layer, of_layer in enumerate(names)
        for number, name in sorted(of_layer.items())
    ]
    lines = []
    for index, (layer, number, name) in enumerate(every):
        colour = " ".join(f"{part / 255:.6f}" for part in rgb(name))
        told = {
            "Color": colour,
            "ColorAutoGenerated": "0",
            "Extent": " ".join(ends),
            "ID": name,
            "LabelValue": str(number),
            "Layer": str(layer),
            "Name": title(name),
            "NameAutoGenerated": "0",
            "Tags": _tags(name),
        }
        lines += [f"Segment{index}_{key}:={value}" for key, value in told.items()]
    return lines


def _tags(name: str) -> str:
    """3D Slicer's own way to say what a segment is: by the codes of the DICOM segmentation."""
    kind = STRUCTURES.get(name)
    if kind is None:
        return "|"
    side = kind.side
    modifier = f"{side.scheme_designator}^{side.value}^{side.meaning}" if side else "^^"
    codes = (
        f"{c.scheme_designator}^{c.value}^{c.meaning}" for c in (kind.category, kind.kind, LUNG)
    )
    category, what, where = codes
    return (
        "Segmentation.Status:completed|TerminologyEntry:Segmentation category and type - DICOM "
        f"master list~{category}~{what}~{modifier}~Anatomic codes - DICOM master list~{where}~^^|"
    )


def _vector(values: FloatArray) -> str:
    # repr is the shortest text that is the same number again; adding 0 turns -0 into 0.
    return "(" + ",".join(repr(float(v) + 0.0) for v in values) + ")"
