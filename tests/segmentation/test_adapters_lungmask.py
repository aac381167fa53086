"""lungmask behind the protocol: with a stand-in always, with its real code where installed.

Its real weights are a download, so the real code runs here with random weights, and with a
network that marks places: what is proved is the way there and back, not accuracy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.chest import Chest, chest

from ctlung.errors import ModelError, WeightsMissing
from ctlung.geometry import Geometry
from ctlung.segmentation.adapters import load_adapter
from ctlung.segmentation.adapters_lungmask import LungmaskSegmenter
from ctlung.volume import Scan

Array = np.ndarray[Any, Any]
URLS = {
    "R231": ("https://example.org/releases/v0.0/unet_r231-d5d2fc3d.pth", 3),
    "LTRCLobes": ("https://example.org/releases/v0.0/unet_ltrclobes-3a07043d.pth", 6),
}
COARSE = (8.0, 3.0, 3.0)
real = pytest.mark.skipif(
    importlib.util.find_spec("lungmask") is None,
    reason="lungmask is not installed (pip install 'ctlung[lungmask]')",
)


class _Model:
    """Moves only to a GPU that is there: number 0."""

    def __init__(self) -> None:
        self.device = "cpu"

    def to(self, device: str) -> None:
        if device not in ("cuda", "cuda:0"):
            raise RuntimeError("CUDA error: invalid device ordinal\nmore")
        self.device = device


class _StandIn:
    """What ctlung uses of ``lungmask.mask.LMInferer``."""

    answer: Callable[[Array], Array] = staticmethod(lambda image: np.zeros(image.shape, np.uint8))
    made: list[_StandIn] = []  # noqa: RUF012

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.model, self.fillmodelm = _Model(), None
        if "fillmodel_path" in given:
            self.fillmodelm = _Model()
        self.device = "cpu"
        self.made.append(self)

    def apply(self, image: Array) -> Array:
        logging.getLogger("lungmask").error("talk")
        warnings.warn("the user's business", UserWarning, stacklevel=1)
        return type(self).answer(image)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of torch's downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[_StandIn]:
    class Fresh(_StandIn):
        made: list[_StandIn] = []  # noqa: RUF012

    package, mask = types.ModuleType("lungmask"), types.ModuleType("lungmask.mask")
    mask.MODEL_URLS, mask.LMInferer = URLS, Fresh  # type: ignore[attr-defined]
    package.mask = mask  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lungmask", package)
    monkeypatch.setitem(sys.modules, "lungmask.mask", mask)
    return Fresh


def _put_weights(cache: Path) -> tuple[Path, Path]:
    paths = tuple(cache / URLS[m][0].rsplit("/", 1)[-1] for m in ("R231", "LTRCLobes"))
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths[0], paths[1]


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lungmask", None)
    with pytest.raises(ModelError, match=r"pip install 'ctlung\[lungmask\]'") as caught:
        load_adapter("lungmask")
    assert caught.value.code == "package_missing"


def test_missing_weights_are_refused_before_lungmask_is_asked(
    cache: Path, stand_in: type[_StandIn]
) -> None:
    with pytest.raises(WeightsMissing, match=r"never downloads any: .*unet_r231-d5d2fc3d\.pth is"):
        load_adapter("lungmask")
    (cache / "unet_r231-d5d2fc3d.pth").write_bytes(b"there")
    with pytest.raises(WeightsMissing, match=r"Fetch https://example\.org/\S+3a07043d\.pth and"):
        load_adapter("lungmask-lobes")
    assert stand_in.made == []


def test_the_cache_without_torch_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: type[_StandIn]
) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsMissing, match="torch/hub/checkpoints/unet_r231"):
        load_adapter("lungmask")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    _put_weights(folder)
    load_adapter("lungmask")
    assert len(stand_in.made) == 1


def test_lungmask_is_given_files_and_kept_quiet(
    cache: Path, stand_in: type[_StandIn], capfd: pytest.CaptureFixture[str]
) -> None:
    r231, lobes = _put_weights(cache)
    segmenter = load_adapter("lungmask-lobes", "cpu")
    (made,) = stand_in.made
    assert made.given == {
        "modelpath": str(lobes),
        "fillmodel": "R231",
        "fillmodel_path": str(r231),
        "force_cpu": True,
        "tqdm_disable": True,
    }
    c = chest(spacing=COARSE)
    stand_in.answer = staticmethod(lambda image: np.where(c.lung_map.labels > 0, 3, 0))
    logger = logging.getLogger("lungmask")
    found = segmenter.segment(c.scan)
    assert capfd.readouterr() == ("", "")
    assert logger.disabled is False
    assert found.weights_sha256 == f"{_sha(lobes)}+{_sha(r231)}"
    assert segmenter.name.endswith("-LTRCLobes_R231")
    assert found.segmenter == segmenter.name
    assert "borders of lobes in dense lung are guesses" in found.notices[0].sentence


def test_the_lungs_alone_say_that_effusion_is_in(cache: Path, stand_in: type[_StandIn]) -> None:
    r231, _ = _put_weights(cache)
    c = chest(spacing=COARSE)
    stand_in.answer = staticmethod(lambda image: c.lung_map.labels)
    segmenter = load_adapter("lungmask")
    assert stand_in.made[0].given["force_cpu"] is False
    found = segmenter.segment(c.scan)
    assert (found.lobes, found.weights_sha256) == (None, _sha(r231))
    assert "R231 takes pleural effusion, tumours and air pockets" in found.notices[0].sentence
    np.testing.assert_array_equal(found.lungs.labels, c.lung_map.labels)


def test_a_named_gpu(cache: Path, stand_in: type[_StandIn]) -> None:
    _put_weights(cache)
    segmenter = load_adapter("lungmask-lobes", "cuda:0")
    assert isinstance(segmenter, LungmaskSegmenter)
    assert segmenter.device == "cuda:0"
    assert stand_in.made[0].fillmodelm is not None
    assert stand_in.made[0].fillmodelm.device == "cuda:0"
    with pytest.raises(ModelError, match=r"cuda:3 is not there .*invalid device ordinal\)") as e:
        load_adapter("lungmask", "cuda:3")
    assert e.value.code == "device"


def test_what_lungmask_cannot_do_is_a_sentence(cache: Path, stand_in: type[_StandIn]) -> None:
    _put_weights(cache)

    def fail(image: Array) -> Array:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    stand_in.answer = staticmethod(fail)
    with pytest.raises(ModelError, match=r"R231 failed on cpu \(CUDA out of memory\); try"):
        load_adapter("lungmask").segment(chest(spacing=COARSE).scan)


def test_an_unknown_version_of_lungmask(
    cache: Path, stand_in: type[_StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["lungmask.mask"], "MODEL_URLS", {("unet", "R231"): ("x", 3)})
    with pytest.raises(ModelError, match="is not one that ctlung knows"):
        load_adapter("lungmask")


def _random_weights(path: Path, classes: int) -> None:
    """Random but for the last bias, without which one class would win everywhere."""
    import torch
    from lungmask import utils
    from lungmask.resunet import UNet

    torch.manual_seed(classes)
    net = UNet(
        n_classes=classes,
        padding=True,
        depth=5,
        up_mode="upsample",
        batch_norm=True,
        residual=False,
    )
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        shown, _ = utils.preprocess(np.array(_slab(chest(spacing=COARSE), 1).hu), [256, 256])
        shown = torch.as_tensor((np.asarray(shown)[:, None] + 1024) / 1624, dtype=torch.float32)
        net.last.bias -= net.eval()(shown).mean((0, 2, 3))
    torch.save(net.state_dict(), path)


@pytest.fixture
def real_lungmask(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package with random weights in the cache and no way to download any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from lungmask.mask import MODEL_URLS

    def never(*args: object, **given: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", never)
    for model in ("R231", "LTRCLobes"):
        url, classes = MODEL_URLS[model]
        _random_weights(cache / url.rsplit("/", 1)[-1], classes)
    return cache


def _slab(c: Chest, slices: int) -> Scan:
    """A few slices through the middle of the chest."""
    k = c.scan.hu.shape[0] // 2
    hu = np.array(c.scan.hu[k : k + slices])
    return Scan(hu, Geometry.from_spacing(hu.shape, c.scan.geometry.spacing_mm))


@real
def test_real_code_loads_random_weights_and_runs(real_lungmask: Path) -> None:
    import SimpleITK as sitk

    scan = _slab(chest(spacing=COARSE), 3)
    segmenter = load_adapter("lungmask", "cpu")
    assert isinstance(segmenter, LungmaskSegmenter)
    assert segmenter.device == "cpu"
    found = segmenter.segment(scan).lungs.labels
    assert set(np.unique(found)) <= {0, 1, 2}
    assert found.any()
    # lungmask itself turns an image with directions; so it must see in it what it saw in ours.
    image = sitk.GetImageFromArray(np.array(scan.hu))
    dz, dy, dx = scan.geometry.spacing_mm
    image.SetSpacing((dx, dy, dz))
    for orientation in ("LPS", "RAI", "RAS"):
        turned = sitk.DICOMOrient(image, orientation)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = sitk.GetImageFromArray(segmenter.inferer.apply(turned))
        own.CopyInformation(turned)
        back = sitk.GetArrayFromImage(sitk.DICOMOrient(own, "LPS"))
        np.testing.assert_array_equal(back, found)


def _marking(mark: Callable[[Any, Any, Any], Any], classes: int) -> Any:
    """A network that knows places: where the density is that of lung, ``mark`` gives the class of
    (slice, row, column); it is shown all slices once, in their order."""
    import torch

    class Marking(torch.nn.Module):
        seen = 0

        def forward(self, x: Any) -> Any:
            n, _, height, width = x.shape
            z = torch.arange(self.seen, self.seen + n)[:, None, None]
            y, x_ = torch.arange(height)[None, :, None], torch.arange(width)[None, None]
            self.seen += n
            hu = x[:, 0] * 1624 - 1024
            wanted = ((hu > -930) * (hu < -780) * mark(z, y, x_)).long()
            return torch.nn.functional.one_hot(wanted, classes).permute(0, 3, 1, 2).float()

    return Marking()


def _dice(one: Array, other: Array) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


@real
def test_real_code_gives_sides_back_where_they_belong(real_lungmask: Path) -> None:
    c = chest(spacing=COARSE)
    segmenter = load_adapter("lungmask", "cpu")
    assert isinstance(segmenter, LungmaskSegmenter)
    # R231 knows 1 right, 2 left; the patient's right lies on the low columns.
    segmenter.inferer.model = _marking(lambda z, y, x: 1 + (x >= 128), 3)
    found = segmenter.segment(c.scan).lungs.labels
    for side in (1, 2):
        assert _dice(found == side, c.lung_map.labels == side) > 0.9


@real
def test_real_code_gives_lobes_back_where_they_belong(real_lungmask: Path) -> None:
    c = chest(spacing=COARSE)
    segmenter = load_adapter("lungmask-lobes", "cpu")
    assert isinstance(segmenter, LungmaskSegmenter)
    middle = c.scan.hu.shape[0] // 2

    def lobe(z: Any, y: Any, x: Any) -> Any:
        head, left, back = z >= middle, x >= 128, y >= 128
        return left * (2 - 1 * head) + ~left * (3 * head + ~head * (4 + 1 * back))

    segmenter.inferer.model = _marking(lobe, 6)
    segmenter.inferer.fillmodelm = _marking(lambda z, y, x: 1 + (x >= 128), 3)
    found = segmenter.segment(c.scan)
    assert found.lobes is not None
    labels = found.lobes.labels
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
    place = {n: np.mean(np.nonzero(labels == n), axis=1) for n in range(1, 6)}
    z, y, x = ({n: float(p[axis]) for n, p in place.items()} for axis in range(3))
    assert min(z[1], z[3]) > middle > max(z[2], z[4], z[5])
    assert min(x[1], x[2]) > labels.shape[2] / 2 > max(x[3], x[4], x[5])
    # rml lies before rll: rows grow to the back.
    assert y[4] < y[5]
    for side in (1, 2):
        assert _dice(found.lungs.labels == side, c.lung_map.labels == side) > 0.9
