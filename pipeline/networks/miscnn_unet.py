"""The standard and the residual 3D U-Net of the MIScnn COVID-19 pipeline.

Paper: Mueller, Soto-Rey, Kramer, "Robust chest CT image segmentation of COVID-19 lung infection based on limited data",
2021 (arXiv:2007.04774). Authors' code (github.com/frankkramer-lab/covid19.MIScnn, MIScnn): read for facts, nothing
copied. Parameters for 1 channel and 4 classes: 22,581,316 standard, 22,930,980 residual (Keras counts 22,587,204 for
the standard one, with the running statistics of the batch norms). Verified: both counts.
Convolution, then ReLU, then batch norm, in this order. Returns logits; the paper's softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.blocks import glorot
from pipeline.networks.weights_loaded import KnowsItsWeights


def unit(in_channels: int, out_channels: int, momentum: float) -> nn.Sequential:
    """3x3x3 convolution, ReLU, batch norm."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        # Keras' defaults: epsilon 1e-3, momentum 0.99 (torch counts the other way round)
        nn.BatchNorm3d(out_channels, eps=1e-3, momentum=momentum),
    )


class Block(nn.Module):
    """Two units, with a 1x1x1 convolution and ReLU around both when residual.

    Its input comes alone in a list and is taken out of it, so that in inference its memory is free for the second unit.
    """

    def __init__(self, in_channels: int, out_channels: int, residual: bool, momentum: float) -> None:
        super().__init__()
        self.units = nn.Sequential(
            unit(in_channels, out_channels, momentum), unit(out_channels, out_channels, momentum)
        )
        self.shortcut: nn.Module | None = None
        if residual:
            self.shortcut = nn.Sequential(nn.Conv3d(in_channels, out_channels, kernel_size=1), nn.ReLU(inplace=True))

    def forward(self, taken: list[torch.Tensor]) -> torch.Tensor:
        around = None if self.shortcut is None else self.shortcut(taken[0])
        y = self.units[1](self.units[0](taken.pop()))
        return y if around is None else y + around


class UpBlock(nn.Module):
    """Transposed convolution to twice the size, joined with the encoder's features, then a block."""

    def __init__(self, in_channels: int, out_channels: int, residual: bool, momentum: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2)
        self.block = Block(2 * out_channels, out_channels, residual, momentum)

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        # Taken out of the list, the encoder's features go as soon as they are joined
        return self.block([torch.cat([self.up(x), skips.pop()], dim=1)])


class MIScnnUNet(KnowsItsWeights):
    """3D U-Net, (B, in_channels, H, W, D) to logits (B, out_channels, H, W, D).

    Args:
        features: feature maps from the finest to the coarsest level; each level halves the size.
        residual: the residual variant.
        batch_norm_momentum: weight of a new batch in the running statistics. The paper's 0.01 needs some hundred
            steps to settle.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        residual: bool = False,
        batch_norm_momentum: float = 0.01,
    ) -> None:
        super().__init__()
        self.divisor = 2 ** (len(features) - 1)
        widths = [in_channels, *features]
        self.encoder = nn.ModuleList(
            Block(fine, coarse, residual, batch_norm_momentum) for fine, coarse in zip(widths, features, strict=False)
        )
        self.decoder = nn.ModuleList(
            UpBlock(coarse, fine, residual, batch_norm_momentum)
            for coarse, fine in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.pool = nn.MaxPool3d(2)
        self.output = nn.Conv3d(features[0], out_channels, kernel_size=1)
        self.apply(glorot)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] % self.divisor or x.shape[3] % self.divisor or x.shape[4] % self.divisor:
            raise ValueError(f"size {x.shape[2:]} must be divisible by {self.divisor} along each axis; pad the image")
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block([x if level == 0 else self.pool(x)])
            skips.append(x)
        # The coarsest is what the decoder begins with
        skips.pop()
        for up_block in self.decoder:
            x = up_block(x, skips)
        return self.output(x)
