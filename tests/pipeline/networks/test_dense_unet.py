"""Dense U-Net: the counts of its levels, and what a block joins."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.networks.dense_unet import DenseBlock, DenseUNet

TINY = (2, 4, 6)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def by_hand(fine: int, coarse: int) -> int:
    """Three convolutions of 9 taps and one of 1, a bias and two numbers of a batch norm for each feature map."""
    return 9 * (fine + coarse + 2 * coarse) * coarse + 3 * coarse * coarse + 4 * 3 * coarse


def test_one_class_needs_the_parameters_of_the_paper():
    with torch.device("meta"):
        assert parameters(DenseUNet(1, 1)) == 4_259_873


def test_with_the_running_statistics_it_has_what_keras_counts():
    with torch.device("meta"):
        norms = [layer for layer in DenseUNet(1, 1).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert 4_259_873 + sum(2 * norm.num_features for norm in norms) == 4_265_761


def test_the_encoder_has_its_parameters():
    with torch.device("meta"):
        levels = [parameters(block) for block in DenseUNet().encoder]
    assert levels == [by_hand(*pair) for pair in ((1, 16), (16, 32), (32, 64), (64, 128), (128, 256))]


def test_the_decoder_has_its_parameters():
    with torch.device("meta"):
        levels = [parameters(block) for block in DenseUNet().decoder]
    assert levels == [by_hand(*pair) for pair in ((384, 128), (192, 64), (96, 32), (48, 16))]


def test_the_third_unit_sees_the_first_two_and_the_fusion_all_three():
    block, x = DenseBlock(3, 2).eval(), torch.randn(1, 3, 4, 5)
    first = block.first(x)
    second = block.second(first)
    third = block.third(torch.cat([first, second], dim=1))
    assert torch.equal(block(x), block.fuse(torch.cat([first, second, third], dim=1)))


def test_a_unit_convolves_then_rectifies_then_normalises():
    block = DenseBlock(3, 2)
    kinds = {tuple(type(layer) for layer in unit) for unit in block.children()}
    assert kinds == {(nn.Conv2d, nn.ReLU, nn.BatchNorm2d)}


def test_the_decoders_features_come_before_the_encoders():
    network, seen = DenseUNet(features=TINY).eval(), []
    network.decoder[-1].first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 1, 8, 4)
    network(x)
    assert torch.equal(seen[0][:, 4:], network.encoder[0](x))


def test_convolutions_begin_without_bias():
    biases = [layer.bias for layer in DenseUNet(features=TINY).modules() if isinstance(layer, nn.Conv2d)]
    assert torch.cat(biases).eq(0).all()
