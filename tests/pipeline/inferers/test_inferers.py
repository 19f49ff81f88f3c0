"""Small volumes go on mirrored, slices framed by air, and lower precision changes little."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch
from forked import forked
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer
from network_table import BY_BUNDLE, outputs
from torch import nn

from pipeline.core.configuration import networks
from pipeline.inferers.memory_layout import channels_last
from pipeline.inferers.precision import MixedPrecision
from pipeline.inferers.slices import AirPaddedSlices, AirPaddedTiles
from pipeline.inferers.windows import MirroredWindows

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


def test_a_small_volume_goes_on_mirrored():
    volume, network = normalised(8, 8, 4), Recorder()
    MirroredWindows(ROI, overlap=0.5)(volume, network)
    (seen,) = network.seen
    assert torch.equal(seen[..., 2:6], volume)
    assert torch.equal(seen[..., [1, 0]], volume[..., :2])
    assert torch.equal(seen[..., [7, 6]], volume[..., 2:])


def test_a_slice_is_mirrored_as_often_as_it_takes():
    volume, network = normalised(8, 5, 1), Recorder()
    assert torch.equal(MirroredWindows(ROI, overlap=0.5)(volume, network), volume)
    assert torch.equal(network.seen[0][:, :, :, 1:6], volume.expand(-1, -1, -1, -1, 8))


def test_padding_is_taken_off_again():
    volume = normalised(8, 6, 4)
    assert torch.allclose(MirroredWindows(ROI, overlap=0.5)(volume, Recorder()), volume)


def test_a_large_volume_is_segmented_as_monai_does_it():
    volume, network = normalised(13, 10, 9), convolution()
    expected = SlidingWindowInferer(ROI, overlap=0.5)(volume, network)
    assert torch.equal(MirroredWindows(ROI, overlap=0.5)(volume, network), expected)


def test_mixed_precision_gives_float32(monkeypatch):
    monkeypatch.setattr("pipeline.inferers.precision.computes_bfloat16", lambda: True)
    assert MixedPrecision(SimpleInferer())(normalised(8, 8, 8), convolution()).dtype == torch.float32


def test_mixed_precision_changes_little_but_something(monkeypatch):
    monkeypatch.setattr("pipeline.inferers.precision.computes_bfloat16", lambda: True)
    volume, network = normalised(8, 8, 8), convolution()
    difference = (MixedPrecision(SimpleInferer())(volume, network) - network(volume)).abs().max()
    # bfloat16 has 8 bits; inputs and outputs are up to 4
    assert 0 < difference < 4 / 2**7


@pytest.mark.parametrize(("capable", "enabled"), [(False, True), (True, False), (False, False)])
def test_nothing_changes_where_the_cpu_or_the_user_does_without(monkeypatch, capable, enabled):
    monkeypatch.setattr("pipeline.inferers.precision.computes_bfloat16", lambda: capable)
    volume, network = normalised(8, 8, 8), convolution()
    assert torch.equal(MixedPrecision(SimpleInferer(), enabled)(volume, network), network(volume))


@pytest.mark.parametrize(("spatial_dims", "layer"), [(3, nn.Conv3d), (2, nn.Conv2d)])
def test_channels_last_changes_the_layout_but_no_value(spatial_dims, layer):
    network = layer(4, 4, 3)
    before = network.weight.detach().clone()
    weight = channels_last(network, spatial_dims).weight
    assert weight.stride(1) == 1
    assert torch.equal(weight, before)


def test_slices_are_segmented_one_by_one_along_the_last_axis():
    volume, network = normalised(32, 64, 3), Recorder()
    assert torch.equal(AirPaddedSlices(multiple=32, slices_at_once=1)(volume, network), volume)
    assert all(torch.equal(seen, volume[..., number]) for number, seen in enumerate(network.seen))


def test_slices_go_through_the_network_in_batches():
    network = Recorder()
    AirPaddedSlices(multiple=32, slices_at_once=2)(normalised(32, 32, 5), network)
    assert [len(seen) for seen in network.seen] == [2, 2, 1]


def test_a_slice_is_padded_to_the_multiple_with_the_volumes_minimum_and_cropped_back():
    volume, network = normalised(20, 36, 2), Recorder()
    assert torch.equal(AirPaddedSlices(multiple=16)(volume, network), volume)
    (seen,) = network.seen
    assert seen.shape == (2, 1, 32, 48)
    assert (seen == volume.min()).sum() >= 2 * (32 * 48 - 20 * 36)


def test_a_slice_is_padded_to_the_size_of_the_training_at_least():
    volume, network = normalised(20, 36, 2), Recorder()
    assert torch.equal(AirPaddedSlices(multiple=16, smallest=(48, 30))(volume, network), volume)
    assert network.seen[0].shape[2:] == (48, 48)


@pytest.mark.parametrize("shape", [(1, 1, 50, 70, 5), (2, 3, 64, 33, 3)], ids=["odd sides", "two scans, channels"])
def test_slices_are_what_monais_inferer_makes_of_them(shape):
    torch.manual_seed(0)
    volume, network = torch.randn(shape), nn.Conv2d(shape[1], 4, 3, padding=1)
    sides = tuple(-(-length // 32) * 32 for length in shape[2:4])
    reference = SliceInferer(roi_size=sides, spatial_dim=2, sw_batch_size=2, cval=float(volume.min()))
    with torch.no_grad():
        assert torch.equal(AirPaddedSlices(multiple=32)(volume, network), reference(volume, network))


def test_slices_keep_the_scans_affine_and_history():
    volume = MetaTensor(normalised(20, 36, 2), meta={"affine": 2 * torch.eye(4)})
    segmented = AirPaddedSlices(multiple=16)(volume, Recorder())
    assert torch.equal(segmented.affine, volume.affine)


def test_every_volume_gets_its_own_slice_size():
    slices, network = AirPaddedSlices(multiple=16), Recorder()
    for volume in (normalised(20, 36, 1), normalised(12, 17, 1)):
        slices(volume, network)
    assert [tuple(seen.shape[2:]) for seen in network.seen] == [(32, 48), (16, 32)]


@pytest.mark.parametrize("size", [(64, 64), (60, 50), (10, 40)], ids=["whole tiles", "reaching back", "padded"])
def test_tiles_are_put_together_again(size):
    volume = normalised(*size, 3)
    assert torch.equal(AirPaddedTiles((16, 16))(volume, Recorder()), volume)


def test_a_slice_becomes_tiles_that_do_not_overlap():
    network, volume = Recorder(), torch.arange(64.0 * 64).reshape(1, 1, 64, 64, 1)
    AirPaddedTiles((16, 16), tiles_at_once=16)(volume, network)
    (seen,) = network.seen
    assert (seen.shape, seen.unique().numel()) == ((16, 1, 16, 16), 64 * 64)


def test_a_slice_smaller_than_a_tile_is_padded_with_the_volumes_minimum():
    volume, network = normalised(16, 10, 1), Recorder()
    AirPaddedTiles((16, 16))(volume, network)
    assert (network.seen[0] == volume.min()).sum() >= 16 * 6


def test_auxiliary_outputs_come_back_in_float32_too():
    outputs = MixedPrecision(SimpleInferer())(torch.ones(1, 1, 4, 4), lambda x: [x.bfloat16(), x.half()])
    assert [output.dtype for output in outputs] == [torch.float32, torch.float32]


@pytest.mark.parametrize("bundle", networks())
def test_gradients_in_the_pipelines_precision_are_of_the_size_of_those_in_float32(bundle):
    size = BY_BUNDLE[bundle].size
    batch = torch.randn(4, 1, *size, generator=torch.Generator().manual_seed(0))

    def largest_gradient(enabled: bool) -> float:
        network = channels_last(BY_BUNDLE[bundle].small(), len(size))
        prediction, *_ = outputs(partial(MixedPrecision(SimpleInferer(), enabled), network=network), batch)
        prediction.square().mean().backward()
        return max(weight.grad.abs().max().item() for weight in network.parameters() if weight.grad is not None)

    # What torch gets wrong is 1e33; RAIU-Net's first weights have sums of almost equal terms, which rounding triples
    assert 1 / 5 < largest_gradient(True) / largest_gradient(False) < 5


@pytest.mark.parametrize(
    ("layer", "laid_out"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), False),
        (nn.Conv2d(15, 8, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 8, 1, stride=2), True),
        (nn.Conv2d(4, 8, 1), True),
        (nn.Conv2d(4, 8, 3, stride=2), True),
    ],
    ids=["few channels", "one stride", "many channels", "no stride", "3x3"],
)
def test_few_channels_convolved_in_strides_and_1x1_keep_their_network_contiguous(layer, laid_out):
    network = channels_last(nn.Sequential(nn.Conv2d(2, layer.in_channels, 3), layer), 2)
    assert network[0].weight.is_contiguous() is not laid_out
    assert network[0](torch.ones(1, 2, 9, 9)).is_contiguous() is not laid_out


def test_few_channels_convolved_in_strides_and_1x1_damage_no_memory():
    def train() -> None:
        network = channels_last(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 1, stride=2)), 2)
        for _ in range(20):
            network(torch.randn(4, 1, 18, 14)).sum().backward()

    _, status = os.waitpid(forked(train, limit_s=60), 0)
    assert status == 0
