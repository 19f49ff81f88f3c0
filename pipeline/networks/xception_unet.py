"""Xception U-Net: an encoder of separable convolutions and a decoder of transposed ones, with shortcuts around each.

Paper: a baseline of Pal Das, Mitra, Uma Shankar, "Collective intelligent strategy for improved segmentation of COVID-19
from CT", 2022 (arXiv:2212.12264), which calls it Xception Net, prints 2.05 M parameters and describes it no further.
The network of that size is the "U-Net-like Xception" of the Keras tutorial on segmentation: read for facts, nothing
copied. Parameters: 2,054,049 for 1 channel and 1 class; 2,055,203 for 3 and 3, the tutorial's own number. Verified:
both counts, and each block's.
Differences: paddings are symmetric where Keras pads an even size at its end only; the batch norms have PyTorch's
momentum and epsilon. Begins with Glorot's weights, as Keras does.
Nothing of the encoder is joined to the decoder, so an outline is as fine as a sixteenth of the size lets it be.
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu, glorot, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights


def separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """Depthwise 3x3 convolution without bias, pointwise convolution, batch norm."""
    depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
    return nn.Sequential(depthwise, conv_norm(in_channels, out_channels, 1))


def transposed(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed 3x3 convolution that keeps the size, batch norm."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, kernel_size=3, padding=1), nn.BatchNorm2d(out_channels)
    )


class DownBlock(nn.Module):
    """Half the size: two separable convolutions, each after a ReLU, and a pooling, added to a strided shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.separables = nn.Sequential(
            nn.ReLU(),
            separable(in_channels, out_channels),
            nn.ReLU(inplace=True),
            separable(out_channels, out_channels),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.separables(x) + self.shortcut(x)


class UpBlock(nn.Module):
    """Twice the size: two transposed convolutions, each after a ReLU, added to a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            transposed(in_channels, out_channels),
            nn.ReLU(inplace=True),
            transposed(out_channels, out_channels),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The tutorial enlarges before the shortcut: the same values, of four times the work
        return self.up(self.convolutions(x) + self.shortcut(x))


class XceptionUNet(KnowsItsWeights):
    """Xception U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps of the first convolution and of each block of the encoder; each halves the size. The
            decoder has the same in reverse.

    Raises:
        ValueError: for a size that the halvings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
        self.divisor = 2 ** len(features)
        self.entry = conv_norm_relu(in_channels, features[0], stride=2)
        self.encoder = nn.Sequential(*(DownBlock(fine, coarse) for fine, coarse in pairwise(features)))
        widths = [features[-1], *features[::-1]]
        self.decoder = nn.Sequential(*(UpBlock(before, after) for before, after in pairwise(widths)))
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=3, padding=1)
        # What pipeline/inference/feature_maps.py shows
        arms = (("encoder", len(self.encoder)), ("decoder", len(self.decoder)))
        self.feature_blocks = ["entry", *(f"{arm}.{place}" for arm, blocks in arms for place in range(blocks))]
        self.apply(glorot)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        return self.output(self.decoder(self.encoder(self.entry(x))))
