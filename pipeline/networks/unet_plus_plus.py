"""UNet++, the nested U-Net: dense skip pathways between the encoder and the decoder.

Paper: Zhou, Rahman Siddiquee, Tajbakhsh, Liang, "UNet++: A nested U-Net architecture for medical image segmentation",
DLMIA 2018 (arXiv:1807.10165). Public code of this form (bilinear up-sampling): read for facts, nothing copied.
Parameters for 1 channel and 3 classes: 9,162,819, with deep supervision 9,163,116; the Anam-Net papers, whose baseline
it is, print 9.16 M. Verified: both counts, and each node's.
Why not MONAI's BasicUNetPlusPlus: it has 9,119,020, always returns a list, and leaves three of its four heads without a
gradient when they are not supervised. Returns logits; the sigmoid or softmax belongs to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.networks.blocks import conv_norm_relu, require_multiple, resize
from pipeline.networks.weights_loaded import KnowsItsWeights


def node(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU."""
    return nn.Sequential(conv_norm_relu(in_channels, out_channels), conv_norm_relu(out_channels, out_channels))


class Column(nn.Module):
    """Nodes X(0, j), X(1, j), ... of column j > 0; the column before has one node more."""

    def __init__(self, column: int, features: Sequence[int]) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            node(column * width + deeper_width, width)
            for width, deeper_width in list(pairwise(features))[: len(features) - column]
        )

    def forward(self, rows: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        """The column's nodes, the finest first, from the earlier ones of each level."""
        column: list[torch.Tensor] = []
        for level, block in enumerate(self.nodes):
            row = rows[level]
            deeper = resize(rows[level + 1][-1], list(row[0].shape[2:]), align_corners=True)
            column.append(block(torch.cat(row + [deeper], dim=1)))  # noqa: RUF005, torch.jit knows no [*row, deeper]
        return column


class UNetPlusPlus(KnowsItsWeights):
    """UNet++, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Node X(i, j) of level i and column j sees all earlier nodes of its level and the node one level deeper,
    X(i+1, j-1). Column 0 is the encoder.

    Args:
        features: feature maps from the finest to the coarsest level; each level halves the size.
        deep_supervision: in training, return a list with the logits of X(0, 4), X(0, 3), X(0, 2), X(0, 1), for the
            mean of their losses. Evaluation returns those of X(0, 4) alone.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        levels = len(features)
        self.divisor = 2 ** (levels - 1)
        self.deep_supervision = deep_supervision
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            node(fine, coarse) for fine, coarse in zip([in_channels, *features], features, strict=False)
        )
        self.columns = nn.ModuleList(Column(column, features) for column in range(1, levels))
        self.output = nn.Conv2d(features[0], out_channels, kernel_size=1)
        self.other_outputs = nn.ModuleList(
            nn.Conv2d(features[0], out_channels, kernel_size=1) for _ in range(levels - 2 if deep_supervision else 0)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        require_multiple(x, self.divisor)
        finest = self.finest_nodes(x)
        logits = self.output(finest.pop())
        if not (self.training and self.deep_supervision):
            return logits
        supervised = [logits]
        for output in self.other_outputs:
            supervised.append(output(finest.pop()))
        return supervised

    def finest_nodes(self, x: torch.Tensor) -> list[torch.Tensor]:
        """X(0, 0), X(0, 1), ...: the nodes that have the input's size."""
        rows: list[list[torch.Tensor]] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.pool(x))
            rows.append([x])
        for column in self.columns:
            for row, x in zip(rows, column(rows), strict=False):
                row.append(x)
        return rows[0]
