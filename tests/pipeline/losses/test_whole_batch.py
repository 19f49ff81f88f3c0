"""A loss that depends on all of a batch is, in two processes, that of one; so are its gradients."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from forked import forked_together
from monai.losses import DeepSupervisionLoss, DiceCELoss, TverskyLoss
from torch import nn

from pipeline.core.annotation import IGNORED, NO_INFECTION, PLACE
from pipeline.core.labels import label_map
from pipeline.losses.cross_entropy import CrossEntropy
from pipeline.losses.focal_tversky import FocalTverskyLoss
from pipeline.losses.inf_net import InfNetLoss
from pipeline.losses.marginal import MarginalLoss
from pipeline.losses.own_loss import OwnLoss
from pipeline.losses.whole_batch import WholeBatchLoss

LIMIT_S = 60
CLOSE = {"rtol": 1e-5, "atol": 1e-7}
WEIGHT = torch.tensor([0.25, 0.25, 0.5, 3.0], dtype=torch.float64)
LOSSES = {
    "weighted cross-entropy": CrossEntropy(weight=WEIGHT),
    "weighted Dice and cross-entropy": DiceCELoss(softmax=True, to_onehot_y=True, weight=WEIGHT),
    "Tversky over the batch": TverskyLoss(softmax=True, to_onehot_y=True, batch=True),
    "focal Tversky": FocalTverskyLoss(),
    # MONAI takes its outputs as float32
    "heads": DeepSupervisionLoss(CrossEntropy(weight=WEIGHT.float())),
    "partial labels": MarginalLoss(
        DiceCELoss(softmax=True, to_onehot_y=True, weight=WEIGHT), label_map("lungs_infection")
    ),
    "Inf-Net's": InfNetLoss(),
    "the network's own": OwnLoss(),
}
SEVERAL_OUTPUTS = {"heads": 4, "Inf-Net's": 1}


class Network(nn.Module):
    """Of as many outputs as a loss wants: none but its own loss, one, or a list whose last has `channels`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, SEVERAL_OUTPUTS.get(kind, 4), 1)
        self.double()

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        first = self.first(image)
        last = self.last(first)
        if self.kind == "the network's own":
            return last.square().mean()
        return [first, last] if self.kind in SEVERAL_OUTPUTS else last


def batch(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Four images, and labels of which each half of the batch holds other classes, and partial ones in the second."""
    random = torch.Generator().manual_seed(1)
    image = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=random)
    label = torch.randint(0, 2, (4, 1, 8, 8), generator=random)
    label[2:] += 2
    label[2, 0, :, :4] = 0
    if kind == "partial labels":
        label[2] += PLACE * NO_INFECTION
        label[3, 0, :4] = IGNORED
    return image, label.to(torch.uint8)


def learnt(net: nn.Module, loss: nn.Module, image: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
    value = loss(net(image), label)
    value.backward()
    return {"loss": value.detach(), **{name: weight.grad for name, weight in net.named_parameters()}}


def learn_share(kind: str, rank: int, file) -> None:
    share = [part[2 * rank : 2 * rank + 2] for part in batch(kind)]
    net = nn.parallel.DistributedDataParallel(Network(kind))
    found = learnt(net, WholeBatchLoss(LOSSES[kind]), *share)
    torch.save({name.removeprefix("module."): value for name, value in found.items()}, file)


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_and_gradients_are_those_of_the_whole_batch(kind, tmp_path):
    files = [tmp_path / f"{rank}.pt" for rank in range(2)]
    works = [partial(learn_share, kind, rank, file) for rank, file in enumerate(files)]
    assert forked_together(works, LIMIT_S) == [0, 0]
    expected = learnt(Network(kind), LOSSES[kind], *batch(kind))
    each = [torch.load(file) for file in files]
    own_loss = torch.stack([found.pop("loss") for found in each]).mean()
    torch.testing.assert_close(own_loss, expected.pop("loss"), **CLOSE)
    for found in each:
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, **CLOSE, msg=name)
