"""Anam-Net: the counts of both squeezes, its blocks, and where its skips leave."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.anam_net import AnamNet, AnamorphicDepthBlock


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("in_channels", "squeeze", "expected"),
    [(1, 4, 4_631_555), (3, 4, 4_632_707), (1, 8, 4_474_147), (3, 8, 4_475_299)],
)
def test_three_classes_need_the_parameters_of_the_authors_code(in_channels, squeeze, expected):
    with torch.device("meta"):
        assert parameters(AnamNet(in_channels, 3, squeeze=squeeze)) == expected


@pytest.mark.parametrize(("channels", "expected"), [(64, 4_544), (128, 17_792), (256, 70_400)])
def test_a_depth_block_has_its_parameters(channels, expected):
    assert parameters(AnamorphicDepthBlock(channels, squeeze=4)) == expected


def test_the_encoder_has_its_parameters():
    with torch.device("meta"):
        assert [parameters(block) for block in AnamNet().encoder] == [768, 74_112, 295_680, 590_592]


def test_the_decoder_has_its_parameters():
    up, depth, join = (
        [262_400, 262_400, 131_200, 32_832],
        [70_400, 70_400, 17_792, 0],
        [1_180_416] * 2 + [295_296, 73_920],
    )
    with torch.device("meta"):
        decoder = AnamNet().decoder
    assert [parameters(block.up) for block in decoder] == up
    assert [parameters(block.depth_block) for block in decoder] == depth
    assert [parameters(block.join) for block in decoder] == join


def test_there_are_six_depth_blocks():
    with torch.device("meta"):
        assert sum(isinstance(module, AnamorphicDepthBlock) for module in AnamNet().modules()) == 6


def test_a_depth_block_adds_its_input_and_rectifies():
    block = AnamorphicDepthBlock(4, squeeze=2).eval()
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(block(x), (x + block.layers(x)).clamp(min=0))


def test_the_encoders_features_come_last_in_a_decoder_block():
    block = AnamNet(features=(4, 4), squeeze=2).decoder[0].eval()
    seen = []
    block.join.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    skip = torch.randn(1, 4, 2, 2)
    block(torch.randn(1, 4, 1, 1), skip)
    assert torch.equal(seen[0][:, 4:], skip)


def test_the_coarsest_features_are_a_sixteenth_of_the_size():
    network, sizes = AnamNet(features=(4, 4, 4, 4)), []
    network.decoder[0].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[2:]))
    network(torch.zeros(1, 1, 32, 48))
    assert sizes == [(2, 3)]


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 16"):
        AnamNet(features=(4, 4, 4, 4))(torch.zeros(1, 1, 32, 40))


def test_a_squeeze_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="squeeze=4 must divide a level's 6 channels"):
        AnamNet(features=(4, 6, 8, 8))
