from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_result import on_grid, small_result

from ctlung.errors import UnreadableFile
from ctlung.geometry import Geometry
from ctlung.measurement.analyze import analyze
from ctlung.reading.finished import is_result, read_report, read_result
from ctlung.records import ScanResult, Uncertainty
from ctlung.vocabulary import LOBE_LABELS
from ctlung.volume import LabelMap, StoredGrid
from ctlung.writing.results import write_result
from ctlung.writing.tables import report_as_json
from ctlung.writing.volumes import lung_box


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = small_result()
    sure = Uncertainty(
        "lung_volume_ml", "lungs", 1.0, 2.0, 1.5, (1.0, 2.0), (0.0, 0.0), (0.5, 0.25), (0.1, 0.1)
    )
    report = replace(base.report, uncertainty=(sure,))
    lobes = LabelMap(
        np.where(base.lungs.labels > 0, 3, 0).astype(np.uint8), base.scan.geometry, LOBE_LABELS
    )
    whole = ScanResult(base.scan, base.lungs, base.lesions, report, lobes)
    return write_result(whole, tmp_path_factory.mktemp("finished") / "result")


def test_the_report_comes_back_to_the_last_byte(folder: Path) -> None:
    again = report_as_json(read_report(folder))
    assert again == (folder / "report.json").read_text(encoding="utf-8")


def test_masks_and_scan_come_back(folder: Path) -> None:
    base, found = small_result(), read_result(folder)
    np.testing.assert_array_equal(found.lungs.labels, base.lungs.labels)
    np.testing.assert_array_equal(found.lesions.labels, base.lesions.labels)
    assert found.lobes is not None
    np.testing.assert_array_equal(found.lobes.labels > 0, base.lungs.labels > 0)
    box = lung_box(base.lungs, 20.0)
    assert box is not None
    np.testing.assert_array_equal(found.scan.hu[box], base.scan.hu[box])
    assert found.scan.outside_fov is not None
    assert not found.scan.outside_fov[box].any()
    outside = np.ones(found.scan.hu.shape, bool)
    outside[box] = False
    np.testing.assert_array_equal(found.scan.outside_fov, outside)
    assert found.scan.geometry.matches(base.scan.geometry)
    assert found.scan.acquisition.kernel_class == base.scan.acquisition.kernel_class
    assert found.scan.acquisition.acquisition_date == base.scan.acquisition.acquisition_date


def test_measured_again_it_gives_the_same_numbers(folder: Path) -> None:
    found = read_result(folder)
    again = analyze(found.scan, found.lungs, found.lesions, found.report.notices)
    for m in small_result().report.measurements:
        if m.value is not None:
            assert again.value(m.measure, m.region) == pytest.approx(
                m.value, rel=1e-6
            )  # NIfTI keeps float32


def test_from_a_file_with_axes_of_its_own(tmp_path: Path) -> None:
    geometry = small_result().scan.geometry
    d, h, w = geometry.shape
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = 4.0, -8.0, 4.4, 1.0
    affine[2, 3] = 8.0 * (d - 1)
    stored = StoredGrid((1, 0, 2), (True, False, False), tuple(map(tuple, affine.tolist())))
    there = on_grid(Geometry.from_spacing((d, h, w), (8.0, 4.0, 4.4)), stored)
    found = read_result(write_result(there, tmp_path / "result"))
    np.testing.assert_array_equal(found.lungs.labels, there.lungs.labels)
    box = lung_box(there.lungs, 20.0)
    assert box is not None
    np.testing.assert_array_equal(found.scan.hu[box], there.scan.hu[box])
    assert found.scan.source.stored is not None
    assert found.scan.source.stored.order == stored.order
    assert found.scan.source.stored.flipped == stored.flipped
    np.testing.assert_allclose(found.scan.source.stored.affine, affine, rtol=1e-6)


def test_uneven_slices_stay_uneven(tmp_path: Path) -> None:
    base = small_result()
    geometry = base.scan.geometry
    positions = list(geometry.slice_positions_mm)
    positions[-1] += 5.0
    uneven = Geometry.from_affine(geometry.shape, geometry.matrix, positions)
    there = on_grid(uneven)
    report = replace(
        there.report,
        slices=tuple(
            replace(row, position_mm=p)
            for row, p in zip(there.report.slices, positions, strict=True)
        ),
    )
    there = ScanResult(there.scan, there.lungs, there.lesions, report)
    found = read_result(write_result(there, tmp_path / "result"))
    assert found.scan.geometry.slice_positions_mm == pytest.approx(positions)


def test_what_is_no_result(tmp_path: Path, folder: Path) -> None:
    assert is_result(folder)
    assert not is_result(tmp_path)
    with pytest.raises(UnreadableFile, match="no finished result"):
        read_result(tmp_path)


def test_a_result_without_its_scan(tmp_path: Path) -> None:
    place = write_result(small_result(), tmp_path / "result", with_scan=False)
    assert read_report(place).measurements
    with pytest.raises(UnreadableFile, match=r"--no-scan"):
        read_result(place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "schema"),
        ('{"schema": "ctlung.scan/0"}', "schema"),
        ('{"schema": "ctlung.scan/1", "measurements": [{}]}', "this version"),
        ('{"schema": "ctlung.scan/1", "measurements": 3}', "this version"),
    ],
)
def test_a_damaged_report(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableFile, match=words):
        read_report(tmp_path)


def test_files_of_two_results(tmp_path: Path) -> None:
    place = write_result(small_result(), tmp_path / "result")
    document = json.loads((place / "report.json").read_text(encoding="utf-8"))
    document["provenance"]["shape"][0] += 1
    (place / "report.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UnreadableFile, match="another grid"):
        read_result(place)


@pytest.mark.parametrize("name", ["lungs.nii.gz", "lesions.nii.gz"])
def test_a_missing_mask(name: str, tmp_path: Path) -> None:
    place = write_result(small_result(), tmp_path / "result")
    (place / name).unlink()
    with pytest.raises(UnreadableFile, match=name):
        read_result(place)
