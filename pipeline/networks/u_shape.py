"""The U that 2D U-Nets share; what their blocks are made of is each network's own.

Networks of another wiring, as those with a second encoder, nested skips or unpooling, have a forward of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights


class UShape(KnowsItsWeights):
    """2D U-Net, (B, C, H, W) to what `output` makes of the last decoder block's features.

    Args:
        encoder: blocks from the finest level to the coarsest; a pooling between two of them halves the size.
        decoder: blocks from the coarsest level to the finest, one fewer than the levels; each takes the features of
            the level below, and the encoder's of its own level, twice their size.
        output: makes the logits.
        bottleneck: the block of the coarsest level, where weights name it so; else it is the encoder's last.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        output: nn.Module,
        bottleneck: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.divisor = 2 ** len(decoder)
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(encoder)
        self.bottleneck = bottleneck
        self.decoder = nn.ModuleList(decoder)
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        x = skips.pop() if self.bottleneck is None else self.bottleneck(self.pool(x))
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.output(x)


def joined(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """The decoder's features at twice their size, pixels repeated, before the encoder's."""
    return torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
