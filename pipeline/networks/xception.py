"""The modified aligned Xception at output stride 16, an encoder of DeepLabV3+.

Papers: Chollet, "Xception", CVPR 2017 (arXiv:1610.02357); the modification: Chen et al., "Encoder-decoder with atrous
separable convolution", ECCV 2018 (arXiv:1802.02611). Public code read for facts by the specification's authors, nothing
copied. Parameters without the classifier: 37,866,736 for 1 channel. Verified: the count and those of the parts.
As in the public code, and unlike the paper, no ReLU stands between a depthwise convolution and its pointwise one, and a
block's shortcut sees the rectified input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu


def separable(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 convolution, batch norm, pointwise convolution, batch norm."""
    return nn.Sequential(
        conv_norm(in_channels, in_channels, 3, stride=stride, dilation=dilation, groups=in_channels, bias=False),
        conv_norm(in_channels, out_channels, 1, bias=False),
    )


class Block(nn.Module):
    """ReLU, then three separable convolutions with ReLU between, the third strided, added to the rectified input."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.separables = nn.Sequential(
            separable(in_channels, channels),
            nn.ReLU(inplace=True),
            separable(channels, out_channels),
            nn.ReLU(inplace=True),
            separable(out_channels, out_channels, stride),
        )
        self.shortcut: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = conv_norm(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Changes nothing in the first two blocks, whose input is rectified already.
        x = F.relu(x)
        return self.separables(x) + (x if self.shortcut is None else self.shortcut(x))


class Xception(nn.Module):
    """(B, in_channels, H, W) to features of 1/4 (128 channels) and of 1/16 of the size (2048), each rounded up.

    Args:
        width: multiplies every number of feature maps; 1 is the paper's, less is for tests.
        middle_blocks: blocks of the middle flow.
    """

    def __init__(self, in_channels: int = 1, width: float = 1.0, middle_blocks: int = 16) -> None:
        super().__init__()
        widths = [round(width * channels) for channels in (32, 64, 128, 256, 728, 1024, 1536, 2048)]
        stem, stem_out, low, entry, middle, exit_in, exit_channels, deep = widths
        self.low_channels, self.deep_channels = low, deep
        self.stem = nn.Sequential(
            conv_norm_relu(in_channels, stem, 3, stride=2, bias=False), conv_norm_relu(stem, stem_out, 3, bias=False)
        )
        self.low_level_block = Block(stem_out, low, low, stride=2)
        self.entry_blocks = nn.Sequential(Block(low, entry, entry, stride=2), Block(entry, middle, middle, stride=2))
        self.middle_blocks = nn.Sequential(*(Block(middle, middle, middle) for _ in range(middle_blocks)))
        self.exit_block = Block(middle, middle, exit_in)
        self.exit_separables = nn.Sequential(
            # Dilated because the exit flow's stride is left out.
            nn.Sequential(separable(exit_in, exit_channels, dilation=2), nn.ReLU(inplace=True)),
            nn.Sequential(separable(exit_channels, exit_channels, dilation=2), nn.ReLU(inplace=True)),
            nn.Sequential(separable(exit_channels, deep, dilation=2), nn.ReLU(inplace=True)),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low_level = F.relu(self.low_level_block(self.stem(x)))
        x = self.middle_blocks(self.entry_blocks(low_level))
        return low_level, self.exit_separables(F.relu(self.exit_block(x)))
