"""AMC-Net: what each flag adds, the MS-block's two wirings, and the gate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.amc_net import AMCNet, Gate, MSBlock

RELEASED = {"ms_mode": "cascade", "upsample": "deconv_double"}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def shapes_alone(**arguments) -> AMCNet:
    """The network with one class, on torch's meta device."""
    with torch.device("meta"):
        return AMCNet(1, 1, **arguments)


def seen_by(block: MSBlock, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What each dilated convolution of the block reads and gives."""
    inputs, outputs = [], []

    def remember(_: nn.Module, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        inputs.append(given[0])
        outputs.append(made)

    for convolution in block.dilated:
        convolution.register_forward_hook(remember)
    block(x)
    return inputs, outputs


@pytest.mark.parametrize(
    ("flag", "more"),
    [
        ({"multi_scale": False}, -(3_346_381 - 1_995_341)),
        ({"attention": False}, -(3_346_381 - 3_313_377)),
        ({"multi_scale": False, "attention": False}, -(3_346_381 - 1_962_337)),
        ({"ms_mode": "cascade"}, 0),
        ({"upsample": "deconv_double"}, 4_457_101 - 3_346_381),
        ({"dropout": 0.0}, 0),
    ],
)
def test_a_flag_changes_the_count(flag, more):
    assert parameters(shapes_alone(**flag)) == 3_346_381 + more


@pytest.mark.parametrize("channels", [16, 128])
def test_an_ms_block_has_four_dilated_convolutions_and_one_that_joins_them(channels):
    block = MSBlock(channels, (1, 2, 3, 5), "parallel", 0.2)
    assert parameters(block) == 4 * (9 * channels**2 + channels) + 4 * channels**2 + channels


def test_there_are_eight_ms_blocks_and_none_at_the_bottom():
    network = shapes_alone()
    counts = [sum(isinstance(part, MSBlock) for part in side.modules()) for side in (network, network.bottleneck)]
    assert counts == [8, 0]


def test_the_dilations_reach_the_convolutions():
    blocks = [part for part in shapes_alone(dilations=(1, 2, 4)).modules() if isinstance(part, MSBlock)]
    assert {tuple(unit[0].dilation for unit in block.dilated) for block in blocks} == {((1, 1), (2, 2), (4, 4))}


def test_parallel_convolutions_all_read_the_blocks_input():
    x = torch.randn(1, 2, 12, 12)
    inputs, _ = seen_by(MSBlock(2, (1, 2, 3, 5), "parallel", 0.2).eval(), x)
    assert all(torch.equal(read, x) for read in inputs)


def test_in_a_cascade_a_convolution_reads_what_the_one_before_gives():
    x = torch.randn(1, 2, 12, 12)
    inputs, outputs = seen_by(MSBlock(2, (1, 2, 3, 5), "cascade", 0.2).eval(), x)
    assert all(torch.equal(read, given) for read, given in zip(inputs, [x, *outputs], strict=False))


def test_the_wirings_give_different_results_with_equal_weights():
    parallel = AMCNet(features=(2, 4)).eval()
    cascade = AMCNet(features=(2, 4), ms_mode="cascade").eval()
    cascade.load_state_dict(parallel.state_dict())
    x = torch.randn(1, 1, 16, 16)
    assert not torch.allclose(parallel(x), cascade(x))


def test_a_gate_has_a_quarter_of_the_coarser_levels_channels():
    assert [block.gate.weight.in_channels for block in shapes_alone().decoder] == [64, 32, 16, 8]


def test_a_gate_scales_all_channels_of_a_pixel_alike():
    skip = torch.rand(1, 4, 3, 5) + 0.5
    weight = Gate(4, 6, 3)(skip, torch.randn(1, 6, 3, 5)) / skip
    assert torch.allclose(weight, weight[:, :1].expand_as(weight))
    assert 0 < weight.min() <= weight.max() < 1


def test_a_gate_is_the_papers_formula():
    gate, skip, up = Gate(2, 3, 4), torch.randn(1, 2, 3, 5), torch.randn(1, 3, 3, 5)
    joint = (gate.from_skip(skip) + gate.from_decoder(up)).clamp(min=0)
    assert torch.allclose(gate(skip, up), skip / (1 + torch.exp(-gate.weight(joint))))


def test_the_enlarged_features_come_before_the_gated_skip():
    block, seen = AMCNet(features=(2, 4)).eval().decoder[0], []
    block.stage.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, skip = torch.randn(1, 4, 2, 2), torch.randn(1, 2, 4, 4)
    block(x, skip)
    up = block.up(x)
    assert torch.equal(seen[0], torch.cat([up, block.gate(skip, up)], dim=1))


@pytest.mark.parametrize(
    ("arguments", "expected"), [({}, [384, 192, 96, 48]), (RELEASED, [640, 320, 160, 80])], ids=["paper", "released"]
)
def test_a_decoder_stage_reads_both_sides(arguments, expected):
    assert [block.stage[0][0].in_channels for block in shapes_alone(**arguments).decoder] == expected


def test_enlarging_repeats_pixels():
    up = AMCNet(features=(2, 4)).decoder[0].up
    assert up(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_dropout_follows_each_first_unit_and_surrounds_what_joins_an_ms_block():
    rates = [part.p for part in shapes_alone(dropout=0.3).modules() if isinstance(part, nn.Dropout)]
    assert rates == (9 + 2 * 8) * [0.3]


def test_without_dropout_training_equals_evaluation():
    network, x = AMCNet(features=(2, 4), dropout=0.0), torch.randn(1, 1, 16, 16)
    assert torch.equal(network.train()(x), network.eval()(x))


def test_nothing_is_normalised():
    assert not list(shapes_alone().buffers())


def test_weights_begin_with_glorots_limits_and_biases_with_zero():
    torch.manual_seed(0)
    convolution = AMCNet(features=(16, 32)).bottleneck[0][0]
    # 9 taps, 16 channels in, 32 out: uniform within +-sqrt(6 / (9 * 16 + 9 * 32))
    assert convolution.weight.abs().max().item() == pytest.approx((6 / (9 * (16 + 32))) ** 0.5, rel=0.01)
    assert not convolution.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ms_mode": "serial"}, "ms_mode is 'serial', expected parallel or cascade"),
        ({"upsample": "bilinear"}, "upsample is 'bilinear', expected nearest or deconv_double"),
    ],
)
def test_an_unknown_choice_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes_alone(**arguments)


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 16"):
        shapes_alone()(torch.zeros(1, 1, 32, 40, device="meta"))
