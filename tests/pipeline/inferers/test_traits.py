"""What is taken of a network while it runs: of its deepest layer, and of the grey levels where it finds something."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.scan_traits import QUANTILES
from pipeline.inferers.folding import fold_batch_norms
from pipeline.inferers.slices import AirPaddedSlices
from pipeline.inferers.traits import KeepsTraits, levels_of
from pipeline.inferers.windows import MirroredWindows
from pipeline.networks.pneumo_net import PneumoNet


class Deep(nn.Module):
    """Halves twice, twice as much a channel, pools globally, and answers with the input and its negative."""

    def __init__(self, dims=2):
        super().__init__()
        self.pool = getattr(nn, f"AvgPool{dims}d")(2)
        self.inner = nn.Sequential(self.pool, nn.Identity())
        self.whole = getattr(nn, f"AdaptiveAvgPool{dims}d")(1)

    def forward(self, x):
        deep = self.inner(
            self.inner(x).repeat_interleave(2, 1) * torch.tensor([1.0, 2.0]).view(1, 2, *[1] * (x.ndim - 2))
        )
        self.whole(deep)
        return torch.cat((-x, x), 1)


def test_the_deepest_layer_is_averaged_over_all_slices():
    scan = torch.rand(1, 1, 8, 8, 5)
    keeper = KeepsTraits(AirPaddedSlices(multiple=4, slices_at_once=2), 2)
    keeper(scan, Deep())
    (found,) = keeper.traits
    assert found.deep == pytest.approx([float(scan.mean()), 2 * float(scan.mean())], rel=1e-5)


def test_and_over_all_windows_of_a_volume():
    scan = torch.rand(1, 1, 16, 8, 8)
    keeper = KeepsTraits(MirroredWindows(roi_size=(8, 8, 8), sw_batch_size=1, overlap=0), 2)
    keeper(scan, Deep(3))
    assert keeper.traits[0].deep == pytest.approx([float(scan.mean()), 2 * float(scan.mean())], rel=1e-5)


def test_the_levels_are_those_where_something_was_found():
    scan = torch.linspace(-1, 1, 1001)
    found = levels_of(scan, torch.stack((-scan, scan)))
    assert found == pytest.approx(np.quantile(scan[scan > 0].numpy(), QUANTILES).tolist())
    assert levels_of(scan, torch.stack((scan + 2, scan))) == []


def test_each_member_of_an_ensemble_has_its_own():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList([Deep(), Deep()])

        def forward(self, x):
            answers = self.members[0](x) + self.members[1](2 * x)
            # A channel that is no class
            return torch.cat((answers, torch.full_like(x, 99)), 1)

    scan = torch.rand(1, 1, 8, 8, 2)
    keeper = KeepsTraits(AirPaddedSlices(multiple=4), 2)
    keeper(scan, Two())
    first, second = keeper.traits
    assert np.array(second.deep) == pytest.approx(2 * np.array(first.deep), rel=1e-4)
    assert first.levels == pytest.approx(np.quantile(scan[scan > 0].numpy(), QUANTILES).tolist(), rel=1e-4)


def test_a_plain_function_has_none_and_the_last_scan_is_forgotten():
    keeper = KeepsTraits(AirPaddedSlices(multiple=4), 2)
    keeper(torch.rand(1, 1, 8, 8, 1), Deep())
    keeper(torch.rand(1, 1, 8, 8, 1), lambda x: torch.cat((-x, x), 1))
    assert keeper.traits == []


def test_no_hook_is_left_and_folding_changes_nothing_but_rounding():
    torch.manual_seed(0)
    network, scan = PneumoNet().eval(), torch.rand(1, 1, 32, 32, 3)
    keeper = KeepsTraits(AirPaddedSlices(multiple=16), 4)
    with torch.inference_mode():
        before = keeper(scan, network)
        deep = keeper.traits[0].deep
        assert not any(module._forward_hooks for module in network.modules())
        torch.testing.assert_close(keeper(scan, fold_batch_norms(network)), before, rtol=1e-4, atol=1e-5)
    assert len(deep) == 128
    assert keeper.traits[0].deep == pytest.approx(deep, rel=1e-3, abs=1e-5)
