"""The plain CT series writer: valid files, the same bytes, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ctlung.geometry import Geometry
from ctlung.reading.scan import read_scan
from ctlung.writing.dicom import CTHeader, write_ct_series

HU = np.random.default_rng(0).integers(-1024, 2000, (5, 9, 8)).astype(np.int16)
GRID = Geometry.from_spacing(HU.shape, (2.5, 0.7, 0.8), (-30.0, 12.3456, 100.0))
HEADER = CTHeader(
    "test",
    patient_id="P1",
    patient_name="Phantom^One",
    birth_date="19700101",
    sex="O",
    study_date="20200401",
    acquisition_date="20200402",
    kernel="B30f",
    manufacturer="SIEMENS",
    slice_thickness_mm=2.5,
    contrast_agent="Iodine",
    patient_position="FFS",
)

# Type 1 and type 2 attributes of the CT Image IOD (PS3.3 A.3).
CT_IMAGE = """
PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyDate StudyTime
ReferringPhysicianName StudyID AccessionNumber Modality SeriesInstanceUID SeriesNumber
PatientPosition FrameOfReferenceUID PositionReferenceIndicator Manufacturer InstanceNumber
PatientOrientation PixelSpacing ImageOrientationPatient ImagePositionPatient SliceThickness
ImageType SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored
HighBit PixelRepresentation RescaleIntercept RescaleSlope RescaleType KVP AcquisitionNumber
SOPClassUID SOPInstanceUID PixelData
""".split()  # noqa: SIM905


@pytest.mark.parametrize("encoding", ["explicit", "deflated"])
def test_what_is_written_is_read(tmp_path: Path, encoding: str) -> None:
    paths = write_ct_series(HU, GRID, tmp_path, HEADER, encoding=encoding)  # type: ignore[arg-type]
    assert [p.name for p in paths] == [f"{k:04d}.dcm" for k in range(1, 6)]
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.hu, HU)
    assert scan.geometry.matches(GRID, 1e-6)
    assert scan.notices == ()
    a, i = scan.acquisition, scan.source.identifiers
    assert (a.kernel, a.kernel_class, a.slice_thickness_mm, a.kvp) == ("B30f", "soft", 2.5, 120)
    assert (a.acquisition_date, a.contrast_agent, a.sex) == ("20200402", "Iodine", "O")
    assert a.patient_position == "FFS"
    assert (i.patient_id, i.patient_name, i.birth_date) == ("P1", "Phantom^One", "19700101")


def test_uneven_and_sheared_grids_come_back(tmp_path: Path) -> None:
    matrix = GRID.matrix.copy()
    matrix[1, 0] = 0.4
    grid = Geometry.from_affine(HU.shape, matrix, [100, 102.5, 105, 108, 110])
    write_ct_series(HU, grid, tmp_path, HEADER)
    scan = read_scan(tmp_path)
    assert scan.geometry.matches(grid, 1e-6)
    assert scan.geometry.slice_positions_mm == pytest.approx(grid.slice_positions_mm)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = write_ct_series(HU, GRID, tmp_path / "a", HEADER)
    second = write_ct_series(HU, GRID, tmp_path / "b", HEADER)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_numbers_follow_from_seed_and_visit(tmp_path: Path) -> None:
    def uids(seed: str, visit: str) -> tuple[str, str, str]:
        header = CTHeader(seed, visit)
        dataset = dcmread(write_ct_series(HU, GRID, tmp_path / seed / visit, header)[0])
        return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID

    found = [*uids("a", "1"), *uids("a", "2"), *uids("b", "1")]
    assert len(set(found)) == 9
    assert all(u.startswith("2.25.") and u.is_valid for u in found)


def test_files_are_valid_ct(tmp_path: Path) -> None:
    path = write_ct_series(HU, GRID, tmp_path, HEADER)[0]
    assert path.read_bytes()[:128] == b"\0" * 128
    dataset = dcmread(path)
    missing = [k for k in CT_IMAGE if k not in dataset]
    assert missing == []
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_hu_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit 16 unsigned bits"):
        write_ct_series(HU, GRID, tmp_path, HEADER, intercept=0)
    with pytest.raises(ValueError, match="do not fit"):
        write_ct_series(HU, GRID, tmp_path, HEADER, slope=2)
    with pytest.raises(ValueError, match="its geometry says"):
        write_ct_series(HU[1:], GRID, tmp_path, HEADER)
    assert list(tmp_path.iterdir()) == []
