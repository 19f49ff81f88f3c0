"""Inception U-Net: a U-Net whose decoder also gets the features of a second encoder, made of inception blocks.

Paper: a baseline of Pal Das, Mitra, Uma Shankar, "Collective intelligent strategy for improved segmentation of COVID-19
from CT", 2022 (arXiv:2212.12264), which calls it Inception Net, prints 11.99 M parameters and describes it no further.
The wiring is that of a public "U-Net plus inception" network: read for facts, nothing copied. Parameters for 1 class:
11,985,937 for 1 channel, 11,987,921 for 3 (Keras counts 11,989,297 and 11,991,281, with the running statistics of the
batch norms). Verified: the counts, and each level's.
Differences: the batch norms have PyTorch's momentum and epsilon. Begins with Glorot's weights, as Keras does: the main
encoder and the decoder have no batch norm.
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import glorot, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
    )


def unit(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Convolution, ReLU, batch norm, in this order."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(out_channels),
    )


class InceptionBlock(nn.Module):
    """Four branches side by side, (B, in_channels, H, W) to (B, 4 * width, H, W)."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(unit(in_channels, width, 3), unit(width, width, 3)),
                nn.Sequential(unit(in_channels, width, 5), unit(width, width, 5)),
                unit(in_channels, width, 1),
                nn.Sequential(unit(in_channels, width, 3), unit(width, width, 1)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Level(nn.Module):
    """A level of both encoders: the main one pools, then convolves; the parallel one the other way round."""

    def __init__(self, main_channels: int, parallel_channels: int, features: int, first: bool) -> None:
        super().__init__()
        self.pool: nn.Module = nn.Identity() if first else nn.MaxPool2d(2)
        self.main = two_convolutions(main_channels, features)
        self.inception = InceptionBlock(parallel_channels, features // 2)

    def forward(self, x: torch.Tensor, parallel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.main(self.pool(x)), self.pool(self.inception(parallel))


class UpBlock(nn.Module):
    """Transposed convolution to twice the size, joined with both encoders' features, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        # Of the main encoder as many feature maps as of the decoder, of the parallel one twice as many
        self.join = two_convolutions(4 * out_channels, out_channels)

    def forward(self, x: torch.Tensor, encoders: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([self.up(x), encoders], dim=1))


class InceptionUNet(KnowsItsWeights):
    """Inception U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps of the main encoder from the finest to the coarsest level, even numbers; each level
            halves the size. The parallel encoder has twice as many and ends before the coarsest.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (32, 64, 128, 256, 512),
    ) -> None:
        super().__init__()
        *levels, deepest = features
        self.divisor = 2 ** len(levels)
        self.encoder = nn.ModuleList([Level(in_channels, in_channels, levels[0], first=True)])
        self.encoder.extend(Level(fine, 2 * fine, coarse, first=False) for fine, coarse in pairwise(levels))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = two_convolutions(levels[-1], deepest)
        self.decoder = nn.ModuleList(
            UpBlock(coarse, fine) for coarse, fine in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=1)
        self.apply(glorot)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        encoders: list[torch.Tensor] = []
        parallel = x
        for level in self.encoder:
            x, parallel = level(x, parallel)
            encoders.append(torch.cat([x, parallel], dim=1))
        x = self.bottleneck(self.pool(x))
        for up_block in self.decoder:
            x = up_block(x, encoders.pop())
        return self.output(x)
