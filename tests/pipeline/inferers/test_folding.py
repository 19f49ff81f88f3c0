"""Folded batch norms give what the network gave, at borders too."""

from __future__ import annotations

import copy

import pytest
import torch
from network_table import NETWORKS, Network
from torch import nn

from pipeline.inferers.folding import BATCH_NORMS, CutOff, fold_batch_norms

# Batch norms after a concatenation or a sum, or called by name outside any sequence
LEFT = {"enet": 1, "lednet": 3, "inf_net": 31, "mini_seg": 3, "raiu_net": 12}


def trained(network: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as after a training: other means, variances, factors (some of them negative) and shifts."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (module for module in network.modules() if isinstance(module, BATCH_NORMS)):
        for values, low, high in (
            (norm.running_mean, -0.5, 0.5),
            (norm.running_var, 0.5, 1.5),
            (norm.weight.data, -0.3, 1.5),
            (norm.bias.data, -0.5, 0.5),
        ):
            values.uniform_(low, high, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, BATCH_NORMS) for module in network.modules())


def difference(network: nn.Module, image: torch.Tensor) -> float:
    """Of the outputs before and after, the largest one beside the largest output."""
    with torch.inference_mode():
        expected = network(image)
        found = fold_batch_norms(copy.deepcopy(network))(image)
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.bundle)
def test_a_folded_network_gives_what_it_gave(network: Network):
    # In float64: rounding in float32 turns the larger of two almost equal voxels, whose place SegNet's unpooling takes
    assert difference(trained(network.small()).double(), network.ramp(batch=2).double()) < 1e-10


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.bundle)
def test_nearly_every_batch_norm_is_folded(network: Network):
    assert norms(fold_batch_norms(network.small())) == LEFT.get(network.bundle, 0)


@pytest.mark.parametrize("order", ["norm", "relu_norm", "norm_relu"])
@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv3d(1, 3, 3, padding=1),
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.ConvTranspose3d(1, 3, 2, stride=2),
        nn.ConvTranspose2d(1, 3, 3, padding=1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_each_order_is_folded_and_the_next_convolution_sees_the_same_border(convolution, order):
    dims = convolution.weight.ndim - 2
    norm = (nn.BatchNorm2d, nn.BatchNorm3d)[dims - 2](3)
    layers = {"norm": [norm], "relu_norm": [nn.ReLU(inplace=True), norm], "norm_relu": [norm, nn.ReLU()]}[order]
    following = (nn.Conv2d, nn.Conv3d)[dims - 2](3, 2, 3, padding=1)
    network = trained(nn.Sequential(nn.Sequential(copy.deepcopy(convolution), *layers), following))
    assert norms(fold_batch_norms(copy.deepcopy(network))) == 0
    assert difference(network, torch.randn(2, 1, *[6] * dims)) < 1e-5


def test_a_convolution_in_two_places_stays():
    shared = nn.Conv2d(1, 1, 3, padding=1)
    network = nn.Sequential(nn.Sequential(shared, nn.BatchNorm2d(1)), shared)
    assert norms(fold_batch_norms(trained(network))) == 1


def test_a_module_with_a_hook_stays():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1))
    network[0].register_forward_hook(lambda *seen: None)
    assert norms(fold_batch_norms(network)) == 1


def test_a_sequence_that_does_more_than_its_children_stays():
    class Doubled(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    assert norms(fold_batch_norms(Doubled(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)))) == 1


def test_positive_factors_leave_a_floor_alone():
    cut = CutOff(torch.tensor([0.5]), torch.tensor([float("inf")]), 2)
    assert cut.ceiling is None
    assert cut(torch.tensor([-1.0, 2.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [0.5, 2.0]


def test_limits_take_the_precision_of_what_they_limit():
    cut = CutOff(torch.tensor([0.5]), torch.tensor([1.0]), 2)
    assert cut(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
