"""ENet: its blocks as in the paper's table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.enet import Down, ENet, Up, asymmetric, plain

TINY = {"features": (8, 16, 32)}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "count"), [(1, 349_140), (3, 349_356)])
def test_enet_has_the_parameters_of_the_authors_file(in_channels, count):
    with torch.device("meta"):
        assert parameters(ENet(in_channels, out_channels=3)) == count


def test_each_block_has_the_parameters_of_the_table():
    with torch.device("meta"):
        counts = {name: parameters(block) for name, block in ENet(out_channels=3).named_children()}
    context = 6 * 17_796 + 2 * 18_885
    assert counts == {
        "initial": 168,
        "down1": 804,
        "stage1": 4 * 4_548,
        "down2": 8_772,
        "stage2": context,
        "stage3": context,
        "up4": 18_816,
        "stage4": 2 * 4_544,
        "up5": 3_456,
        "stage5": 320,
        "head": 144 * 3,
    }


@pytest.mark.parametrize("stage", ["stage2", "stage3"])
def test_dilations_rise_between_plain_and_asymmetric_bottlenecks(stage):
    convolutions = [layer for layer in getattr(ENet(**TINY), stage).modules() if isinstance(layer, nn.Conv2d)]
    middles = [(layer.kernel_size, layer.dilation[0]) for layer in convolutions if layer.kernel_size != (1, 1)]
    pair = [((5, 1), 1), ((1, 5), 1)]
    square = {dilation: ((3, 3), dilation) for dilation in (1, 2, 4, 8, 16)}
    assert middles == [square[1], square[2], *pair, square[4], square[1], square[8], *pair, square[16]]


def test_dropout_is_gentler_in_stage_1():
    network = ENet(**TINY)
    rates = [{layer.p for layer in part.modules() if isinstance(layer, nn.Dropout2d)} for part in network.children()]
    assert rates == [set(), {0.01}, {0.01}, {0.1}, {0.1}, {0.1}, {0.1}, {0.1}, {0.1}, {0.1}, set()]


def test_the_encoder_learns_one_slope_an_activation_and_the_decoder_rectifies():
    network = ENet(**TINY)
    slopes = [layer.num_parameters for layer in network.modules() if isinstance(layer, nn.PReLU)]
    decoder = [network.up4, network.stage4, network.up5, network.stage5]
    assert set(slopes) == {1}
    assert not any(isinstance(layer, nn.PReLU) for part in decoder for layer in part.modules())


def test_no_convolution_has_a_bias():
    layers = [layer for layer in ENet(**TINY).modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert all(layer.bias is None for layer in layers)


def test_a_bottleneck_adds_its_extension_to_its_input():
    block = plain(8, count=1, dropout=0.0, activation=nn.ReLU).eval()[0]
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), torch.relu(x + block.extension(x)))


def test_the_asymmetric_middle_keeps_the_size():
    assert asymmetric(2, nn.ReLU)(torch.randn(1, 2, 6, 4)).shape == (1, 2, 6, 4)


def test_down_pads_the_pooled_maxima_with_zero_channels():
    block = Down(4, 8, dropout=0.0).eval()
    x = torch.rand(1, 4, 4, 6)
    block.extension = nn.Conv2d(4, 8, 2, stride=2, bias=False)
    nn.init.zeros_(block.extension.weight)
    main, _ = block(x)
    assert torch.equal(main[:, :4], nn.functional.max_pool2d(x, 2))
    assert main[:, 4:].eq(0).all()


def test_up_puts_values_back_where_the_maxima_were():
    block = Up(4, 4, dropout=0.0).eval()
    block.main = nn.Identity()
    block.extension = nn.Upsample(scale_factor=2.0)
    fine = torch.tensor([[0.0, 7.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]]).expand(1, 4, 2, 4)
    pooled, indices = nn.functional.max_pool2d_with_indices(fine, 2)
    unpooled = block(pooled, indices) - block.extension(pooled)
    assert torch.equal(unpooled, fine)


def test_a_size_that_is_no_multiple_of_8_is_refused():
    with pytest.raises(ValueError, match="divisible by 8"):
        ENet(**TINY)(torch.zeros(2, 1, 16, 12))
