"""LEDNet: an asymmetric encoder-decoder of split-shuffle blocks with an attention pyramid as decoder.

Paper: Wang et al., "LEDNet: A Lightweight Encoder-Decoder Network for Real-Time Semantic Segmentation", ICIP 2019
(arXiv:1905.02423). Authors' code: read for facts, nothing copied. Parameters for 3 classes: 918,127 with 1 channel (the
Anam-Net paper prints 0.91 M), 918,629 with 3. Verified: both counts and those of the blocks.
The authors' training file makes the decoder 20 channels wide whatever the classes and carries an unused encoder head;
here the decoder is as wide as there are classes and nothing is unused. As published, a ReLU stands last in each branch
of the decoder: no logit is ever negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu, require_multiple, resize
from pipeline.networks.weights_loaded import KnowsItsWeights


class Down(nn.Module):
    """Half the size: a strided convolution beside a max-pooling, then batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.Sequential(nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1))


def branch(
    channels: int, first: tuple[int, int], second: tuple[int, int], dropout: float, dilation: int
) -> nn.Sequential:
    """Two 3x3 convolutions, each split into one along each axis; the second one is dilated."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, first, padding="same"),
        nn.ReLU(inplace=True),
        conv_norm_relu(channels, channels, second),
        nn.Conv2d(channels, channels, first, padding="same", dilation=dilation),
        nn.ReLU(inplace=True),
        conv_norm(channels, channels, second, dilation=dilation),
        nn.Dropout2d(dropout),
    )


def shuffle(x: torch.Tensor) -> torch.Tensor:
    """Interleave the two halves of the channels."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class SplitShuffle(nn.Module):
    """Residual block that treats each half of the channels apart, then mixes the halves ("SS-nbt")."""

    def __init__(self, channels: int, dropout: float, dilation: int) -> None:
        super().__init__()
        column, row = (3, 1), (1, 3)
        self.left = branch(channels // 2, column, row, dropout, dilation)
        self.right = branch(channels // 2, row, column, dropout, dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, dim=1)
        return shuffle(torch.relu(x + torch.cat([self.left(left), self.right(right)], dim=1)))


class AttentionPyramid(nn.Module):
    """Decoder: one map of attention from three scales, on the classes' maps, plus the image's mean ("APN")."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm_relu(in_channels, out_channels, 1))
        self.middle = conv_norm_relu(in_channels, out_channels, 1)
        self.down1 = conv_norm_relu(in_channels, 1, 7, stride=2)
        self.down2 = conv_norm_relu(1, 1, 5, stride=2)
        self.down3 = nn.Sequential(conv_norm_relu(1, 1, 3, stride=2), conv_norm_relu(1, 1, 3))
        self.side2 = conv_norm_relu(1, 1, 5)
        self.side1 = conv_norm_relu(1, 1, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level1 = self.down1(x)
        level2 = self.down2(level1)
        level3 = self.down3(level2)
        attention = resize(level3, list(level2.shape[2:]), align_corners=True) + self.side2(level2)
        attention = resize(attention, list(level1.shape[2:]), align_corners=True) + self.side1(level1)
        attention = resize(attention, list(x.shape[2:]), align_corners=True)
        # One value a channel: broadcasting it is what interpolating it would give
        return attention * self.middle(x) + self.image(x)


class LEDNet(KnowsItsWeights):
    """LEDNet, (B, in_channels, H, W) to logits (B, out_channels, H, W), none of them negative.

    Args:
        features: channels at 1/2, 1/4 and 1/8 of the size, even and rising, the first more than `in_channels`.
        dilations: of the blocks at 1/8 of the size.
        early_dropout: probability of dropping a channel at 1/2 and 1/4 of the size.
        dropout: the same at 1/8 of the size.

    Raises:
        ValueError: for a size that is no multiple of 8, and for a batch of 1 in training.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (32, 64, 128),
        dilations: Sequence[int] = (1, 2, 5, 9, 2, 5, 9, 17),
        early_dropout: float = 0.03,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        half, quarter, eighth = features
        self.encoder = nn.Sequential(
            Down(in_channels, half),
            *(SplitShuffle(half, early_dropout, dilation=1) for _ in range(3)),
            Down(half, quarter),
            *(SplitShuffle(quarter, early_dropout, dilation=1) for _ in range(2)),
            Down(quarter, eighth),
            *(SplitShuffle(eighth, dropout, dilation) for dilation in dilations),
        )
        self.decoder = AttentionPyramid(eighth, out_channels)
        # What pipeline/inference/feature_maps.py shows; the decoder has no maps but the classes'
        self.feature_blocks = [f"encoder.{place}" for place in range(len(self.encoder))]
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, 8)
        if self.training and x.shape[0] < 2:
            raise ValueError(
                "LEDNet needs a batch of at least 2 in training: the batch norm after its global pooling sees one "
                "value a channel in each image; raise the batch size or drop the last batch"
            )
        return resize(self.decoder(self.encoder(x)), list(x.shape[2:]), align_corners=True)
