"""MiniSeg: two paths, a shallow and an attentive dilated one, that exchange features, in 83 K parameters.

Paper: Qiu, Liu, Li, Xu, "MiniSeg: An Extremely Minimum Network for Efficient COVID-19 Segmentation", AAAI 2021
(arXiv:2004.09750; its first version describes another network, of 472 K). Authors' code: read for facts, nothing
copied. Parameters with 3 channels and 2 classes: 82,912 (paper: 83 K); with 1 channel and 3 classes 82,884, or 82,515
without the auxiliary heads. Verified: these counts and those of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm, resize
from pipeline.networks.weights_loaded import KnowsItsWeights


def plain(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """3x3 convolution: the main block at the first level."""
    return conv_norm(in_channels, out_channels, stride=stride, bias=False).append(nn.PReLU(out_channels))


def shallow_block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """1x1 convolution, then a depthwise 5x5: the block of the shallow path."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        conv_norm(out_channels, out_channels, 5, stride=stride, groups=out_channels, bias=False),
        nn.PReLU(out_channels),
    )


def depthwise(channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """3x3 convolution of each channel alone."""
    return nn.Conv2d(channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False)


class AttentivePyramid(nn.Module):
    """Dilated convolutions, each summed with the narrower ones and weighted by a map of attention ("AHSP")."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.reduce = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.branches = nn.ModuleList(depthwise(width, stride, dilation) for dilation in (1, 2, 4, 8))
        self.pool = nn.AvgPool2d(3, stride, padding=1)
        self.attention = nn.Conv2d(out_channels, 4, kernel_size=1, groups=4, bias=False)
        self.fuse = conv_norm(out_channels, out_channels, 1, groups=4, bias=False).append(nn.PReLU(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.reduce(x)
        total = self.pool(x)
        scales: list[torch.Tensor] = []
        for branch in self.branches:
            total = total + branch(x)
            scales.append(total)
        attention = torch.sigmoid(self.attention(torch.cat(scales, dim=1)))
        weighted = [scale + scale * attention[:, i : i + 1] for i, scale in enumerate(scales)]
        return self.fuse(torch.cat(weighted, dim=1))


class Exchange(nn.Module):
    """Gives each path a share of both, between two levels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = conv_norm(2 * width, 2 * width, 1, bias=False)

    def forward(self, shallow: torch.Tensor, main: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        to_shallow, to_main = self.mix(torch.cat([shallow, main], dim=1)).chunk(2, dim=1)
        return to_shallow + shallow, to_main + main


class Repeat(nn.Module):
    """One residual step of the main path, and of the shallow one if it has a block; both see the sum of the paths."""

    def __init__(self, main: nn.Module, shallow: nn.Module | None) -> None:
        super().__init__()
        self.main = main
        self.shallow = shallow

    def forward(self, shallow: torch.Tensor, main: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = shallow + main
        main = self.main(both) + main
        if self.shallow is not None:
            shallow = self.shallow(both) + shallow
        return shallow, main


class Level(nn.Module):
    """Half the size in both paths, then the repeats; the shallow path takes part in the first half of them."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        repeats: int,
        main_block: Callable[[int, int, int], nn.Module],
        exchange: Exchange | None,
    ) -> None:
        super().__init__()
        self.exchange = exchange
        self.shallow_entry = shallow_block(in_channels, width, stride=2)
        self.main_entry = main_block(in_channels, width, 2)
        self.repeats = nn.ModuleList(
            Repeat(main_block(width, width, 1), shallow_block(width, width, stride=1) if r < repeats // 2 else None)
            for r in range(repeats)
        )

    def forward(self, shallow: torch.Tensor, main: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.exchange is not None:
            shallow, main = self.exchange(shallow, main)
        shallow, main = self.shallow_entry(shallow), self.main_entry(main)
        for repeat in self.repeats:
            shallow, main = repeat(shallow, main)
        return shallow, main


class Merge(nn.Module):
    """Fuses the coarser features, already at the finer size, with the encoder's."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, kernel_size=1, bias=False)
        self.near = depthwise(fine)
        self.far = depthwise(fine, dilation=2)
        self.norm = nn.BatchNorm2d(fine)
        self.lateral = conv_norm(fine, fine, 1)
        self.activation = nn.PReLU(fine)

    def forward(self, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        deep = self.reduce(deep)
        fused = self.norm(self.near(deep) + self.far(deep))
        return self.activation(fused + self.lateral(skip))


def head(width: int, out_channels: int) -> nn.Sequential:
    """Logits at the features' size."""
    return nn.Sequential(nn.Dropout2d(0.01), nn.Conv2d(width, out_channels, kernel_size=1))


class MiniSeg(KnowsItsWeights):
    """MiniSeg, (B, in_channels, H, W) of any size to logits (B, out_channels, H, W).

    Args:
        features: channels at 1/2, 1/4, 1/8 and 1/16 of the size, multiples of 4.
        repeats: residual steps at each of these sizes.
        auxiliary_heads: in training, return a list: the logits, then those of the levels 1/4, 1/8 and 1/16, all at the
            size of the input.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (8, 24, 32, 64),
        repeats: Sequence[int] = (2, 3, 8, 6),
        auxiliary_heads: bool = True,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList([Level(in_channels, features[0], repeats[0], plain, exchange=None)])
        for fine, coarse, count in zip(features[:-1], features[1:], repeats[1:], strict=True):
            self.levels.append(Level(fine, coarse, count, AttentivePyramid, Exchange(fine)))
        self.deepest = conv_norm(features[-1], features[-1], 1).append(nn.PReLU(features[-1]))
        self.merges = nn.ModuleList(
            Merge(coarse, fine) for coarse, fine in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.head = head(features[0], out_channels)
        auxiliary = features[1:] if auxiliary_heads else ()
        self.auxiliary_heads = nn.ModuleList(head(width, out_channels) for width in auxiliary)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        size = list(x.shape[2:])
        skips = self.encode(x)
        deep = self.deepest(skips[-1])
        resized: list[torch.Tensor] = []
        for level, merge in enumerate(self.merges):
            skip = skips[len(skips) - 2 - level]
            deep = resize(deep, list(skip.shape[2:]))
            resized.append(deep)
            deep = merge(deep, skip)
        logits = resize(self.head(deep), size)
        if self.training and len(self.auxiliary_heads) > 0:
            outputs = [logits]
            for level, auxiliary in enumerate(self.auxiliary_heads):
                outputs.append(resize(auxiliary(resized[len(resized) - 1 - level]), size))
            return outputs
        return logits

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of the main path, from the finest level to the coarsest."""
        shallow, main = x, x
        skips: list[torch.Tensor] = []
        for level in self.levels:
            shallow, main = level(shallow, main)
            skips.append(main)
        return skips
