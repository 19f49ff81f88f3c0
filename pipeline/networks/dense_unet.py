"""Dense U-Net: a U-Net whose blocks join what each of their convolutions gives.

Paper: a baseline of Pal Das, Mitra, Uma Shankar, "Collective intelligent strategy for improved segmentation of COVID-19
from CT", 2022 (arXiv:2212.12264), which calls it DenseNet, prints 4.26 M parameters and describes it no further; no
public network with that number was found. This one is calibrated, not recovered: the widths and the nearest-neighbour
enlargement of the paper's other U-Nets, and a dense block that makes 4,259,873 parameters for 1 channel and 1 class
(Keras would count 4,265,761, with the running statistics of the batch norms). So the paper's results need not be those
of this network. Verified: the count, and each level's.
The batch norms have PyTorch's momentum and epsilon. Begins with Glorot's weights, as Keras does.
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import glorot
from pipeline.networks.u_shape import UShape, joined


def unit(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    """Convolution, ReLU, batch norm, in this order."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(out_channels),
    )


class DenseBlock(nn.Module):
    """Three 3x3 units, the third of which gets the first two's features; a 1x1 unit fuses those of all three.

    A block of the decoder gets a skip too, and reads both joined.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = unit(in_channels, out_channels)
        self.second = unit(out_channels, out_channels)
        self.third = unit(2 * out_channels, out_channels)
        self.fuse = unit(3 * out_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        first = self.first(x if skip is None else joined(x, skip))
        two = torch.cat([first, self.second(first)], dim=1)
        return self.fuse(torch.cat([two, self.third(two)], dim=1))


class DenseUNet(UShape):
    """Dense U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

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
            encoder=[DenseBlock(before, width) for before, width in pairwise([in_channels, *features])],
            decoder=[DenseBlock(coarse + fine, fine) for coarse, fine in pairwise(features[::-1])],
            output=nn.Conv2d(features[0], out_channels, kernel_size=1),
        )
        self.apply(glorot)
