"""The configured loss is the paper's: four times one minus the mean Tversky index, plus cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from pipeline.core.configuration import COMMON, load

CLASSES, SMOOTH = 4, 1e-6


def configured_loss() -> torch.nn.Module:
    return ConfigParser(load([COMMON / "train.yaml"])).get_parsed_content("loss")


def papers_loss(logits: np.ndarray, label: np.ndarray) -> float:
    """Tversky with alpha = beta = 0.5 per sample and class, and cross-entropy; logits (B, 4, H, W, D)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = powers / powers.sum(axis=1, keepdims=True)
    truth = np.moveaxis(np.eye(CLASSES)[label[:, 0]], -1, 1)
    voxels = (2, 3, 4)
    hit = (truth * probability).sum(voxels)
    missed, wrong = (truth * (1 - probability)).sum(voxels), ((1 - truth) * probability).sum(voxels)
    index = (hit + SMOOTH) / (hit + 0.5 * missed + 0.5 * wrong + SMOOTH)
    cross_entropy = -(truth * np.log(probability)).sum(axis=1).mean()
    return float((CLASSES - index.sum(axis=1)).mean() + cross_entropy)


def logits_and_label(classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(0, 2, (2, CLASSES, 6, 5, 4)), random.integers(0, classes, (2, 1, 6, 5, 4))


@pytest.mark.parametrize("classes", [4, 1], ids=["all classes", "background alone"])
def test_the_loss_is_the_papers(classes):
    logits, label = logits_and_label(classes)
    loss = configured_loss()(torch.from_numpy(logits), torch.from_numpy(label))
    assert loss.item() == pytest.approx(papers_loss(logits, label), abs=1e-5)


def test_the_loss_takes_the_label_bytes_of_the_patches():
    logits, label = logits_and_label(4)
    as_bytes = configured_loss()(torch.from_numpy(logits), torch.from_numpy(label.astype(np.uint8)))
    assert as_bytes.item() == pytest.approx(papers_loss(logits, label), abs=1e-5)


def test_a_sure_and_right_prediction_costs_nothing():
    _, label = logits_and_label(4)
    logits = 30 * np.moveaxis(np.eye(CLASSES)[label[:, 0]], -1, 1)
    assert configured_loss()(torch.from_numpy(logits), torch.from_numpy(label)).item() == pytest.approx(0, abs=1e-5)
