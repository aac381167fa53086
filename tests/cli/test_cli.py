"""The command line: exit codes, what goes where, and what never does."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.chest import VESSELS, Blob, chest
from support.dicom_files import Store, phantom, uid, write_series
from support.mask_files import Segment, series_uid, write_seg
from support.nifti_files import store, write_nifti
from typer.testing import CliRunner, Result

import ctlung
from ctlung import api
from ctlung.cli import app
from ctlung.errors import WeightsMissing
from ctlung.segmentation.load import SEGMENTERS
from ctlung.vocabulary import RESEARCH_USE

WHO = Store(
    spacing=(4.0, 2.0, 2.2),
    origin=(-175.0, -127.0, 2.0),
    patient="SECRETPATIENT",
    tags={
        "ConvolutionKernel": "B30f",
        "SliceThickness": "4",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    },
)
SECRETS = (
    "SECRETPATIENT",
    "Doe",
    "19700101",
    uid("SECRETPATIENT", "study"),
    uid("SECRETPATIENT", "study", "series"),
)
GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
FILES = [
    "lesions.label.txt",
    "lesions.nii.gz",
    "lungs.label.txt",
    "lungs.nii.gz",
    "measurements.csv",
    "overlay.png",
    "report.html",
    "report.json",
    "scan.nii.gz",
    "segments.seg.nrrd",
    "slices.csv",
]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in") / "series"
    write_series(folder, chest(blobs=(GLASS,), vessels=VESSELS).scan.hu, WHO)
    return folder


@pytest.fixture(autouse=True)
def _key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(b"a key of the tests, no secret")
    path.chmod(0o644)
    path.parent.chmod(0o755)
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(path))


def run(*arguments: object) -> Result:
    """In this process; what escapes as an exception fails the test."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _child(*arguments: object, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctlung", *(str(a) for a in arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **how,
    )


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def _refused(result: Result | subprocess.CompletedProcess[str], words: str) -> None:
    """Exit 1, one sentence on stderr, nothing on stdout."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert (code, result.stdout) == (1, ""), result.stderr
    assert result.stderr.startswith("ctlung: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def done(series: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """One run as users run it, in its own process."""
    out = tmp_path_factory.mktemp("done") / "out"
    key = out.parent / "key"
    key.write_bytes(b"a key of the tests, no secret")
    environment = {**os.environ, "CTLUNG_KEY_FILE": str(key)}
    return _child("segment", series, "-o", out, env=environment), out


def test_segment_writes_its_files(done: tuple[Any, Path]) -> None:
    result, out = done
    assert result.returncode == 0, result.stderr
    assert _names(out) == FILES


def test_segment_is_quiet_where_nobody_looks(done: tuple[Any, Path]) -> None:
    result, _ = done
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_segment_says_the_numbers_and_where_they_are(done: tuple[Any, Path]) -> None:
    result, out = done
    assert "CT number of the inflammatory area" in result.stdout
    assert "Chosen as the only usable series" in result.stdout
    assert f"Results in {out}; look at {out / 'report.html'} first." in result.stdout
    assert result.stdout.rstrip().endswith(RESEARCH_USE)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for notice in report["notices"]:
        assert notice["sentence"] in result.stdout


def test_no_name_no_number_no_uid_anywhere(done: tuple[Any, Path]) -> None:
    result, out = done
    for secret in SECRETS:
        assert secret not in result.stdout + result.stderr
        for path in out.iterdir():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)[:352]
            if path.suffix == ".png":
                content = _without_pixels(content)
            assert secret.encode() not in content, path.name
            assert secret not in path.name


def _without_pixels(png: bytes) -> bytes:
    """All chunks but the compressed pixels, in which any three letters may stand by chance."""
    kept, place = [], 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        if png[place + 4 : place + 8] != b"IDAT":
            kept.append(png[place : place + 12 + length])
        place += 12 + length
    return b"".join(kept)


def test_the_same_bytes_from_another_process(
    done: tuple[Any, Path], series: Path, tmp_path: Path
) -> None:
    assert run("segment", series, "-o", tmp_path / "again").exit_code == 0
    _, out = done
    different = [
        n for n in FILES if (out / n).read_bytes() != (tmp_path / "again" / n).read_bytes()
    ]
    assert different == []


def test_identifiers_when_asked_and_json_alone(series: Path, tmp_path: Path) -> None:
    result = run("segment", series, "-o", tmp_path / "out", "--identifiers", "--json", "--no-scan")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    stated = document["provenance"]["identifiers"]
    assert stated["patient_id"] == "SECRETPATIENT"
    assert stated["patient_name"] == "Doe^SECRETPATIENT"
    assert stated["series_uid"] == SECRETS[-1]
    assert "scan.nii.gz" not in _names(tmp_path / "out")


def test_masks_lie_on_the_file_they_came_from(tmp_path: Path) -> None:
    c = chest(blobs=(GLASS,), vessels=VESSELS)
    order, flips = (0, 2, 1), (True, False, True)
    path = write_nifti(tmp_path / "scan.nii", *store(c.scan.hu, c.scan.geometry, order, flips))
    assert run("segment", path, "-o", tmp_path / "out").exit_code == 0
    original = nib.load(path)
    for name in ("lungs.nii.gz", "lesions.nii.gz"):
        mask = nib.load(tmp_path / "out" / name)
        assert mask.shape == original.shape
        np.testing.assert_allclose(mask.affine, original.affine, atol=1e-4)
    truth, _ = store(c.lungs, c.scan.geometry, order, flips)
    found = np.asarray(nib.load(tmp_path / "out" / "lungs.nii.gz").dataobj)
    same = 2 * np.count_nonzero((found == truth) & (truth > 0))
    assert same / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.95


def test_a_setting_is_kept_in_the_report(series: Path, tmp_path: Path) -> None:
    result = run(
        "segment", series, "-o", tmp_path / "out", "--json", "--set", "thickness_warn_mm = 9"
    )
    assert json.loads(result.stdout)["provenance"]["settings"] == {"thickness_warn_mm": 9.0}


# lungs that the user has already


def _drawn(path: Path, **how: Any) -> Path:
    lungs = chest(blobs=(GLASS,), vessels=VESSELS).lungs
    return write_seg(
        path, [Segment(lungs == 1, "Lung R"), Segment(lungs == 2, "Lung L")], WHO, **how
    )


def test_lungs_that_are_given(series: Path, tmp_path: Path) -> None:
    path = _drawn(tmp_path / "seg.dcm")
    result = run("segment", series, "-o", tmp_path / "out", "--lungs", path, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["provenance"]["segmenter"] == "given"
    assert report["provenance"]["weights_sha256"] is None
    (notice,) = [n for n in report["notices"] if n["code"] == "given_lungs"]
    assert "given in a file; taken were 'Lung R' as right lung, 'Lung L'" in notice["sentence"]
    assert str(tmp_path) not in result.stdout
    assert not [s for s in (*SECRETS, series_uid(WHO)) if s in result.stdout]
    written = nib.load(tmp_path / "out" / "lungs.nii.gz")
    assert np.count_nonzero(np.asarray(written.dataobj)) == np.count_nonzero(
        chest(blobs=(GLASS,), vessels=VESSELS).lungs
    )


def test_lungs_that_cannot_be_used(series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    of_another = _drawn(tmp_path / "other.dcm", series="1.2.3")
    _refused(
        run("segment", series, "-o", out, "--lungs", of_another),
        "other.dcm was drawn on another series",
    )
    _refused(run("segment", series, "-o", out, "--lungs", tmp_path / "no"), "There is nothing at")
    small = write_nifti(tmp_path / "small.nii", np.ones((5, 6, 7), np.uint8), np.eye(4))
    _refused(
        run("segment", series, "-o", out, "--lungs", small),
        "small.nii does not lie on the grid of the scan",
    )
    assert not out.exists()


def test_a_model_that_cannot_be_used(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def load(name: str, device: str) -> None:
        asked.append((name, device))
        raise WeightsMissing("The weights are not there; install them.")

    monkeypatch.setattr(api, "load_segmenter", load)
    result = run("segment", series, "-o", tmp_path / "out", "--device", "cuda:1")
    _refused(result, "The weights are not there; install them.")
    assert asked == [("default", "cuda:1")]


# refusals: exit 1


def test_an_existing_folder(series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    _refused(run("segment", series, "-o", out), "exists already and was left as it is")
    _refused(run("segment", series, "-o", out, "--force"), "is not an earlier result of ctlung")
    assert _names(out) == ["notes.txt"]


def test_force_replaces_a_result(done: tuple[Any, Path], series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    _refused(run("segment", series, "-o", out), "exists already")
    assert run("segment", series, "-o", out, "--force", "--no-scan").exit_code == 0
    assert _names(out) == [n for n in FILES if n != "scan.nii.gz"]
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "nothing", "There is nothing at"),
        (lambda p: _folder(p / "empty"), "The folder is empty"),
        (lambda p: _folder(p / "text", "readme.txt"), "There is no DICOM file here"),
        (lambda p: _series(p / "noise"), "No lungs were found"),
    ],
)
def test_what_cannot_be_measured(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    result = run("segment", path, "-o", tmp_path / "out")
    _refused(result, words)
    assert not (tmp_path / "out").exists()


def _folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("words")
    return path


def _series(path: Path) -> Path:
    write_series(path, phantom())
    return path


def test_a_key_file_that_is_no_key(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTLUNG_KEY_FILE", str(tmp_path / "no"))
    _refused(run("segment", series, "-o", tmp_path / "out"), "CTLUNG_KEY_FILE names cannot be read")
    assert _names(tmp_path) == []


def test_a_series_that_is_not_there(series: Path, tmp_path: Path) -> None:
    result = run("segment", series, "-o", tmp_path / "out", "--series", "1.2.3")
    _refused(result, "There is no series with the UID 1.2.3")


# wrong usage: exit 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment",), "SCAN"),
        (("segment", "x"), "--out"),
        (("segmnet", "x"), "No such command"),
        (("segment", "x", "-o", "y", "--colour"), "No such option"),
        (("segment", "x", "-o", "y", "--set", "nonsense=1"), "there is no setting 'nonsense'"),
        (("segment", "x", "-o", "y", "--set", "noise_warn_hu=much"), "takes a number, not 'much'"),
        (("segment", "x", "-o", "y", "--segmenter", "magic"), "magic"),
        (
            ("segment", "x", "-o", "y", "--set", "consolidation_lower_hu=-800"),
            "ground_glass_lower_hu (-750) lies above consolidation_lower_hu (-800)",
        ),
        (("segment", "x", "-o", "y", "--set", "noise_warn_hu=nan"), "takes a number, not 'nan'"),
        (("segment", "x", "-o", "y", "--device", "gpu"), "there is no device 'gpu'"),
        (
            ("segment", "x", "-o", "y", "--lungs", "z", "--segmenter", "threshold"),
            "leave --segmenter out",
        ),
    ],
)
def test_wrong_usage(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert _names(tmp_path) == []


def test_version_and_help() -> None:
    assert run("--version").stdout == f"ctlung {ctlung.__version__}\n"
    for arguments in (("--help",), ("segment", "--help"), ("check", "-h")):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage" in result.stdout
    assert RESEARCH_USE in run("--help").stdout


def test_help_names_every_segmenter() -> None:
    shown = " ".join(run("segment", "--help").stdout.replace("│", " ").split())
    assert [name for name in SEGMENTERS if name not in shown] == []


# check


def test_check_says_what_is_there(series: Path) -> None:
    result = run("check", series)
    assert result.exit_code == 0
    assert "usable | series" in result.stdout
    assert "60 slices" in result.stdout
    assert "Chosen as the only usable series" in result.stdout
    assert "SECRETPATIENT" not in result.stdout


def test_check_as_json(series: Path) -> None:
    result = run("check", series, "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "ctlung.check/1"
    assert document["usable"] is True
    assert document["refusal"] is None
    assert [s["n_slices"] for s in document["series"]] == [60]
    assert "SECRETPATIENT" not in result.stdout


def test_check_of_nothing_usable_is_exit_1(tmp_path: Path) -> None:
    result = run("check", _folder(tmp_path / "text", "readme.txt"))
    assert result.exit_code == 1
    assert result.stderr.startswith("ctlung: There is no DICOM file here")
    asked = run("check", tmp_path / "text", "--json")
    assert asked.exit_code == 1
    assert json.loads(asked.stdout)["usable"] is False


def test_check_of_several_visits_lists_them(tmp_path: Path) -> None:
    hu = phantom()
    write_series(tmp_path / "in" / "a", hu, Store(patient="ONE"))
    write_series(tmp_path / "in" / "b", hu, Store(patient="TWO"))
    result = run("check", tmp_path / "in")
    assert result.exit_code == 1
    assert "There are 2 visits of 2 patients here; name the series to measure" in result.stderr
    assert uid("ONE", "study", "series") in result.stderr
    assert "ONE" not in result.stdout + result.stderr


# the machine says no


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may reach; pytest's own they may not."""
    folder = Path(tempfile.mkdtemp(prefix="ctlung-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


_NOBODY = """
import os, sys
import ctlung.api, ctlung.cli, ctlung.segmentation.network, ctlung.writing.tables
from typer.testing import CliRunner
CliRunner().invoke(ctlung.cli.app, ["--help"])  # loads what this user may not read
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from ctlung.cli import main
sys.argv[0] = "ctlung"
main()
"""


def _as_nobody(*arguments: object, key: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CTLUNG_KEY_FILE": str(key), "MPLCONFIGDIR": str(key.parent)}
    return subprocess.run(
        [sys.executable, "-c", _NOBODY, *(str(a) for a in arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


@pytest.fixture
def open_key(open_folder: Path) -> Path:
    key = open_folder / "key"
    key.write_bytes(b"a key of the tests, no secret")
    key.chmod(0o644)
    return key


def test_a_place_that_may_not_be_written(open_folder: Path, open_key: Path) -> None:
    write_series(open_folder / "in", phantom())
    locked = open_folder / "locked"
    locked.mkdir(mode=0o555)
    locked.chmod(0o555)
    result = _as_nobody("segment", open_folder / "in", "-o", locked / "out", key=open_key)
    _refused(result, "may not be written (permission denied); name a folder that you may write to")
    assert _names(locked) == []


def test_an_input_that_may_not_be_read(open_folder: Path, open_key: Path) -> None:
    write_series(open_folder / "in", phantom())
    (open_folder / "in").chmod(0o000)
    writable = open_folder / "results"
    writable.mkdir()
    writable.chmod(0o777)
    result = _as_nobody("segment", open_folder / "in", "-o", writable / "out", key=open_key)
    (open_folder / "in").chmod(0o755)
    _refused(result, "No permission to read what is in this folder; ask its owner")
    assert _names(writable) == []


def _little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_disk_that_fills_up(series: Path, tmp_path: Path) -> None:
    result = _child("segment", series, "-o", tmp_path / "out", preexec_fn=_little_room)
    _refused(result, "is full; nothing was left there. Free some space")
    assert _names(tmp_path) == []


def test_a_small_disk(series: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        result = run("segment", series, "-o", disk / "out")
        _refused(result, "is full; nothing was left there. Free some space")
        assert _names(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


_WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ctlung import api
def wait(*args, **more):
    print("at work", flush=True)
    time.sleep(60)
api.segment = wait
from ctlung.cli import main
sys.argv[0] = "ctlung"
main()
"""


def test_interrupted_is_130(series: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _WAITING, "segment", str(series), "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "at work\n"
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
        assert child.wait(30) == 130
    assert said == "ctlung: interrupted; nothing was left half written.\n"
    assert _names(tmp_path) == []
