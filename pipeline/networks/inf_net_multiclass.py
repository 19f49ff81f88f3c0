"""The second stage of Inf-Net: a bilinear U-Net that tells ground-glass opacity from consolidation.

Papers: Fan et al., "Inf-Net: automatic COVID-19 lung infection segmentation from CT images", IEEE TMI 39(8), 2626-2637,
2020 (arXiv:2004.14133); the network is the U-Net of Ronneberger et al. 2015 (arXiv:1505.04597) with padding, batch
norm, bilinear upsampling and a bottom no wider than the level above it. Authors' code read for facts by the
specification's authors, nothing copied. Parameters for 3 classes: 17,269,251 for the paper's 6 channels (the slice and
the infection map, three equal channels each), 17,266,947 for our 2 (one each). Verified: both counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm_relu, require_multiple, resize
from pipeline.networks.weights_loaded import KnowsItsWeights


def block(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch norm and ReLU."""
    return nn.Sequential(conv_norm_relu(in_channels, channels), conv_norm_relu(channels, out_channels))


class InfNetMultiClass(KnowsItsWeights):
    """Bilinear U-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        in_channels: the slice, then the map of the infection that the first stage found.
        out_channels: in the paper background, ground-glass opacity and consolidation.
        features: feature maps from the finest level down; the bottom has as many as the last.

    Raises:
        ValueError: for a size that the poolings do not divide, and for a batch norm with one value a channel.
    """

    def __init__(
        self, in_channels: int = 2, out_channels: int = 3, features: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.divisor = 2 ** len(features)
        widths = [*features, features[-1]]
        self.encoder = nn.ModuleList(
            block(above, width, width) for above, width in zip([in_channels, *features], widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            block(2 * width, width, above)
            for width, above in zip(features[::-1], [*features[-2::-1], features[0]], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == self.divisor * self.divisor:
            raise ValueError(
                "InfNetMultiClass needs a batch of at least 2 in training: a batch norm sees one value a channel of a "
                f"single image of {self.divisor} x {self.divisor}; use a larger batch size or larger images"
            )
        skips: list[torch.Tensor] = []
        for level, down in enumerate(self.encoder):
            x = down(x if level == 0 else self.pool(x))
            skips.append(x)
        for level, up in enumerate(self.decoder):
            skip = skips[len(skips) - 2 - level]
            x = up(torch.cat([skip, resize(x, list(skip.shape[2:]), align_corners=True)], dim=1))
        return self.output(x)
