"""For networks that compute their loss themselves, as detectors do: in training they get the label too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pipeline.core.annotation import IGNORED
from pipeline.core.errors import InputError


class LabelToNetwork:
    """A trainer's `prepare_batch` after which the network is called as `network(image, label)`.

    Args:
        prepare_batch: gives image and label of a batch.

    Raises InputError for labels that do not annotate everything.
    """

    def __init__(self, prepare_batch: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.prepare_batch = prepare_batch

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict]:
        image, label = self.prepare_batch(*args, **kwargs)
        if bool((label >= IGNORED).any()):
            raise InputError(
                "this network computes its loss itself, of labels that annotate everything; choose another network, or "
                "leave out the cases whose labels annotate less or hold voxels to be ignored."
            )
        return image, label, (label,), {}


class OwnLoss(nn.Module):
    """The loss that the network returned in place of a prediction."""

    def forward(self, loss: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return loss
