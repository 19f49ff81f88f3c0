"""A network without its weights does not segment."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import SimpleInferer

from pipeline.core.errors import InputError
from pipeline.inferers.trained import OfTrained
from pipeline.networks.miscnn_unet import MIScnnUNet

IMAGE = torch.zeros(1, 1, 4, 4, 4)


@pytest.fixture
def network():
    return MIScnnUNet(1, 2, features=(2, 4)).eval()


def test_a_network_without_weights_is_refused(network):
    with pytest.raises(InputError, match=r"^this MIScnnUNet has no weights, or not all of its own"):
        OfTrained(SimpleInferer())(IMAGE, network)


def test_a_network_with_its_weights_runs(network):
    network.load_state_dict(network.state_dict())
    assert torch.equal(OfTrained(SimpleInferer())(IMAGE, network), network(IMAGE))


def test_what_does_not_know_runs():
    assert torch.equal(OfTrained(SimpleInferer())(IMAGE, torch.exp), torch.ones_like(IMAGE))
