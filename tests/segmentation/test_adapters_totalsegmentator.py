"""TotalSegmentator behind the protocol: with a stand-in always, its real program where there.

The stand-in reads the scan as NIfTI and marks lobes by where they lie in the patient. The real
program runs with random weights, for its own are a download. What is proved is the way there
and back, not accuracy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.chest import chest

from ctlung.errors import ModelError, WeightsMissing
from ctlung.geometry import Geometry
from ctlung.segmentation.adapters import load_adapter
from ctlung.segmentation.adapters_totalsegmentator import CLASSES
from ctlung.vocabulary import LOBE_LABELS
from ctlung.volume import Scan

COARSE = (8.0, 4.0, 4.4)
REAL = shutil.which(os.environ.get("CTLUNG_TOTALSEGMENTATOR", "TotalSegmentator"))
"""The real program, if there is one."""
RANDOM_WEIGHTS = Path(__file__).parent.parent / "support" / "random_nnunet.py"
DATASETS = ("291_organs", "292_vertebrae", "293_cardiac", "294_muscles", "295_ribs", "298_6mm")
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path

if sys.argv[1:] == ["--version"]:
    print("9.8.7")
    sys.exit()
import nibabel as nib
import numpy as np

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
home = Path(os.environ["TOTALSEG_HOME_DIR"])
seen = {{k: v for k, v in os.environ.items() if "proxy" in k.lower() or "TOTALSEG" in k}}
seen |= {{"arguments": sys.argv[1:], "config": json.loads((home / "config.json").read_text())}}
Path(os.environ["STAND_IN_LOG"]).write_text(json.dumps(seen))
trouble = os.environ.get("STAND_IN_TROUBLE")
if trouble == "fails":
    print("working", file=sys.stderr)
    print("RuntimeError: out of memory.", file=sys.stderr)
    sys.exit(3)
if trouble == "no_gpu":
    print("No GPU detected. Running on CPU. This can be very slow.")
image = nib.load(given["-i"])
hu = np.asarray(image.dataobj)
assert hu.dtype == np.int16
index = np.stack(np.indices(hu.shape), -1) + 0.0
right, front, head = np.moveaxis(index @ image.affine[:3, :3].T + image.affine[:3, 3], -1, 0)
middle = (np.array(hu.shape) - 1) / 2 @ image.affine[:3, :3].T + image.affine[:3, 3]
right, front, head = right > middle[0], front > middle[1], head > middle[2]
lung = (hu > -950) & (hu < -600)
masks = {{
    "lung_upper_lobe_left": ~right & head,
    "lung_lower_lobe_left": ~right & ~head,
    "lung_upper_lobe_right": right & head,
    "lung_middle_lobe_right": right & ~head & front,
    "lung_lower_lobe_right": right & ~head & ~front,
}}
out = Path(given["-o"])
out.mkdir()
affine = image.affine + (np.eye(4) * 0.5 if trouble == "grid" else 0)
for name, mask in masks.items():
    if trouble != "missing" or "middle" not in name:
        nib.save(nib.Nifti1Image((lung & mask).astype(np.uint8), affine), out / (name + ".nii.gz"))
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program and its weights in place; where the stand-in writes what it saw."""
    program = tmp_path / "bin" / "TotalSegmentator"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    weights = tmp_path / "weights"
    for name in DATASETS:
        fold = weights / f"Dataset{name}_1559subj" / "trainer__plans__3d_fullres" / "fold_0"
        fold.mkdir(parents=True)
        (fold / "checkpoint_final.pth").write_bytes(name.encode())
    monkeypatch.setenv("CTLUNG_TOTALSEGMENTATOR", str(program))
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(weights))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log.json"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("STAND_IN_TROUBLE", raising=False)
    return tmp_path / "log.json"


def _seen(log: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(log.read_text(encoding="utf-8"))
    return found


def _centres(labels: np.ndarray[Any, Any]) -> list[dict[int, float]]:
    places = {n: np.mean(np.nonzero(labels == n), axis=1) for n in range(1, 6)}
    return [{n: float(p[axis]) for n, p in places.items()} for axis in range(3)]


def test_lobes_come_back_where_they_belong(log: Path) -> None:
    c = chest(spacing=COARSE)
    segmenter = load_adapter("totalsegmentator", "cpu")
    found = segmenter.segment(c.scan)
    assert found.lobes is not None
    labels = found.lobes.labels
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
    # Canonical: slices grow headward, rows to the back, columns to the patient's left.
    z, y, x = _centres(labels)
    depth, _, width = labels.shape
    assert min(z[1], z[3]) > depth / 2 > max(z[2], z[4], z[5])
    assert min(x[1], x[2]) > width / 2 > max(x[3], x[4], x[5])
    assert y[4] < y[5]
    lung = (c.scan.hu > -950) & (c.scan.hu < -600)
    np.testing.assert_array_equal(labels > 0, lung)
    for side in (1, 2):
        inside = c.lung_map.labels == side
        assert float((found.lungs.labels[inside & lung] == side).mean()) > 0.99
    assert (segmenter.name, found.segmenter) == ("totalsegmentator-9.8.7",) * 2
    assert found.device == "cpu"
    assert found.weights_sha256 is not None
    assert [len(part) for part in found.weights_sha256.split("+")] == [64, 64]
    assert "five lobes of TotalSegmentator" in found.notices[0].sentence


def test_a_tilted_uneven_stack_goes_there_and_back(log: Path) -> None:
    c = chest(spacing=COARSE)
    depth = c.scan.hu.shape[0]
    matrix = c.scan.geometry.matrix.copy()
    matrix[1, 0] += 2.0
    positions = np.array(c.scan.geometry.slice_positions_mm)
    positions[depth // 2] += 1.0
    tilted = Geometry.from_affine(c.scan.hu.shape, matrix, positions.tolist())
    segmenter = load_adapter("totalsegmentator", "cpu")
    straight = segmenter.segment(c.scan).lungs.labels
    found = segmenter.segment(Scan(np.array(c.scan.hu), tilted)).lungs
    np.testing.assert_array_equal(found.labels, straight)
    assert found.geometry is tilted


def test_it_is_kept_off_the_network(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_adapter("totalsegmentator", "cpu").segment(chest(spacing=COARSE).scan)
    seen = _seen(log)
    assert seen["config"]["send_usage_stats"] is False
    proxies = {k: v for k, v in seen.items() if "proxy" in k.lower()}
    assert {"http_proxy", "https_proxy", "HTTPS_PROXY"} <= proxies.keys()
    assert set(proxies.values()) == {"http://127.0.0.1:9"}
    assert not {"NO_PROXY", "no_proxy"} & proxies.keys()
    assert seen["TOTALSEG_WEIGHTS_PATH"] == os.environ["TOTALSEG_WEIGHTS_PATH"]
    assert not Path(seen["TOTALSEG_HOME_DIR"]).exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("device", "asked", "ran"),
    [("auto", "gpu", "gpu"), ("cuda", "gpu", "cuda"), ("cuda:1", "gpu:1", "cuda:1")],
)
def test_devices(log: Path, device: str, asked: str, ran: str) -> None:
    found = load_adapter("totalsegmentator", device).segment(chest(spacing=COARSE).scan)
    assert _seen(log)["arguments"][-2:] == ["--device", asked]
    assert found.device == ran


def test_falling_back_to_the_cpu_is_told(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_TROUBLE", "no_gpu")
    found = load_adapter("totalsegmentator", "auto").segment(chest(spacing=COARSE).scan)
    assert found.device == "cpu"


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("fails", r"failed \(exit code 3\): RuntimeError: out of memory\. Run"),
        ("missing", r"9\.8\.7 left no readable lung_middle_lobe_right\.nii\.gz"),
        ("grid", r"returned lung_upper_lobe_left\.nii\.gz on another grid"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    log: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, sentence: str
) -> None:
    monkeypatch.setenv("STAND_IN_TROUBLE", trouble)
    segmenter = load_adapter("totalsegmentator", "cpu")
    with pytest.raises(ModelError, match=sentence):
        segmenter.segment(chest(spacing=COARSE).scan)


def test_a_missing_program_names_the_command(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTLUNG_TOTALSEGMENTATOR", str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match=r"nothing, which is no program.*ctlung\[totalseg") as e:
        load_adapter("totalsegmentator")
    assert e.value.code == "package_missing"
    monkeypatch.delenv("CTLUNG_TOTALSEGMENTATOR")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ModelError, match="can be named in CTLUNG_TOTALSEGMENTATOR"):
        load_adapter("totalsegmentator")


def test_the_program_on_the_path(log: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("CTLUNG_TOTALSEGMENTATOR")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert load_adapter("totalsegmentator").name == "totalsegmentator-9.8.7"


@pytest.mark.parametrize("gone", ["291_organs", "294_muscles", "298_6mm"])
def test_a_model_that_it_would_download_is_refused(log: Path, gone: str) -> None:
    # 294 is not used for lobes, but the program would fetch it all the same.
    folder = log.parent / "weights" / f"Dataset{gone}_1559subj"
    folder.rename(log.parent / "elsewhere")
    with pytest.raises(WeightsMissing, match=rf"never downloads any: \S+Dataset{gone[:3]}_\.\.\. "):
        load_adapter("totalsegmentator")
    assert not log.exists()


def test_a_model_without_its_checkpoint_is_refused(log: Path) -> None:
    (found,) = (log.parent / "weights").glob("Dataset298_*/*/fold_0/checkpoint_final.pth")
    found.unlink()
    with pytest.raises(WeightsMissing, match=r"totalseg_download_weights -t total"):
        load_adapter("totalsegmentator")


def test_weights_in_the_home_of_the_user(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH")
    monkeypatch.delenv("TOTALSEG_HOME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / ".totalsegmentator" / "nnunet" / "results"
    with pytest.raises(WeightsMissing, match="nnunet/results/Dataset291_"):
        load_adapter("totalsegmentator")
    place.parent.mkdir(parents=True)
    (tmp_path / "weights").rename(place)
    assert load_adapter("totalsegmentator").name == "totalsegmentator-9.8.7"
    (tmp_path / ".totalsegmentator").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path / "elsewhere"))
    assert load_adapter("totalsegmentator").name == "totalsegmentator-9.8.7"


@pytest.mark.long
@pytest.mark.skipif(REAL is None, reason="TotalSegmentator is not installed")
def test_real_code_with_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL is not None
    weights, home = tmp_path / "weights", tmp_path / "home"
    python = Path(REAL).parent / "python"
    subprocess.run([python, RANDOM_WEIGHTS, weights], check=True, capture_output=True)
    monkeypatch.setenv("CTLUNG_TOTALSEGMENTATOR", REAL)
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(weights))
    c = chest(spacing=COARSE)
    found = load_adapter("totalsegmentator", "cpu").segment(c.scan)
    assert found.device == "cpu"
    assert found.lobes is not None
    assert len(np.unique(found.lobes.labels)) == 6
    # The program turns any NIfTI itself; so it must see in one of other axes what it saw in ours.
    dz, dy, dx = c.scan.geometry.spacing_mm
    lps = nib.Nifti1Image(c.scan.hu.transpose(2, 1, 0).copy(), np.diag([-dx, -dy, dz, 1.0]))
    nib.save(lps, tmp_path / "scan.nii")
    home.mkdir()
    told = {"totalseg_id": "", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps(told), encoding="utf-8")
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(home))
    command = [REAL, "-i", tmp_path / "scan.nii", "-o", tmp_path / "own", "--device", "cpu"]
    command += ["--roi_subset", *CLASSES.values()]
    subprocess.run(command, check=True, capture_output=True)
    for number, lobe in LOBE_LABELS.items():
        own = np.asarray(nib.load(tmp_path / "own" / f"{CLASSES[lobe]}.nii.gz").dataobj)
        np.testing.assert_array_equal(own.transpose(2, 1, 0) > 0, found.lobes.labels == number)
