"""RAIU-Net: the counts of its parts and of its ablation, and what pooling and attention do."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from pipeline.core.configuration import TRAIN, merged
from pipeline.networks.raiu_net import (
    HybridPool,
    InceptionConvolution,
    PoolBranch,
    RAIUNet,
    ResidualInception,
    SpectralAttention,
    UpBlock,
    separable,
)

BASE_UNET = {"block": "plain", "hybrid_pool": False, "attention": False}
HALVING_2X2 = {"up_kernel": 2, "up_keep_channels": False}
TINY = {"base_filters": 4, "levels": 2}


def parameters(*modules: nn.Module) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(BASE_UNET, 3_475_333, id="BU"),
        pytest.param({"hybrid_pool": False, "attention": False}, 3_440_745, id="BU+RIB"),
        pytest.param({"attention": False}, 3_771_837, id="BU+RIB+HP"),
        pytest.param({}, 4_189_666, id="BU+RIB+HP+SSD"),
        pytest.param({**BASE_UNET, **HALVING_2X2}, 2_456_083, id="BU, halving"),
        pytest.param({**BASE_UNET, **HALVING_2X2, "base_filters": 64}, 31_030_593, id="the classic U-Net"),
    ],
)
def test_the_models_of_the_ablation_have_their_parameters(arguments, expected):
    with torch.device("meta"):
        assert parameters(RAIUNet(1, 1, **arguments)) == expected


@pytest.mark.parametrize(
    ("base_filters", "up_kernel", "up_keep_channels", "millions"),
    [(16, 2, False, 2.57), (16, 3, False, 2.79), (16, 3, True, 3.32), (20, 2, False, 3.99), (20, 3, False, 4.33)],
)
def test_other_readings_miss_the_papers_4_2_million(base_filters, up_kernel, up_keep_channels, millions):
    with torch.device("meta"):
        network = RAIUNet(1, 1, base_filters, up_kernel=up_kernel, up_keep_channels=up_keep_channels)
    assert round(parameters(network) / 1e6, 2) == millions


def test_a_separable_convolution_has_a_bias_after_its_second_half_alone():
    assert parameters(separable(3, 7, 5)) == 3 * 25 + 3 * 7 + 7


@pytest.mark.parametrize(("hybrid", "pooling"), [(True, 2 * 3 * 5 + 5), (False, 3 * 5 + 5)])
def test_an_inception_convolution_has_four_branches_and_a_join(hybrid, pooling):
    block = InceptionConvolution(3, 5, hybrid)
    convolutions = [3 * taps + 3 * 5 + 5 for taps in (1, 9, 25)]
    assert [parameters(branch) for branch in block.branches] == [count + 2 * 5 for count in (*convolutions, pooling)]
    assert parameters(block.join) == 4 * 5 * 5 + 5 + 2 * 5


def test_a_residual_block_is_two_inceptions_plus_the_shortcut_without_activation():
    torch.manual_seed(0)
    block, x = ResidualInception(3, 4, hybrid=True).eval(), torch.randn(1, 3, 6, 6)
    found = block(x)
    assert torch.equal(found, block.inceptions(x) + block.shortcut(x))
    assert found.min() < 0


def test_hybrid_pooling_sees_the_maximum_and_the_spectral_pooling():
    pool = HybridPool(1)
    with torch.no_grad():
        pool.mix.weight.copy_(torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1))
        pool.mix.bias.zero_()
    # A pixel in four is 1: the largest of its neighbours, a quarter in the mean
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).repeat(4, 4).reshape(1, 1, 8, 8)
    assert torch.allclose(pool(x), torch.full((1, 1, 4, 4), 26.0))


def test_the_pooling_of_a_block_looks_right_and_down_and_keeps_the_size():
    branch = PoolBranch(1, 1, hybrid=False)
    nn.init.ones_(branch.mix.weight)
    nn.init.zeros_(branch.mix.bias)
    x = torch.tensor([[-9.0, -1.0, -5.0], [-2.0, -8.0, -3.0]]).reshape(1, 1, 2, 3)
    assert branch(x).tolist() == [[[[-1.0, -1.0, -3.0], [-2.0, -3.0, -3.0]]]]


def test_the_pooling_of_a_block_sees_the_map_itself_when_hybrid():
    branch, x = PoolBranch(1, 1, hybrid=True), torch.randn(1, 1, 4, 4)
    with torch.no_grad():
        branch.mix.weight.copy_(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1))
        branch.mix.bias.zero_()
    assert torch.equal(branch(x), x)


def test_an_attention_has_its_parameters():
    q, p = 4, 8
    attention = SpectralAttention(q, p)
    assert parameters(attention.depth) == (q * q // 2 + q // 2) + (q // 2 * q + q)
    assert parameters(attention.refine) == parameters(attention.output) == q * q + q + 2 * q
    assert parameters(attention.from_fine, attention.from_coarse) == (4 * q * p + p) + (p * p + p)
    assert parameters(attention.joint, attention.space) == 2 * p + (p + 1)


def test_the_weights_of_the_pixels_are_those_of_the_coarser_level_repeated():
    attention = SpectralAttention(4, 8).eval()
    weights = attention.space(torch.randn(1, 8, 2, 3))
    assert weights.shape == (1, 1, 4, 6)
    assert torch.equal(weights, weights[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_both_attention_maps_end_in_a_relu_as_printed():
    attention = SpectralAttention(4, 8)
    assert isinstance(attention.depth[-1], nn.ReLU)
    assert not any(isinstance(module, nn.Sigmoid) for module in attention.modules())


def test_an_attention_without_weight_lets_nothing_but_its_bias_through():
    torch.manual_seed(0)
    attention = SpectralAttention(4, 8).eval()
    nn.init.zeros_(attention.space[0].weight)
    nn.init.constant_(attention.space[0].bias, -1.0)
    found = attention(torch.randn(1, 4, 4, 4), torch.randn(1, 8, 2, 2))
    assert torch.allclose(found, found[..., :1, :1].expand_as(found))


def test_a_skip_is_weighted_by_the_encoders_coarser_features(monkeypatch):
    seen = []
    forward = UpBlock.forward
    monkeypatch.setattr(UpBlock, "forward", lambda *given: (seen.append(given[2:]), forward(*given))[1])
    network = RAIUNet(**TINY).eval()
    encoded: list[torch.Tensor] = []
    for level in network.encoder:
        level.register_forward_hook(lambda _module, _inputs, output: encoded.append(output))
    network(torch.randn(1, 1, 8, 8))
    fine, middle, coarse = encoded
    assert [[id(part) for part in pair] for pair in seen] == [[id(middle), id(coarse)], [id(fine), id(middle)]]


@pytest.mark.parametrize(("up_kernel", "keep", "shape"), [(3, True, (8, 8, 3, 3)), (2, False, (8, 4, 2, 2))])
def test_a_transposed_convolution_keeps_or_halves_the_channels(up_kernel, keep, shape):
    network = RAIUNet(base_filters=4, levels=1, up_kernel=up_kernel, up_keep_channels=keep)
    assert network.decoder[0].up.weight.shape == shape
    assert network(torch.randn(2, 1, 6, 6)).shape == (2, 4, 6, 6)


def test_without_its_parts_it_has_no_batch_norm_and_pools_the_maximum():
    kinds = {type(module) for module in RAIUNet(**TINY, **BASE_UNET).modules()}
    assert nn.MaxPool2d in kinds
    assert not kinds & {nn.BatchNorm2d, HybridPool, InceptionConvolution, SpectralAttention}


def test_mixed_precision_trains_every_part():
    torch.manual_seed(0)
    network = RAIUNet(**TINY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(torch.randn(2, 1, 16, 16))
    logits.float().square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="block is 'residual', expected 'inception' or 'plain'"):
        RAIUNet(block="residual")


def test_the_recipe_has_the_papers_size_and_no_augmentation():
    content = merged(TRAIN, "raiu_net", "paper", {}, {})
    keys = ("slice_size", "augmentations", "batch_size", "max_epochs", "early_stop_patience", "learning_rate")
    assert [content[key] for key in keys] == [[256, 256], [], 16, 100, 10, 0.001]


def test_the_recipes_learning_rate_stays_as_it_is():
    parser = ConfigParser(merged(TRAIN, "raiu_net", "paper", {}, {}))
    parser["network"] = "$torch.nn.Linear(1, 1)"
    schedule = parser.get_parsed_content("lr_schedule").lr_scheduler
    for _ in range(parser["max_epochs"] - 1):
        schedule.optimizer.step()
        schedule.step()
    assert schedule.optimizer.param_groups[0]["lr"] == 0.001


def test_the_recipes_loss_of_two_classes_is_the_papers():
    torch.manual_seed(0)
    logits, label = torch.randn(1, 2, 4, 6), torch.randint(0, 2, (1, 1, 4, 6))
    loss = ConfigParser(merged(TRAIN, "raiu_net", "paper", {}, {})).get_parsed_content("loss")
    y, p = label[:, 0].float(), torch.sigmoid(logits[:, 1] - logits[:, 0])
    cross_entropy = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    dice = 1 - 2 * (y * p).sum() / (y.square().sum() + p.square().sum())
    assert torch.isclose(loss(logits, label), (cross_entropy + dice) / 2)
