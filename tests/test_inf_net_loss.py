"""Inf-Net's loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.losses.inf_net import InfNetLoss, edges, one_hot, structure_loss


def half_mask() -> torch.Tensor:
    """Class 1 on the left half of an 8 x 8 slice, (1, 1, 8, 8)."""
    target = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    target[..., :4] = 1
    return target


def test_a_uniform_mask_weighs_alike_and_costs_what_the_formula_says():
    logits, masks = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    # Nothing to find, everywhere one half: IoU loss is 1 - 1 / (64 * 64 / 2 + 1)
    expected = math.log(2) + 1 - 1 / (64 * 64 * 0.5 + 1)
    assert structure_loss(logits, masks).item() == pytest.approx(expected)


def test_pixels_unlike_their_surrounding_weigh_up_to_six_times():
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 32, 32] = 1
    surprised, relaxed = torch.full_like(masks, -9), torch.full_like(masks, -9)
    relaxed[..., 32, 32] = 9
    # The lone pixel, 6 - 5 / 31^2 itself, and its 31 x 31 neighbourhood, 5 / 31^2 each
    total = 64 * 64 + 5 * (1 - 1 / 961) + 960 * 5 / 961
    entropy = (structure_loss(surprised, masks) - structure_loss(relaxed, masks)).item()
    iou_missed, iou_found = 1 - 1 / (1 + 6 - 5 / 961), 0
    assert entropy == pytest.approx(9 * (6 - 5 / 961) / total + iou_missed - iou_found, abs=0.25)


def test_a_perfect_prediction_costs_next_to_nothing():
    masks = one_hot(half_mask(), 4)
    assert structure_loss(20 * (2 * masks - 1), masks).item() < 1e-6


def test_edges_are_the_pixels_beside_another_class():
    assert edges(half_mask())[0, 0].nonzero()[:, 1].unique().tolist() == [3, 4]


def test_one_channel_is_all_that_is_not_background():
    target = torch.tensor([[[[0, 2, 3]]]])
    assert one_hot(target, 1).tolist() == [[[[0.0, 1.0, 1.0]]]]


def test_training_adds_all_maps_and_the_edge():
    target = half_mask()
    maps, edge = [torch.randn(1, 2, 8, 8) for _ in range(4)], torch.zeros(1, 1, 8, 8)
    expected = sum(structure_loss(logits, one_hot(target, 2)) for logits in maps) + math.log(2)
    assert InfNetLoss()([*maps, edge], target).item() == pytest.approx(expected.item())


def test_validation_has_one_map():
    logits = torch.randn(1, 2, 8, 8)
    assert torch.equal(InfNetLoss()(logits, half_mask()), structure_loss(logits, one_hot(half_mask(), 2)))
