"""RAIU-Net: a U-Net of residual inception blocks, hybrid pooling and attention on its skip connections.

Paper: Punn, Agarwal, "CHS-Net: A Deep learning approach for hierarchical segmentation of COVID-19 infected CT images",
2020 (arXiv:2012.07079); CHS-Net is two of these, the lungs' and then the infection's. No code was published; public
code of the same author's sister networks: read for facts, nothing copied. The paper prints 4.2 M parameters for 1
channel and 1 output, but no width. Here 4,189,666: base width 18 and 3x3 transposed convolutions that keep the
channels, found by counting; 16, the sister networks' width, gives at most 3.32 M. Verified: this count, the three of
the paper's ablation at this width, and those of other widths.
As printed, both attention maps end in a ReLU, not a sigmoid. Global spectral pooling is the mean, and written so.
Returns logits; the paper's sigmoid belongs to the loss.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu, require_multiple
from pipeline.networks.spectral_pooling import spectral_pool
from pipeline.networks.weights_loaded import KnowsItsWeights

INCEPTION, PLAIN = "inception", "plain"


def separable(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Convolution of each channel alone, then 1x1 over the channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel_size, padding="same", groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, kernel_size=1),
    )


class HybridPool(nn.Module):
    """Half the size: max pooling beside spectral pooling, then a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectral = spectral_pool(x, x.shape[2] // 2, x.shape[3] // 2)
        return self.mix(torch.cat([F.max_pool2d(x, 2), spectral], dim=1))


class PoolBranch(nn.Module):
    """The same size: max pooling, when hybrid beside spectral pooling to this size, which is x; then a 1x1."""

    def __init__(self, in_channels: int, out_channels: int, hybrid: bool) -> None:
        super().__init__()
        self.hybrid = hybrid
        self.mix = nn.Conv2d(2 * in_channels if hybrid else in_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The maximum of each pixel and those right of it, below it and both
        largest = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 2, stride=1)
        return self.mix(torch.cat([largest, x], dim=1) if self.hybrid else largest)


class InceptionConvolution(nn.Module):
    """Separable 1x1, 3x3 and 5x5 convolutions and a pooling side by side, joined by a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, hybrid: bool) -> None:
        super().__init__()
        layers = [separable(in_channels, out_channels, kernel_size) for kernel_size in (1, 3, 5)]
        self.branches = nn.ModuleList(
            nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
            for layer in (*layers, PoolBranch(in_channels, out_channels, hybrid))
        )
        self.join = conv_norm_relu(4 * out_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=1))


class ResidualInception(nn.Module):
    """Two inception convolutions plus a separable one of the input; no activation after the sum ("RIB")."""

    def __init__(self, in_channels: int, out_channels: int, hybrid: bool) -> None:
        super().__init__()
        self.inceptions = nn.Sequential(
            InceptionConvolution(in_channels, out_channels, hybrid),
            InceptionConvolution(out_channels, out_channels, hybrid),
        )
        self.shortcut = nn.Sequential(separable(in_channels, out_channels, 3), nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inceptions(x) + self.shortcut(x)


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU: the block of the paper's base U-Net."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
    )


class SpectralAttention(nn.Module):
    """Weights a skip connection's channels by their means, then its pixels by the next coarser level ("SSD")."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.depth = nn.Sequential(
            nn.Conv2d(fine, fine // 2, kernel_size=1), nn.ReLU(), nn.Conv2d(fine // 2, fine, kernel_size=1), nn.ReLU()
        )
        self.refine = conv_norm_relu(fine, fine, 1)
        self.from_fine = nn.Conv2d(fine, coarse, kernel_size=2, stride=2)
        self.from_coarse = nn.Conv2d(coarse, coarse, kernel_size=1)
        self.joint = nn.Sequential(nn.BatchNorm2d(coarse), nn.ReLU())
        self.space = nn.Sequential(nn.Conv2d(coarse, 1, kernel_size=1), nn.ReLU(), nn.Upsample(scale_factor=2.0))
        self.output = conv_norm(fine, fine, 1)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        refined = self.refine(fine * self.depth(fine.mean((2, 3), keepdim=True)))
        joint = self.joint(self.from_fine(refined) + self.from_coarse(coarse))
        return self.output(refined * self.space(joint))


class UpBlock(nn.Module):
    """Twice the size, joined with the encoder's features at that size, weighted or as they are, then a block."""

    def __init__(self, up: nn.Module, attention: nn.Module | None, block: nn.Module) -> None:
        super().__init__()
        self.up = up
        self.attention = attention
        self.block = block

    def forward(self, x: torch.Tensor, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """`fine` and `coarse` are the encoder's features at the block's size and at that of `x`."""
        skip = fine if self.attention is None else self.attention(fine, coarse)
        return self.block(torch.cat([self.up(x), skip], dim=1))


class RAIUNet(KnowsItsWeights):
    """RAIU-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        base_filters: feature maps of the finest level, even; each level has twice those of the next finer one.
        levels: poolings, each to half the size.
        block: "inception", or "plain" for two 3x3 convolutions without batch norm.
        hybrid_pool: spectral pooling beside every max pooling.
        attention: weight the skip connections.
        up_kernel: size of the transposed convolutions, at least 2.
        up_keep_channels: they keep the coarser level's feature maps; false halves them.

    Raises:
        ValueError: for another block, and for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        base_filters: int = 18,
        levels: int = 4,
        block: str = INCEPTION,
        hybrid_pool: bool = True,
        attention: bool = True,
        up_kernel: int = 3,
        up_keep_channels: bool = True,
    ) -> None:
        super().__init__()
        if block not in (INCEPTION, PLAIN):
            raise ValueError(f"block is {block!r}, expected {INCEPTION!r} or {PLAIN!r}")

        def convolutions(before: int, after: int) -> nn.Module:
            return two_convolutions(before, after) if block == PLAIN else ResidualInception(before, after, hybrid_pool)

        def up(coarse: int, after: int) -> nn.ConvTranspose2d:
            padding = (up_kernel - 1) // 2
            return nn.ConvTranspose2d(coarse, after, up_kernel, stride=2, padding=padding, output_padding=up_kernel % 2)

        self.divisor = 2**levels
        widths = [base_filters * 2**level for level in range(levels + 1)]
        self.encoder = nn.ModuleList([convolutions(in_channels, base_filters)])
        self.decoder = nn.ModuleList()
        for fine, coarse in pairwise(widths):
            pool = HybridPool(fine) if hybrid_pool else nn.MaxPool2d(2)
            self.encoder.append(nn.Sequential(pool, convolutions(fine, coarse)))
        for coarse, fine in pairwise(reversed(widths)):
            after = coarse if up_keep_channels else fine
            gate = SpectralAttention(fine, coarse) if attention else None
            self.decoder.append(UpBlock(up(coarse, after), gate, convolutions(after + fine, fine)))
        self.output = nn.Conv2d(base_filters, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        encoded: list[torch.Tensor] = []
        for level in self.encoder:
            x = level(x)
            encoded.append(x)
        for up_block in self.decoder:
            coarse = encoded.pop()
            x = up_block(x, encoded[-1], coarse)
        return self.output(x)
