"""Rounding, clipping, padding and the fingerprint of a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import Store, phantom, write_series

from ctlung.geometry import Geometry
from ctlung.reading.hounsfield import constant_fill, scan_digest, to_int16_hu
from ctlung.reading.scan import read_scan


def test_rounds_half_to_even_and_counts_what_it_clips() -> None:
    values = np.array([-0.5, 0.5, 1.5, -1024.4, -1024.6, 3071.4, 3072.0])
    hu, low, high = to_int16_hu(values)
    assert hu.tolist() == [0, 0, 2, -1024, -1024, 3071, 3071]
    assert hu.dtype == np.int16
    assert (low, high) == (1, 1)


def test_padding_is_not_counted_as_clipped_and_may_be_nan() -> None:
    values = np.array([np.nan, -3000.0, 10.0])
    hu, low, high = to_int16_hu(values, np.array([True, True, False]))
    assert hu.tolist() == [-1024, -1024, 10]
    assert (low, high) == (0, 0)
    with pytest.raises(ValueError, match="finite"):
        to_int16_hu(values)


def circle(shape: tuple[int, int, int] = (3, 64, 64)) -> np.ndarray:
    y, x = np.mgrid[: shape[1], : shape[2]]
    outside = (y - 31.5) ** 2 + (x - 31.5) ** 2 > 32**2
    return np.broadcast_to(outside, shape)


def test_constant_fill_finds_the_corners_and_not_the_noise() -> None:
    hu = np.random.default_rng(0).normal(-1020, 20, (3, 64, 64)).round().astype(np.int32)
    assert constant_fill(hu) is None
    filled = np.where(circle(), -2048, hu)
    found = constant_fill(filled)
    assert found is not None
    np.testing.assert_array_equal(found, circle())


def test_constant_fill_leaves_islands_inside() -> None:
    hu = np.zeros((1, 64, 64), dtype=np.int32)
    hu[:, :10] = -2000
    hu[:, 30:40, 30:40] = -2000
    found = constant_fill(hu)
    assert found is not None
    assert found[0, :10].all()
    assert not found[0, 10:].any()


@pytest.mark.parametrize(
    ("signed", "stored", "tags"),
    [
        pytest.param(True, -2000, {"PixelPaddingValue": -2000}, id="signed"),
        pytest.param(False, 63536, {"PixelPaddingValue": 63536}, id="unsigned"),
        pytest.param(
            True,
            -1990,
            {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1980},
            id="range",
        ),
        pytest.param(
            True,
            -1990,
            {"PixelPaddingValue": -1980, "PixelPaddingRangeLimit": -2000},
            id="range downwards",
        ),
        pytest.param(True, -1024, {}, id="no tag, rescales to -2048"),
        pytest.param(True, -1024, {"PixelPaddingValue": -2000}, id="the tag is wrong"),
    ],
)
def test_padding_is_told_apart(
    tmp_path: Path, signed: bool, stored: int, tags: dict[str, int]
) -> None:
    hu = phantom((3, 64, 64))
    write_series(tmp_path, hu, Store(signed=signed, padding=(circle(), stored), tags=tags))
    scan = read_scan(tmp_path)
    assert scan.outside_fov is not None
    np.testing.assert_array_equal(scan.outside_fov, circle())
    np.testing.assert_array_equal(scan.hu, np.where(circle(), -1024, hu))
    (notice,) = scan.notices
    assert notice.code == "padding"
    assert notice.measured == pytest.approx(100 * circle().mean())


def test_padding_tag_with_the_wrong_sign_is_read_with_that_of_the_pixels(tmp_path: Path) -> None:
    from pydicom import dcmread

    hu = phantom((1, 64, 64))
    store = Store(signed=True, padding=(circle((1, 64, 64)), -2000))
    (path,) = write_series(tmp_path, hu, store)
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    dataset.save_as(path)
    scan = read_scan(tmp_path)
    assert scan.outside_fov is not None
    assert scan.outside_fov.sum() == circle((1, 64, 64)).sum()


def test_padding_that_air_may_have_must_reach_the_border(tmp_path: Path) -> None:
    hu = np.full((1, 64, 64), -500, dtype=np.int16)
    hu[0, :8] = -1024
    hu[0, 30:40, 30:40] = -1024
    write_series(tmp_path, hu, Store(tags={"PixelPaddingValue": 0}))
    scan = read_scan(tmp_path)
    assert scan.outside_fov is not None
    assert scan.outside_fov[0, :8].all()
    assert not scan.outside_fov[0, 8:].any()


def test_each_slice_has_its_own_rescale_in_float64(tmp_path: Path) -> None:
    hu = phantom()
    rescale = {0: (1.0, -1024.0), 1: (0.5, -1100.0), 2: (0.25, -1000.5)}
    write_series(tmp_path, hu, Store(rescale=lambda k: rescale[k % 3]))
    scan = read_scan(tmp_path)
    expected = hu.astype(float)
    for k in range(7):
        slope, intercept = rescale[k % 3]
        expected[k] = np.rint((expected[k] - intercept) / slope) * slope + intercept
    np.testing.assert_array_equal(scan.hu, np.rint(expected))


def test_bits_above_high_bit_are_masked(tmp_path: Path) -> None:
    from pydicom import dcmread

    hu = phantom((1, 12, 10))
    (path,) = write_series(tmp_path, hu, Store(bits_stored=12))
    dataset = dcmread(path)
    words = np.frombuffer(dataset.PixelData, "<u2") | 0xF000
    dataset.PixelData = words.tobytes()
    dataset.save_as(path)
    np.testing.assert_array_equal(read_scan(tmp_path).hu, hu)


def test_clipping_is_told(tmp_path: Path) -> None:
    hu = phantom()
    hu[1, 2, 3] = 8000
    write_series(tmp_path, hu)
    scan = read_scan(tmp_path)
    (notice,) = scan.notices
    assert notice.code == "clipped"
    assert notice.measured == pytest.approx(100 / hu.size)
    assert scan.hu[1, 2, 3] == 3071


def test_monochrome1_is_not_inverted(tmp_path: Path) -> None:
    write_series(tmp_path, phantom(), Store(tags={"PhotometricInterpretation": "MONOCHROME1"}))
    np.testing.assert_array_equal(read_scan(tmp_path).hu, phantom())


def test_digest_sees_values_grid_and_padding_but_not_float32() -> None:
    hu = phantom()
    grid = Geometry.from_spacing(hu.shape, (2.5, 0.7, 0.8))
    digest = scan_digest(hu, grid, None)
    assert digest == scan_digest(hu, grid, np.zeros(hu.shape, dtype=bool))
    near = Geometry.from_spacing(hu.shape, tuple(float(np.float32(v)) for v in (2.5, 0.7, 0.8)))
    assert digest == scan_digest(hu, near, None)
    other = hu.copy()
    other[3, 3, 3] += 1
    assert digest != scan_digest(other, grid, None)
    assert digest != scan_digest(hu, Geometry.from_spacing(hu.shape, (2.5, 0.7, 0.9)), None)
    assert digest != scan_digest(hu, grid, hu > 1000)


@pytest.mark.data
def test_lidc_padding_that_its_tag_misses(data_dir: Path) -> None:
    scan = read_scan(data_dir / "dicom" / "lidc-idri-0001")
    assert scan.outside_fov is not None
    # The reconstruction circle of a square slice: its corners are 1 - pi/4 of it.
    assert scan.outside_fov.mean() == pytest.approx(1 - np.pi / 4, abs=0.005)
    assert scan.outside_fov[:, 0, 0].all()
    assert not scan.outside_fov[:, 256, 256].any()
