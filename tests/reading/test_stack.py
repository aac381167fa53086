"""Irregular stacks: what is measured, what is withheld, what is refused (FIELD 3.4)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import Store, phantom, uid, write_enhanced, write_series

from ctlung.errors import IncompleteSeries, UnsupportedGeometry
from ctlung.notices import Notice
from ctlung.reading.scan import read_scan
from ctlung.volume import Scan

HU = phantom((12, 12, 10))


def only(scan: Scan, code: str) -> Notice:
    """The one notice of a code."""
    (notice,) = [n for n in scan.notices if n.code == code]
    return notice


def codes(scan: Scan) -> set[str]:
    return {n.code for n in scan.notices}


def at(positions: list[float], hu: np.ndarray, folder: Path, **tags: object) -> Scan:
    write_series(folder, hu[: len(positions)], Store(positions=positions, tags=tags))
    return read_scan(folder)


def test_a_missing_slice_is_told_and_weighted(tmp_path: Path) -> None:
    for path in write_series(tmp_path, HU)[5:6]:
        path.unlink()
    scan = read_scan(tmp_path)
    notice = only(scan, "slice_gap")
    assert notice.effect == "warn"
    assert notice.slices == (4,)
    assert notice.measured == pytest.approx(5.0)
    assert scan.geometry.slice_weights_mm.tolist() == pytest.approx(
        [2.5] * 4 + [3.75, 3.75] + [2.5] * 5
    )


def test_three_missing_slices_withhold_the_volumes(tmp_path: Path) -> None:
    for path in write_series(tmp_path, HU)[5:8]:
        path.unlink()
    notice = only(read_scan(tmp_path), "slice_gap")
    assert notice.effect == "null"
    assert "volumes_and_parts" in notice.affects
    assert "About 3 slices are missing" in notice.sentence


def test_a_gap_wider_than_ten_millimetres_withholds_the_volumes(tmp_path: Path) -> None:
    scan = at([0, 6, 12, 24, 30, 36], HU, tmp_path, SliceThickness=6)
    assert only(scan, "slice_gap").effect == "null"


def test_jitter_is_no_matter(tmp_path: Path) -> None:
    scan = at([0, 2.55, 5.0, 7.45, 10.0], HU, tmp_path)
    assert scan.notices == ()
    assert scan.geometry.spacing_mm[0] == pytest.approx(2.5)


def test_uneven_spacing_is_weighted_and_told(tmp_path: Path) -> None:
    scan = at([0, 2.5, 5.0, 8.0, 11.0, 13.5], HU, tmp_path)
    notice = only(scan, "uneven_spacing")
    assert notice.effect == "warn"
    assert notice.measured == pytest.approx(0.5)
    assert scan.geometry.slice_positions_mm == pytest.approx((100, 102.5, 105, 108, 111, 113.5))


@pytest.mark.parametrize(("step", "effect"), [(10.0, "warn"), (15.0, "null")])
def test_sparse_stacks(tmp_path: Path, step: float, effect: str) -> None:
    scan = at([k * step for k in range(6)], HU, tmp_path, SliceThickness=1)
    assert only(scan, "sparse").effect == effect


def test_overlapping_slices_are_normal(tmp_path: Path) -> None:
    assert at([k * 3.0 for k in range(6)], HU, tmp_path, SliceThickness=5).notices == ()


def test_one_slice_has_no_volume(tmp_path: Path) -> None:
    scan = at([0.0], HU, tmp_path)
    notice = only(scan, "single_slice")
    assert notice.effect == "null"
    assert notice.affects == ("volumes_and_parts",)
    assert scan.hu.shape == (1, 12, 10)


def test_without_a_thickness_nothing_is_called_sparse(tmp_path: Path) -> None:
    scan = at([k * 10.0 for k in range(6)], HU, tmp_path, SliceThickness=None)
    assert scan.acquisition.slice_thickness_mm is None
    assert scan.notices == ()


def test_identical_copies_are_dropped(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "a", HU)[:4]:
        shutil.copy(path, tmp_path / f"copy of {path.name}")
    scan = read_scan(tmp_path)
    assert only(scan, "duplicates").measured == 4
    np.testing.assert_array_equal(scan.hu, HU)


def test_a_reconstruction_with_new_numbers_is_a_copy_too(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU)
    write_series(tmp_path / "b", HU, Store(slice_tags=lambda k: {"SOPInstanceUID": uid("b", k)}))
    assert only(read_scan(tmp_path), "duplicates").measured == 12


def test_duplicates_with_different_pixels_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU)
    write_series(tmp_path / "b", HU + 1, Store(slice_tags=lambda k: {"SOPInstanceUID": uid(k)}))
    with pytest.raises(IncompleteSeries, match="Two different slices lie in one place") as error:
        read_scan(tmp_path)
    assert error.value.code == "mixed_series"


@pytest.mark.parametrize(
    ("tags", "told_by"),
    [
        ({"ConvolutionKernel": "B70f"}, "kernel B30f"),
        ({"AcquisitionNumber": 0}, "acquisition 1"),
    ],
)
def test_two_series_in_one_are_taken_apart(
    tmp_path: Path, tags: dict[str, object], told_by: str
) -> None:
    write_series(tmp_path / "a", HU)
    other = Store(tags=tags, slice_tags=lambda k: {"SOPInstanceUID": uid("b", k)})
    write_series(tmp_path / "b", HU[:7] + 1, other)
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.hu, HU)
    notice = only(scan, "mixed_series")
    assert notice.effect == "warn"
    assert told_by in notice.sentence


def test_a_localizer_inside_the_series_does_not_break_it(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU)
    scout = Store(tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SOPInstanceUID": "1.2"})
    write_series(tmp_path / "b", HU[:1], scout)
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.hu, HU)
    assert codes(scan) == {"set_aside"}


@pytest.mark.parametrize("degrees", [10.0, 18.5])
def test_a_tilted_gantry_keeps_true_volumes(tmp_path: Path, degrees: float) -> None:
    write_series(tmp_path, HU, Store(tilt_degrees=degrees))
    scan = read_scan(tmp_path)
    notice = only(scan, "tilt")
    assert notice.effect == "warn"
    assert notice.measured == pytest.approx(degrees, abs=1e-4)
    assert f"tilted by {degrees:.1f} degrees" in notice.sentence
    # The table moved 2.5 mm from slice to slice; along the normal that is less.
    assert scan.geometry.spacing_mm[0] == pytest.approx(2.5 * np.cos(np.radians(degrees)))
    np.testing.assert_array_equal(scan.hu, HU)
    np.testing.assert_allclose(scan.geometry.to_mm([11, 0, 0]), [-30, -40, 127.5], atol=1e-5)


def test_the_tilt_tag_is_not_believed(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"GantryDetectorTilt": 18.5}))
    assert read_scan(tmp_path).notices == ()


def test_tilt_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tilt_degrees=35))
    with pytest.raises(UnsupportedGeometry, match=r"sheared by 35\.0 degrees \(limit 30\)") as e:
        read_scan(tmp_path)
    assert e.value.code == "tilt"


def test_slices_beside_the_line_are_refused(tmp_path: Path) -> None:
    moved = Store(slice_tags=lambda k: {"ImagePositionPatient": [-30 + 3 * (k == 5), -40, 100 + k]})
    write_series(tmp_path, HU, moved)
    with pytest.raises(UnsupportedGeometry, match="do not follow one line"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("name", "orientation"),
    [("coronal", [1, 0, 0, 0, 0, -1]), ("sagittal", [0, 1, 0, 0, 0, -1])],
)
def test_other_planes_are_refused_by_name(
    tmp_path: Path, name: str, orientation: list[float]
) -> None:
    def place(k: int) -> dict[str, object]:
        position = [0, 2 * k, 0] if name == "coronal" else [2 * k, 0, 0]
        return {"ImageOrientationPatient": orientation, "ImagePositionPatient": position}

    write_series(tmp_path, HU, Store(slice_tags=place))
    with pytest.raises(UnsupportedGeometry, match=f"are {name}, not axial"):
        read_scan(tmp_path)


def test_oblique_slices_are_read_and_told(tmp_path: Path) -> None:
    angle = np.radians(25)
    normal = np.array([0, np.sin(angle), np.cos(angle)])

    def place(k: int) -> dict[str, object]:
        return {"ImagePositionPatient": [round(float(v), 6) for v in 2.5 * k * normal]}

    write_series(tmp_path, HU, Store(tilt_degrees=25, slice_tags=place))
    scan = read_scan(tmp_path)
    assert only(scan, "oblique").measured == pytest.approx(25, abs=1e-4)
    assert codes(scan) == {"oblique"}


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_no_geometry_is_refused(tmp_path: Path, tag: str) -> None:
    write_series(tmp_path, HU, Store(tags={tag: None}))
    with pytest.raises(UnsupportedGeometry, match="nothing says where they lie") as error:
        read_scan(tmp_path)
    assert error.value.code == "no_geometry"


def test_directions_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}))
    with pytest.raises(UnsupportedGeometry, match="makes no sense"):
        read_scan(tmp_path)


def test_frames_of_reference_of_their_own_are_taken_as_one(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(slice_tags=lambda k: {"FrameOfReferenceUID": uid("f", k)}))
    scan = read_scan(tmp_path)
    assert scan.hu.shape[0] == 12
    assert codes(scan) == {"orientation"}


def test_a_shattered_series_is_refused(tmp_path: Path) -> None:
    spacing = Store(slice_tags=lambda k: {"PixelSpacing": [0.5 + k / 10, 0.5]})
    write_series(tmp_path, HU, spacing)
    with pytest.raises(IncompleteSeries, match="share neither size, spacing nor direction"):
        read_scan(tmp_path)


def test_stacks_of_a_multiframe_file_are_taken_apart(tmp_path: Path) -> None:
    def content(k: int) -> dict[str, object]:
        return {"StackID": "1" if k < 8 else "2"}

    write_enhanced(tmp_path / "one.dcm", HU, content=content)
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.hu, HU[:8])
    assert only(scan, "mixed_series").measured == 2


@pytest.mark.data
def test_tilted_heads_have_the_same_direction_whatever_their_tag(data_dir: Path) -> None:
    for name in ("tilt-uneven-ge-head", "tilt-philips-head"):
        scan = read_scan(data_dir / "odd" / name)
        assert only(scan, "tilt").measured == pytest.approx(18.5, abs=0.01)
        shear = scan.geometry.matrix[:3, 0]
        assert shear @ scan.geometry.matrix[:3, 1] < 0
    assert only(read_scan(data_dir / "odd" / "tilt-uneven-ge-head"), "slice_gap").effect == "null"
