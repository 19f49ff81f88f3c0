"""R2U-Net: a U-Net whose blocks add what they read to each of their convolutions' inputs, and to their result.

Paper: Alom et al., "Recurrent residual convolutional neural network based on U-Net (R2U-Net) for medical image
segmentation", 2018 (arXiv:1802.06955), in the form of the EAMC paper (Pal Das et al. 2022, arXiv:2212.12264), whose
baseline it is. Public Keras code of this form (no licence): read for facts, nothing copied. Parameters for 1 channel
and 1 class: 6,003,009; the EAMC paper prints 6.00 M. Verified: the count.
In Alom's paper a recurrent step uses the same convolution again; here, as in the public code, which alone gives 6.00 M,
each step has its own. Neither batch norm nor dropout. Returns logits; the paper's sigmoid belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import glorot
from pipeline.networks.u_shape import UShape, joined


def conv_relu(channels: int) -> nn.Sequential:
    """3x3 convolution that keeps size and channels, then ReLU."""
    return nn.Sequential(nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True))


class RecurrentUnit(nn.Module):
    """Three convolutions; the second and the third read the result of the one before and the unit's input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_relu(channels)
        self.second = conv_relu(channels)
        self.third = conv_relu(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(x) + x) + x)


class Block(nn.Module):
    """Two recurrent units, and around both the input, by a 1x1 convolution where the channels change.

    A block of the decoder gets a skip too, and reads both joined.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.widen = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.units = nn.Sequential(RecurrentUnit(out_channels), RecurrentUnit(out_channels))

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        x = self.widen(x if skip is None else joined(x, skip))
        return x + self.units(x)


class R2UNet(UShape):
    """R2U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps from the finest to the coarsest level; each level halves the size.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__(
            encoder=[Block(before, width) for before, width in pairwise([in_channels, *features])],
            decoder=[Block(coarse + fine, fine) for coarse, fine in pairwise(features[::-1])],
            output=nn.Conv2d(features[0], out_channels, kernel_size=1),
        )
        self.apply(glorot)
