"""Res2Net-50 v1b (26 feature maps in each of 4 groups), the encoder of Inf-Net.

Paper: Gao et al., "Res2Net: a new multi-scale backbone architecture", IEEE TPAMI 43(2), 2021 (arXiv:1904.01169). Public
code read for facts by the specification's authors, nothing copied. Parameters without the classifier: 23,669,352 for
3 channels. Verified: the count and those of the stages. The names of the parameters are those of the authors'
checkpoint res2net50_v1b_26w_4s-3cf99910.pth. v1b: a stem of three 3x3 convolutions, and shortcuts that average before
they project.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = 4


class FirstBlock(nn.Module):
    """The first block of a stage: each group is convolved alone, the last one averaged; strided and projected."""

    def __init__(self, in_channels: int, group_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, GROUPS * group_channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(GROUPS * group_channels)
        self.convs, self.bns = group_layers(group_channels, stride)
        self.pool = nn.AvgPool2d(kernel_size=3, stride=stride, padding=1)
        self.conv3 = nn.Conv2d(GROUPS * group_channels, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        groups = F.relu(self.bn1(self.conv1(x))).chunk(len(self.convs) + 1, dim=1)
        results: list[torch.Tensor] = []
        for index, (conv, bn) in enumerate(zip(self.convs, self.bns)):  # noqa: B905, TorchScript knows no `strict`
            results.append(F.relu(bn(conv(groups[index]))))
        results.append(self.pool(groups[-1]))
        return F.relu(self.bn3(self.conv3(torch.cat(results, dim=1))) + self.downsample(x))


class Block(nn.Module):
    """A later block of a stage: each group's result is added to the next group, the last one is left as it is."""

    def __init__(self, channels: int, group_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, GROUPS * group_channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(GROUPS * group_channels)
        self.convs, self.bns = group_layers(group_channels, stride=1)
        self.conv3 = nn.Conv2d(GROUPS * group_channels, channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        groups = F.relu(self.bn1(self.conv1(x))).chunk(len(self.convs) + 1, dim=1)
        results: list[torch.Tensor] = []
        for index, (conv, bn) in enumerate(zip(self.convs, self.bns)):  # noqa: B905, TorchScript knows no `strict`
            group = groups[index] if index == 0 else results[index - 1] + groups[index]
            results.append(F.relu(bn(conv(group))))
        results.append(groups[-1])
        return F.relu(self.bn3(self.conv3(torch.cat(results, dim=1))) + x)


def group_layers(channels: int, stride: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    """A 3x3 convolution and a batch norm for every group but the last."""
    convolutions = [nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False) for _ in range(GROUPS - 1)]
    return nn.ModuleList(convolutions), nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(GROUPS - 1))


def stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` blocks with 4 * `channels` feature maps; a group has 26 where `channels` is 64."""
    group_channels = channels * 26 // 64
    later = (Block(4 * channels, group_channels) for _ in range(blocks - 1))
    return nn.Sequential(FirstBlock(in_channels, group_channels, 4 * channels, stride), *later)


class Res2Net50(nn.Module):
    """(B, in_channels, H, W) to four features of 256, 512, 1024, 2048 channels and 1/4, 1/8, 1/16, 1/32 of the size.

    Args:
        width: multiplies every number of feature maps; 1 is the paper's, less is for tests.
        blocks: blocks of each stage.
    """

    CHECKPOINT_SHA256: ClassVar[str] = "3cf99910"

    def __init__(self, in_channels: int = 1, width: float = 1.0, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        half, first, second, third, fourth = (round(width * channels) for channels in (32, 64, 128, 256, 512))
        self.channels = (4 * first, 4 * second, 4 * third, 4 * fourth)
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, half, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, first, kernel_size=3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = stage(first, first, blocks[0], stride=1)
        self.layer2 = stage(4 * first, second, blocks[1], stride=2)
        self.layer3 = stage(4 * second, third, blocks[2], stride=2)
        self.layer4 = stage(4 * third, fourth, blocks[3], stride=2)
        self.apply(kaiming)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        f1 = self.layer1(self.pool(F.relu(self.bn1(self.conv1(x)))))
        f2 = self.layer2(f1)
        f3 = self.layer3(f2)
        return f1, f2, f3, self.layer4(f3)


def kaiming(module: nn.Module) -> None:
    """Kaiming's normal initialisation, which keeps the variance of the gradients."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
