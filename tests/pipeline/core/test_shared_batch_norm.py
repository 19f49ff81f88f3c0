"""Batch norms that share a batch among processes compute what one batch norm does of all of it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from forked import forked_together

from pipeline.core.shared_batch_norm import SharedBatchNorm, share_batch_norms
from pipeline.networks.miscnn_unet import MIScnnUNet

LIMIT_S = 60


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return MIScnnUNet(features=(2, 4)).double()


def batch() -> torch.Tensor:
    return torch.randn(4, 1, 8, 8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def learnt(net: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Its output, gradients and running statistics after a step on an image."""
    output = net(image)
    output.square().mean().backward()
    plain = net.module if hasattr(net, "module") else net
    gradients = {f"gradient of {name}": weight.grad for name, weight in plain.named_parameters()}
    return {"output": output.detach(), **gradients, **dict(plain.named_buffers())}


def learn_together(rank: int, file) -> None:
    net = torch.nn.parallel.DistributedDataParallel(share_batch_norms(network()))
    torch.save(learnt(net, batch()[rank::2]), file)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes learns of its half of the batch."""
    files = [tmp_path_factory.mktemp("ranks") / f"{rank}.pt" for rank in range(2)]
    works = [partial(learn_together, rank, file) for rank, file in enumerate(files)]
    assert forked_together(works, LIMIT_S) == [0, 0]
    return [torch.load(file) for file in files]


def test_outputs_gradients_and_statistics_are_those_of_the_whole_batch(together):
    expected = learnt(network(), batch())
    for rank, found in enumerate(together):
        for name, value in expected.items():
            wanted = value[rank::2] if name == "output" else value
            torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-12, msg=name)


def test_a_shared_norm_segments_as_the_one_that_it_replaced():
    plain, shared = network().eval(), share_batch_norms(network()).eval()
    assert torch.equal(shared(batch()), plain(batch()))


def test_every_norm_is_replaced_and_none_of_the_weights():
    net = network()
    before = dict(net.state_dict(keep_vars=True))
    assert sum(isinstance(part, SharedBatchNorm) for part in share_batch_norms(net).modules()) > 0
    assert not any(type(part) is torch.nn.BatchNorm3d for part in net.modules())
    assert all(before[name] is value for name, value in net.state_dict(keep_vars=True).items())
