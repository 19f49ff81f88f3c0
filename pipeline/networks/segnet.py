"""SegNet: the convolutions of VGG-16 and their mirror image, which undoes each pooling from its stored indices.

Paper: Badrinarayanan, Kendall, Cipolla, "SegNet: A deep convolutional encoder-decoder architecture for image
segmentation", IEEE TPAMI 39(12), 2481-2495, 2017 (arXiv:1511.00561). Public code: read for facts, nothing copied.
Parameters for 1 channel and 3 classes: 29,443,587; the Anam-Net papers, whose baseline it is, print 29.44 M. Verified:
the count, and each stage's. Begins with PyTorch's random weights, not with those of VGG-16.
Returns logits; the softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import max_unpool2d

from pipeline.networks.blocks import conv_norm_relu
from pipeline.networks.weights_loaded import KnowsItsWeights


def stage(*widths: int) -> nn.Sequential:
    """Convolutions with batch norm and ReLU from each width to the next."""
    return nn.Sequential(*(conv_norm_relu(before, after) for before, after in pairwise(widths)))


class SegNet(KnowsItsWeights):
    """SegNet, (B, in_channels, H, W) to logits (B, out_channels, H, W), of any size from 32 x 32 on.

    Args:
        features: feature maps from the finest to the coarsest stage; each stage ends in a pooling.
        convolutions: how many a stage has, in the encoder and in the decoder.

    Raises:
        ValueError: for a size that the poolings shrink to nothing.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (64, 128, 256, 512, 512),
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
    ) -> None:
        super().__init__()
        self.smallest = 2 ** len(features)
        widths = [in_channels, *features]
        self.encoder = nn.ModuleList(
            stage(fine, *[coarse] * count) for fine, coarse, count in zip(widths, features, convolutions, strict=False)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.decoder = nn.ModuleList(
            stage(*[coarse] * count, fine)
            for fine, coarse, count in zip(features[-2::-1], features[:0:-1], convolutions[:0:-1], strict=True)
        )
        # The last convolution of the finest stage is the output
        self.decoder.append(stage(*[features[0]] * convolutions[0]))
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if min(x.shape[2], x.shape[3]) < self.smallest:
            raise ValueError(f"size {x.shape[2:]} must be at least {self.smallest} along each axis; pad the image")
        indices: list[torch.Tensor] = []
        sizes: list[list[int]] = []
        for block in self.encoder:
            x = block(x)
            sizes.append(list(x.shape[2:]))
            x, position = self.pool(x)
            indices.append(position)
        for block in self.decoder:
            # Not nn.MaxUnpool2d, which torch 2.13 cannot script
            x = block(max_unpool2d(x, indices.pop(), kernel_size=[2, 2], output_size=sizes.pop()))
        return self.output(x)
