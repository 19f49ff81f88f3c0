"""Xception U-Net: the counts of its blocks, and its shortcuts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.xception_unet import DownBlock, UpBlock, XceptionUNet, separable

TINY = (2, 4, 6)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "out_channels", "expected"), [(1, 1, 2_054_049), (3, 3, 2_055_203)])
def test_it_has_the_parameters_of_the_paper_and_of_the_tutorial(in_channels, out_channels, expected):
    with torch.device("meta"):
        assert parameters(XceptionUNet(in_channels, out_channels)) == expected


@pytest.mark.parametrize(("channels", "trainable", "in_keras"), [(1, 2_054_049, 2_057_825), (3, 2_055_203, 2_058_979)])
def test_with_the_running_statistics_it_has_what_keras_counts(channels, trainable, in_keras):
    with torch.device("meta"):
        norms = [layer for layer in XceptionUNet(channels, channels).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert trainable + sum(2 * norm.num_features for norm in norms) == in_keras


def test_the_encoder_has_its_parameters():
    with torch.device("meta"):
        blocks = [parameters(block) for block in XceptionUNet().encoder]
    # By hand: two depthwise and pointwise convolutions with batch norm, the shortcut
    pairs = [(32, 64), (64, 128), (128, 256)]
    assert blocks == [9 * (i + o) + (i + o) * o + 2 * o + 4 * o + i * o + o for i, o in pairs]


def test_the_decoder_has_its_parameters():
    with torch.device("meta"):
        blocks = [parameters(block) for block in XceptionUNet().decoder]
    pairs = [(256, 256), (256, 128), (128, 64), (64, 32)]
    assert blocks == [9 * (i + o) * o + 2 * o + 4 * o + i * o + o for i, o in pairs]


def test_a_separable_convolution_has_a_bias_in_its_pointwise_half_alone():
    layers = [layer for layer in separable(2, 3).modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.groups, layer.bias is not None) for layer in layers] == [(2, False), (1, True)]


def test_down_adds_a_strided_shortcut_of_its_unrectified_input():
    block, x = DownBlock(2, 4).eval(), torch.randn(1, 2, 6, 8)
    assert torch.equal(block(x), block.separables(x.clone()) + block.shortcut(x))


def test_up_is_what_enlarging_before_the_shortcut_gives():
    block, x = UpBlock(4, 2).eval(), torch.randn(1, 4, 3, 5)
    assert torch.allclose(block(x), block.up(block.convolutions(x)) + block.shortcut(block.up(x)), atol=1e-6)


def test_the_blocks_leave_their_input_as_it_is():
    x = torch.randn(1, 2, 4, 4)
    before = x.clone()
    DownBlock(2, 4).eval()(x)
    UpBlock(2, 4).eval()(x)
    assert torch.equal(x, before)


def test_nothing_but_the_coarsest_features_reaches_the_decoder():
    network = XceptionUNet(features=TINY).eval()
    network.encoder.register_forward_hook(lambda _, inputs, output: torch.zeros_like(output))
    x = torch.randn(1, 1, 8, 16)
    assert torch.equal(network(x), network(x + 1))


def test_every_block_halves_the_size():
    network, sizes = XceptionUNet(features=TINY).eval(), []
    for block in (network.entry, *network.encoder):
        block.register_forward_hook(lambda _, inputs, output: sizes.append(tuple(output.shape[2:])))
    network(torch.randn(1, 1, 16, 24))
    assert sizes == [(8, 12), (4, 6), (2, 3)]
