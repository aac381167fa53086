"""The learned finder around its network; here a stand-in that knows the answer by density."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support.chest import Blob, Chest, chest

from ctlung.arrays import Float32Array
from ctlung.errors import GeometryMismatch, ModelError
from ctlung.geometry import Geometry
from ctlung.lesions.finder import find_lesions
from ctlung.lesions.learned import LearnedFinder
from ctlung.lesions.network import N_CLASSES, load_learned, probabilities
from ctlung.lesions.network_input import (
    ABOVE_PEAK_HU,
    DEFAULT_PEAK_HU,
    N_CHANNELS,
    SOFT_HU,
    WIDE_HU,
    aerated_peak,
    channels,
)
from ctlung.unet import Network, ResidualUNet
from ctlung.vocabulary import LUNG_LABELS
from ctlung.volume import LabelMap

GLASS = Blob((130, 20, -85), (25, 22, 20), -500)
DENSE = Blob((120, 20, 85), (20, 20, 20), 20)


def _by_density(given: Float32Array) -> Float32Array:
    """Dense voxels of the lung that lie among dense ones."""
    from scipy import ndimage

    hu = (given[0] + 1) / 2 * (WIDE_HU[1] - WIDE_HU[0]) + WIDE_HU[0]
    lung = given[3] > 0
    share = ndimage.uniform_filter((lung & (hu > -650)).astype(np.float32), 3)
    thick = share > 0.5 * ndimage.uniform_filter(lung.astype(np.float32), 3)
    solid = ndimage.maximum_filter(ndimage.uniform_filter(hu, 5) > -250, 7)
    glass, dense = thick & lung & ~solid, thick & lung & solid
    return np.stack([~(glass | dense), glass, dense]).astype(np.float32)


def _find(c: Chest, look: object = _by_density) -> np.ndarray:
    finder = LearnedFinder("test", "", look)  # type: ignore[arg-type]
    return np.asarray(find_lesions(finder, c.scan, c.lung_map).labels)


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.2), (2.5, 1.0, 1.1)])
def test_volume_and_kind_come_back_at_native_resolution(
    spacing: tuple[float, float, float],
) -> None:
    c = chest(blobs=(GLASS, DENSE), spacing=spacing, z_mm=(80, 200))
    found = _find(c)
    for blob, label in ((GLASS, 1), (DENSE, 2)):
        mine = found[(c.lesions > 0) & _near(c, blob)]
        assert (mine == label).mean() > 0.9
        volume = c.ml((found > 0) & _near(c, blob))
        assert volume == pytest.approx(blob.volume_ml, rel=0.06)


def _near(c: Chest, blob: Blob) -> np.ndarray:
    """The lung that the blob lies in, as a half of the picture."""
    columns = np.arange(c.scan.hu.shape[2])
    right = columns < len(columns) / 2
    return np.broadcast_to(right == (blob.centre[2] < 0), c.scan.hu.shape)


def test_nothing_is_found_where_the_network_sees_nothing() -> None:
    c = chest(blobs=(GLASS,), spacing=(4.0, 2.0, 2.2), z_mm=(80, 200))

    def nothing(given: Float32Array) -> Float32Array:
        out = np.zeros((3, *given.shape[1:]), np.float32)
        out[0] = 1
        return out

    assert not _find(c, nothing).any()


def test_each_lung_is_seen_alone() -> None:
    c = chest(spacing=(4.0, 2.0, 2.2), z_mm=(80, 200))
    seen = []

    def look(given: Float32Array) -> Float32Array:
        seen.append(int((given[3] > 0).sum()))
        return np.zeros((3, *given.shape[1:]), np.float32)

    _find(c, look)
    voxel_ml = 0.008
    truth = [c.ml(c.lung_map.labels == side) for side in (1, 2)]
    assert [n * voxel_ml for n in seen] == pytest.approx(truth, rel=0.02)


def test_lungs_must_lie_on_the_scans_grid() -> None:
    c = chest(spacing=(4.0, 2.0, 2.2), z_mm=(80, 200))
    other = Geometry.from_spacing(c.scan.geometry.shape, (5.0, 2.0, 2.2))
    finder = LearnedFinder("test", "", _by_density)
    with pytest.raises(GeometryMismatch):
        find_lesions(finder, c.scan, LabelMap(np.asarray(c.lung_map.labels), other, LUNG_LABELS))


def test_the_peak_is_that_of_aerated_lung() -> None:
    rng = np.random.default_rng(1)
    hu = rng.normal(-842, 30, (20, 20, 20)).astype(np.float32)
    hu[:6] = rng.normal(20, 30, (6, 20, 20))
    assert aerated_peak(hu, np.ones(hu.shape, bool)) == pytest.approx(-842, abs=8)
    assert aerated_peak(hu + 1000, np.ones(hu.shape, bool)) == DEFAULT_PEAK_HU


def test_channels_are_windows_from_minus_one_to_one() -> None:
    hu = np.array([[[-2000, -1024, 100, 3000, 25, -800]]], np.float32)
    lung = np.array([[[False, True, False, True, True, False]]])
    given = channels(hu, lung, -900.0)
    assert given[0, 0, 0, :4].tolist() == [-1, -1, 1, 1]
    for n, at, hu, (low, high) in (
        (1, 4, 25, SOFT_HU),
        (2, 5, -800, (ABOVE_PEAK_HU[0] - 900, ABOVE_PEAK_HU[1] - 900)),
    ):
        assert given[n, 0, 0, at] == pytest.approx((hu - low) / (high - low) * 2 - 1)
    assert given[3, 0, 0].tolist() == [-1, 1, -1, 1, 1, -1]


def test_the_network_takes_any_size_and_sums_to_one() -> None:
    torch.manual_seed(2)
    net = ResidualUNet(N_CHANNELS, N_CLASSES, (4, 6, 8)).eval()
    run = probabilities(Network(net, torch.device("cpu"), 4))
    given = np.random.default_rng(0).uniform(-1, 1, (N_CHANNELS, 9, 17, 13)).astype(np.float32)
    found = run(given)
    assert found.shape == (3, 9, 17, 13)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_model_folder_is_loaded_and_a_lung_model_refused(tmp_path: Path) -> None:
    import hashlib

    def folder(name: str, classes: int) -> Path:
        torch.manual_seed(5)
        tensors = ResidualUNet(N_CHANNELS, classes, (4, 6, 8)).state_dict()
        made = tmp_path / name
        made.mkdir()
        path = made / "weights.safetensors"
        save_file({k: v.numpy().astype(np.float16) for k, v in tensors.items()}, path)
        card = {
            "name": name,
            "voxel_mm": 2.0,
            "widths": [4, 6, 8],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        (made / "card.json").write_text(json.dumps(card), encoding="utf-8")
        return made

    finder = load_learned("cpu", folder("test-lesions-1", N_CLASSES))
    assert (finder.name, len(finder.weights_sha256)) == ("test-lesions-1", 64)
    with pytest.raises(ModelError, match="do not fit the network"):
        load_learned("cpu", folder("test-lungs-1", 4))
