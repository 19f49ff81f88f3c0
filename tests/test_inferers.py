"""Windows are padded with air, and lower precision changes little."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from torch import nn

from pipeline.inferers import AirPaddedWindows, MixedPrecision, channels_last

ROI = (8, 8, 8)


class Recorder(nn.Module):
    """Gives back its input and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.seen.append(windows.clone())
        return windows


def normalised(*size: int) -> torch.Tensor:
    """A volume with zero mean whose minimum is below -1, as z-scoring gives it."""
    return torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv3d(1, 4, 3, padding=1)


def test_a_small_volume_is_padded_with_its_own_minimum():
    volume, network = normalised(8, 8, 4), Recorder()
    AirPaddedWindows(ROI, overlap=0.5)(volume, network)
    padding = torch.cat([network.seen[0][..., :2], network.seen[0][..., 6:]], dim=-1)
    assert torch.equal(padding, volume.min().expand_as(padding))


def test_padding_is_taken_off_again():
    volume = normalised(8, 6, 4)
    assert torch.allclose(AirPaddedWindows(ROI, overlap=0.5)(volume, Recorder()), volume)


def test_each_volume_is_padded_with_its_own_minimum():
    windows, network = AirPaddedWindows(ROI, overlap=0.5), Recorder()
    for volume in (normalised(8, 8, 4), normalised(8, 8, 4) - 5):
        windows(volume, network)
    assert [seen.min() for seen in network.seen] == [normalised(8, 8, 4).min(), (normalised(8, 8, 4) - 5).min()]


def test_a_large_volume_is_segmented_as_monai_does_it():
    volume, network = normalised(13, 10, 9), convolution()
    expected = SlidingWindowInferer(ROI, overlap=0.5)(volume, network)
    assert torch.equal(AirPaddedWindows(ROI, overlap=0.5)(volume, network), expected)


def test_mixed_precision_gives_float32(monkeypatch):
    monkeypatch.setattr("pipeline.inferers.computes_bfloat16", lambda: True)
    assert MixedPrecision(SimpleInferer())(normalised(8, 8, 8), convolution()).dtype == torch.float32


def test_mixed_precision_changes_little_but_something(monkeypatch):
    monkeypatch.setattr("pipeline.inferers.computes_bfloat16", lambda: True)
    volume, network = normalised(8, 8, 8), convolution()
    difference = (MixedPrecision(SimpleInferer())(volume, network) - network(volume)).abs().max()
    # bfloat16 has 8 bits; inputs and outputs are up to 4
    assert 0 < difference < 4 / 2**7


@pytest.mark.parametrize(("capable", "enabled"), [(False, True), (True, False), (False, False)])
def test_nothing_changes_where_the_cpu_or_the_user_does_without(monkeypatch, capable, enabled):
    monkeypatch.setattr("pipeline.inferers.computes_bfloat16", lambda: capable)
    volume, network = normalised(8, 8, 8), convolution()
    assert torch.equal(MixedPrecision(SimpleInferer(), enabled)(volume, network), network(volume))


@pytest.mark.parametrize(("spatial_dims", "layer"), [(3, nn.Conv3d), (2, nn.Conv2d)])
def test_channels_last_changes_the_layout_but_no_value(spatial_dims, layer):
    network = layer(4, 4, 3)
    before = network.weight.detach().clone()
    weight = channels_last(network, spatial_dims).weight
    assert weight.stride(1) == 1
    assert torch.equal(weight, before)
