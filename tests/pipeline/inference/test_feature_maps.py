"""The blocks of a network, and the channel means of what they make."""

from __future__ import annotations

import pytest
import torch
from network_table import BY_BUNDLE
from torch import nn

from pipeline.core.configuration import networks
from pipeline.inference.feature_maps import BlockMaps, feature_blocks
from pipeline.inferers.slices import AirPaddedSlices
from pipeline.networks.amc_net import AMCNet


class Doubling(nn.Module):
    """Gives a map of two channels, its input and twice that, and where the largest value is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]).view(2, 1, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * self.weight, x.flatten(2).argmax(2)


class Toy(nn.Module):
    """A doubling at full size and at half, then logits; the pool has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Doubling(), Doubling()])
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Conv2d(1, 3, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.stages[1](self.pool(self.stages[0](x)[0])[:, :1])
        # In place, as an activation: must not reach the map that was recorded
        return self.output(self.stages[0](x)[0][:, :1].zero_())


def ramp(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(1, 1, *shape)


@pytest.fixture
def maps():
    return BlockMaps(Toy())


def test_members_of_a_list_stand_for_it_and_parts_without_weights_are_left_out():
    assert list(feature_blocks(Toy())) == ["stages.0", "stages.1", "output"]


def test_a_network_may_name_its_blocks():
    network = Toy()
    network.feature_blocks = ["stages.1", "pool"]
    assert list(feature_blocks(network)) == ["stages.1", "pool"]


def test_blocks_that_a_network_names_are_all_shown():
    network = Toy()
    network.feature_blocks = ["stages.1", "output"]
    maps = BlockMaps(network)
    maps(ramp(4, 4))
    assert list(maps.shapes) == ["stages.1", "output"]


def test_maps_come_in_the_order_of_the_calls_without_the_logits_block(maps):
    maps(ramp(4, 6))
    assert maps.shapes == {"stages.0": (2, 4, 6), "stages.1": (2, 2, 3), "stages.0 map 2": (2, 4, 6)}


def test_a_map_is_the_mean_over_the_channels(maps):
    _, first, *_ = maps(ramp(4, 6))
    assert torch.equal(first, 1.5 * ramp(4, 6))


def test_a_smaller_map_is_enlarged_to_the_input_nearest(maps):
    second = maps(ramp(4, 4))[2]
    assert second[0, 0].tolist() == [[7.5, 7.5, 10.5, 10.5]] * 2 + [[19.5, 19.5, 22.5, 22.5]] * 2


def test_the_logits_come_first_as_the_network_gives_them(maps):
    assert torch.equal(maps(ramp(4, 4))[0], maps.network(ramp(4, 4)))


def test_nothing_is_recorded_afterwards(maps):
    maps(ramp(4, 4))
    assert not any(module._forward_hooks for module in maps.network.modules())


def test_an_inferer_joins_the_maps_as_it_joins_the_logits(maps):
    volume = ramp(4, 6, 3)
    _, first, *_ = AirPaddedSlices(multiple=8)(volume, maps)
    assert torch.equal(first, 1.5 * volume)


def test_amc_net_has_the_nine_blocks_of_the_paper():
    maps = BlockMaps(AMCNet())
    maps(torch.zeros(1, 1, 128, 128))
    sides = (128, 64, 32, 16, 8, 16, 32, 64, 128)
    widths = (16, 32, 64, 128, 256, 128, 64, 32, 16)
    assert list(maps.shapes.values()) == [(width, side, side) for width, side in zip(widths, sides, strict=True)]


@pytest.mark.parametrize("bundle", networks())
def test_every_network_shows_at_least_three_maps_of_the_inputs_size(bundle):
    maps = BlockMaps(BY_BUNDLE[bundle].small().eval())
    x = BY_BUNDLE[bundle].ramp()
    with torch.inference_mode():
        _, *means = maps(x)
    assert [mean.shape for mean in means] == [x.shape] * len(maps.shapes)
    assert len(means) >= 3
