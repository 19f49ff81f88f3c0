"""ResNet-101 at output stride 16, an encoder of DeepLabV3+.

Papers: He et al., "Deep residual learning for image recognition", CVPR 2016 (arXiv:1512.03385); the dilated last stage
with its multi-grid: Chen et al., "Rethinking atrous convolution", 2017 (arXiv:1706.05587). Public code read for facts
by the specification's authors, nothing copied. Parameters without the classifier: 42,493,888 for 1 channel. Verified:
the count and those of the stages. The names of the parameters are those of torchvision's checkpoint
resnet101-63fe2227.pth, which fits because a dilation changes no shape of a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import conv_norm


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution to four times `channels`, added to the input or its projection, then ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample: nn.Module | None = None
        if in_channels != 4 * channels or stride != 1:
            self.downsample = conv_norm(in_channels, 4 * channels, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def stage(in_channels: int, channels: int, stride: int, dilations: Sequence[int]) -> nn.Sequential:
    """One bottleneck a dilation, the first with the stride."""
    widths = [in_channels] + [4 * channels] * (len(dilations) - 1)
    strides = [stride] + [1] * (len(dilations) - 1)
    return nn.Sequential(*(Bottleneck(i, channels, s, d) for i, s, d in zip(widths, strides, dilations, strict=True)))


class ResNet101(nn.Module):
    """(B, in_channels, H, W) to features of 1/4 (256 channels) and of 1/16 of the size (2048), each rounded up.

    Args:
        width: multiplies every number of feature maps; 1 is the paper's, less is for tests.
        middle_blocks: bottlenecks of the third stage.
    """

    CHECKPOINT_SHA256: ClassVar[str] = "63fe2227"

    def __init__(self, in_channels: int = 1, width: float = 1.0, middle_blocks: int = 23) -> None:
        super().__init__()
        first, second, third, fourth = (round(width * channels) for channels in (64, 128, 256, 512))
        self.low_channels, self.deep_channels = 4 * first, 4 * fourth
        self.conv1 = nn.Conv2d(in_channels, first, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = stage(first, first, 1, [1] * 3)
        self.layer2 = stage(4 * first, second, 2, [1] * 4)
        self.layer3 = stage(4 * second, third, 2, [1] * middle_blocks)
        # Dilated instead of strided: 2 for the stride left out, times the multi-grid 1, 2, 4.
        self.layer4 = stage(4 * third, fourth, 1, [2, 4, 8])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        low_level = self.layer1(x)
        return low_level, self.layer4(self.layer3(self.layer2(low_level)))
