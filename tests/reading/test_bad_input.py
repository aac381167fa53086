"""Bad input ends in a named error with a sentence: never a traceback, never a wrong number."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from support.dicom_files import (
    Store,
    other_object,
    phantom,
    slice_dataset,
    write,
    write_enhanced,
    write_series,
)

from ctlung.errors import (
    CtlungError,
    NoSeriesFound,
    NotChestCT,
    NotHounsfield,
    UnreadableFile,
)
from ctlung.reading.scan import read_scan
from ctlung.settings import Settings

HU = phantom()
MR = "1.2.840.10008.5.1.4.1.1.4"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="There is nothing at") as error:
        read_scan(tmp_path / "no")
    assert error.value.code == "not_found"


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NoSeriesFound, match=r"no DICOM file here\. The folder is empty\. Give"):
        read_scan(tmp_path)


def test_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("not a scan")
    (tmp_path / "b.dcm").write_text("neither")
    (tmp_path / "c").touch()
    with pytest.raises(NoSeriesFound, match=r"no DICOM file here\. Set aside: 3 x not DICOM"):
        read_scan(tmp_path)


def test_image_files_in_a_folder_are_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(NoSeriesFound, match="1 of them NIfTI, NRRD or MetaImage: give such a file"):
        read_scan(tmp_path)


def test_magnetic_resonance(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"Modality": "MR", "SOPClassUID": MR}))
    with pytest.raises(NotChestCT, match="7 x MR, not CT") as error:
        read_scan(tmp_path)
    assert error.value.code == "not_ct"


@pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
def test_no_rescale(tmp_path: Path, tag: str) -> None:
    write_series(tmp_path, HU, Store(slice_tags=lambda k: {tag: None} if k == 3 else {}))
    with pytest.raises(NotHounsfield, match="RescaleSlope or RescaleIntercept is missing") as e:
        read_scan(tmp_path)
    assert e.value.code == "no_rescale"


@pytest.mark.parametrize("kind", ["US", "HU_MOD", "Z_EFF", "ed", "MGML"])
def test_other_rescale_types(tmp_path: Path, kind: str) -> None:
    write_series(tmp_path, HU, Store(tags={"RescaleType": kind}))
    with pytest.raises(NotHounsfield, match=f"RescaleType is {kind.upper()}, so the values"):
        read_scan(tmp_path)


@pytest.mark.parametrize("kind", ["HU", "hounsfield", "Houndsfield Unit", "", None])
def test_known_rescale_types(tmp_path: Path, kind: str | None) -> None:
    write_series(tmp_path, HU, Store(tags={"RescaleType": kind}))
    assert read_scan(tmp_path).notices == ()


def test_free_rescale_type_is_told(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"RescaleType": "normalised"}))
    (notice,) = read_scan(tmp_path).notices
    assert (notice.code, notice.effect) == ("rescale_type", "warn")
    assert "normalised" in notice.sentence


def test_modality_lut(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    write_series(tmp_path, HU, Store(tags={"ModalityLUTSequence": [Dataset()]}))
    with pytest.raises(NotHounsfield, match="Modality LUT"):
        read_scan(tmp_path)


def test_colours(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"PhotometricInterpretation": "PALETTE COLOR"}))
    with pytest.raises(NotHounsfield, match=r"colours \(PALETTE COLOR\)"):
        read_scan(tmp_path)


def test_enhanced_object_that_is_no_hu(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a", HU, rescale_type="US")
    with pytest.raises(NotHounsfield, match="RescaleType is US"):
        read_scan(tmp_path)


def test_enhanced_object_without_positions(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a", HU, shared_position=True)
    with pytest.raises(CtlungError, match="nothing says where they lie"):
        read_scan(tmp_path)


def test_pixels_cut_short(tmp_path: Path) -> None:
    paths = write_series(tmp_path, HU)
    data = paths[2].read_bytes()
    paths[2].write_bytes(data[:-20])
    with pytest.raises(UnreadableFile, match="slice 3 of 7, counted from the feet, is damaged"):
        read_scan(tmp_path)


def cut(data: bytes, how: str) -> bytes:
    """A stream that lost its second half, as archives and networks do it."""
    half = data[: len(data) // 2]
    tails = {"half": b"", "end marker": b"\xff\xd9", "zeros": b"\0" * (len(data) - len(half))}
    return half + tails[how]


@pytest.mark.parametrize("how", ["half", "end marker", "zeros"])
@pytest.mark.parametrize("syntax", ["jpeg_ls", "jpeg_lossless", "jpeg_2000", "htj2k", "rle"])
def test_stream_cut_short(
    tmp_path: Path, syntax: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = write_series(tmp_path, phantom((3, 64, 64)), Store(syntax=syntax))
    dataset = dcmread(paths[1])
    dataset.PixelData = encapsulate([cut(get_frame(dataset.PixelData, 0), how)])
    dataset.save_as(paths[1])
    with pytest.raises(UnreadableFile, match="slice 2 of 3, counted from the feet, is damaged"):
        read_scan(tmp_path)
    assert capfd.readouterr().err == ""


def test_a_decoder_that_panics_takes_nothing_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """pylibjpeg-rle panics (no Exception) where a segment is longer than it should be."""
    (path,) = write_series(tmp_path, HU[:1], Store(syntax="rle"))
    dataset = dcmread(path)
    data = bytearray(get_frame(dataset.PixelData, 0))
    data[64:] = b"\0" * len(data[64:])
    data += b"\0" * 3000
    dataset.PixelData = encapsulate([bytes(data)])
    dataset.save_as(path)
    with pytest.raises(UnreadableFile, match="compressed pixels cannot be decoded"):
        read_scan(tmp_path)
    assert capfd.readouterr().err == ""


def test_stream_of_another_size(tmp_path: Path) -> None:
    """The decoder would believe the stream and take memory for it."""
    paths = write_series(tmp_path, HU, Store(syntax="jpeg_ls"))
    big = slice_dataset(Store(syntax="jpeg_ls"), phantom((1, 100, 90)), 0)
    dataset = dcmread(paths[0])
    dataset.PixelData = big.PixelData
    dataset.save_as(paths[0])
    with pytest.raises(UnreadableFile, match="do not have the size that its header says"):
        read_scan(tmp_path)


def test_unknown_encoding(tmp_path: Path) -> None:
    paths = write_series(tmp_path, HU, Store(syntax="jpeg_ls"))
    for path in paths:
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        dataset.save_as(path)
    with pytest.raises(UnreadableFile, match=r"encoding MPEG2 .* is not one that ctlung reads"):
        read_scan(tmp_path)


def test_damaged_header_is_told(tmp_path: Path) -> None:
    paths = write_series(tmp_path, HU)
    paths[-1].write_bytes(paths[-1].read_bytes()[:300])
    scan = read_scan(tmp_path)
    effects = {n.code: n.effect for n in scan.notices}
    assert effects["set_aside"] == "warn"


def test_absurd_rows(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Store(tags={"Rows": 60000, "Columns": 60000}))
    with pytest.raises(UnreadableFile, match="60000 rows and 60000 columns") as error:
        read_scan(tmp_path)
    assert error.value.code == "absurd_size"


def test_absurd_frames(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a", HU, Store(tags={"NumberOfFrames": 2_000_000_000}))
    with pytest.raises(UnreadableFile, match="claims 2000000000 frames"):
        read_scan(tmp_path)


def test_more_frames_than_described(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a", HU, Store(tags={"NumberOfFrames": 9}))
    with pytest.raises(UnreadableFile, match="claims 9 frames but describes 7"):
        read_scan(tmp_path)


def test_too_many_voxels(tmp_path: Path) -> None:
    write_series(tmp_path, HU)
    with pytest.raises(UnreadableFile, match=r"7 slices of 12 x 10 .*limit 6000 slices and 500"):
        read_scan(tmp_path, settings=Settings(max_voxels=500))


def test_deflated_bomb(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, HU[:1], Store(syntax="deflated"))
    data = path.read_bytes()
    start = data.index(b"1.2.840.10008.1.2.1.99")
    # The deflated part begins where the file meta group ends, as its length element says.
    begin = 132 + 12 + int.from_bytes(data[140:144], "little")
    assert begin > start
    plain = zlib.decompress(data[begin:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(plain) + packer.compress(b"\0" * 80_000_000) + packer.flush()
    path.write_bytes(data[:begin] + bomb)
    assert path.stat().st_size < 200_000
    with pytest.raises(UnreadableFile, match="inflates to far more"):
        read_scan(tmp_path)


def test_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 40_000_000)
    for path in (tmp_path, tmp_path / "a.zip"):
        with pytest.raises(UnreadableFile, match=r"unpacks to \d+ times its size \(limit 200\)"):
            read_scan(path)


def test_zip_of_many_files_or_too_large(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(30):
            archive.writestr(f"{i}", b"x" * 1000)
    with pytest.raises(UnreadableFile, match=r"holds 30 entries \(limit 20\)"):
        read_scan(tmp_path / "a.zip", settings=Settings(max_zip_members=20))
    with pytest.raises(UnreadableFile, match=r"unpacks to 0\.0 GB"):
        read_scan(tmp_path / "a.zip", settings=Settings(max_zip_bytes=20_000))


def test_zip_names_lead_nowhere(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "files", HU)
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "a.zip", "w") as archive:
        for i, path in enumerate(paths):
            archive.writestr(f"../../escaped{i}", path.read_bytes())
        archive.writestr("/etc/absolute", b"x")
    scan = read_scan(inside)
    np.testing.assert_array_equal(scan.hu, HU)
    assert sorted(p.name for p in inside.iterdir()) == ["a.zip"]
    assert not list(tmp_path.glob("escaped*"))


def test_damaged_and_encrypted_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04" + b"x" * 100)
    with pytest.raises(UnreadableFile, match="zip archive is damaged"):
        read_scan(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"secret")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableFile, match="encrypted or damaged"):
        read_scan(path)


def test_dicomdir_is_not_followed(tmp_path: Path) -> None:
    write_series(tmp_path / "outside", HU)
    inside = tmp_path / "inside"
    other_object(inside / "DICOMDIR", "1.2.840.10008.1.3.10", "", FileSetID="OUTSIDE")
    with pytest.raises(NoSeriesFound, match="1 x a DICOMDIR index"):
        read_scan(inside)


def test_links_to_folders_and_pipes_are_left_alone(tmp_path: Path) -> None:
    write_series(tmp_path / "outside", HU)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(inside / "pipe")
    with pytest.raises(NoSeriesFound, match="no DICOM file here"):
        read_scan(inside)


def test_no_name_or_number_of_the_patient_is_ever_said(tmp_path: Path) -> None:
    store = Store(patient="SECRET", tags={"PatientName": "SECRET^NAME"})
    paths = write_series(tmp_path, HU, store, name=lambda i: f"SECRET{i}.dcm")
    paths[0].write_bytes(paths[0].read_bytes()[:-10])
    with pytest.raises(UnreadableFile) as error:
        read_scan(tmp_path)
    assert "SECRET" not in str(error.value)
    assert "SECRET" not in repr(error.value)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may search, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


_CHILD = """
import os, sys
from ctlung.errors import CtlungError
from ctlung.reading.scan import read_scan
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    read_scan(sys.argv[1])
except CtlungError as error:
    print(type(error).__name__, error.code, error)
"""


def as_nobody(path: Path) -> str:
    """What reading a path says to a user without rights."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_no_permission_for_one_file(open_folder: Path) -> None:
    paths = write_series(open_folder / "scan", HU)
    paths[-1].chmod(0o000)
    said = as_nobody(open_folder / "scan")
    assert said.startswith("UnreadableFile no_permission 1 files or folders here may not be read")


def test_no_permission_at_all(open_folder: Path) -> None:
    write_series(open_folder / "scan", HU)
    (open_folder / "scan").chmod(0o000)
    assert as_nobody(open_folder / "scan").startswith(
        "UnreadableFile no_permission No permission to read what is in this folder"
    )
    assert as_nobody(open_folder / "scan" / "000.dcm").startswith(
        "UnreadableFile no_permission No permission to read this path"
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "kind", "sentence"),
    [
        ("enhanced-ct", NotHounsfield, "a perfusion map, not in Hounsfield units"),
        ("localizer", NotChestCT, "2 x a localizer"),
        ("mr-transfer-syntaxes", NotChestCT, "9 x MR, not CT"),
        ("ricord-derived-reformats", NoSeriesFound, "6 x a multiplanar or curved reformat"),
        ("sr-dcmqi", NotChestCT, "1 x SR, not CT"),
        ("truncated-jpeg2000", UnreadableFile, "slice 1 of 4, counted from the feet, is damaged"),
    ],
)
def test_odd_objects(data_dir: Path, folder: str, kind: type[CtlungError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        read_scan(data_dir / "odd" / folder)


@pytest.mark.parametrize("kind", ["plain", "multiframe", "deflated", "implicit"])
def test_a_thousand_accidents_end_in_named_errors(tmp_path: Path, kind: str) -> None:
    """Bytes changed, lost or added anywhere: a scan or a named error, nothing else."""
    path = tmp_path / "one.dcm"
    if kind == "multiframe":
        write_enhanced(path, HU[:2])
    else:
        syntax = "explicit" if kind == "plain" else kind
        write(slice_dataset(Store(syntax=syntax), HU[:1], 0), path)
    whole = path.read_bytes()
    chance = random.Random(kind)
    refused = 0
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 2, 8])):
            at = chance.randrange(128, len(data))
            change = chance.choice(["set", "lose", "add"])
            if change == "set":
                data[at] = chance.randrange(256)
            elif change == "lose":
                del data[at : at + chance.randrange(1, 30)]
            else:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
        path.write_bytes(data)
        try:
            read_scan(path)
        except CtlungError:
            refused += 1
    assert 0 < refused < 250
