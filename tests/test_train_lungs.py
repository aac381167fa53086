"""The loss that the lung network is trained with, and the views that it is shown."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import train_lung_model
import train_lungs
from train_lungs_augment import view
from train_lungs_data import Case


def _patch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    logits = torch.randn(1, 4, 6, 7, 8)
    labels = torch.randint(0, 4, (1, 6, 7, 8))
    return logits, labels, (torch.rand(1, 6, 7, 8) > 0.3).float()


def _shares(labels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float() * known[:, None]


@pytest.mark.filterwarnings("ignore")
def test_the_loss_is_monais_dice_and_cross_entropy() -> None:
    from monai.losses import DiceLoss

    logits, labels, known = _patch(1)
    dice = DiceLoss(include_background=False, batch=True, smooth_nr=1.0, smooth_dr=1.0)
    truth = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    theirs = (each * known).sum() / known.sum()
    theirs = theirs + dice(logits.softmax(1) * known[:, None], truth * known[:, None])
    torch.testing.assert_close(train_lungs.loss_of(logits, _shares(labels, known), known), theirs)


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_nothing_is_better_than_the_truth(weight: float) -> None:
    logits, labels, known = _patch(2)
    weights = known * torch.where(labels == 1, weight, 1.0)
    right = 40.0 * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    best = float(train_lungs.loss_of(right, _shares(labels, known), weights))
    assert best == pytest.approx(0.0, abs=1e-4)
    claims_more = right.clone()
    claims_more[:, 1] = 45.0
    for other in (logits, claims_more):
        assert float(train_lungs.loss_of(other, _shares(labels, known), weights)) > best + 0.01


def test_blocks_share_what_their_voxels_are() -> None:
    labels, known = torch.zeros(1, 2, 2, 2, dtype=torch.long), torch.ones(1, 2, 2, 2)
    labels[0, 0], labels[0, 1, 0, 0], known[0, 1, 1, 1] = 1, 2, 0
    shares, weight = train_lungs.coarse(_shares(labels, known), known)
    assert shares[0, :, 0, 0, 0].tolist() == [2 / 8, 4 / 8, 1 / 8, 0]
    assert weight.item() == 7 / 8


def test_a_view_keeps_scan_and_labels_together() -> None:
    labels = np.zeros((40, 44, 48), np.int16)
    labels[10:30, 10:34, 6:20], labels[10:30, 10:34, 28:42] = 1, 2
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    case = Case(hu, labels, np.ones(labels.shape, np.int16))
    agree = []
    for seed in range(12):
        seen, named, weight = view(case, (32, 32, 32), np.random.default_rng(seed))
        assert seen.shape == named.shape == weight.shape == (32, 32, 32)
        assert set(np.unique(named)) <= {0, 1, 2}
        lung = named > 0
        if lung.sum() > 500:
            agree.append(np.median(seen[lung]) < np.median(seen[~lung & (seen > -300)]))
        if {1, 2} <= set(np.unique(named)):
            columns = np.arange(32)[None, None, :] + np.zeros(named.shape)
            assert columns[named == 1].mean() < columns[named == 2].mean()
    assert len(agree) > 5
    assert all(agree)


def test_one_command_runs_every_stage_in_order() -> None:
    made = train_lung_model.commands(32_000, 1_500, 2)
    assert [Path(c[0]).name for c in made] == ["train_lungs_data.py"] + ["train_lungs.py"] * 6
    assert [c[1] for c in made[1:]] == ["base", "final", "fold0", "fold1", "fold2", "export"]
    assert all(Path(c[0]).is_file() for c in made)
    assert set(train_lung_model.STAGES) | {"base"} == set(train_lungs.STAGES)
