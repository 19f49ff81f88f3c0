"""One contract for every network: a new network is a new row of NETWORKS."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from network_table import ALL, BY_BUNDLE, outputs
from torch import nn

from pipeline.core.configuration import config_files, load, networks
from pipeline.networks.miscnn_unet import MIScnnUNet

every_network = pytest.mark.parametrize("network", ALL, ids=[network.bundle for network in ALL])


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


@pytest.mark.parametrize("bundle", networks())
def test_every_bundle_is_in_the_table(bundle):
    assert bundle in BY_BUNDLE


@pytest.mark.parametrize("bundle", networks())
def test_a_bundle_has_the_parameters_of_the_paper(bundle):
    layers = config_files("train", bundle, "paper")
    with torch.device("meta"):
        network = ConfigParser(load(layers)).get_parsed_content("network_def")
    assert parameters(network) == BY_BUNDLE[bundle].parameters


@pytest.mark.parametrize(
    ("network", "in_channels", "out_channels", "count"),
    [
        pytest.param(network, *channels, count, id=f"{network.bundle}, {channels[0]} in, {channels[1]} out")
        for network in ALL
        for channels, count in {(1, 4): network.parameters, **network.counts}.items()
    ],
)
def test_the_default_arguments_give_the_papers_parameters(network, in_channels, out_channels, count):
    with torch.device("meta"):
        made = network.make(in_channels=in_channels, out_channels=out_channels, **network.arguments)
    assert parameters(made) == count


@every_network
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 4), (2, 3)])
def test_the_output_has_the_size_of_the_input_and_a_channel_a_class(network, in_channels, out_channels):
    logits = network.small(in_channels, out_channels).eval()(network.ramp(in_channels, batch=2))
    assert logits.shape == (2, out_channels, *network.size)


@every_network
def test_every_output_in_training_has_the_size_of_the_input(network):
    prediction, *others = outputs(network.small(), network.ramp(batch=2))
    assert prediction.shape == (2, 4, *network.size)
    assert {(len(other), other.shape[2:]) for other in others} <= {
        (2, size) for size in (network.size, *network.coarser)
    }


@every_network
def test_a_gradient_reaches_every_parameter(network):
    small = network.small()
    sum((output - 1).square().sum() for output in outputs(small, torch.randn_like(network.ramp(batch=2)))).backward()
    # A batch norm takes away what a bias before it adds: that bias has a gradient, which is 0
    unreached = [
        name
        for name, weight in small.named_parameters()
        if weight.grad is None or not (weight.grad.any() or name.endswith("bias"))
    ]
    assert unreached == []


@every_network
def test_scripted_equals_eager(network):
    small = network.small().eval()
    assert torch.allclose(torch.jit.script(small)(network.ramp()), small(network.ramp()), atol=1e-6)


@every_network
def test_exported_equals_eager(network):
    small = network.small().eval()
    exported = torch.export.export(small, (network.ramp(),)).module()
    assert torch.allclose(exported(network.ramp()), small(network.ramp()), atol=1e-6)


@every_network
def test_equal_weights_give_the_golden_mean(network):
    small = network.small().eval()
    with torch.no_grad():
        for weight in small.parameters():
            weight.fill_(0.1)
    assert small(network.ramp()).mean().item() == pytest.approx(network.golden_mean, rel=1e-5)


@every_network
def test_a_size_that_does_not_fit_is_refused(network):
    if network.wrong_size is None:
        pytest.skip("takes any size")
    with pytest.raises(ValueError, match=r"size .* must be divisible by \d+ along each axis; pad the image"):
        network.small()(torch.zeros(1, 1, *network.wrong_size))


@every_network
def test_the_output_is_no_probability(network):
    logits = outputs(network.small(), torch.randn_like(network.ramp(batch=2)))[0]
    assert logits.min() < 0 or logits.max() > 1


@every_network
def test_a_batch_of_one_is_trained_on_or_refused_with_a_reason(network):
    if network.smallest_batch == 1:
        assert all(output.isfinite().all() for output in outputs(network.small(), network.ramp()))
        return
    with pytest.raises(ValueError, match=r"needs a batch of at least 2 in training: "):
        network.small()(network.ramp())


def test_miscnn_convolves_then_rectifies_then_normalises():
    first = MIScnnUNet(features=(2, 4)).encoder[0].units[0]
    assert [type(layer) for layer in first] == [nn.Conv3d, nn.ReLU, nn.BatchNorm3d]


def test_miscnn_normalises_as_keras_does():
    norms = [module for module in MIScnnUNet(features=(2, 4)).modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_miscnn_convolutions_begin_without_bias():
    layers = MIScnnUNet(features=(2, 4), residual=True).modules()
    biases = [layer.bias for layer in layers if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d))]
    assert torch.cat(biases).eq(0).all()


def test_miscnn_weights_begin_with_glorots_limits():
    torch.manual_seed(0)
    weight = MIScnnUNet(features=(16, 32)).encoder[1].units[0][0].weight
    # 27 taps, 16 channels in, 32 out: uniform within +-sqrt(6 / (27 * 16 + 27 * 32))
    limit = (6 / (27 * (16 + 32))) ** 0.5
    assert weight.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)


def test_miscnn_residual_block_adds_the_rectified_shortcut():
    block = MIScnnUNet(features=(2, 4), residual=True).eval().encoder[0]
    x = torch.randn(1, 1, 4, 4, 4)
    convolution = block.shortcut[0]
    expected = block.units(x) + torch.relu(convolution(x))
    assert torch.allclose(block([x]), expected)
