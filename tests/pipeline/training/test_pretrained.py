"""Loading an encoder's weights, from tiny stand-ins of the public checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.networks.deeplab_v3_plus import DeepLabV3Plus
from pipeline.networks.inf_net import InfNet
from pipeline.networks.miscnn_unet import MIScnnUNet
from pipeline.networks.res2net import Res2Net50
from pipeline.networks.resnet import ResNet101
from pipeline.scans.scan import file_sha256
from pipeline.training.pretrained import load_encoder


def deeplab(in_channels: int = 3) -> nn.Module:
    return DeepLabV3Plus(in_channels, 4, "resnet101", width=1 / 16, middle_blocks=1)


def inf_net(in_channels: int = 3) -> nn.Module:
    return InfNet(in_channels, 1, width=1 / 16, blocks=(1, 1, 1, 1))


def public_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Other weights for the encoder, with a classifier, as in a public checkpoint."""
    weights = {name: torch.rand(weight.shape) for name, weight in network.encoder.state_dict().items()}
    return weights | {"fc.weight": torch.rand(1000, 128), "fc.bias": torch.rand(1000)}


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Saves weights as the file that both encoders take for the public one."""

    def saved(weights: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / "public.pth"
        torch.save(weights, path)
        for encoder in (ResNet101, Res2Net50):
            monkeypatch.setattr(encoder, "CHECKPOINT_SHA256", file_sha256(path)[:8])
        return path

    return saved


@pytest.mark.parametrize("make", [deeplab, inf_net])
def test_the_encoder_gets_every_weight_of_the_checkpoint(save, make):
    weights = public_weights(make())
    network = make()
    load_encoder(network, save(weights))
    loaded = network.encoder.state_dict()
    assert [name for name in loaded if not torch.equal(loaded[name], weights[name].to(loaded[name].dtype))] == []


def test_no_path_leaves_the_network_as_it_is():
    network = deeplab()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    load_encoder(network, None)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("make", [deeplab, inf_net])
def test_one_channel_gives_the_features_of_a_slice_repeated_three_times(save, make):
    path = save(public_weights(make(3)))
    three, one = make(3).double().eval(), make(1).double().eval()
    load_encoder(three, path)
    load_encoder(one, path)
    image = torch.rand(1, 1, 32, 32, dtype=torch.float64)
    assert torch.allclose(one.encoder(image)[0], three.encoder(image.expand(-1, 3, -1, -1))[0])


def test_two_channels_are_refused(save):
    with pytest.raises(InputError, match=r"has weights for 3 input channels, the network 2; expected 1 or 3"):
        load_encoder(deeplab(2), save(public_weights(deeplab(3))))


def test_a_checkpoint_without_batch_counters_is_taken(save):
    weights = public_weights(deeplab())
    network = deeplab()
    load_encoder(network, save({name: w for name, w in weights.items() if not name.endswith("num_batches_tracked")}))
    assert torch.equal(network.encoder.bn1.running_var, weights["bn1.running_var"])


@pytest.mark.parametrize(("encoder", "begins"), [(ResNet101, "63fe2227"), (Res2Net50, "3cf99910")])
def test_an_encoder_knows_its_public_checkpoint(encoder, begins):
    assert begins == encoder.CHECKPOINT_SHA256


def test_another_file_than_the_public_one_is_refused(save, monkeypatch):
    path = save(public_weights(deeplab()))
    monkeypatch.setattr(ResNet101, "CHECKPOINT_SHA256", "63fe2227")
    with pytest.raises(InputError, match=rf"begins with {file_sha256(path)[:8]}; expected .* -63fe2227\.pth; download"):
        load_encoder(deeplab(), path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"none\.pth: there is no such file; .* the public checkpoint of ResNet101"):
        load_encoder(deeplab(), tmp_path / "none.pth")


def test_a_missing_weight_is_told(save):
    weights = public_weights(deeplab())
    del weights["layer2.0.conv1.weight"]
    with pytest.raises(InputError, match=r"public.pth: lacks layer2\.0\.conv1\.weight"):
        load_encoder(deeplab(), save(weights))


def test_an_unexpected_weight_is_told(save):
    weights = public_weights(deeplab()) | {"layer5.0.conv1.weight": torch.rand(1)}
    with pytest.raises(InputError, match=r"unknown to the encoder, layer5\.0\.conv1\.weight"):
        load_encoder(deeplab(), save(weights))


def test_a_weight_of_another_shape_is_told(save):
    weights = public_weights(deeplab()) | {"bn1.bias": torch.rand(64)}
    with pytest.raises(InputError, match=r"another shape bn1\.bias \(64,\) instead of \(4,\)"):
        load_encoder(deeplab(), save(weights))


@pytest.mark.parametrize(
    "network",
    [DeepLabV3Plus(width=1 / 16, middle_blocks=1), MIScnnUNet(features=(2, 4)), nn.Conv2d(1, 1, 1)],
    ids=["xception", "encoder of another kind", "no encoder"],
)
def test_a_network_without_public_weights_is_told(tmp_path, network):
    with pytest.raises(InputError, match="has no public encoder weights"):
        load_encoder(network, tmp_path / "any.pth")
