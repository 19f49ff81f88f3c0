"""DeepLabV3+ at output stride 16, on Xception or ResNet-101.

Paper: Chen et al., "Encoder-decoder with atrous separable convolution for semantic image segmentation", ECCV 2018
(arXiv:1802.02611). Public code read for facts by the specification's authors, nothing copied. Parameters for 1 channel
and 3 classes: 54,700,115 on Xception, which is the 54.70 M of the comparison in Anam-Net's paper (Paluru et al. 2021),
which names no backbone; 59,333,411 on ResNet-101. Verified: both counts and those of the parts.
As in the public code, and unlike the paper's best variant, the convolutions after the encoder are not separable.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import conv_norm_relu, resize
from pipeline.networks.resnet import ResNet101
from pipeline.networks.weights_loaded import KnowsItsWeights
from pipeline.networks.xception import Xception

BACKBONES: dict[str, type[Xception] | type[ResNet101]] = {"xception": Xception, "resnet101": ResNet101}


class AtrousPyramid(nn.Module):
    """Four convolutions with dilations 1 (1x1), 6, 12 and 18 and the image's mean side by side, joined by a fifth."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([conv_norm_relu(in_channels, out_channels, 1, bias=False)])
        for dilation in (6, 12, 18):
            self.convolutions.append(conv_norm_relu(in_channels, out_channels, 3, dilation=dilation, bias=False))
        self.pooled = conv_norm_relu(in_channels, out_channels, 1, bias=False)
        self.project = nn.Sequential(conv_norm_relu(5 * out_channels, out_channels, 1, bias=False), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = [convolution(x) for convolution in self.convolutions]
        mean = self.pooled(F.adaptive_avg_pool2d(x, 1))
        scales.append(resize(mean, list(x.shape[2:]), align_corners=True))
        return self.project(torch.cat(scales, dim=1))


class DeepLabV3Plus(KnowsItsWeights):
    """DeepLabV3+, (B, in_channels, H, W) of any size to logits (B, out_channels, H, W).

    Args:
        backbone: "xception" or "resnet101".
        width: multiplies every number of feature maps; 1 is the paper's, less is for tests.
        middle_blocks: blocks of Xception's middle flow or of ResNet's third stage; None for the paper's 16 or 23.

    Raises:
        ValueError: for another backbone, and for a batch of 1 in training.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        backbone: str = "xception",
        width: float = 1.0,
        middle_blocks: int | None = None,
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone {backbone!r} is unknown; choose one of {', '.join(BACKBONES)}")
        make = BACKBONES[backbone]
        self.encoder = make(in_channels, width) if middle_blocks is None else make(in_channels, width, middle_blocks)
        channels, low_channels = round(256 * width), round(48 * width)
        self.pyramid = AtrousPyramid(self.encoder.deep_channels, channels)
        self.low_level = conv_norm_relu(self.encoder.low_channels, low_channels, 1, bias=False)
        self.fuse = nn.Sequential(
            conv_norm_relu(channels + low_channels, channels, 3, bias=False),
            nn.Dropout(0.5),
            conv_norm_relu(channels, channels, 3, bias=False),
            nn.Dropout(0.1),
        )
        self.output = nn.Conv2d(channels, out_channels, kernel_size=1)
        for part in (self.pyramid, self.low_level, self.fuse, self.output):
            part.apply(kaiming)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.shape[0] < 2:
            raise ValueError(
                "DeepLabV3Plus needs a batch of at least 2 in training: its batch norm after the global pooling sees "
                "one value a channel of a single image; use a larger batch size and drop the last incomplete batch"
            )
        low_level, deep = self.encoder(x)
        deep = resize(self.pyramid(deep), list(low_level.shape[2:]), align_corners=True)
        fused = self.fuse(torch.cat([deep, self.low_level(low_level)], dim=1))
        return resize(self.output(fused), list(x.shape[2:]), align_corners=True)


def kaiming(module: nn.Module) -> None:
    """Kaiming's normal initialisation of a convolution's weights."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
