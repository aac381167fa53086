"""However a scan was stored, the same voxels come out on the same grid."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import AXIAL, SYNTAXES, Store, phantom, write_enhanced, write_series

from ctlung.geometry import Geometry
from ctlung.reading.scan import read_scan
from ctlung.volume import Scan

HU = phantom()
GRID = Geometry.from_spacing(HU.shape, (2.5, 0.7, 0.8), (-30.0, -40.0, 100.0))


def assert_is_phantom(scan: Scan) -> None:
    np.testing.assert_array_equal(scan.hu, HU)
    np.testing.assert_allclose(scan.geometry.matrix, GRID.matrix, atol=1e-6)
    np.testing.assert_allclose(scan.geometry.slice_positions_mm, GRID.slice_positions_mm, atol=1e-6)
    assert scan.outside_fov is None
    assert scan.notices == ()


def test_a_plain_series_is_read_exactly(tmp_path: Path) -> None:
    write_series(tmp_path, HU)
    scan = read_scan(tmp_path)
    assert_is_phantom(scan)
    assert not scan.hu.flags.writeable
    assert scan.hu[0, 0, 0] == 1500  # feet, front, right


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.parametrize("turn", sorted(AXIAL))
def test_eight_orientations_in_three_orders(
    tmp_path: Path, turn: tuple[bool, bool, bool], order: str
) -> None:
    write_series(tmp_path, HU, Store(*turn), order=order)
    assert_is_phantom(read_scan(tmp_path))


@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFP", "HFDL", "HFDR", "FFDL", "FFDR"])
def test_patient_position_does_not_turn_anything(tmp_path: Path, position: str) -> None:
    prone, side = position.endswith("P"), position.endswith(("L", "R"))
    store = Store(side, prone, prone or side, tags={"PatientPosition": position})
    write_series(tmp_path, HU, store)
    scan = read_scan(tmp_path)
    assert_is_phantom(scan)
    assert scan.acquisition.patient_position == position


@pytest.mark.parametrize("syntax", sorted(SYNTAXES))
@pytest.mark.parametrize("signed", [False, True])
def test_every_transfer_syntax(tmp_path: Path, syntax: str, signed: bool) -> None:
    hu = phantom((3, 40, 48))
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    write_series(plain, hu, Store(signed=signed))
    write_series(packed, hu, Store(signed=signed, syntax=syntax))
    first, second = read_scan(plain), read_scan(packed)
    np.testing.assert_array_equal(second.hu, hu)
    assert first.source.digest == second.source.digest


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("syntax", ["explicit", "deflated", "jpeg_ls", "jpeg_2000", "rle"])
def test_multiframe_is_the_same_scan(tmp_path: Path, syntax: str, legacy: bool) -> None:
    frames = [3, 0, 6, 2, 5, 1, 4]
    store = Store(syntax=syntax)
    path = write_enhanced(tmp_path / "one.dcm", HU, store, frames=frames, legacy=legacy)
    scan = read_scan(path)
    assert_is_phantom(scan)
    assert scan.acquisition.kernel == "B30f"
    assert scan.source.identifiers.sop_uids[0].endswith("#2")


def test_multiframe_rescales_each_frame_by_its_own_group(tmp_path: Path) -> None:
    store = Store(rescale=lambda k: (1.0, -1024.0 - 8 * k))
    assert_is_phantom(read_scan(write_enhanced(tmp_path / "one", HU, store)))


def test_files_renamed_nested_and_without_extension(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a" / "b", HU, order="shuffled", name=lambda i: f"IM{i:04d}")
    (tmp_path / "c").mkdir()
    for path in paths[::2]:
        path.rename(tmp_path / "c" / path.name[::-1])
    assert_is_phantom(read_scan(tmp_path))


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "files", HU)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"DICOM/{path.name}")
    (tmp_path / "only_zip").mkdir()
    (tmp_path / "scan.zip").rename(tmp_path / "only_zip" / "scan.zip")
    before = sorted(tmp_path.rglob("*"))
    assert_is_phantom(read_scan(tmp_path / "only_zip" / "scan.zip"))
    assert_is_phantom(read_scan(tmp_path / "only_zip"))
    assert sorted(tmp_path.rglob("*")) == before


def test_reading_reports_progress_to_its_end(tmp_path: Path) -> None:
    write_series(tmp_path, HU)
    seen: list[tuple[int, int]] = []
    read_scan(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, 7) for k in range(7)]


@pytest.mark.data
@pytest.mark.parametrize("one", ["CT1", "CT2"])
def test_wg04_slices_agree_over_syntaxes(data_dir: Path, one: str) -> None:
    folder = data_dir / "odd" / "wg04-ct"
    plain = read_scan(folder / f"{one}_UNC")
    for syntax in ("RLE", "JPLL", "JLSL", "J2KR"):
        scan = read_scan(folder / f"{one}_{syntax}")
        np.testing.assert_array_equal(scan.hu, plain.hu)
        assert scan.source.digest == plain.source.digest
    for syntax in ("J2KI", "JLSN"):
        scan = read_scan(folder / f"{one}_{syntax}")
        assert "lossy" in {n.code for n in scan.notices}
        assert scan.acquisition.lossy
