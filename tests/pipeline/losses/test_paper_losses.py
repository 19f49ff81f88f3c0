"""The losses that the EAMC paper compares are MONAI's, and its focal Tversky loss; with two softmax classes.

Pal Das et al. 2022, equations 1 to 8, for labels y and infection's probabilities p of all voxels of a batch. Two
misprints are corrected: the union of the IoU subtracts the product, and the focal Tversky loss is a root of the Tversky
loss. The alpha of the focal loss is read as that of infection, 1 - alpha being that of background, or as that of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

OVERLAP = {"softmax": True, "to_onehot_y": True, "include_background": False, "batch": True}
# MONAI's mean is over voxels and classes, though a voxel counts in its own class alone: weights are times two classes
FOCAL = {"_target_": "FocalLoss", "use_softmax": True, "to_onehot_y": True, "gamma": 2.0}
LOSSES = {
    "dice": {"_target_": "DiceLoss", **OVERLAP, "smooth_nr": 1.0, "smooth_dr": 1.0},
    "dice_cross_entropy": {"_target_": "DiceCELoss", **OVERLAP, "smooth_nr": 1.0, "smooth_dr": 1.0},
    # MONAI doubles the intersection over the sum of both; with the smoothing doubled too the 2 cancels
    "iou": {"_target_": "DiceLoss", **OVERLAP, "jaccard": True, "smooth_nr": 2.0, "smooth_dr": 2.0},
    "focal": {**FOCAL, "weight": [2 * 0.2, 2 * 0.8]},
    "focal_unbalanced": {**FOCAL, "weight": [2 * 0.8, 2 * 0.8]},
    # MONAI's alpha weights false positives, its beta false negatives; the paper's the other way round
    "tversky": {"_target_": "TverskyLoss", **OVERLAP, "alpha": 0.3, "beta": 0.7, "smooth_nr": 1.0, "smooth_dr": 1.0},
    "focal_tversky": {"_target_": "pneumobundle.pipeline.losses.focal_tversky.FocalTverskyLoss"},
}


def dice(y: np.ndarray, p: np.ndarray) -> float:
    return 1 - (2 * (y * p).sum() + 1) / (y.sum() + p.sum() + 1)


def cross_entropy(y: np.ndarray, p: np.ndarray) -> float:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def iou(y: np.ndarray, p: np.ndarray) -> float:
    return 1 - ((y * p).sum() + 1) / (y.sum() + p.sum() - (y * p).sum() + 1)


def focal(y: np.ndarray, p: np.ndarray, infection: float = 0.8, background: float = 0.2) -> float:
    p_t = np.where(y == 1, p, 1 - p)
    return (-np.where(y == 1, infection, background) * (1 - p_t) ** 2 * np.log(p_t)).mean()


def tversky(y: np.ndarray, p: np.ndarray, alpha: float = 0.7, beta: float = 0.3) -> float:
    hit = (y * p).sum()
    return 1 - (hit + 1) / (hit + beta * ((1 - y) * p).sum() + alpha * (y * (1 - p)).sum() + 1)


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "dice": dice,
    "dice_cross_entropy": lambda y, p: cross_entropy(y, p) + dice(y, p),
    "iou": iou,
    "focal": focal,
    "focal_unbalanced": lambda y, p: focal(y, p, background=0.8),
    "tversky": tversky,
    "focal_tversky": lambda y, p: tversky(y, p) ** 0.5,
}


def batch(infected: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (3, 2, 8, 7) and labels (3, 1, 8, 7) of which about a share is infected."""
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 8, 7, generator=random, dtype=torch.float64)
    return logits, (torch.rand(3, 1, 8, 7, generator=random) < infected).to(torch.uint8)


@pytest.mark.parametrize("infected", [0.2, 0.0], ids=["some infection", "no infection"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_papers(name, infected):
    logits, label = batch(infected)
    infection = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]).numpy()))
    loss = ConfigParser({"loss": LOSSES[name]}).get_parsed_content("loss")
    expected = FORMULAS[name](label[:, 0].double().numpy(), infection)
    assert loss(logits, label).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_falls_as_the_prediction_comes_closer(name):
    _, label = batch(0.2)
    towards = 2 * label.double() - 1
    loss = ConfigParser({"loss": LOSSES[name]}).get_parsed_content("loss")
    costs = [loss(torch.cat([-step * towards, step * towards], dim=1), label).item() for step in (0, 1, 2, 4)]
    assert costs == sorted(costs, reverse=True)
