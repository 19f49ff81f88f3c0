"""R2U-Net: its blocks' counts and what their convolutions read."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from pipeline.networks.r2unet import Block, R2UNet, RecurrentUnit
from pipeline.networks.u_shape import joined


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def shapes_alone() -> R2UNet:
    """The network with one class, on torch's meta device."""
    with torch.device("meta"):
        return R2UNet(1, 1)


def block_count(in_channels: int, out_channels: int) -> int:
    """Of six 3x3 convolutions and the 1x1 convolution before them."""
    return 6 * (9 * out_channels**2 + out_channels) + (in_channels + 1) * out_channels


def test_the_encoder_has_its_parameters():
    widths = [1, 16, 32, 64, 128, 256]
    expected = [block_count(before, width) for before, width in pairwise(widths)]
    assert [parameters(block) for block in shapes_alone().encoder] == expected


def test_the_decoder_has_its_parameters():
    expected = [block_count(width * 3, width) for width in (128, 64, 32, 16)]
    assert [parameters(block) for block in shapes_alone().decoder] == expected


def test_a_unit_adds_its_input_to_what_its_later_convolutions_read():
    unit, x = RecurrentUnit(2), torch.randn(1, 2, 5, 5)
    first, second, third = (part[0] for part in (unit.first, unit.second, unit.third))
    expected = third(second(first(x).relu() + x).relu() + x).relu()
    assert torch.equal(unit(x), expected)


def test_a_block_adds_what_its_units_read_to_their_result():
    block, x = Block(1, 2), torch.randn(1, 1, 5, 5)
    widened = block.widen(x)
    assert torch.equal(block(x), widened + block.units[1](block.units[0](widened)))


def test_a_block_that_keeps_the_channels_has_no_1x1_convolution():
    assert isinstance(Block(2, 2).widen, nn.Identity)


def test_a_block_leaves_what_it_reads_as_it_was():
    x = torch.randn(1, 2, 5, 5)
    before = x.clone()
    Block(2, 2)(x)
    assert torch.equal(x, before)


def test_no_two_steps_share_a_convolution():
    convolutions = [part for part in Block(2, 2).modules() if isinstance(part, nn.Conv2d)]
    assert len({id(part.weight) for part in convolutions}) == 6


def test_the_enlarged_features_come_before_the_skip():
    network, seen = R2UNet(features=(2, 4)).eval(), []
    network.decoder[0].widen.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 1, 4, 4)
    network(x)
    skip = network.encoder[0](x)
    assert torch.equal(seen[0], joined(network.encoder[1](network.pool(skip)), skip))


def test_nothing_is_normalised_and_nothing_dropped():
    assert {type(part) for part in shapes_alone().modules() if not list(part.children())} == {
        nn.Conv2d, nn.ReLU, nn.MaxPool2d,
    }  # fmt: skip


def test_weights_begin_with_glorots_limits_and_biases_with_zero():
    torch.manual_seed(0)
    convolution = R2UNet(features=(16, 32)).encoder[1].units[0].first[0]
    # 9 taps, 32 channels in and out: uniform within +-sqrt(6 / (9 * 32 + 9 * 32))
    assert convolution.weight.abs().max().item() == pytest.approx((6 / (9 * 64)) ** 0.5, rel=0.01)
    assert not convolution.bias.any()


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 16"):
        shapes_alone()(torch.zeros(1, 1, 32, 40, device="meta"))
