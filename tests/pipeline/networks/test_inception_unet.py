"""Inception U-Net: the counts of its levels, its four branches, and what the decoder joins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.inception_unet import InceptionBlock, InceptionUNet

TINY = (2, 4, 6)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "expected"), [(1, 11_985_937), (3, 11_987_921)])
def test_one_class_needs_the_parameters_of_the_paper(in_channels, expected):
    with torch.device("meta"):
        assert parameters(InceptionUNet(in_channels, 1)) == expected


@pytest.mark.parametrize(
    ("in_channels", "trainable", "in_keras"), [(1, 11_985_937, 11_989_297), (3, 11_987_921, 11_991_281)]
)
def test_with_the_running_statistics_it_has_what_keras_counts(in_channels, trainable, in_keras):
    with torch.device("meta"):
        norms = [layer for layer in InceptionUNet(in_channels, 1).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert trainable + sum(2 * norm.num_features for norm in norms) == in_keras


def test_the_main_encoder_has_its_parameters():
    with torch.device("meta"):
        network = InceptionUNet()
    levels = [parameters(level.main) for level in network.encoder]
    assert [*levels, parameters(network.bottleneck)] == [9_568, 55_424, 221_440, 885_248, 3_539_968]


def test_the_parallel_encoder_has_its_parameters():
    with torch.device("meta"):
        levels = [parameters(level.inception) for level in InceptionUNet().encoder]
    # Weights and biases by hand: convolutions of 9 + 9, 25 + 25, 1 and 9 + 1 taps, 7 batch norms
    first = 16 * (9 + 25 + 1 + 9) + 16 * 16 * (9 + 25 + 1) + 7 * 3 * 16
    later = [width * 2 * width * 44 + width * width * 35 + 7 * 3 * width for width in (32, 64, 128)]
    assert levels == [first, *later]


def test_the_decoder_has_its_parameters():
    with torch.device("meta"):
        joins = [parameters(block.join) for block in InceptionUNet().decoder]
    # Two convolutions of 9 taps, from 4 times the width and from the width, and two biases
    assert joins == [9 * 5 * width**2 + 2 * width for width in (256, 128, 64, 32)]


def test_an_inception_block_joins_its_branches_in_order():
    block, x = InceptionBlock(3, 2).eval(), torch.randn(1, 3, 6, 5)
    first, second, third, fourth = (branch(x) for branch in block.branches)
    assert torch.equal(block(x), torch.cat([first, second, third, fourth], dim=1))


def test_the_branches_see_squares_of_their_kernels():
    sizes = [
        [layer.kernel_size[0] for layer in branch.modules() if isinstance(layer, nn.Conv2d)]
        for branch in InceptionBlock(3, 2).branches
    ]
    assert sizes == [[3, 3], [5, 5], [1], [3, 1]]


def test_a_branch_convolves_then_rectifies_then_normalises():
    kinds = [type(layer) for layer in InceptionBlock(3, 2).branches[2]]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_the_parallel_encoder_pools_after_its_block():
    level, x = InceptionUNet(features=TINY).encoder[1].eval(), torch.randn(1, 4, 4, 6)
    _, parallel = level(torch.randn(1, 2, 4, 6), x)
    assert torch.equal(parallel, nn.functional.max_pool2d(level.inception(x), 2))


def test_the_decoder_joins_its_own_the_main_and_the_parallel_features():
    network, seen = InceptionUNet(features=TINY).eval(), []
    network.decoder[-1].join.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 1, 8, 12)
    network(x)
    main, parallel = network.encoder[0](x, x)
    assert torch.equal(seen[0][:, 2:], torch.cat([main, parallel], dim=1))


def test_convolutions_begin_without_bias():
    layers = InceptionUNet(features=TINY).modules()
    biases = [layer.bias for layer in layers if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert torch.cat(biases).eq(0).all()
