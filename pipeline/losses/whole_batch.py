"""A loss of a batch that several processes share, as one process would have it."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

Outputs = TypeVar("Outputs", torch.Tensor, list[torch.Tensor])


class WholeBatchLoss(nn.Module):
    """Another loss, of the samples of all processes, equally many in each.

    What a loss divides by may depend on all of a batch (the weights of its voxels, the classes that it holds), so the
    mean of the processes' own losses is not that of their batch. Each computes it of all outputs, and passes a gradient
    to its own; their mean over the processes, as `DistributedDataParallel` takes it, is that of one process.

    A network that computes its loss itself (a scalar in place of a prediction) is not asked again: the mean of its
    losses counts.

    Args:
        loss: of outputs (B, C, ...), or a list of such, and a target (B, 1, ...).
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Outputs, target: torch.Tensor) -> torch.Tensor:
        if isinstance(prediction, list):
            prediction = [of_all(output) for output in prediction]
        elif prediction.dim():
            prediction = of_all(prediction)
        else:
            return self.loss(prediction, target)
        return self.loss(prediction, of_all(target))


def of_all(own: torch.Tensor) -> torch.Tensor:
    """The samples of all processes, in their order; this one's gradient is multiplied by their number."""
    # Not all backends send every type that a network computes in
    sent = own.detach().to(torch.promote_types(own.dtype, torch.float32)).contiguous()
    parts = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, sent)
    parts = [part.to(own.dtype) for part in parts]
    mine = own.view_as(own)
    if mine.requires_grad:
        mine.register_hook(lambda gradient: gradient * dist.get_world_size())
    parts[dist.get_rank()] = mine
    return torch.cat(parts)
