"""COVID-SegNet: a 3D U-Net with feature variation blocks and a progressive atrous spatial pyramid at its bottom.

Paper: Yan et al., "COVID-19 chest CT image segmentation - a deep convolutional neural network solution", 2020
(arXiv:2004.10987). The authors' repository has no code. Two independent public readings agree on the blocks: read for
facts, nothing copied; no published count is known. Parameters for 1 channel and 3 classes: 62,637,702 with 64 feature
maps at the finest level, 15,665,990 with 32, 3,919,782 with 16, our default, since 64 do not fit usual GPUs at patches
of 160 x 160 x 80. Verified: the counts, and each block's.
Where the readings differ: a strided 1x1x1 convolution halves the size (`max_pool`: a pooling before one that is not
strided), and one weight for all channels enhances the contrast (`channel_gate`: one a channel, 62,810,179 parameters
with 64 feature maps).
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights

DILATIONS = (1, 2, 4, 8)
LEVELS = 4


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """3D convolution whose padding keeps the size (at stride 1), then batch norm."""
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding, dilation), nn.BatchNorm3d(out_channels)
    )


def unit(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """`conv_norm`, then ReLU."""
    return conv_norm(in_channels, out_channels, kernel_size, stride, dilation).append(nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3x3 convolutions around which the input goes, through a 1x1x1 convolution where the channels change."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            unit(in_channels, out_channels, 3),
            conv_norm(out_channels, out_channels, 3),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = conv_norm(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolutions(x) + self.shortcut(x))


class FeatureVariation(nn.Module):
    """Features beside their weighted copies: by contrast, from the mean of each channel, and by position."""

    def __init__(self, channels: int, channel_gate: bool) -> None:
        super().__init__()
        narrow = channels // 2
        self.features = unit(channels, channels, 1)
        self.contrast = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, narrow, kernel_size=1),
            nn.Sigmoid(),
            nn.Conv3d(narrow, channels if channel_gate else 1, kernel_size=1),
            nn.Sigmoid(),
        )
        self.position = nn.Sequential(
            nn.Conv3d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, kernel_size=3, padding=1),
            nn.Sigmoid(),
        )
        self.fuse = unit(3 * channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.features(x)
        weighted = [self.contrast(features) * features, self.position(features) * features, features]
        return x + self.fuse(torch.cat(weighted, dim=1))


class Pair(nn.Module):
    """Two dilated convolutions of two narrow maps, each added to the sum of both maps, then fused."""

    def __init__(self, channels: int, first_dilation: int, second_dilation: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.narrow1, self.narrow2 = unit(channels, narrow, 1), unit(channels, narrow, 1)
        self.dilated1 = unit(narrow, narrow, 3, dilation=first_dilation)
        self.dilated2 = unit(narrow, narrow, 3, dilation=second_dilation)
        self.fuse = unit(2 * narrow, 2 * narrow, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.narrow1(x), self.narrow2(x)
        both = first + second
        return self.fuse(torch.cat([self.dilated1(first) + both, self.dilated2(second) + both], dim=1))


class Pyramid(nn.Module):
    """Progressive atrous spatial pyramid pooling: a pair with dilations 1 and 2, one with 4 and 8, then fused."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pair1 = Pair(channels, *DILATIONS[:2])
        self.pair2 = Pair(channels, *DILATIONS[2:])
        self.fuse = unit(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fuse(torch.cat([self.pair1(x), self.pair2(x)], dim=1))


def down(in_channels: int, out_channels: int, max_pool: bool) -> nn.Sequential:
    """Half the size: a strided 1x1x1 convolution, or a pooling before one that is not strided."""
    if max_pool:
        return nn.Sequential(nn.MaxPool3d(2), unit(in_channels, out_channels, 1))
    return unit(in_channels, out_channels, 1, stride=2)


class UpBlock(nn.Module):
    """Transposed convolution to twice the size, joined with the encoder's features, then a residual block."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2)
        self.join = Residual(2 * out_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([self.up(x), skip], dim=1))


class CovidSegNet(KnowsItsWeights):
    """COVID-SegNet, (B, in_channels, H, W, D) to logits (B, out_channels, H, W, D).

    Args:
        base: feature maps of the finest of four levels, an even number; each next has twice as many at half the size.
        channel_gate: contrast is enhanced by a weight a channel, not by one for all.
        max_pool: poolings halve the size, not strided convolutions.

    Raises:
        ValueError: for a size that is no multiple of 8.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        base: int = 16,
        channel_gate: bool = False,
        max_pool: bool = False,
    ) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(LEVELS)]
        finest, *middle, deepest = widths
        self.divisor = 2 ** (LEVELS - 1)
        self.encoder = nn.ModuleList([Residual(in_channels, finest)])
        self.encoder.extend(
            nn.Sequential(FeatureVariation(width, channel_gate), Residual(width, width)) for width in middle
        )
        self.encoder.append(nn.Sequential(FeatureVariation(deepest, channel_gate), Pyramid(deepest)))
        self.down = nn.ModuleList([nn.Identity()])
        self.down.extend(down(fine, coarse, max_pool) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(
            UpBlock(coarse, fine) for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.output = nn.Conv3d(finest, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        skips: list[torch.Tensor] = []
        for smaller, block in zip(self.down, self.encoder):  # noqa: B905 - torch cannot script strict=
            x = block(smaller(x))
            skips.append(x)
        x = skips.pop()
        for up_block in self.decoder:
            x = up_block(x, skips.pop())
        return self.output(x)
