"""Attention U-Net: the counts of its levels and what a gate does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.attention_unet import AttentionUNet, Gate

TINY = (2, 4, 6, 8, 10)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("in_channels", "expected"), [(1, 34_877_551), (3, 34_878_703)])
def test_three_classes_need_the_parameters_of_the_paper(in_channels, expected):
    with torch.device("meta"):
        assert parameters(AttentionUNet(in_channels, 3)) == expected


def test_the_encoder_has_its_parameters():
    with torch.device("meta"):
        levels = [parameters(block) for block in AttentionUNet().encoder]
    assert levels == [37_824, 221_952, 886_272, 3_542_016, 14_161_920]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("up", [4_720_128, 1_180_416, 295_296, 73_920]),
        ("gate", [263_939, 66_435, 16_835, 4_323]),
        ("join", [7_080_960, 1_771_008, 443_136, 110_976]),
    ],
)
def test_the_decoder_has_its_parameters(part, expected):
    with torch.device("meta"):
        assert [parameters(getattr(block, part)) for block in AttentionUNet().decoder] == expected


def test_a_gate_scales_all_channels_of_a_pixel_alike():
    torch.manual_seed(0)
    skip = torch.rand(1, 4, 3, 5) + 0.5
    weight = Gate(4).eval()(torch.randn(1, 4, 3, 5), skip) / skip
    assert torch.allclose(weight, weight[:, :1].expand_as(weight))
    assert 0 < weight.min() < weight.max() < 1


def test_a_gate_looks_at_the_decoder():
    torch.manual_seed(0)
    gate, skip = Gate(4).eval(), torch.rand(1, 4, 3, 5)
    assert not torch.allclose(gate(torch.zeros(1, 4, 3, 5), skip), gate(torch.ones(1, 4, 3, 5), skip))


def test_the_gated_skip_comes_before_the_decoders_features():
    block, seen = AttentionUNet(features=(2, 4)).decoder[0].eval(), []
    block.join.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, skip = torch.randn(1, 4, 2, 2), torch.randn(1, 2, 4, 4)
    block(x, skip)
    up = block.up(x)
    assert torch.equal(seen[0], torch.cat([block.gate(up, skip), up], dim=1))


def test_enlarging_repeats_pixels():
    enlarge = AttentionUNet(features=(2, 4)).decoder[0].up[0]
    assert enlarge(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 16"):
        AttentionUNet(features=TINY)(torch.zeros(1, 1, 32, 40))
