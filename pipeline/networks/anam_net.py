"""Anam-Net: a small U-Net with bottleneck ("anamorphic depth") blocks between its levels.

Paper: Paluru et al., "Anam-Net: Anamorphic depth embedding-based lightweight CNN for segmentation of anomalies in
COVID-19 chest CT images", IEEE TNNLS 32(3), 932-946, 2021; repeated by Narwade et al. Authors' code (no licence): read
for facts, nothing copied. Parameters for 1 channel and 3 classes: 4,631,555 with squeeze 4, as in the authors' code,
and 4,474,147 with squeeze 8. The papers print 4.47 M, which is squeeze 8, but name no squeeze, and their 17.21 MB fits
neither. The default is the code's 4. Verified: both counts, and each block's.
Returns logits; the paper's softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm_relu, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights


class AnamorphicDepthBlock(nn.Module):
    """Squeezes the channels, convolves, stretches them again, and adds the input; then ReLU."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        if channels % squeeze:
            raise ValueError(f"squeeze={squeeze} must divide a level's {channels} channels; change features or squeeze")
        narrow = channels // squeeze
        self.layers = nn.Sequential(
            conv_norm_relu(channels, narrow, kernel_size=1, bias=False),
            conv_norm_relu(narrow, narrow, bias=False),
            conv_norm_relu(narrow, channels, kernel_size=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.layers(x))


class UpBlock(nn.Module):
    """Transposed convolution to twice the size, the depth block, joined with the encoder's features, a convolution."""

    def __init__(self, in_channels: int, out_channels: int, depth_block: nn.Module) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.depth_block = depth_block
        self.join = conv_norm_relu(2 * out_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([self.depth_block(self.up(x)), skip], dim=1))


class AnamNet(KnowsItsWeights):
    """Anam-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        features: feature maps from the finest to the coarsest level; each level ends in a pooling.
        squeeze: by how much a block narrows its channels: 4 in the authors' code, 8 to have the published 4.47 M.

    Raises:
        ValueError: for a size that the poolings do not divide, or features that `squeeze` does not.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (64, 128, 256, 256),
        squeeze: int = 4,
    ) -> None:
        super().__init__()
        self.divisor = 2 ** len(features)
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            conv_norm_relu(fine, coarse) for fine, coarse in zip([in_channels, *features], features, strict=False)
        )
        # A depth block at every size but the coarsest and the finest
        down = [*(AnamorphicDepthBlock(width, squeeze) for width in features[:-1]), nn.Identity()]
        up = [*(AnamorphicDepthBlock(width, squeeze) for width in features[:0:-1]), nn.Identity()]
        self.depth_blocks = nn.ModuleList(down)
        widths = features[::-1]
        self.decoder = nn.ModuleList(
            UpBlock(coarse, fine, block)
            for coarse, fine, block in zip([features[-1], *widths], widths, up, strict=False)
        )
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        skips: list[torch.Tensor] = []
        for convolution, depth_block in zip(self.encoder, self.depth_blocks, strict=True):
            skips.append(convolution(x))
            x = depth_block(self.pool(skips[-1]))
        for up_block in self.decoder:
            x = up_block(x, skips.pop())
        return self.output(x)
