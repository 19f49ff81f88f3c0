"""The network of this project's own recipe: a small U-Net for axial slices, with batch norms.

No paper's; docs/recipe.md says what was measured. Convolution, batch norm, ReLU: batch norms fold into the convolutions
in inference, and unlike instance norms do not depend on how much air is in view. Returns logits.
Parameters for 1 channel and 4 classes, with two auxiliary heads: 948,652.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm_relu, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights


def two_units(in_channels: int, out_channels: int, momentum: float) -> list[nn.Module]:
    """3x3 convolution that keeps the size, batch norm, ReLU, twice."""
    channels = (in_channels, out_channels, out_channels)
    return [conv_norm_relu(fine, coarse, bias=False, momentum=momentum) for fine, coarse in pairwise(channels)]


class Up(nn.Module):
    """Transposed convolution to twice the size, joined with the encoder's features, then two units.

    `head`, None for none, gives logits of this level in training.
    """

    def __init__(self, coarse: int, fine: int, momentum: float, head: nn.Module | None) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2)
        self.units = nn.Sequential(*two_units(2 * fine, fine, momentum))
        self.head = head

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        # Taken out of the list, the encoder's features go as soon as they are joined
        return self.units(torch.cat([self.up(x), skips.pop()], dim=1))


class PneumoNet(KnowsItsWeights):
    """U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    In training with `heads` it gives a list: the logits, and those of the coarser levels, each of its own level's size.

    Args:
        features: feature maps from the finest to the coarsest level.
        heads: auxiliary ones in training, at so many levels below the finest (deep supervision).
        batch_norm_momentum: weight of a new batch in the running statistics.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (16, 32, 64, 96, 128),
        heads: int = 0,
        batch_norm_momentum: float = 0.05,
    ) -> None:
        super().__init__()
        self.divisor = 2 ** (len(features) - 1)
        # Nothing is pooled before the finest level
        pools: list[nn.Module] = [nn.Identity(), *(nn.MaxPool2d(2) for _ in features[1:])]
        self.encoder = nn.ModuleList(
            nn.Sequential(pool, *two_units(fine, coarse, batch_norm_momentum))
            for pool, fine, coarse in zip(pools, [in_channels, *features[:-1]], features, strict=True)
        )
        self.decoder = nn.ModuleList(
            Up(
                features[level + 1],
                features[level],
                batch_norm_momentum,
                nn.Conv2d(features[level], out_channels, kernel_size=1) if 0 < level <= heads else None,
            )
            for level in reversed(range(len(features) - 1))
        )
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        require_multiple(x, self.divisor)
        skips: list[torch.Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        # The coarsest is what the decoder begins with
        skips.pop()
        outputs: list[torch.Tensor] = []
        for up in self.decoder:
            x = up(x, skips)
            if self.training and up.head is not None:
                outputs.append(up.head(x))  # type: ignore[operator]
        logits = self.output(x)
        if self.training and len(outputs) > 0:
            return [logits] + outputs[::-1]  # noqa: RUF005, torch.jit knows no [logits, *outputs]
        return logits
