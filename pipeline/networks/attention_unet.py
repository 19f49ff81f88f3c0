"""Attention U-Net: a U-Net whose decoder weights each pixel of a skip connection.

Paper: Oktay et al., "Attention U-Net: Learning where to look for the pancreas", MIDL 2018 (arXiv:1804.03999), in its
widely used 2D form, whose gate works at the skip's own size. Public code of this form (no licence): read for facts,
nothing copied. Parameters for 1 channel and 3 classes: 34,877,551; the Anam-Net papers, whose baseline it is, print
34.87 M. Verified: the count, and each level's.
Why not MONAI's AttentionUnet: its decoder has one convolution fewer at each level, 31,739,315 parameters in all.
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu
from pipeline.networks.u_shape import UShape


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU."""
    return nn.Sequential(conv_norm_relu(in_channels, out_channels), conv_norm_relu(out_channels, out_channels))


class Gate(nn.Module):
    """Multiplies each pixel of the skip with a weight in (0, 1), found from it and the decoder's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.from_decoder = conv_norm(channels, narrow, kernel_size=1)
        self.from_skip = conv_norm(channels, narrow, kernel_size=1)
        self.weight = conv_norm(narrow, 1, kernel_size=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        joint = torch.relu(self.from_decoder(x) + self.from_skip(skip))
        return skip * torch.sigmoid(self.weight(joint))


class UpBlock(nn.Module):
    """Twice the size, joined with the encoder's gated features, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv_norm_relu(in_channels, out_channels))
        self.gate = Gate(out_channels)
        self.join = two_convolutions(2 * out_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        return self.join(torch.cat([self.gate(x, skip), x], dim=1))


class AttentionUNet(UShape):
    """Attention U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps from the finest to the coarsest level; each level halves the size.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
    ) -> None:
        super().__init__(
            encoder=[two_convolutions(before, width) for before, width in pairwise([in_channels, *features])],
            decoder=[UpBlock(coarse, fine) for coarse, fine in pairwise(features[::-1])],
            output=nn.Conv2d(features[0], out_channels, kernel_size=1),
        )
