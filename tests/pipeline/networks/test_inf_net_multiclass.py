"""The second stage of Inf-Net against the table of its specification."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.inf_net_multiclass import InfNetMultiClass

TINY = {"features": (2, 4)}


@pytest.mark.parametrize(("in_channels", "count"), [(6, 17_269_251), (2, 17_266_947)])
def test_three_classes_take_the_number_of_parameters_of_the_table(in_channels, count):
    with torch.device("meta"):
        network = InfNetMultiClass(in_channels=in_channels)
    assert sum(weight.numel() for weight in network.parameters()) == count


def widths(blocks: nn.ModuleList) -> list[tuple[int, ...]]:
    """Channels into the first, out of the first and out of the second convolution of each block."""
    layers = [[layer for layer in block.modules() if isinstance(layer, nn.Conv2d)] for block in blocks]
    return [(first.in_channels, first.out_channels, second.out_channels) for first, second in layers]


def test_the_blocks_have_the_widths_of_the_table():
    with torch.device("meta"):
        network = InfNetMultiClass()
    assert widths(network.encoder) == [
        *((2, 64, 64), (64, 128, 128), (128, 256, 256), (256, 512, 512), (512, 512, 512)),
    ]
    assert widths(network.decoder) == [(1024, 512, 256), (512, 256, 128), (256, 128, 64), (128, 64, 64)]


def test_upsampling_aligns_the_corners():
    network, seen = InfNetMultiClass(**TINY).eval(), []
    network.encoder[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network.decoder[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0][:, 4:]))
    network(torch.randn(1, 2, 16, 16))
    bottom, upsampled = seen
    assert torch.allclose(upsampled[:, :, ::7, ::7], bottom[:, :, ::3, ::3])


def test_a_size_that_the_poolings_do_not_divide_is_refused():
    with torch.device("meta"), pytest.raises(ValueError, match="must be divisible by 16"):
        InfNetMultiClass()(torch.zeros(2, 2, 40, 32))


def test_a_single_image_whose_bottom_is_one_pixel_is_refused_in_training():
    with pytest.raises(ValueError, match="InfNetMultiClass needs a batch of at least 2 in training"):
        InfNetMultiClass(**TINY)(torch.zeros(1, 2, 4, 4))


def test_training_takes_a_single_image():
    assert InfNetMultiClass(**TINY)(torch.randn(1, 2, 8, 4)).shape == (1, 3, 8, 4)
