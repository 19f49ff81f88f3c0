"""SegNet: the counts of its stages, and poolings that are undone pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.segnet import SegNet

TINY = (2, 3, 4, 5, 6)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "expected"), [(1, 29_443_587), (3, 29_444_739)])
def test_three_classes_need_the_parameters_of_the_paper(in_channels, expected):
    with torch.device("meta"):
        assert parameters(SegNet(in_channels, 3)) == expected


def test_the_encoder_has_its_parameters():
    with torch.device("meta"):
        stages = [parameters(block) for block in SegNet().encoder]
    assert stages == [37_824, 221_952, 1_476_864, 5_902_848, 7_082_496]


def test_the_decoder_has_its_parameters():
    with torch.device("meta"):
        stages = [parameters(block) for block in SegNet().decoder]
    assert stages == [7_082_496, 5_902_080, 1_476_480, 221_760, 37_056]


def test_the_output_layer_has_its_parameters():
    with torch.device("meta"):
        assert parameters(SegNet(1, 3).output) == 1_731


def test_the_encoder_has_the_thirteen_convolutions_of_vgg16():
    with torch.device("meta"):
        encoder = SegNet().encoder
    widths = [layer.out_channels for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def test_unpooling_puts_the_largest_pixel_back_in_its_place():
    network, decoded = SegNet(features=(2,), convolutions=(1,)), []
    network.encoder[0] = nn.Identity()
    network.decoder[0].register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0]))
    x = torch.tensor([[5.0, 1.0, 2.0, 0.0], [1.0, 1.0, 3.0, 9.0]])
    network.eval()(x.expand(1, 2, 2, 4))
    assert decoded[0][0, 0].tolist() == [[5, 0, 0, 0], [0, 0, 0, 9]]


def test_each_stage_has_the_size_of_its_mirror_image():
    network, down, up = SegNet(features=TINY), [], []
    for coder, sizes in ((network.encoder, down), (network.decoder, up)):
        for block in coder:
            block.register_forward_hook(lambda _, inputs, output, sizes=sizes: sizes.append(output.shape[2:]))
    network(torch.randn(2, 1, 67, 45))
    assert up == down[::-1]


def test_odd_sizes_are_kept():
    assert SegNet(features=TINY)(torch.randn(2, 1, 33, 47)).shape == (2, 4, 33, 47)


def test_a_size_that_the_poolings_shrink_to_nothing_is_refused():
    with pytest.raises(ValueError, match="must be at least 32 along each axis"):
        SegNet(features=TINY)(torch.zeros(1, 1, 64, 31))
