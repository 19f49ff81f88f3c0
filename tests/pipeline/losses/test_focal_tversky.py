"""The focal Tversky loss against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.losses.focal_tversky import FocalTverskyLoss


def case(*infection: float) -> torch.Tensor:
    """Logits (1, 2, 1, voxels) whose softmax gives infection these probabilities."""
    probability = torch.tensor(infection, dtype=torch.float64)
    return torch.stack([torch.zeros_like(probability), torch.logit(probability)]).reshape(1, 2, 1, -1)


def test_two_voxels_by_hand():
    # One infected voxel at 0.6 and a healthy one at 0.2: TP 0.6, FN 0.4, FP 0.2
    loss = FocalTverskyLoss()(case(0.6, 0.2), torch.tensor([[[[1, 0]]]]))
    tversky = 1 - (0.6 + 1) / (0.6 + 0.7 * 0.4 + 0.3 * 0.2 + 1)
    assert loss.item() == pytest.approx(math.sqrt(tversky), abs=1e-6)


def test_missed_infection_costs_more_than_a_false_alarm():
    missed = FocalTverskyLoss()(case(0.1, 0.1), torch.tensor([[[[1, 0]]]]))
    alarm = FocalTverskyLoss()(case(0.9, 0.9), torch.tensor([[[[1, 0]]]]))
    assert missed > alarm


def test_the_loss_rises_with_the_errors():
    losses = [FocalTverskyLoss()(case(p, 0.2), torch.tensor([[[[1, 0]]]])).item() for p in (0.9, 0.6, 0.3)]
    assert losses == sorted(losses)


def test_gamma_of_one_leaves_the_tversky_loss():
    loss = FocalTverskyLoss(gamma=1.0)(case(0.6, 0.2), torch.tensor([[[[1, 0]]]]))
    assert loss.item() == pytest.approx(1 - 1.6 / 1.94, abs=1e-6)


def test_the_batch_is_counted_as_one():
    logits, target = case(0.6, 0.2, 0.7, 0.4), torch.tensor([[[[1, 0, 0, 1]]]])
    two = FocalTverskyLoss()(logits.reshape(1, 2, 2, 2).transpose(0, 2), target.reshape(2, 1, 1, 2))
    assert two.item() == pytest.approx(FocalTverskyLoss()(logits, target).item(), abs=1e-6)


def test_with_more_classes_it_is_the_mean_of_the_roots_of_each():
    # Softmax probabilities of three classes at one voxel, which is of class 1: TP 0.5, FN 0.5; FP of class 2 is 0.3
    logits = torch.tensor([0.2, 0.5, 0.3]).log().reshape(1, 3, 1, 1)
    first = 1 - (0.5 + 1) / (0.5 + 0.7 * 0.5 + 1)
    second = 1 - 1 / (0.3 * 0.3 + 1)
    loss = FocalTverskyLoss()(logits, torch.ones(1, 1, 1, 1, dtype=torch.uint8))
    assert loss.item() == pytest.approx((math.sqrt(first) + math.sqrt(second)) / 2, abs=1e-6)


def test_a_perfect_prediction_costs_a_thousandth_and_has_a_finite_gradient():
    logits = torch.tensor([80.0, -80.0]).reshape(1, 2, 1, 1).requires_grad_()
    loss = FocalTverskyLoss()(logits, torch.zeros(1, 1, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(1e-3)
    assert logits.grad.isfinite().all()
