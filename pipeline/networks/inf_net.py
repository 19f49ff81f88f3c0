"""Inf-Net: a parallel partial decoder, edge attention and reverse attention on Res2Net-50.

Paper: Fan et al., "Inf-Net: automatic COVID-19 lung infection segmentation from CT images", IEEE TMI 39(8), 2626-2637,
2020 (arXiv:2004.14133). Authors' code (MIT) read for facts by the specification's authors, nothing copied. Parameters
for 3 channels and 1 class: 31,072,721; the published 33.122 M are these and the unused ImageNet classifier (2,049,000).
Verified: the count and those of the parts. Ours: 1 channel by default, where the paper repeats the slice, and several
classes, see `InfNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.blocks import conv_norm, conv_norm_relu, require_multiple, resize
from pipeline.networks.res2net import Res2Net50
from pipeline.networks.weights_loaded import KnowsItsWeights


class ReceptiveField(nn.Module):
    """Four branches of growing receptive field (1; 3, 5 and 7 with as large a dilation), joined and rectified."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm(in_channels, channels, 1, bias=False)])
        for taps in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    conv_norm(in_channels, channels, 1, bias=False),
                    conv_norm(channels, channels, (1, taps), bias=False),
                    conv_norm(channels, channels, (taps, 1), bias=False),
                    conv_norm(channels, channels, 3, dilation=taps, bias=False),
                )
            )
        self.join = conv_norm(4 * channels, channels, 3, bias=False)
        self.shortcut = conv_norm(in_channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return F.relu(joined + self.shortcut(x))


def double(x: torch.Tensor) -> torch.Tensor:
    """Twice the size, corners aligned."""
    return resize(x, [2 * x.shape[2], 2 * x.shape[3]], align_corners=True)


class PartialDecoder(nn.Module):
    """The global map from the features of 1/32 (a), 1/16 (b) and 1/8 (d) of the size, at 1/8 of it."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.a_to_b, self.a_to_d, self.b_to_d, self.a_beside_b = (
            conv_norm(channels, channels, 3, bias=False) for _ in range(4)
        )
        self.b_joined, self.b_beside_d = (conv_norm(2 * channels, 2 * channels, 3, bias=False) for _ in range(2))
        self.d_joined, self.last = (conv_norm(3 * channels, 3 * channels, 3, bias=False) for _ in range(2))
        self.output = nn.Conv2d(3 * channels, out_channels, kernel_size=1)

    def forward(self, a: torch.Tensor, b: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        b1 = self.a_to_b(double(a)) * b
        # Doubled twice: with aligned corners this is not the same as four times at once.
        d1 = self.a_to_d(double(double(a))) * self.b_to_d(double(b)) * d
        b2 = self.b_joined(torch.cat([b1, self.a_beside_b(double(a))], dim=1))
        d2 = self.d_joined(torch.cat([d1, self.b_beside_d(double(b2))], dim=1))
        return self.output(self.last(d2))


class ReverseAttention(nn.Module):
    """Refines a coarser map where it has found nothing yet.

    Args:
        in_channels: of the encoder's feature; edge_channels: of the edge feature.
        kernel_sizes: of the refining convolutions; the last of them makes the map.
    """

    def __init__(
        self, in_channels: int, edge_channels: int, channels: int, out_channels: int, kernel_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.reduce = conv_norm(in_channels, channels, 1, bias=False)
        self.refine = nn.Sequential()
        width = channels + edge_channels
        for kernel_size in kernel_sizes[:-1]:
            self.refine.append(conv_norm_relu(width, channels, kernel_size, bias=False))
            width = channels
        self.refine.append(conv_norm(width, out_channels, kernel_sizes[-1], bias=False))

    def forward(self, feature: torch.Tensor, edge: torch.Tensor, coarser_map: torch.Tensor) -> torch.Tensor:
        size = list(feature.shape[2:])
        coarser_map = resize(coarser_map, size)
        if self.out_channels == 1:
            attention = 1 - torch.sigmoid(coarser_map)
        else:
            attention = torch.sigmoid(coarser_map[:, :1])
        reduced = self.reduce(attention * feature)
        return self.refine(torch.cat([reduced, resize(edge, size)], dim=1)) + coarser_map


class InfNet(KnowsItsWeights):
    """Inf-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    In training a list of the prediction, the three coarser maps from fine to coarse, and, last, the edge logits
    (B, 1, H, W); in evaluation the prediction alone.

    The paper's network is binary (out_channels=1) and attends to 1 - sigmoid(map). Several classes are our
    generalisation: every map has a channel a class, and the attention is the sigmoid of channel 0, the background,
    which again is what has not been found yet.

    Args:
        width: multiplies every number of feature maps; 1 is the paper's, less is for tests.
        blocks: blocks of each stage of the encoder.

    Raises:
        ValueError: for a size that 32 does not divide, and for a single image of 32 x 32 in training.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        width: float = 1.0,
        blocks: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        channels, edge, deep = (round(width * number) for number in (32, 64, 256))
        self.encoder = Res2Net50(in_channels, width, blocks)
        c1, c2, c3, c4 = self.encoder.channels
        self.field2, self.field3, self.field4 = (ReceptiveField(c, channels) for c in (c2, c3, c4))
        self.decoder = PartialDecoder(channels, out_channels)
        self.edge = nn.Sequential(
            conv_norm(c1, edge, 1, bias=False),
            conv_norm(edge, edge, 3, bias=False),
            conv_norm(edge, edge, 3, bias=False),
        )
        self.edge_output = conv_norm(edge, 1, 3, bias=False)
        self.attention4 = ReverseAttention(c4, edge, deep, out_channels, (5, 5, 5, 1))
        self.attention3 = ReverseAttention(c3, edge, edge, out_channels, (3, 3, 3))
        self.attention2 = ReverseAttention(c2, edge, edge, out_channels, (3, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        require_multiple(x, 32)
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 32 * 32:
            raise ValueError(
                "InfNet needs a batch of at least 2 in training: a batch norm sees one value a channel of a single "
                "image of 32 x 32; use a larger batch size or larger images"
            )
        size = list(x.shape[2:])
        f1, f2, f3, f4 = self.encoder(x)
        edge = self.edge(f1)
        map5 = self.decoder(self.field4(f4), self.field3(f3), self.field2(f2))
        map4 = self.attention4(f4, edge, map5)
        map3 = self.attention3(f3, edge, map4)
        map2 = self.attention2(f2, edge, map3)
        prediction = resize(map2, size)
        if self.training:
            edge_logits = resize(self.edge_output(edge), size)
            return [prediction, resize(map3, size), resize(map4, size), resize(map5, size), edge_logits]
        return prediction
