from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from support.nifti_files import (
    ALL_ORDERS,
    patch_header,
    small_hu,
    store,
    turned_geometry,
    write_itk,
    write_nifti,
)

from ctlung.errors import InputError, NotHounsfield, UnreadableFile, UnsupportedGeometry
from ctlung.geometry import Geometry
from ctlung.reading.images import is_image_file, read_image
from ctlung.settings import Settings

STRAIGHT = Geometry.from_spacing((5, 6, 7), (2.5, 0.75, 0.625), (-120.0, -90.0, 310.0))


def _nifti(tmp_path, hu=None, geometry=STRAIGHT, name="scan.nii", **how):
    stored, affine = store(small_hu() if hu is None else hu, geometry)
    return write_nifti(tmp_path / name, stored, affine, **how)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_all_48_axis_orders_give_one_scan(tmp_path: Path, suffix: str) -> None:
    hu, geometry = small_hu(), turned_geometry()
    assert len(ALL_ORDERS) == 48
    for order, flips in ALL_ORDERS:
        stored, affine = store(hu, geometry, order, flips)
        write = write_nifti if ".nii" in suffix else write_itk
        path = write(tmp_path / f"scan{suffix}", stored, affine)
        scan = read_image(path)
        np.testing.assert_array_equal(scan.hu, hu)
        np.testing.assert_allclose(scan.geometry.corners_mm, geometry.corners_mm, atol=1e-4)
        np.testing.assert_allclose(
            scan.geometry.slice_positions_mm, geometry.slice_positions_mm, atol=1e-4
        )
        assert scan.source.stored is not None
        np.testing.assert_array_equal(scan.source.stored.to_stored(scan.hu), stored)
        np.testing.assert_allclose(scan.source.stored.affine, affine, atol=1e-4)
        assert scan.notices == ()


def test_coronal_and_sagittal_storage_keeps_sides(tmp_path: Path) -> None:
    # One bright voxel at the patient's right, front, top.
    hu = np.full((5, 6, 7), -800, np.int16)
    hu[4, 0, 0] = 500
    for order, flips in ALL_ORDERS:
        scan = read_image(write_nifti(tmp_path / "scan.nii", *store(hu, STRAIGHT, order, flips)))
        z, y, x = np.argwhere(scan.hu == 500)[0]
        place = scan.geometry.to_mm((z, y, x))
        np.testing.assert_allclose(place, (-120.0, -90.0, 320.0), atol=1e-4)


def test_formats_agree_bit_for_bit(tmp_path: Path) -> None:
    stored, affine = store(small_hu(), STRAIGHT)
    files = [
        write_nifti(tmp_path / "a.nii", stored, affine),
        write_nifti(tmp_path / "a.nii.gz", stored, affine),
        write_itk(tmp_path / "a.nrrd", stored, affine),
        write_itk(tmp_path / "b.mha", stored, affine),
    ]
    scans = [read_image(f) for f in files]
    assert len({s.source.digest for s in scans}) == 1
    assert [s.source.kind for s in scans] == ["nifti", "nifti", "nrrd", "metaimage"]


def test_upper_case_and_wrongly_named_gzip(tmp_path: Path) -> None:
    path = _nifti(tmp_path)
    packed = tmp_path / "SCAN.NII"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_image(packed).hu, small_hu())


def test_nifti2_and_big_endian(tmp_path: Path) -> None:
    stored, affine = store(small_hu(), STRAIGHT)
    ras = np.diag([-1.0, -1, 1, 1]) @ affine
    nib.save(nib.Nifti2Image(stored, ras), tmp_path / "two.nii")
    big = nib.Nifti1Image(stored, ras, header=nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    for name in ("two.nii", "big.nii"):
        np.testing.assert_array_equal(read_image(tmp_path / name).hu, small_hu())


def test_slope_and_intercept_are_applied_in_float64(tmp_path: Path) -> None:
    raw = small_hu() + 1024
    path = _nifti(tmp_path, raw, scl_slope=1.0, scl_inter=-1024.0)
    np.testing.assert_array_equal(read_image(path).hu, small_hu())
    path = _nifti(tmp_path, (raw * 2).astype(np.int16), scl_slope=0.5, scl_inter=-1024.0)
    np.testing.assert_array_equal(read_image(path).hu, small_hu())


def test_halves_are_rounded_to_even_and_ends_clipped(tmp_path: Path) -> None:
    hu = small_hu().astype(np.float32)
    hu[2, 3, 3:7] = (-0.5, -1.5, 5000.0, -1600.0)
    got = read_image(_nifti(tmp_path, hu)).hu
    assert got[2, 3, 3:7].tolist() == [0, -2, 3071, -1024]


def test_units_of_metres_and_micrometres(tmp_path: Path) -> None:
    for unit, factor in ((1, 0.001), (3, 1000.0)):
        path = _nifti(tmp_path)
        affine = nib.load(path).affine * factor
        patch_header(
            path,
            xyzt_units=unit,
            srow_x=affine[0],
            srow_y=affine[1],
            srow_z=affine[2],
            pixdim=[1, *(np.array([0.625, 0.75, 2.5]) * factor), 0, 0, 0, 0],
        )
        np.testing.assert_allclose(read_image(path).geometry.spacing_mm, (2.5, 0.75, 0.625), 1e-5)


def test_nan_and_infinity_become_padding(tmp_path: Path) -> None:
    hu = small_hu().astype(np.float32)
    hu[1, 2, 3:5] = (np.nan, np.inf)
    scan = read_image(_nifti(tmp_path, hu))
    assert scan.outside_fov is not None
    assert np.argwhere(scan.outside_fov).tolist() == [[1, 2, 3], [1, 2, 4]]
    assert scan.hu[1, 2, 3:5].tolist() == [-1024, -1024]
    assert [(n.code, n.effect) for n in scan.notices] == [("padding", "note")]
    assert scan.notices[0].measured == pytest.approx(100 * 2 / 210)


def test_constant_fill_becomes_padding(tmp_path: Path) -> None:
    hu = small_hu(shape=(3, 20, 20))
    hu[:, :, :3] = -2000
    geometry = Geometry.from_spacing((3, 20, 20), (2, 1, 1), (5, 5, 5))
    scan = read_image(_nifti(tmp_path, hu, geometry))
    assert scan.outside_fov is not None
    assert scan.outside_fov[:, :, :3].all()
    assert not scan.outside_fov[:, :, 3:].any()
    assert [n.code for n in scan.notices] == ["padding"]


def test_sform_comes_before_qform(tmp_path: Path) -> None:
    near = _nifti(tmp_path, qform_code=1)
    patch_header(near, qoffset_x=nib.load(near).affine[0, 3] + 0.6)
    assert read_image(near).geometry.matches(STRAIGHT)
    only_q = _nifti(tmp_path, sform_code=0, qform_code=1)
    patch_header(only_q, srow_x=[0, 0, 0, 0])
    assert read_image(only_q).geometry.matches(STRAIGHT)


def test_sform_and_qform_apart_are_refused(tmp_path: Path) -> None:
    path = _nifti(tmp_path, qform_code=1)
    patch_header(path, qoffset_x=nib.load(path).affine[0, 3] + 1.5)
    with pytest.raises(UnsupportedGeometry, match=r"sform and qform, 1\.5 mm apart") as e:
        read_image(path)
    assert e.value.code == "sform_qform"


def test_unstated_orientation_is_told(tmp_path: Path) -> None:
    scan = read_image(_nifti(tmp_path, sform_code=0, qform_code=0))
    assert [(n.code, n.effect) for n in scan.notices] == [("orientation", "warn")]
    assert "states no orientation" in scan.notices[0].sentence
    np.testing.assert_allclose(scan.geometry.spacing_mm, (2.5, 0.75, 0.625))


@pytest.mark.parametrize("write", [write_nifti, write_itk])
def test_identity_of_picture_files_is_told(tmp_path: Path, write) -> None:
    suffix = ".nii" if write is write_nifti else ".mha"
    scan = read_image(write(tmp_path / f"scan{suffix}", small_hu().T, np.eye(4)))
    assert [n.code for n in scan.notices] == ["orientation"]
    assert "identity" in scan.notices[0].sentence


def test_two_voxel_sizes_are_told(tmp_path: Path) -> None:
    path = _nifti(tmp_path, pixdim=[1, 0.625, 0.75, 5.0, 0, 0, 0, 0])
    (notice,) = read_image(path).notices
    assert notice.code == "orientation"
    assert (notice.measured, notice.limit) == ("0.625 x 0.75 x 2.5", "0.625 x 0.75 x 5")


def test_nrrd_spaces(tmp_path: Path) -> None:
    hu = small_hu()
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\nendian: little\n"
        "space: {}\nspace directions: ({}0.625,0,0) (0,{}0.75,0) (0,0,2.5)\n"
        "space origin: ({}120,{}90,310)\n\n"
    )
    path = tmp_path / "scan.nrrd"
    path.write_bytes(
        head.format("right-anterior-superior", "-", "-", "", "").encode() + hu.tobytes()
    )
    scan = read_image(path)
    assert scan.geometry.matches(STRAIGHT)
    np.testing.assert_array_equal(scan.hu, hu)
    assert scan.notices == ()
    path.write_bytes(head.format("scanner-xyz", "", "", "-", "-").encode() + hu.tobytes())
    (notice,) = read_image(path).notices
    assert notice.code == "orientation"
    assert "does not say how the patient lies" in notice.sentence


def test_obliquity_is_kept_and_told(tmp_path: Path) -> None:
    geometry = turned_geometry(degrees=30.0)
    (notice,) = read_image(_nifti(tmp_path, geometry=geometry)).notices
    assert notice.code == "oblique"
    assert notice.measured == pytest.approx(30.0, abs=0.01)


def test_tilted_stack_is_measured_along_the_normal(tmp_path: Path) -> None:
    matrix = STRAIGHT.matrix.copy()
    matrix[1, 0] = 2.5 * np.tan(np.radians(18.5))
    geometry = Geometry.from_affine((5, 6, 7), matrix)
    stored, affine = store(small_hu(), geometry)
    scan = read_image(write_nifti(tmp_path / "tilt.nii", stored, affine))
    assert scan.geometry.spacing_mm[0] == pytest.approx(2.5, abs=1e-6)
    assert [n.code for n in scan.notices] == ["tilt"]
    assert scan.notices[0].measured == pytest.approx(18.5, abs=0.01)


def test_steep_tilt_is_refused(tmp_path: Path) -> None:
    matrix = STRAIGHT.matrix.copy()
    matrix[1, 0] = 2.5 * np.tan(np.radians(35))
    path = _nifti(tmp_path, geometry=Geometry.from_affine((5, 6, 7), matrix))
    with pytest.raises(UnsupportedGeometry, match=r"sheared by 35\.0 degrees \(limit 30\)") as e:
        read_image(path)
    assert e.value.code == "tilt"


def test_rows_and_columns_askew_are_refused(tmp_path: Path) -> None:
    matrix = STRAIGHT.matrix.copy()
    matrix[1, 2] = 0.1
    path = _nifti(tmp_path, geometry=Geometry.from_affine((5, 6, 7), matrix))
    with pytest.raises(UnsupportedGeometry, match="not at right angles"):
        read_image(path)


def test_four_dimensions_with_one_volume(tmp_path: Path) -> None:
    stored, affine = store(small_hu(), STRAIGHT)
    path = write_nifti(tmp_path / "one.nii", stored[..., None], affine)
    np.testing.assert_array_equal(read_image(path).hu, small_hu())


def test_several_volumes_are_refused(tmp_path: Path) -> None:
    stored, affine = store(small_hu(), STRAIGHT)
    path = write_nifti(tmp_path / "two.nii", np.stack([stored] * 3, axis=-1), affine)
    with pytest.raises(UnsupportedGeometry, match=r"two\.nii holds 3 volumes") as e:
        read_image(path)
    assert e.value.code == "several_volumes"
    image = sitk.JoinSeries([sitk.GetImageFromArray(small_hu())] * 2)
    sitk.WriteImage(image, str(tmp_path / "two.mha"))
    with pytest.raises(UnsupportedGeometry, match="holds 2 volumes"):
        read_image(tmp_path / "two.mha")


def test_two_dimensions(tmp_path: Path) -> None:
    hu = small_hu(shape=(1, 6, 7))
    geometry = Geometry.from_spacing((1, 6, 7), (2.5, 0.75, 0.625), (-120, -90, 310))
    stored, affine = store(hu, geometry)
    flat = write_nifti(tmp_path / "flat.nii", stored[..., 0], affine)
    np.testing.assert_array_equal(read_image(flat).hu, hu)
    sitk.WriteImage(sitk.GetImageFromArray(hu[0]), str(tmp_path / "flat.mha"))
    with pytest.raises(UnsupportedGeometry, match="two dimensions and no place"):
        read_image(tmp_path / "flat.mha")


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.diag([2.0, 2, 2, 1])), tmp_path / "rgb.nii")
    image = sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "rgb.nrrd"))
    for name in ("rgb.nii", "rgb.nrrd"):
        with pytest.raises(UnsupportedGeometry, match=r"rgb\.\w+ holds colours") as e:
            read_image(tmp_path / name)
        assert e.value.code == "not_scalar"


@pytest.mark.parametrize("size", [0.0, -2.5, np.nan, np.inf])
def test_voxel_sizes_must_be_positive(tmp_path: Path, size: float) -> None:
    path = _nifti(tmp_path, pixdim=[1, 0.625, 0.75, size, 0, 0, 0, 0])
    with pytest.raises(UnsupportedGeometry, match="are not all positive"):
        read_image(path)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ((0, 0, 0), "a zero or infinite axis"),
        ((0, 0, np.nan), "a zero or infinite axis"),
        ((0.625, 0, 1e-6), "do not span space"),
        ((0, 0, 400.0), r"would measure 0\.625 x 0\.75 x 400 mm"),
    ],
)
def test_unusable_matrices_are_refused(tmp_path: Path, column, sentence: str) -> None:
    path = _nifti(tmp_path)
    matrix = nib.load(path).affine.copy()
    matrix[:3, 2] = column
    patch_header(path, srow_x=matrix[0], srow_y=matrix[1], srow_z=matrix[2])
    with pytest.raises(UnsupportedGeometry, match=sentence):
        read_image(path)


def test_a_quaternion_that_is_no_rotation(tmp_path: Path) -> None:
    path = _nifti(tmp_path, sform_code=0, qform_code=1, quatern_b=2.0)
    with pytest.raises(UnsupportedGeometry, match=r"qform of scan\.nii is no rotation"):
        read_image(path)


NOT_HU = [
    (np.random.default_rng(1).random((5, 6, 7)).astype(np.float32), "normalised to 0..1"),
    (np.random.default_rng(1).integers(0, 3, (5, 6, 7)).astype(np.uint8), "a label map or mask"),
    (np.random.default_rng(1).integers(0, 256, (5, 6, 7)).astype(np.uint8), "an 8-bit picture"),
    (np.random.default_rng(1).integers(0, 4096, (5, 6, 7)).astype(np.int16), "rescale intercept"),
    (small_hu().astype(np.uint16), "negative numbers were stored as unsigned"),
    (np.random.default_rng(1).normal(0, 1, (5, 6, 7)), "windowed or normalised"),
    (np.random.default_rng(1).integers(-160, 240, (5, 6, 7)).astype(np.int16), "windowed or norm"),
    (np.full((5, 6, 7), np.nan), "holds no measured value"),
]


@pytest.mark.parametrize(("values", "sentence"), NOT_HU, ids=[s for _, s in NOT_HU])
def test_what_is_not_hu_is_refused(tmp_path: Path, values, sentence: str) -> None:
    with pytest.raises(NotHounsfield, match=sentence) as e:
        read_image(_nifti(tmp_path, values))
    assert e.value.code == "hu_range"


def test_intercept_left_out_is_seen_behind_padding(tmp_path: Path) -> None:
    raw = small_hu(shape=(3, 20, 20)) + 1024
    raw[:, :, :3] = -2000
    geometry = Geometry.from_spacing((3, 20, 20), (2, 1, 1), (5, 5, 5))
    with pytest.raises(NotHounsfield, match="rescale intercept"):
        read_image(_nifti(tmp_path, raw, geometry))


def test_no_file_folder_and_other_formats(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="There is no file") as e:
        read_image(tmp_path / "none.nii")
    assert e.value.code == "not_found"
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(UnreadableFile, match="is a folder"):
        read_image(tmp_path / "folder.nii")
    other = tmp_path / "scan.png"
    other.write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=r"scan\.png is none of \.nii, "):
        read_image(other)
    assert not is_image_file(other)
    assert is_image_file(Path("a.b.NII.GZ"))


def _damage(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_files_cut_off_are_refused(tmp_path: Path, suffix: str, capfd) -> None:
    stored, affine = store(small_hu(), STRAIGHT)
    write = write_nifti if ".nii" in suffix else write_itk
    path = write(tmp_path / f"scan{suffix}", stored, affine)
    voxels = path.with_suffix(".raw") if suffix == ".mhd" else path
    _damage(voxels, voxels.stat().st_size - 30)
    with pytest.raises(UnreadableFile, match=f"scan{suffix} is damaged or cut off") as e:
        read_image(path)
    assert e.value.code == "damaged"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 400, b"\x1f\x8b" + b"\x07" * 99])
def test_rubbish_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="scan"):
        read_image(path)


def test_corrupt_gzip_is_refused(tmp_path: Path) -> None:
    path = _nifti(tmp_path, name="scan.nii.gz")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(bytes(raw))
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        read_image(path)


def test_header_pairs_are_not_read(tmp_path: Path) -> None:
    path = _nifti(tmp_path, magic=b"ni1")
    with pytest.raises(UnreadableFile, match="Analyze and header/image pairs are not read"):
        read_image(path)


def test_unknown_type_and_dimensions(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="data type 77 is unknown"):
        read_image(_nifti(tmp_path, datatype=77))
    with pytest.raises(UnreadableFile, match="gives 9 dimensions"):
        read_image(_nifti(tmp_path, dim=[9, 7, 6, 5, 1, 1, 1, 1]))
    with pytest.raises(UnreadableFile, match=r"gives the sizes \(7, -6, 5\)"):
        read_image(_nifti(tmp_path, dim=[3, 7, -6, 5, 1, 1, 1, 1]))


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = _nifti(tmp_path, dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
    with pytest.raises(UnreadableFile, match="claims 32767 x 32767 x 32767 voxels") as e:
        read_image(path)
    assert e.value.code == "too_large"
    path = _nifti(tmp_path, dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
    with pytest.raises(UnreadableFile, match="bytes cannot hold the 2000000000"):
        read_image(path)
    text = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 90000 90000 90000\n"
        "encoding: gzip\nendian: little\n\n"
    )
    (tmp_path / "big.nrrd").write_text(text)
    with pytest.raises(UnreadableFile, match="claims 90000 x 90000 x 90000 voxels"):
        read_image(tmp_path / "big.nrrd")


def test_the_limit_on_voxels_is_a_setting(tmp_path: Path) -> None:
    path = _nifti(tmp_path)
    read_image(path, Settings(max_voxels=210))
    with pytest.raises(UnreadableFile, match="more than the 209 that are read"):
        read_image(path, Settings(max_voxels=209))


@pytest.mark.parametrize("elsewhere", ["/etc/passwd", "../scan.raw", "C:\\scan.raw"])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_outside_the_folder_are_refused(tmp_path: Path, suffix: str, elsewhere: str) -> None:
    path = write_itk(tmp_path / f"scan{suffix}", *store(small_hu(), STRAIGHT))
    text = path.read_text()
    data = next(f.name for f in tmp_path.iterdir() if f != path)
    path.write_text(text.replace(data, elsewhere))
    with pytest.raises(UnreadableFile, match="voxels outside its own folder"):
        read_image(path)


def test_voxels_that_are_missing(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "scan.mhd", *store(small_hu(), STRAIGHT))
    path.with_suffix(".raw").unlink()
    with pytest.raises(UnreadableFile, match=r"in scan\.raw, which is not beside it"):
        read_image(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs another user")
def test_no_permission(tmp_path: Path) -> None:
    path = _nifti(tmp_path)
    path.chmod(0)
    code = (
        "import os,sys; os.setuid(65534)\n"
        "from pathlib import Path\n"
        "from ctlung.reading.image_file import readable_file\n"
        "from ctlung.errors import UnreadableFile\n"
        "try: readable_file(Path('scan.nii'))\n"
        "except UnreadableFile as e: print(e.code)\n"
    )
    # The child starts inside the folder: its parents may be closed to the other user.
    imports = "import nibabel, SimpleITK, scipy.ndimage, ctlung.reading.image_file\n"
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", imports + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "no_permission", done.stderr


def test_every_refusal_is_an_input_error() -> None:
    assert issubclass(UnreadableFile, InputError)
    assert issubclass(NotHounsfield, InputError)


@pytest.mark.data
@pytest.mark.parametrize("name", ["lctsc-101", "medseg-rp1", "cip-ct64", "lungctdiag-r168"])
def test_real_volumes_are_read(data_dir: Path, name: str) -> None:
    scan = read_image(data_dir / "volumes" / f"{name}.nii.gz")
    image = nib.load(data_dir / "volumes" / f"{name}.nii.gz")
    voxels = np.asarray(image.dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(scan.hu, np.clip(voxels, -1024, 3071))
    # RAS with negative x and y steps is LPS already.
    origin = scan.geometry.matrix[:3, 3] * (-1, -1, 1)
    np.testing.assert_allclose(origin, image.affine[:3, 3], atol=1e-4)
    assert scan.notices == ()


@pytest.mark.data
def test_a_volume_and_its_lungs_share_a_grid(data_dir: Path) -> None:
    scan = read_image(data_dir / "volumes" / "lctsc-101.nii.gz")
    lungs = data_dir / "volumes" / "lctsc-101.lungs.nii.gz"
    assert scan.source.stored is not None
    labels = np.asarray(nib.load(lungs).dataobj)
    assert scan.source.stored.to_canonical(labels).shape == scan.hu.shape
    inside = scan.hu[scan.source.stored.to_canonical(labels) > 0]
    assert np.median(inside) < -600
    with pytest.raises(NotHounsfield, match="a label map or mask"):
        read_image(lungs)


def test_no_header_gives_a_traceback(tmp_path: Path) -> None:
    good = _nifti(tmp_path, qform_code=1).read_bytes()
    rng = np.random.default_rng(8)
    path = tmp_path / "mutated.nii"
    refused = unnamed = 0
    for _ in range(600):
        raw = bytearray(good)
        for place in rng.integers(4, 348, rng.integers(1, 6)):
            raw[place] = rng.integers(0, 256)
        path.write_bytes(bytes(raw))
        try:
            scan = read_image(path, Settings(max_voxels=100_000))
        except InputError as e:
            refused += 1
            unnamed += "mutated.nii" not in str(e)
        else:
            assert np.isfinite(scan.geometry.matrix).all()
    assert 100 < refused < 600
    assert unnamed == 0
