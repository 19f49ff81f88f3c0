"""COVID-SegNet: the counts of its widths and levels, and how its blocks are wired."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.covid_segnet import CovidSegNet, FeatureVariation, Pair, Pyramid, Residual


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def volume(channels: int, *size: int) -> torch.Tensor:
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"base": 16}, 3_919_782),
        ({"base": 32}, 15_665_990),
        ({"base": 64}, 62_637_702),
        ({"base": 64, "channel_gate": True}, 62_810_179),
        ({"base": 64, "max_pool": True}, 62_637_702),
    ],
    ids=str,
)
def test_every_reading_has_its_parameters_for_three_classes(arguments, expected):
    with torch.device("meta"):
        assert parameters(CovidSegNet(1, 3, **arguments)) == expected


def residual_by_hand(fine: int, coarse: int) -> int:
    """Two convolutions of 27 taps with bias and batch norm, and one of 1 tap around them where the channels change."""
    around = fine * coarse + 3 * coarse if fine != coarse else 0
    return 27 * (fine + coarse) * coarse + 2 * 3 * coarse + around


@pytest.mark.parametrize(("fine", "coarse"), [(1, 16), (8, 8)])
def test_a_residual_block_has_its_parameters(fine, coarse):
    assert parameters(Residual(fine, coarse)) == residual_by_hand(fine, coarse)


def test_a_feature_variation_block_has_its_parameters():
    first, contrast = 8 * 8 + 3 * 8, 8 * 4 + 4 + 4 * 1 + 1
    position, fuse = 2 * (27 * 8 * 8 + 8), 27 * 24 * 8 + 3 * 8
    assert parameters(FeatureVariation(8, channel_gate=False)) == first + contrast + position + fuse


def test_the_pyramid_has_its_parameters():
    narrow, dilated = 8 * 2 + 3 * 2, 27 * 2 * 2 + 3 * 2
    halves, fuse = 4 * 4 + 3 * 4, 8 * 8 + 3 * 8
    assert parameters(Pyramid(8)) == 4 * (narrow + dilated) + 2 * halves + fuse


def test_the_up_blocks_have_their_parameters():
    with torch.device("meta"):
        blocks = [parameters(block) for block in CovidSegNet().decoder]
    pairs = [(128, 64), (64, 32), (32, 16)]
    assert blocks == [8 * i * o + o + residual_by_hand(2 * o, o) for i, o in pairs]


def test_dilations_double_along_the_pyramid():
    layers = [layer for layer in Pyramid(8).modules() if isinstance(layer, nn.Conv3d) and layer.kernel_size[0] == 3]
    assert [layer.dilation[0] for layer in layers] == [1, 2, 4, 8]


def test_a_pair_adds_the_sum_of_its_narrow_maps_to_each_dilated_one():
    pair, x = Pair(8, 1, 2).eval(), volume(8, 4, 3, 2)
    first, second = pair.narrow1(x), pair.narrow2(x)
    joined = [pair.dilated1(first) + first + second, pair.dilated2(second) + first + second]
    assert torch.allclose(pair(x), pair.fuse(torch.cat(joined, dim=1)), atol=1e-6)


def test_contrast_weighs_the_whole_volume_with_one_number():
    block, x = FeatureVariation(4, channel_gate=False).eval(), volume(4, 4, 3, 2)
    weight = block.contrast(x)
    assert weight.shape == (1, 1, 1, 1, 1)
    assert 0 < weight.item() < 1


def test_a_channel_gate_weighs_each_channel():
    block = FeatureVariation(4, channel_gate=True).eval()
    assert block.contrast(volume(4, 4, 3, 2)).shape == (1, 4, 1, 1, 1)


def test_feature_variation_fuses_contrast_position_and_features_and_adds_its_input():
    block, seen = FeatureVariation(4, channel_gate=False).eval(), []
    block.fuse.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    x = volume(4, 4, 3, 2)
    found = block(x)
    features = block.features(x)
    weighted = [block.contrast(features) * features, block.position(features) * features, features]
    assert torch.equal(seen[0], torch.cat(weighted, dim=1))
    assert torch.equal(found, x + seen[1])


def test_a_residual_block_rectifies_the_sum():
    block, x = Residual(2, 2).eval(), volume(2, 4, 3, 2)
    assert torch.equal(block(x), torch.relu(block.convolutions(x) + x))


@pytest.mark.parametrize(("max_pool", "first"), [(False, nn.Conv3d), (True, nn.MaxPool3d)])
def test_a_strided_convolution_or_a_pooling_halves_the_size(max_pool, first):
    step = CovidSegNet(base=2, max_pool=max_pool).down[1]
    assert type(step[0]) is first
    assert step(torch.zeros(2, 2, 8, 4, 6)).shape == (2, 4, 4, 2, 3)


def test_the_encoders_features_come_after_the_decoders():
    network, seen = CovidSegNet(base=2).eval(), []
    network.decoder[-1].join.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = volume(1, 8, 16, 8)
    network(x)
    assert torch.equal(seen[0][:, 2:], network.encoder[0](x))
