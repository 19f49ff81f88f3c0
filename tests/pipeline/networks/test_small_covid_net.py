"""SmallCovid-Net: the counts of its readings, and what each gives the decoder."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from pipeline.core.configuration import TRAIN, merged
from pipeline.networks.small_covid_net import SmallCovidNet

TINY = {"filters": 2, "levels": 2}


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({}, 119_713),
        ({"levels": 3}, 91_177),
        ({"levels": 5}, 148_249),
        ({"batch_norm": False}, 118_849),
        ({"batch_norm": False, "levels": 3}, 90_505),
        ({"batch_norm": False, "levels": 5}, 147_193),
        ({"skip": "none"}, 98_977),
        ({"skip": "unpool"}, 79_153),
    ],
    ids=str,
)
def test_every_reading_has_its_parameters_for_one_class(reading, expected):
    with torch.device("meta"):
        assert parameters(SmallCovidNet(1, 1, **reading)) == expected


def test_every_convolution_but_the_output_has_24_filters():
    with torch.device("meta"):
        layers = [layer for layer in SmallCovidNet().modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [layer.out_channels for layer in layers] == [24] * (len(layers) - 1) + [4]


def test_the_encoders_features_come_after_the_decoders():
    network, seen = SmallCovidNet(**TINY).eval(), []
    network.decoder[-1].convolutions.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 1, 8, 4)
    network(x)
    assert torch.equal(seen[0][:, 2:], network.encoder[0](x))


def test_nothing_but_the_coarsest_features_is_joined_without_skips():
    network = SmallCovidNet(**TINY, skip="none").eval()
    network.bottleneck.register_forward_hook(lambda _, inputs, output: torch.zeros_like(output))
    x = torch.randn(1, 1, 8, 4)
    assert torch.equal(network(x), network(x + 1))


def test_unpooling_puts_the_largest_pixel_back_in_its_place():
    network, decoded = SmallCovidNet(filters=2, levels=1, skip="unpool").eval(), []
    network.encoder[0] = nn.Identity()
    network.decoder[0].convolutions.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0]))
    x = torch.tensor([[5.0, 1.0, 2.0, 0.0], [1.0, 1.0, 3.0, 9.0]])
    network(x.expand(1, 2, 2, 4))
    assert decoded[0][0, 0].tolist() == [[5, 0, 0, 0], [0, 0, 0, 9]]


def test_unpooling_has_no_bottleneck():
    assert isinstance(SmallCovidNet(**TINY, skip="unpool").bottleneck, nn.Identity)


@pytest.mark.parametrize(("batch_norm", "norms"), [(True, 2 * 5), (False, 0)])
def test_batch_norm_is_everywhere_or_nowhere(batch_norm, norms):
    layers = SmallCovidNet(**TINY, batch_norm=batch_norm).modules()
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == norms


def test_an_unknown_skip_is_refused():
    with pytest.raises(ValueError, match="skip is 'sum', expected one of: concat, none, unpool"):
        SmallCovidNet(skip="sum")


def test_the_paper_trains_by_plain_gradient_descent_at_a_constant_rate():
    parser = ConfigParser(merged(TRAIN, "small_covid_net", "paper", {"device": "cpu"}, {}))
    schedule = parser.get_parsed_content("lr_schedule").lr_scheduler
    for _ in range(parser["max_epochs"] - 1):
        schedule.optimizer.step()
        schedule.step()
    assert type(schedule.optimizer) is torch.optim.SGD
    assert [(group["lr"], group["momentum"]) for group in schedule.optimizer.param_groups] == [(0.0001, 0)]


def test_the_recipe_has_the_papers_numbers():
    content = merged(TRAIN, "small_covid_net", "paper", {}, {})
    keys = ("slice_size", "spacing_mm", "max_epochs", "iterations_per_epoch", "learning_rate", "infection_threshold")
    assert [content[key] for key in keys] == [[256, 256], [1.4, 1.4, 0], 20, 600, 0.0001, 0.8]


@pytest.mark.parametrize("preset", ["demo", "quick"])
def test_the_short_presets_take_adam_and_the_likeliest_class(preset):
    parser = ConfigParser(merged(TRAIN, "small_covid_net", preset, {"device": "cpu"}, {}))
    optimizer = parser.get_parsed_content("optimizer")
    assert (type(optimizer), optimizer.defaults["lr"]) == (torch.optim.Adam, 0.003)
    assert parser["infection_threshold"] == 0.5
