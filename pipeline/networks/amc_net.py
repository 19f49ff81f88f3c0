"""AMC-Net: a U-Net with dilated convolutions of several rates in each stage and gated skips, and its three ablations.

Paper: Pal Das, Mitra, Uma Shankar, "Collective intelligent strategy for improved segmentation of COVID-19 from CT",
2022 (arXiv:2212.12264). Its ten released models and public Keras code of the plain and the attention U-Net:
read for facts, nothing copied. Parameters for 1 channel and 1 class, in brackets the paper's: U-Net 1,962,337 (1.96 M),
Attention U-Net 1,995,341 (1.99 M), MSU-Net 3,313,377 (3.31 M), AMC-Net 3,346,381 (3.34 M); the released models have
4,457,101. Verified: the five counts.
The paper's text draws the dilated convolutions side by side and enlarges without weights; the released models have the
convolutions one after the other and enlarge with a transposed convolution that doubles the channels. Its table lists a
3x3 convolution after them; the counts and the released models have 1x1.
Returns logits; the paper's sigmoid belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import glorot
from pipeline.networks.u_shape import UShape

PARALLEL, CASCADE = "parallel", "cascade"
NEAREST, DECONV_DOUBLE = "nearest", "deconv_double"


def conv_relu(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """3x3 convolution that keeps the size, then ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=dilation, dilation=dilation),
        nn.ReLU(inplace=True),
    )


class MSBlock(nn.Module):
    """Convolutions of several dilations, joined by a 1x1 convolution.

    Each reads the block's input, or, in a cascade, the result of the one before.
    """

    def __init__(self, channels: int, dilations: Sequence[int], ms_mode: str, dropout: float) -> None:
        super().__init__()
        self.cascade = ms_mode == CASCADE
        self.dilated = nn.ModuleList(conv_relu(channels, channels, dilation) for dilation in dilations)
        self.join = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(len(dilations) * channels, channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps: list[torch.Tensor] = []
        for convolution in self.dilated:
            maps.append(convolution(x))
            if self.cascade:
                x = maps[-1]
        return self.join(torch.cat(maps, dim=1))


class Gate(nn.Module):
    """Multiplies each pixel of the skip with a weight in (0, 1), found from it and the decoder's features."""

    def __init__(self, skip_channels: int, up_channels: int, narrow: int) -> None:
        super().__init__()
        self.from_skip = nn.Conv2d(skip_channels, narrow, kernel_size=1)
        self.from_decoder = nn.Conv2d(up_channels, narrow, kernel_size=1)
        self.weight = nn.Conv2d(narrow, 1, kernel_size=1)

    def forward(self, skip: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        joint = torch.relu(self.from_skip(skip) + self.from_decoder(up))
        return skip * torch.sigmoid(self.weight(joint))


class UpBlock(nn.Module):
    """Twice the size, joined with the encoder's features, gated or not, then a stage."""

    def __init__(self, coarse: int, fine: int, stage: nn.Module, attention: bool, upsample: str) -> None:
        super().__init__()
        up_channels = up_width(coarse, upsample)
        self.up: nn.Module = nn.Upsample(scale_factor=2, mode="nearest")
        if upsample == DECONV_DOUBLE:
            self.up = nn.ConvTranspose2d(coarse, up_channels, kernel_size=2, stride=2)
        self.gate: nn.Module | None = Gate(fine, up_channels, narrow=coarse // 4) if attention else None
        self.stage = stage

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        if self.gate is not None:
            skip = self.gate(skip, x)
        return self.stage(torch.cat([x, skip], dim=1))


def up_width(coarse: int, upsample: str) -> int:
    """Channels after enlarging."""
    return 2 * coarse if upsample == DECONV_DOUBLE else coarse


class AMCNet(UShape):
    """AMC-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps from the finest to the coarsest level; each level halves the size.
        multi_scale: the second unit of each stage but the coarsest is an MS-block; false, a plain convolution.
        attention: skips are gated.
        dilations: of an MS-block's convolutions.
        ms_mode: `parallel`, side by side as in the paper, or `cascade`, one after the other as in the released models.
        upsample: `nearest` as in the paper, or `deconv_double` as in the released models.
        dropout: after the first unit of a stage, and around an MS-block's 1x1 convolution.

    Raises:
        ValueError: for an unknown `ms_mode` or `upsample`, and for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (16, 32, 64, 128, 256),
        multi_scale: bool = True,
        attention: bool = True,
        dilations: Sequence[int] = (1, 2, 3, 5),
        ms_mode: str = PARALLEL,
        upsample: str = NEAREST,
        dropout: float = 0.2,
    ) -> None:
        if ms_mode not in (PARALLEL, CASCADE):
            raise ValueError(f"ms_mode is {ms_mode!r}, expected {PARALLEL} or {CASCADE}")
        if upsample not in (NEAREST, DECONV_DOUBLE):
            raise ValueError(f"upsample is {upsample!r}, expected {NEAREST} or {DECONV_DOUBLE}")

        def stage(before: int, width: int, plain: bool = not multi_scale) -> nn.Sequential:
            second = conv_relu(width, width) if plain else MSBlock(width, dilations, ms_mode, dropout)
            return nn.Sequential(conv_relu(before, width), nn.Dropout(dropout), second)

        super().__init__(
            encoder=[stage(before, width) for before, width in pairwise([in_channels, *features[:-1]])],
            bottleneck=stage(features[-2], features[-1], plain=True),
            decoder=[
                UpBlock(coarse, fine, stage(up_width(coarse, upsample) + fine, fine), attention, upsample)
                for coarse, fine in pairwise(features[::-1])
            ],
            output=nn.Conv2d(features[0], out_channels, kernel_size=1),
        )
        self.apply(glorot)
