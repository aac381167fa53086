"""Segmentations that 3D Slicer opens by name, on the grid of the masks."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from support.dicom_files import Store, phantom, write_series
from support.marked import marked
from support.nifti_files import ALL_ORDERS, small_hu, store, turned_geometry, write_nifti
from support.small_result import small_result

import ctlung
from ctlung.change_records import ChangeMaps
from ctlung.geometry import Geometry
from ctlung.reading.images import read_image
from ctlung.records import ScanResult
from ctlung.vocabulary import CHANGE_LABELS, LESION_LABELS, LUNG_LABELS
from ctlung.volume import LabelMap
from ctlung.writing.label_names import label_text
from ctlung.writing.seg_nrrd import MARGIN_MM, write_change_segments, write_segments
from ctlung.writing.volumes import write_labels

Array = np.ndarray[Any, Any]


def _layers(path: Path) -> tuple[sitk.Image, Array]:
    """The file by ITK, and its values as ``[layer, k, j, i]``."""
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    return image, np.moveaxis(values.reshape(*image.GetSize()[::-1], -1), -1, 0)


def _offset(image: sitk.Image) -> list[int]:
    text = image.GetMetaData("Segmentation_ReferenceImageExtentOffset")
    return [int(v) for v in text.split()]


def _whole(path: Path, size: tuple[int, ...]) -> Array:
    """The layers as they lie in a file of ``size`` voxels, by the offset that the header tells."""
    image, layers = _layers(path)
    i, j, k = _offset(image)
    ni, nj, nk = image.GetSize()
    whole = np.zeros((len(layers), *size[::-1]), np.uint8)
    whole[:, k : k + nk, j : j + nj, i : i + ni] = layers
    return whole


def _lies_as(path: Path, mask: Path, layer: int) -> None:
    """By the offset, and by millimetres, a layer is the mask that NIfTI holds."""
    image, expected = sitk.ReadImage(str(path)), sitk.ReadImage(str(mask))
    np.testing.assert_array_equal(
        _whole(path, expected.GetSize())[layer], sitk.GetArrayFromImage(expected)
    )
    np.testing.assert_allclose(image.GetSpacing(), expected.GetSpacing(), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), expected.GetDirection(), atol=1e-4)
    first = expected.TransformIndexToPhysicalPoint(_offset(image))
    np.testing.assert_allclose(image.GetOrigin(), first, atol=1e-3)


def _segments(image: sitk.Image) -> list[dict[str, str]]:
    found = []
    while image.HasMetaDataKey(f"Segment{len(found)}_ID"):
        prefix = f"Segment{len(found)}_"
        keys = [k for k in image.GetMetaDataKeys() if k.startswith(prefix)]
        found.append({k.removeprefix(prefix): image.GetMetaData(k) for k in keys})
    return found


def test_names_colours_and_layers(tmp_path: Path) -> None:
    result = marked(small_result().scan)
    write_segments(result, tmp_path / "s.seg.nrrd")
    image, layers = _layers(tmp_path / "s.seg.nrrd")
    segments = _segments(image)
    told = [(s["Name"], s["Layer"], s["LabelValue"]) for s in segments]
    assert told == [
        ("Right lung", "0", "1"),
        ("Left lung", "0", "2"),
        ("Ground-glass opacity", "1", "1"),
        ("Consolidation", "1", "2"),
        ("Left upper lobe", "2", "1"),
        ("Left lower lobe", "2", "2"),
        ("Right upper lobe", "2", "3"),
        ("Right middle lobe", "2", "4"),
        ("Right lower lobe", "2", "5"),
    ]
    assert len({s["ID"] for s in segments}) == len({s["Color"] for s in segments}) == 9
    colour = [round(255 * float(v)) for v in segments[2]["Color"].split()]
    assert colour == [0xFF, 0xD2, 0x3F]
    assert "SCT^39607008^Lung~SCT^24028007^Right~" in segments[0]["Tags"]
    assert image.GetMetaData("Segmentation_MasterRepresentation") == "Binary labelmap"
    maps = (result.lungs, result.lesions, result.lobes)
    for layer, labels in zip(layers, maps, strict=True):
        assert labels is not None
        assert (
            np.bincount(layer.ravel()).tolist()[1:]
            == (np.bincount(labels.labels.ravel()).tolist()[1:])
        )


def test_it_is_cut_to_the_lungs(tmp_path: Path) -> None:
    result = small_result()
    write_segments(result, tmp_path / "s.seg.nrrd")
    image, layers = _layers(tmp_path / "s.seg.nrrd")
    assert np.prod(image.GetSize()) < 0.8 * result.lungs.labels.size
    whole = _whole(tmp_path / "s.seg.nrrd", result.lungs.labels.shape[::-1])
    np.testing.assert_array_equal(whole[0], result.lungs.labels)
    np.testing.assert_array_equal(whole[1], result.lesions.labels)
    inside = np.argwhere(layers[0])
    for axis, step in enumerate(image.GetSpacing()[::-1]):
        before = inside[:, axis].min() * step
        assert before == 0 or before >= MARGIN_MM or _offset(image)[2 - axis] == 0
    start = _offset(image)
    ends = [f"{a} {a + n - 1}" for a, n in zip(start, image.GetSize(), strict=True)]
    assert {s["Extent"] for s in _segments(image)} == {" ".join(ends)}


def test_it_lies_on_a_nifti_in_all_48_orders(tmp_path: Path) -> None:
    geometry = turned_geometry()
    for order, flips in ALL_ORDERS:
        path = write_nifti(tmp_path / "scan.nii", *store(small_hu(), geometry, order, flips))
        scan = read_image(path)
        result = _blocks(scan.hu.shape, marked(scan, key=None, lobes=False))
        write_segments(result, tmp_path / "s.seg.nrrd")
        write_labels(result.lungs, scan.source.stored, tmp_path / "lungs.nii.gz")
        write_labels(result.lesions, scan.source.stored, tmp_path / "lesions.nii.gz")
        _lies_as(tmp_path / "s.seg.nrrd", tmp_path / "lungs.nii.gz", 0)
        _lies_as(tmp_path / "s.seg.nrrd", tmp_path / "lesions.nii.gz", 1)


def _blocks(shape: tuple[int, ...], result: ScanResult) -> ScanResult:
    """Labels in one corner, so that there is something to cut off."""
    lungs = np.zeros(shape, np.uint8)
    lungs[: shape[0] // 2, 1:3, 2:4] = 1
    lungs[shape[0] // 2 - 1, 2:4, 3:5] = 2
    lesions = np.where(lungs == 2, 1, 0).astype(np.uint8)
    lesions[0, 1, 2] = 2
    geometry = result.scan.geometry
    return ScanResult(
        result.scan,
        LabelMap(lungs, geometry, LUNG_LABELS),
        LabelMap(lesions, geometry, LESION_LABELS),
        result.report,
    )


@pytest.mark.parametrize(
    "how", [Store(True, False, True), Store(tilt_degrees=14.0), Store(shear=0.3)]
)
def test_a_dicom_stack_keeps_its_shear(tmp_path: Path, how: Store) -> None:
    write_series(tmp_path / "in", phantom(), how, order="shuffled")
    result = marked(ctlung.read_scan(tmp_path / "in"))
    write_segments(result, tmp_path / "s.seg.nrrd")
    _, layers = _layers(tmp_path / "s.seg.nrrd")
    np.testing.assert_array_equal(layers[0], result.lungs.labels)
    header = (tmp_path / "s.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    (line,) = [x for x in header.splitlines() if x.startswith("space directions")]
    columns = [[float(v) for v in part.strip("()").split(",")] for part in line.split()[3:]]
    np.testing.assert_allclose(
        np.array(columns).T, result.scan.geometry.matrix[:3, [2, 1, 0]], atol=1e-9
    )


def test_the_change_map(tmp_path: Path) -> None:
    base = small_result()
    labels = np.zeros(base.lungs.labels.shape, np.uint8)
    labels[5:9, 10:20, 12:30] = np.arange(4 * 10 * 18).reshape(4, 10, 18) % 6
    change = LabelMap(labels, base.scan.geometry, CHANGE_LABELS)
    maps = ChangeMaps(change, base.lungs, base.scan.hu, base.scan.hu)
    write_change_segments(maps, tmp_path / "c.seg.nrrd")
    image, layers = _layers(tmp_path / "c.seg.nrrd")
    assert len(layers) == 1
    names = [s["Name"] for s in _segments(image)]
    assert names == ["Resolved", "Persistent", "New", "Worsened", "Improved"]
    np.testing.assert_array_equal(_whole(tmp_path / "c.seg.nrrd", labels.shape[::-1])[0], labels)


def test_nothing_found_is_a_whole_empty_grid(tmp_path: Path) -> None:
    geometry = Geometry.from_spacing((3, 4, 5), (2.0, 1.0, 1.0))
    empty = LabelMap(np.zeros((3, 4, 5), np.uint8), geometry, CHANGE_LABELS)
    hu = np.zeros((3, 4, 5), np.int16)
    write_change_segments(ChangeMaps(empty, empty, hu, hu), tmp_path / "c.seg.nrrd")
    image, layers = _layers(tmp_path / "c.seg.nrrd")
    assert image.GetSize() == (5, 4, 3)
    assert not layers.any()


def test_the_bytes_hold_no_name_and_no_time(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_segments(small_result(), tmp_path / "mine.seg.nrrd")
    write_segments(small_result(), tmp_path / "other" / "two.seg.nrrd")
    one = (tmp_path / "mine.seg.nrrd").read_bytes()
    assert one == (tmp_path / "other" / "two.seg.nrrd").read_bytes()
    packed = one.split(b"\n\n", 1)[1]
    assert packed[3:8] == b"\0" * 5  # no name, no time
    assert b"mine" not in one.split(b"\n\n", 1)[0]
    assert gzip.decompress(packed)


def test_label_descriptions_for_itk_snap() -> None:
    lines = label_text(LUNG_LABELS).splitlines()
    rows = [line.split(maxsplit=7) for line in lines if not line.startswith("#")]
    assert rows == [
        ["0", "0", "0", "0", "0", "0", "0", '"Clear Label"'],
        ["1", "76", "194", "255", "1", "1", "1", '"Right lung"'],
        ["2", "95", "224", "138", "1", "1", "1", '"Left lung"'],
    ]
    assert '"Worsened"' in label_text(CHANGE_LABELS)
    assert "\"Some 'name'\"" in label_text({7: 'some_"name"'})
