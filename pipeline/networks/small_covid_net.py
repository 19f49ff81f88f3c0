"""SmallCovid-Net: an encoder and decoder of few layers with 24 feature maps everywhere.

Paper: Salazar Urbina et al., "SmallCovid-Net: COVID-19 segmentation using CT scan lung images". It gives blocks of 24
filters, ReLU, slices of 256 x 256 pixels, the two phases "convolution and deconvolution" and an improvement of SegNet
and U-Net; no table of layers, no parameter count, no code. Built here is our reading: four poolings, batch norm,
transposed convolutions, and features joined as in a U-Net, 119,713 parameters for 1 channel and 1 class. Other readings
are arguments. Verified: the counts of all readings.
Returns logits; the softmax belongs to the loss, the paper's threshold of 0.8 to inference.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import max_unpool2d

from pipeline.networks.blocks import conv_norm_relu, require_multiple
from pipeline.networks.weights_loaded import KnowsItsWeights

SKIPS = ("concat", "none", "unpool")


def two_convolutions(in_channels: int, filters: int, batch_norm: bool) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU, and batch norm before it if wanted."""
    if batch_norm:
        return nn.Sequential(conv_norm_relu(in_channels, filters), conv_norm_relu(filters, filters))
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(filters, filters, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
    )


class UpBlock(nn.Module):
    """Twice the size, by a transposed convolution or the pooling's indices, then two convolutions."""

    def __init__(self, filters: int, skip: str, batch_norm: bool) -> None:
        super().__init__()
        self.joins = skip == "concat"
        self.up: nn.Module | None = None
        if skip != "unpool":
            self.up = nn.ConvTranspose2d(filters, filters, kernel_size=2, stride=2)
        self.convolutions = two_convolutions(2 * filters if self.joins else filters, filters, batch_norm)

    def forward(self, x: torch.Tensor, encoded: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        if self.up is None:
            # Not nn.MaxUnpool2d, which torch 2.13 cannot script
            x = max_unpool2d(x, indices, kernel_size=[2, 2], output_size=list(encoded.shape[2:]))
        else:
            x = self.up(x)
        if self.joins:
            x = torch.cat([x, encoded], dim=1)
        return self.convolutions(x)


class SmallCovidNet(KnowsItsWeights):
    """SmallCovid-Net, (B, in_channels, H, W) to logits (B, out_channels, H, W).

    Args:
        filters: feature maps of every convolution.
        levels: poolings.
        skip: what the decoder gets of the encoder: "concat" its features, "none" nothing, "unpool" the places of the
            pooled maxima, as SegNet, without convolutions between the last pooling and the first unpooling.
        batch_norm: between each convolution and its ReLU.

    Raises:
        ValueError: for another `skip`, and for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        filters: int = 24,
        levels: int = 4,
        skip: str = "concat",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        if skip not in SKIPS:
            raise ValueError(f"skip is {skip!r}, expected one of: {', '.join(SKIPS)}")
        self.divisor = 2**levels
        self.encoder = nn.ModuleList(
            two_convolutions(in_channels if level == 0 else filters, filters, batch_norm) for level in range(levels)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.bottleneck: nn.Module = nn.Identity()
        if skip != "unpool":
            self.bottleneck = two_convolutions(filters, filters, batch_norm)
        self.decoder = nn.ModuleList(UpBlock(filters, skip, batch_norm) for _ in range(levels))
        self.output = nn.Conv2d(filters, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_multiple(x, self.divisor)
        encoded: list[torch.Tensor] = []
        indices: list[torch.Tensor] = []
        for block in self.encoder:
            x = block(x)
            encoded.append(x)
            x, places = self.pool(x)
            indices.append(places)
        x = self.bottleneck(x)
        for up_block in self.decoder:
            x = up_block(x, encoded.pop(), indices.pop())
        return self.output(x)
