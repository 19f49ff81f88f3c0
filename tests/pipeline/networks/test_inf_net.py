"""Inf-Net and its encoder Res2Net-50 against the tables of their specification."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.inf_net import InfNet, PartialDecoder, ReverseAttention
from pipeline.networks.res2net import Block, FirstBlock

TINY = {"width": 1 / 16, "blocks": (1, 1, 1, 1)}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def paper() -> InfNet:
    """The binary network of the paper at its full size, 3 channels, without memory behind it."""
    with torch.device("meta"):
        return InfNet(in_channels=3, out_channels=1)


# A class more takes 97 parameters for the global map and 258, 578 and 578 for the reverse attentions.
@pytest.mark.parametrize(
    ("in_channels", "out_channels", "count"),
    [(3, 1, 31_072_721), (1, 1, 31_072_145), (1, 3, 31_072_145 + 2 * 1_511), (3, 3, 31_072_721 + 2 * 1_511)],
)
def test_the_network_has_the_papers_number_of_parameters(in_channels, out_channels, count):
    with torch.device("meta"):
        assert parameters(InfNet(in_channels, out_channels)) == count


def test_the_parts_have_the_parameters_of_the_table(paper):
    assert [parameters(part) for part in (paper.field2, paper.field3, paper.field4)] == [178_112, 260_032, 423_872]
    assert [parameters(part) for part in (paper.decoder, paper.edge, paper.edge_output)] == [277_473, 90_496, 578]
    attentions = (paper.attention4, paper.attention3, paper.attention2)
    assert [parameters(part) for part in attentions] == [5_851_394, 177_090, 144_322]


def test_res2nets_stages_have_the_parameters_of_the_table(paper):
    encoder = paper.encoder
    stages = [parameters(part) for part in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)]
    assert stages == [214_056, 1_229_856, 7_198_368, 14_998_304]
    assert parameters(encoder.conv1) + parameters(encoder.bn1) == 28_768
    assert parameters(encoder) == 23_669_352


def test_res2net_returns_a_quarter_to_a_thirty_second_of_the_size(paper):
    features = paper.encoder(torch.zeros(1, 3, 64, 96, device="meta"))
    assert [tuple(f.shape[1:]) for f in features] == [(256, 16, 24), (512, 8, 12), (1024, 4, 6), (2048, 2, 3)]


def test_res2net_has_the_parameter_names_of_its_authors(paper):
    names = {name for name, _ in paper.encoder.named_parameters()}
    assert {name for name in names if name.startswith("conv1.")} == {
        *("conv1.0.weight", "conv1.3.weight", "conv1.6.weight"),
        *("conv1.1.weight", "conv1.1.bias", "conv1.4.weight", "conv1.4.bias"),
    }
    layers = {name.removeprefix("layer4.0.").rsplit(".", 1)[0] for name in names if name.startswith("layer4.0.")}
    assert layers == {
        *("conv1", "bn1", "convs.0", "convs.1", "convs.2", "bns.0", "bns.1", "bns.2"),
        *("conv3", "bn3", "downsample.1", "downsample.2"),
    }
    assert {name.split(".")[1] for name in names if name.startswith("layer3")} == set("012345")


def test_a_group_of_res2net_has_26_channels_at_a_width_of_64(paper):
    stages = (paper.encoder.layer1, paper.encoder.layer2, paper.encoder.layer3, paper.encoder.layer4)
    assert [stage[0].convs[0].out_channels for stage in stages] == [26, 52, 104, 208]


def groups_before_joining(block: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What reaches the last convolution of a block, in its four groups."""
    seen = []
    block.conv3.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    block(x)
    return seen[0].chunk(4, dim=1)


def test_a_later_block_hands_each_groups_result_to_the_next():
    block, x = Block(8, 2).eval(), torch.randn(1, 8, 6, 6)
    groups = F.relu(block.bn1(block.conv1(x))).chunk(4, dim=1)
    found = groups_before_joining(block, x)
    assert torch.equal(found[1], F.relu(block.bns[1](block.convs[1](found[0] + groups[1]))))
    assert torch.equal(found[3], groups[3])


def test_a_first_block_convolves_each_group_alone_and_averages_the_last():
    block, x = FirstBlock(4, 2, 8, stride=2).eval(), torch.randn(1, 4, 6, 6)
    groups = F.relu(block.bn1(block.conv1(x))).chunk(4, dim=1)
    found = groups_before_joining(block, x)
    assert torch.equal(found[1], F.relu(block.bns[1](block.convs[1](groups[1]))))
    assert torch.equal(found[3], F.avg_pool2d(groups[3], kernel_size=3, stride=2, padding=1))


def test_the_receptive_fields_grow_with_the_branch(paper):
    layers = [layer for layer in paper.field2.branches.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in layers[1:5]] == [(1, 1), (1, 3), (3, 1), (3, 3)]
    assert [layer.dilation[0] for layer in layers if layer.kernel_size == (3, 3)] == [3, 5, 7]


def test_only_the_global_map_has_a_bias(paper):
    biased = [name for name, m in paper.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biased == ["decoder.output"]


def test_the_partial_decoder_multiplies_deep_features_into_finer_ones():
    decoder = PartialDecoder(2, 1).eval()
    a, b, d = torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 4, 4), torch.randn(1, 2, 8, 8)
    # With b = 0 the product that carries d is zero too.
    assert torch.equal(decoder(a, b, d), decoder(a, b, d + 1))


def refined(out_channels: int, background: float, feature: float) -> torch.Tensor:
    """A reverse attention's map for a constant feature below a constant coarser map."""
    torch.manual_seed(0)
    attention = ReverseAttention(2, 1, 2, out_channels, (3, 3)).eval()
    coarser = torch.full((1, out_channels, 4, 4), background)
    return attention(torch.full((1, 2, 8, 8), feature), torch.zeros(1, 1, 8, 8), coarser) - background


def test_one_class_attends_to_what_the_map_has_not_found():
    assert torch.allclose(refined(1, 40.0, feature=1.0), refined(1, 40.0, feature=9.0))
    assert not torch.allclose(refined(1, -40.0, feature=1.0), refined(1, -40.0, feature=9.0))


def test_several_classes_attend_to_the_background():
    assert torch.allclose(refined(3, -40.0, feature=1.0), refined(3, -40.0, feature=9.0))
    assert not torch.allclose(refined(3, 40.0, feature=1.0), refined(3, 40.0, feature=9.0))


@pytest.mark.parametrize("out_channels", [1, 4])
def test_training_returns_the_prediction_three_coarser_maps_and_the_edge(out_channels):
    outputs = InfNet(1, out_channels, **TINY)(torch.randn(2, 1, 64, 32))
    assert [tuple(output.shape) for output in outputs] == [(2, out_channels, 64, 32)] * 4 + [(2, 1, 64, 32)]


def test_the_first_output_of_training_is_the_prediction_of_evaluation():
    network, x = InfNet(**TINY).eval(), torch.randn(1, 1, 64, 32)
    prediction = network(x)
    network.training = True  # of this module alone: its batch norms stay in evaluation
    assert torch.equal(network(x)[0], prediction)


def test_a_size_that_32_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 32"):
        InfNet(**TINY)(torch.zeros(2, 1, 64, 48))


def test_training_takes_a_single_image_of_64():
    assert len(InfNet(**TINY)(torch.randn(1, 1, 64, 32))) == 5


def test_a_single_image_of_32_is_refused_in_training():
    with pytest.raises(ValueError, match="InfNet needs a batch of at least 2 in training"):
        InfNet(**TINY)(torch.randn(1, 1, 32, 32))
