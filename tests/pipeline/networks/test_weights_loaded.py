"""A network knows whether it was given weights."""

from __future__ import annotations

import copy

import pytest
import torch
from network_table import ALL
from torch import nn

from pipeline.networks.weights_loaded import KnowsItsWeights


class Tiny(KnowsItsWeights):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.other(self.layer(x))


@pytest.mark.parametrize("network", ALL, ids=[network.bundle for network in ALL])
def test_every_network_knows_whether_it_has_its_weights(network):
    fresh, state = network.small(), network.small().state_dict()
    assert not fresh.weights_loaded
    fresh.load_state_dict(state)
    assert fresh.weights_loaded


def test_a_part_of_the_weights_is_not_enough():
    network = Tiny()
    state = network.state_dict()
    network.load_state_dict({"layer.weight": state["layer.weight"]}, strict=False)
    assert not network.weights_loaded


def test_more_than_its_weights_is_enough():
    network = Tiny()
    network.load_state_dict({**network.state_dict(), "of_another": torch.zeros(1)}, strict=False)
    assert network.weights_loaded


@pytest.mark.parametrize("derived", [copy.deepcopy, torch.jit.script])
def test_what_is_made_of_a_network_knows_it_too(derived):
    network = Tiny()
    assert not derived(network).weights_loaded
    network.load_state_dict(network.state_dict())
    assert derived(network).weights_loaded
