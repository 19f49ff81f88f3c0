"""UNet++: each node's count, what a node sees, and deep supervision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.unet_plus_plus import UNetPlusPlus

TINY = (2, 3, 4, 5, 6)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("in_channels", "deep_supervision", "expected"),
    [(1, False, 9_162_819), (3, False, 9_163_395), (1, True, 9_163_116)],
)
def test_three_classes_need_the_parameters_of_the_paper(in_channels, deep_supervision, expected):
    with torch.device("meta"):
        assert parameters(UNetPlusPlus(in_channels, 3, deep_supervision=deep_supervision)) == expected


def test_the_encoders_nodes_have_their_parameters():
    with torch.device("meta"):
        assert [parameters(block) for block in UNetPlusPlus().encoder] == [9_696, 55_680, 221_952, 886_272, 3_542_016]


def test_the_nested_nodes_have_their_parameters():
    with torch.device("meta"):
        columns = UNetPlusPlus().columns
    assert [[parameters(block) for block in column.nodes] for column in columns] == [
        [37_056, 147_840, 590_592, 2_360_832],
        [46_272, 184_704, 738_048],
        [55_488, 221_568],
        [64_704],
    ]


def test_a_node_sees_its_level_and_then_the_enlarged_node_below():
    column = UNetPlusPlus(features=(2, 3)).columns[0].eval()
    seen = []
    column.nodes[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fine, coarse = torch.randn(1, 2, 4, 4), torch.randn(1, 3, 2, 2)
    column([[fine], [coarse]])
    assert torch.equal(seen[0][:, :2], fine)
    # align_corners: the corners keep their values
    assert torch.allclose(seen[0][:, 2:, ::3, ::3], coarse)


def test_training_with_deep_supervision_returns_four_outputs_of_full_size():
    outputs = UNetPlusPlus(features=TINY, deep_supervision=True)(torch.randn(2, 1, 32, 48))
    assert [output.shape for output in outputs] == [(2, 4, 32, 48)] * 4


def test_deep_supervision_names_the_deepest_output_first():
    network = UNetPlusPlus(features=TINY, deep_supervision=True)
    nodes = []
    network.columns[-1].nodes[0].register_forward_hook(lambda _, inputs, output: nodes.append(output))
    outputs = network(torch.randn(2, 1, 32, 48))
    assert torch.equal(outputs[0], network.output(nodes[0]))


def test_every_output_has_a_gradient_of_its_own():
    network = UNetPlusPlus(features=TINY, deep_supervision=True)
    sum(output.square().sum() for output in network(torch.randn(2, 1, 32, 48))).backward()
    assert all(output.weight.grad.any() for output in [network.output, *network.other_outputs])


def test_evaluation_with_deep_supervision_returns_one_tensor():
    output = UNetPlusPlus(features=TINY, deep_supervision=True).eval()(torch.randn(1, 1, 32, 48))
    assert output.shape == (1, 4, 32, 48)


def test_without_deep_supervision_training_returns_one_tensor():
    assert UNetPlusPlus(features=TINY)(torch.randn(1, 1, 32, 48)).shape == (1, 4, 32, 48)


def test_deep_supervision_can_be_scripted():
    network = UNetPlusPlus(features=TINY, deep_supervision=True)
    scripted, x = torch.jit.script(network), torch.randn(2, 1, 32, 48)
    # In training mode both normalise by the batch, so that they agree too
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(network(x), scripted(x), strict=True))


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be divisible by 16"):
        UNetPlusPlus(features=TINY)(torch.zeros(1, 1, 32, 40))
