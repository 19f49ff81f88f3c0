"""LEDNet: its blocks as in the paper, and what is special about its decoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.lednet import Down, LEDNet, SplitShuffle, shuffle

TINY = {"features": (8, 16, 32), "dilations": (1, 2)}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "count"), [(1, 918_127), (3, 918_629)])
def test_lednet_has_the_parameters_of_the_paper(in_channels, count):
    with torch.device("meta"):
        assert parameters(LEDNet(in_channels, out_channels=3)) == count


def test_each_encoder_block_has_the_parameters_of_the_table():
    with torch.device("meta"):
        encoder = LEDNet().encoder
    expected = [374, *3 * [6_400], 9_376, *2 * [25_088], 37_184, *8 * [99_328]]
    assert [parameters(block) for block in encoder] == expected
    assert sum(expected) == 910_934


def test_dilations_and_dropout_grow_at_an_eighth_of_the_size():
    with torch.device("meta"):
        blocks = [block for block in LEDNet().encoder if isinstance(block, SplitShuffle)]
    dilations = [block.left[5][0].dilation[0] for block in blocks]
    assert dilations == [1, 1, 1, 1, 1, 1, 2, 5, 9, 2, 5, 9, 17]
    assert [block.left[6].p for block in blocks] == 5 * [0.03] + 8 * [0.3]


def test_the_halves_convolve_along_the_axes_in_opposite_order():
    block = SplitShuffle(4, dropout=0.0, dilation=2)
    left, right = (
        [layer.kernel_size for layer in half.modules() if isinstance(layer, nn.Conv2d)]
        for half in (block.left, block.right)
    )
    assert left == [(3, 1), (1, 3), (3, 1), (1, 3)]
    assert right == [(1, 3), (3, 1), (1, 3), (3, 1)]


def test_the_second_pair_of_convolutions_is_dilated_and_keeps_the_size():
    block = SplitShuffle(4, dropout=0.0, dilation=5)
    dilations = [layer.dilation for layer in block.left.modules() if isinstance(layer, nn.Conv2d)]
    assert dilations == [(1, 1), (1, 1), (5, 5), (5, 5)]
    assert block(torch.randn(2, 4, 6, 8)).shape == (2, 4, 6, 8)


def test_shuffle_interleaves_the_halves():
    channels = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffle(channels).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_a_block_adds_its_halves_to_its_input_before_the_shuffle():
    block = SplitShuffle(4, dropout=0.0, dilation=1).eval()
    x = torch.randn(1, 4, 6, 6)
    halves = torch.cat([block.left(x[:, :2]), block.right(x[:, 2:])], dim=1)
    assert torch.allclose(block(x)[:, [0, 2, 1, 3]], torch.relu(x + halves))


def test_down_appends_the_pooled_input():
    block = Down(2, 6).eval()
    block.norm = nn.Identity()
    x = torch.randn(1, 2, 4, 6)
    assert torch.equal(block(x)[:, 4:], nn.functional.max_pool2d(x, 2))


def test_every_batch_norm_has_the_papers_epsilon():
    norms = [layer for layer in LEDNet(**TINY).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}


def test_no_logit_is_negative():
    torch.manual_seed(0)
    assert LEDNet(**TINY)(torch.randn(2, 1, 64, 48)).min() >= 0


def test_where_attention_is_zero_the_image_alone_decides():
    decoder = LEDNet(**TINY).eval().decoder
    for norm in (decoder.down3[1][1], decoder.side1[1], decoder.side2[1]):
        nn.init.constant_(norm.bias, -100)
    x = torch.randn(1, 32, 8, 6)
    assert torch.equal(decoder(x), decoder.image(x).expand(1, 4, 8, 6))


def test_a_batch_of_one_is_refused_in_training():
    with pytest.raises(ValueError, match="LEDNet needs a batch of at least 2 in training"):
        LEDNet(**TINY)(torch.zeros(1, 1, 16, 16))


def test_a_batch_of_one_is_fine_in_evaluation():
    assert LEDNet(**TINY).eval()(torch.zeros(1, 1, 16, 24)).shape == (1, 4, 16, 24)


def test_a_size_that_is_no_multiple_of_8_is_refused():
    with pytest.raises(ValueError, match="divisible by 8"):
        LEDNet(**TINY)(torch.zeros(2, 1, 16, 12))
