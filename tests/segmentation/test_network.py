"""The lung network: the same as MONAI's, its devices, its windows."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from ctlung.errors import ModelError, WeightsAltered, WeightsMissing
from ctlung.segmentation import network
from ctlung.segmentation.network_input import N_CHANNELS
from ctlung.unet import Network, ResidualUNet, choose_device, load_unet
from ctlung.weights import LUNG_MODEL, load_weights, models_folder

WIDTHS = (4, 6, 8)
CPU = torch.device("cpu")
SHIPPED = models_folder() / LUNG_MODEL


def lung_unet(widths: tuple[int, ...]) -> ResidualUNet:
    return ResidualUNet(N_CHANNELS, network.N_CLASSES, widths)


def model_folder(folder: Path, widths: tuple[int, ...] = WIDTHS) -> Path:
    """A model with random weights, as one is stored."""
    import hashlib

    torch.manual_seed(5)
    tensors = lung_unet(widths).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.safetensors"
    save_file({k: v.numpy().astype(np.float16) for k, v in tensors.items()}, path)
    card = {
        "name": "test-model-1",
        "voxel_mm": 3.0,
        "widths": list(widths),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.mark.parametrize("widths", [WIDTHS, (4, 6, 8, 10, 10)])
@pytest.mark.filterwarnings("ignore")
def test_it_answers_as_monais_network_with_the_same_weights(widths: tuple[int, ...]) -> None:
    from monai.networks.nets import UNet

    torch.manual_seed(1)
    theirs = UNet(
        spatial_dims=3,
        in_channels=N_CHANNELS,
        out_channels=network.N_CLASSES,
        channels=widths,
        strides=(2,) * (len(widths) - 1),
        num_res_units=2,
        norm=("INSTANCE", {"affine": True}),
    ).eval()
    ours = lung_unet(widths).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, N_CHANNELS, 32, 48, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(10, [(0, 10)]), (144, [(0, 144)]), (160, [(0, 144), (16, 160)])],
)
def test_a_short_scan_is_seen_in_one_window(depth: int, expected: list[tuple[int, int]]) -> None:
    assert network.windows(depth) == expected


@pytest.mark.parametrize("depth", [145, 239, 240, 241, 400, 1000])
def test_windows_cover_every_slice_and_share_enough(depth: int) -> None:
    made = network.windows(depth)
    covered = np.zeros(depth, int)
    for start, stop in made:
        covered[start:stop] += 1
    assert covered.min() >= 1
    assert all(a[1] - b[0] >= network.OVERLAP for a, b in pairwise(made))


def test_probabilities_sum_to_one_on_a_grid_of_any_size() -> None:
    torch.manual_seed(2)
    run = network.probabilities(Network(lung_unet(WIDTHS).eval(), CPU, 4))
    hu = np.random.default_rng(0).uniform(-1000, 200, (9, 17, 13)).astype(np.float32)
    found = run(hu)
    assert found.shape == (4, *hu.shape)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_windows_are_joined_where_a_scan_is_long() -> None:
    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :1], -x[:, :1], x[:, :1], x[:, :1]], 1)

    run = network.probabilities(Network(Brightness(), CPU, 4))
    hu = np.random.default_rng(0).uniform(-1000, 200, (301, 5, 6)).astype(np.float32)
    short = np.concatenate([run(hu[:100]), run(hu[100:200]), run(hu[200:])], axis=1)
    np.testing.assert_allclose(run(hu), short, atol=1e-6)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    hu = np.random.default_rng(3).uniform(-1000, 200, (20, 24, 28)).astype(np.float32)
    folder = model_folder(tmp_path / "model")
    a = network.load_network("cpu", folder).probabilities(hu)
    b = network.load_network("cpu", folder).probabilities(hu)
    assert a.tobytes() == b.tobytes()


def test_the_number_of_threads_changes_no_bit() -> None:
    run = network.probabilities(
        load_unet(load_weights(SHIPPED), N_CHANNELS, network.N_CLASSES, CPU)
    )
    # Large enough that torch shares the work out.
    hu = np.random.default_rng(3).normal(-400, 500, (64, 96, 96)).astype(np.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(run(hu).tobytes())
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cpu:0", ""])
def test_an_unknown_device_is_a_wrong_argument(name: str) -> None:
    with pytest.raises(ValueError, match="known are auto, cpu, cuda and cuda:N"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(ModelError, match=r"is not there: this machine has [0-9]+ CUDA GPUs"):
        choose_device("cuda:99")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU


def test_weights_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"needs card.json and weights.safetensors"):
        network.load_network("cpu", tmp_path / "nothing")


def test_weights_that_were_altered(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    path = folder / "weights.safetensors"
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(bytes(stored))
    with pytest.raises(WeightsAltered, match="the file was changed or is damaged"):
        network.load_network("cpu", folder)


def test_weights_of_another_network(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["widths"] = [4, 6, 10]
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit the network"):
        network.load_network("cpu", folder)


def test_a_card_without_its_entries(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / "card.json").write_text('{"sha256": 3}', encoding="utf-8")
    with pytest.raises(WeightsAltered, match="sha256"):
        load_weights(folder)


def test_the_shipped_weights_are_those_of_their_card() -> None:
    weights = load_weights(SHIPPED)
    assert weights.name == LUNG_MODEL
    assert (SHIPPED / "CARD.md").is_file()
    size = (SHIPPED / "weights.safetensors").stat().st_size
    assert size < 10_000_000


def test_segmenting_never_imports_monai() -> None:
    code = (
        "import sys; from ctlung.segmentation.network import load_network; load_network('cpu'); "
        "assert 'torch' in sys.modules; assert 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
