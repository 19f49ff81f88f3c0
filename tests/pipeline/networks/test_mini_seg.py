"""MiniSeg: its blocks as in the paper, its heads in training, and any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.networks.mini_seg import AttentivePyramid, Exchange, Merge, MiniSeg, Repeat

TINY = {"features": (4, 8, 12, 16), "repeats": (2, 3, 2, 2)}


def parameters(*modules: nn.Module) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "auxiliary_heads", "count"),
    [(1, 3, True, 82_884), (1, 3, False, 82_515), (3, 2, True, 82_912)],
)
def test_miniseg_has_the_parameters_of_the_paper(in_channels, out_channels, auxiliary_heads, count):
    with torch.device("meta"):
        network = MiniSeg(in_channels, out_channels, auxiliary_heads=auxiliary_heads)
    assert parameters(network) == count


def test_each_encoder_block_has_the_parameters_of_the_table():
    with torch.device("meta"):
        levels = MiniSeg().levels
    assert [parameters(level.shallow_entry) for level in levels] == [232, 864, 1_664, 3_840]
    assert [parameters(level.main_entry) for level in levels] == [96, 504, 864, 2_368]
    assert [parameters(*(r.main for r in level.repeats)) for level in levels] == [1_200, 1_800, 7_424, 17_280]
    shallow = [parameters(*(r.shallow for r in level.repeats if r.shallow)) for level in levels]
    assert shallow == [288, 1_248, 7_680, 17_664]
    assert [parameters(level.exchange) for level in levels if level.exchange] == [288, 2_400, 4_224]


def test_each_decoder_block_has_the_parameters_of_the_table():
    with torch.device("meta"):
        network = MiniSeg(out_channels=3)
    deepest = parameters(network.deepest[:2])
    assert [parameters(merge.lateral) for merge in network.merges] + [deepest] == [1_120, 648, 88, 4_288]
    fusions = [parameters(merge.reduce, merge.near, merge.far, merge.norm) for merge in network.merges]
    assert fusions == [2_688, 1_248, 352]
    assert [parameters(head) for head in (network.head, *network.auxiliary_heads)] == [27, 75, 99, 195]


def test_the_shallow_path_takes_part_in_the_first_half_of_the_repeats():
    with torch.device("meta"):
        levels = MiniSeg().levels
    takes_part = [[repeat.shallow is not None for repeat in level.repeats] for level in levels]
    assert [sum(repeats) for repeats in takes_part] == [1, 1, 4, 3]
    assert all(repeats == sorted(repeats, reverse=True) for repeats in takes_part)


def test_a_pyramid_sums_its_branches_from_narrow_to_wide():
    block = AttentivePyramid(1, 4, stride=1).eval()
    nn.init.ones_(block.reduce.weight)
    for branch in block.branches:
        nn.init.dirac_(branch.weight)  # each branch returns its input
    nn.init.zeros_(block.attention.weight)  # each map of attention is 1/2
    block.fuse = nn.Identity()
    x = torch.rand(1, 1, 5, 6)
    mean = nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    expected = torch.cat([1.5 * (mean + count * x) for count in (1, 2, 3, 4)], dim=1)
    assert torch.allclose(block(x), expected)


def test_a_pyramid_attends_to_each_branch_apart():
    block = AttentivePyramid(1, 4, stride=1).eval()
    for weight in (block.reduce.weight, *(branch.weight for branch in block.branches)):
        nn.init.constant_(weight, 0.1)
    block.fuse = nn.Identity()
    with torch.no_grad():
        block.attention.weight.copy_(torch.tensor([-1e9, -1e9, 1e9, -1e9]).reshape(4, 1, 1, 1))
        attended = block(torch.ones(1, 1, 5, 5))
        nn.init.constant_(block.attention.weight, -1e9)
        unattended = block(torch.ones(1, 1, 5, 5))
    assert torch.allclose(attended / unattended, torch.tensor([1.0, 1, 2, 1]).reshape(4, 1, 1).expand(1, 4, 5, 5))


def test_a_pyramids_dilations_double():
    branches = AttentivePyramid(4, 8, stride=2).branches
    assert [branch.dilation[0] for branch in branches] == [1, 2, 4, 8]
    assert {branch(torch.zeros(1, 2, 9, 12)).shape for branch in branches} == {(1, 2, 5, 6)}


def test_both_paths_of_a_repeat_see_the_sum_before_it():
    repeat = Repeat(nn.Identity(), nn.Identity())
    shallow, main = repeat(torch.tensor([1.0]), torch.tensor([10.0]))
    assert (shallow.item(), main.item()) == (12, 21)


def test_an_exchange_keeps_its_inputs():
    exchange = Exchange(2).eval()
    nn.init.zeros_(exchange.mix[0].weight)
    shallow, main = torch.randn(2, 1, 2, 3, 3)
    assert all(map(torch.equal, exchange(shallow, main), (shallow, main)))


def test_a_merge_widens_the_coarse_features_view():
    merge = Merge(8, 4)
    assert [merge.near.dilation, merge.far.dilation] == [(1, 1), (2, 2)]


def test_training_returns_four_maps_of_the_inputs_size():
    outputs = MiniSeg(**TINY)(torch.randn(2, 1, 37, 26))
    assert [output.shape for output in outputs] == 4 * [(2, 4, 37, 26)]


def test_auxiliary_heads_see_the_maps_resized_to_the_next_level():
    network, seen = MiniSeg(**TINY), []
    for head in network.auxiliary_heads:
        head.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape[1], inputs[0].shape[2])))
    network(torch.randn(2, 1, 64, 64))
    assert seen == [(8, 32), (12, 16), (16, 8)]


def test_the_first_output_in_training_is_that_of_the_main_head():
    network = MiniSeg(**TINY)
    nn.init.zeros_(network.head[1].weight)
    nn.init.constant_(network.head[1].bias, 3)
    outputs = network(torch.randn(2, 1, 32, 32))
    assert [bool(output.eq(3).all()) for output in outputs] == [True, False, False, False]


def test_without_auxiliary_heads_training_returns_one_map():
    assert MiniSeg(**TINY, auxiliary_heads=False)(torch.randn(2, 1, 32, 32)).shape == (2, 4, 32, 32)


@pytest.mark.parametrize("size", [(1, 1), (17, 30), (101, 115)])
def test_any_size_is_taken(size):
    assert MiniSeg(**TINY).eval()(torch.randn(1, 1, *size)).shape == (1, 4, *size)


def test_a_batch_of_one_can_be_trained_on():
    assert len(MiniSeg(**TINY)(torch.randn(1, 1, 32, 32))) == 4
