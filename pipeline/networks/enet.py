"""ENet: a small and fast encoder-decoder of bottlenecks, unpooled with the encoder's indices.

Paper: Paszke, Chaurasia, Kim, Culurciello, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
Segmentation", 2016 (arXiv:1606.02147). Public PyTorch port and the copy of the Anam-Net authors: read for facts,
nothing copied. Parameters for 3 classes: 349,140 with 1 channel, 349,356 with 3; the Anam-Net paper prints 343.7 K, a
figure we could not reproduce, and 1.33 MB, which is 349,140 floats. Verified: both counts and those of the blocks.
An extension in an upsampling bottleneck ends without ReLU, as in the port; the Anam-Net authors' copy has one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights

Activation = Callable[[], nn.Module]


class Initial(nn.Module):
    """Half the size: a strided convolution beside a max-pooling of the image itself."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.norm = nn.Sequential(nn.BatchNorm2d(out_channels), nn.PReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1))


def square(width: int, activation: Activation, dilation: int = 1) -> nn.Sequential:
    """Middle of a bottleneck: one 3x3 convolution."""
    return conv_norm(width, width, dilation=dilation, bias=False).append(activation())


def asymmetric(width: int, activation: Activation) -> nn.Sequential:
    """Middle of a bottleneck: a 5x5 convolution as a column, then a row."""
    column = conv_norm(width, width, (5, 1), bias=False).append(activation())
    row = conv_norm(width, width, (1, 5), bias=False).append(activation())
    return nn.Sequential(column, row)


class Regular(nn.Module):
    """Bottleneck that keeps size and channels: 1x1 convolution to a quarter of the channels, `middle`, and back."""

    def __init__(self, channels: int, middle: nn.Module, dropout: float, activation: Activation) -> None:
        super().__init__()
        width = channels // 4
        self.extension = nn.Sequential(
            conv_norm(channels, width, 1, bias=False).append(activation()),
            middle,
            conv_norm(width, channels, 1, bias=False).append(activation()),
            nn.Dropout2d(dropout),
        )
        self.activation = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.extension(x) + x)


class Down(nn.Module):
    """Bottleneck to half the size; also returns where each maximum came from."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        width = in_channels // 4
        self.new_channels = out_channels - in_channels
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.extension = nn.Sequential(
            conv_norm(in_channels, width, 2, stride=2, bias=False).append(nn.PReLU()),
            square(width, nn.PReLU),
            conv_norm(width, out_channels, 1, bias=False).append(nn.PReLU()),
            nn.Dropout2d(dropout),
        )
        self.activation = nn.PReLU()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        main, indices = self.pool(x)
        main = nn.functional.pad(main, (0, 0, 0, 0, 0, self.new_channels))
        return self.activation(self.extension(x) + main), indices


class Up(nn.Module):
    """Bottleneck to twice the size; its main path puts each value back where the maximum came from."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        width = in_channels // 4
        self.main = conv_norm(in_channels, out_channels, 1, bias=False)
        self.extension = nn.Sequential(
            conv_norm(in_channels, width, 1, bias=False).append(nn.ReLU()),
            nn.ConvTranspose2d(width, width, kernel_size=2, stride=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv_norm(width, out_channels, 1, bias=False),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        # The function, for torch.jit.script fails on nn.MaxUnpool2d
        main = nn.functional.max_unpool2d(self.main(x), indices, [2, 2], [2, 2])
        return torch.relu(self.extension(x) + main)


def context(channels: int, dropout: float) -> nn.Sequential:
    """The eight bottlenecks of stages 2 and 3, whose view of the image widens."""
    width = channels // 4
    middles = (
        square(width, nn.PReLU),
        square(width, nn.PReLU, dilation=2),
        asymmetric(width, nn.PReLU),
        square(width, nn.PReLU, dilation=4),
        square(width, nn.PReLU),
        square(width, nn.PReLU, dilation=8),
        asymmetric(width, nn.PReLU),
        square(width, nn.PReLU, dilation=16),
    )
    return nn.Sequential(*(Regular(channels, middle, dropout, nn.PReLU) for middle in middles))


def plain(channels: int, count: int, dropout: float, activation: Activation) -> nn.Sequential:
    """`count` bottlenecks with a 3x3 convolution."""
    return nn.Sequential(
        *(Regular(channels, square(channels // 4, activation), dropout, activation) for _ in range(count))
    )


class ENet(KnowsItsWeights):
    """ENet, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: channels at 1/2, 1/4 and 1/8 of the size, rising, multiples of 4, the first more than `in_channels`.
        early_dropout: probability of dropping a channel in the encoder's stage 1.
        dropout: the same, everywhere else.

    Raises:
        ValueError: for a size that is no multiple of 8.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (16, 64, 128),
        early_dropout: float = 0.01,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        half, quarter, eighth = features
        self.initial = Initial(in_channels, half)
        self.down1 = Down(half, quarter, early_dropout)
        self.stage1 = plain(quarter, 4, early_dropout, nn.PReLU)
        self.down2 = Down(quarter, eighth, dropout)
        self.stage2 = context(eighth, dropout)
        self.stage3 = context(eighth, dropout)
        self.up4 = Up(eighth, quarter, dropout)
        self.stage4 = plain(quarter, 2, dropout, nn.ReLU)
        self.up5 = Up(quarter, half, dropout)
        self.stage5 = plain(half, 1, dropout, nn.ReLU)
        self.head = nn.ConvTranspose2d(half, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, 8)
        x, half_indices = self.down1(self.initial(x))
        x, quarter_indices = self.down2(self.stage1(x))
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, quarter_indices))
        x = self.stage5(self.up5(x, half_indices))
        return self.head(x)
