"""Inf-Net's loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.losses.inf_net import InfNetLoss, OneHotCrossEntropy, border_weight, edges, one_hot, structure_loss


def half_mask() -> torch.Tensor:
    """Class 1 on the left half of an 8 x 8 slice, (1, 1, 8, 8)."""
    target = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    target[..., :4] = 1
    return target


def test_a_uniform_mask_weighs_alike_and_costs_what_the_formula_says():
    logits, masks = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    weight = border_weight(masks)
    # All to find, everywhere one half; the weight grows where the neighbourhood ends, at the slice's border
    total = weight.sum().item()
    expected = math.log(2) + 1 - (0.5 * total + 1) / (total + 1)
    assert structure_loss(logits, masks, weight).item() == pytest.approx(expected)


def test_a_class_that_an_image_does_not_hold_has_no_iou():
    logits, masks = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    assert structure_loss(logits, masks, border_weight(masks)).item() == pytest.approx(math.log(2))


def test_a_lone_pixel_weighs_six_times_less_its_share_of_its_neighbourhood():
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 32, 32] = 1
    weight = border_weight(masks)[0, 0]
    assert weight[32, 32].item() == pytest.approx(6 - 5 / 31**2)
    assert weight[32, 47].item() == pytest.approx(1 + 5 / 31**2)
    assert weight[32, 48].item() == 1


def test_the_neighbourhood_is_the_mean_over_a_square_with_nothing_beyond_the_border():
    masks = torch.rand(2, 3, 20, 40).round()
    expected = 1 + 5 * (torch.nn.functional.avg_pool2d(masks, 31, stride=1, padding=15) - masks).abs()
    assert torch.allclose(border_weight(masks), expected, atol=1e-5)


def test_a_perfect_prediction_costs_next_to_nothing():
    masks = one_hot(half_mask(), 4)
    assert structure_loss(20 * (2 * masks - 1), masks, border_weight(masks)).item() < 1e-6


def test_edges_are_the_pixels_beside_another_class():
    assert edges(half_mask())[0, 0].nonzero()[:, 1].unique().tolist() == [3, 4]


def test_one_channel_is_all_that_is_not_background():
    target = torch.tensor([[[[0, 2, 3]]]])
    assert one_hot(target, 1).tolist() == [[[[0.0, 1.0, 1.0]]]]


def test_training_adds_all_maps_and_the_edge():
    target = half_mask()
    maps, edge = [torch.randn(1, 2, 8, 8) for _ in range(4)], torch.zeros(1, 1, 8, 8)
    masks = one_hot(target, 2)
    expected = sum(structure_loss(logits, masks, border_weight(masks)) for logits in maps) + math.log(2)
    assert InfNetLoss()([*maps, edge], target).item() == pytest.approx(expected.item())


def test_of_the_second_stage_each_class_is_a_binary_task():
    target = torch.tensor([[[[0, 2]]]])
    logits = torch.tensor([2.0, -3.0]).expand(1, 3, 1, 2)
    # Of three classes one is there: softplus of minus its logit, and of the logits of both others
    costs = [math.log1p(math.exp(-logit)) + 2 * math.log1p(math.exp(logit)) for logit in (2.0, -3.0)]
    assert OneHotCrossEntropy()(logits, target).item() == pytest.approx(sum(costs) / 6)


def test_validation_has_one_map():
    logits, masks = torch.randn(1, 2, 8, 8), one_hot(half_mask(), 2)
    assert torch.equal(InfNetLoss()(logits, half_mask()), structure_loss(logits, masks, border_weight(masks)))
