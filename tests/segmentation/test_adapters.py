from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from support.chest import chest

from ctlung.errors import ModelError, NotChestCT
from ctlung.segmentation.adapters import digest, load_adapter, segmentation_from
from ctlung.vocabulary import LOBE_LABELS, LUNG_LABELS
from ctlung.volume import Scan, Segmentation

COARSE = (6.0, 3.0, 3.0)


def _from(scan: Scan, labels: np.ndarray, lobes: bool) -> Segmentation:
    return segmentation_from(
        scan,
        labels,
        lobes=lobes,
        segmenter="other-1.0",
        weights_sha256="abc",
        device="cpu",
        convention="What it contains.",
    )


def test_unknown_names_and_devices() -> None:
    with pytest.raises(ValueError, match="no adapter 'nnunet'; known are: lungmask, lungmask-lob"):
        load_adapter("nnunet")
    for device in ("gpu", "cuda:", "cuda:x", "cpu:0", ""):
        with pytest.raises(ValueError, match=f"there is no device {device!r}; known are auto"):
            load_adapter("lungmask", device)


def test_lungs_follow_from_lobes_by_side() -> None:
    c = chest(spacing=COARSE)
    labels = np.zeros(c.scan.hu.shape, np.uint8)
    labels[3, 4:9, 5] = [1, 2, 3, 4, 5]
    found = _from(c.scan, labels, lobes=True)
    assert found.lobes is not None
    assert found.lobes.labels[3, 4:9, 5].tolist() == [1, 2, 3, 4, 5]
    assert dict(found.lobes.names) == dict(LOBE_LABELS)
    # lul and lll lie left (2), rul, rml and rll right (1).
    assert found.lungs.labels[3, 4:9, 5].tolist() == [2, 2, 1, 1, 1]
    assert dict(found.lungs.names) == dict(LUNG_LABELS)
    assert int((found.lungs.labels > 0).sum()) == 5


def test_lungs_without_lobes() -> None:
    c = chest(spacing=COARSE)
    found = _from(c.scan, c.lung_map.labels, lobes=False)
    assert found.lobes is None
    np.testing.assert_array_equal(found.lungs.labels, c.lung_map.labels)
    assert (found.segmenter, found.weights_sha256, found.device) == ("other-1.0", "abc", "cpu")


def test_the_convention_is_told() -> None:
    c = chest(spacing=COARSE)
    (notice,) = _from(c.scan, c.lung_map.labels, lobes=False).notices
    assert (notice.code, notice.effect) == ("segmenter_convention", "note")
    assert notice.sentence == "What it contains."


def test_airways_are_those_of_ctlung() -> None:
    c = chest(spacing=COARSE)
    airways = _from(c.scan, c.lung_map.labels, lobes=False).anatomy.airways
    assert airways is not None
    assert airways.shape == c.scan.hu.shape
    assert airways.any()
    assert float(np.mean(c.scan.hu[airways])) < -900


def test_padding_is_no_lung() -> None:
    c = chest(spacing=COARSE)
    outside = np.zeros(c.scan.hu.shape, bool)
    outside[:, :, : outside.shape[2] // 2] = True
    hu = np.where(outside, -1024, c.scan.hu).astype(np.int16)
    found = _from(Scan(hu, c.scan.geometry, outside_fov=outside), c.lung_map.labels, lobes=False)
    assert not found.lungs.labels[outside].any()
    assert found.lungs.labels[~outside].any()


def test_what_cannot_be_lobes_is_refused() -> None:
    c = chest(spacing=COARSE)
    with pytest.raises(ModelError, match=r"labels up to 3 on .* where 0 to 2 on"):
        _from(c.scan, np.where(c.lung_map.labels > 0, 3, 0), lobes=False)
    with pytest.raises(ModelError, match="not one that ctlung knows"):
        _from(c.scan, c.lung_map.labels[1:], lobes=True)


def test_no_label_is_no_chest() -> None:
    c = chest(spacing=COARSE)
    with pytest.raises(NotChestCT, match=r"other-1\.0 found no lung in this scan"):
        _from(c.scan, np.zeros(c.scan.hu.shape, np.uint8), lobes=True)


def test_digest_of_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1" * 3_000_000)
    two.write_bytes(b"2")
    expected = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (two, one)]
    assert digest([two, one]) == "+".join(expected)
