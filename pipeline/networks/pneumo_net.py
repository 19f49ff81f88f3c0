"""The network of this project's own recipe: a small 3D U-Net for thick slices.

No paper's; docs/recipe.md says what was measured. Voxels of a chest CT on its grid are two to three times as high as
they are wide, so the finest level convolves and pools within the slice alone (as nnU-Net's plans do, Isensee et al.,
Nature Methods 2021), which makes voxels of the next level about cubes. Convolution, batch norm, ReLU: batch norms fold
into the convolutions in inference, and unlike instance norms do not depend on how much air is in view. Returns logits.
Parameters for 1 channel and 4 classes, with two auxiliary heads: 2,735,532.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.weights_loaded import KnowsItsWeights

FLAT, CUBE = (3, 3, 1), (3, 3, 3)


def unit(in_channels: int, out_channels: int, kernel: tuple[int, int, int], momentum: float) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False),
        nn.BatchNorm3d(out_channels, momentum=momentum),
        nn.ReLU(inplace=True),
    )


class Up(nn.Module):
    """Transposed convolution to the finer level's size, joined with the encoder's features, then two units.

    `head`, None for none, gives logits of this level in training.
    """

    def __init__(
        self,
        coarse: int,
        fine: int,
        stride: tuple[int, int, int],
        kernel: tuple[int, int, int],
        momentum: float,
        head: nn.Module | None,
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(coarse, fine, kernel_size=stride, stride=stride)
        self.units = nn.Sequential(unit(2 * fine, fine, kernel, momentum), unit(fine, fine, kernel, momentum))
        self.head = head

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        # Taken out of the list, the encoder's features go as soon as they are joined
        return self.units(torch.cat([self.up(x), skips.pop()], dim=1))


class PneumoNet(KnowsItsWeights):
    """3D U-Net, (B, in_channels, H, W, D) to logits (B, out_channels, H, W, D).

    In training with `heads` it gives a list: the logits, and those of the coarser levels, each of its own level's size.

    Args:
        features: feature maps from the finest to the coarsest level.
        flat_levels: so many of the finest levels convolve and pool within the slice alone.
        heads: auxiliary ones in training, at so many levels below the finest (deep supervision).
        batch_norm_momentum: weight of a new batch in the running statistics.

    Raises:
        ValueError: for a size that the poolings do not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        features: Sequence[int] = (16, 32, 64, 96, 128),
        flat_levels: int = 1,
        heads: int = 0,
        batch_norm_momentum: float = 0.05,
    ) -> None:
        super().__init__()
        kernels = [FLAT if level < flat_levels else CUBE for level in range(len(features))]
        strides = [(2, 2, 1) if level < flat_levels else (2, 2, 2) for level in range(len(features) - 1)]
        self.divisor = 2 ** len(strides)
        self.divisor_of_slices = 2 ** max(0, len(strides) - flat_levels)
        # Nothing is pooled before the finest level
        pools: list[nn.Module] = [nn.Identity(), *(nn.MaxPool3d(stride) for stride in strides)]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                pool, unit(fine, coarse, kernel, batch_norm_momentum), unit(coarse, coarse, kernel, batch_norm_momentum)
            )
            for pool, fine, coarse, kernel in zip(pools, [in_channels, *features[:-1]], features, kernels, strict=True)
        )
        self.decoder = nn.ModuleList(
            Up(
                features[level + 1],
                features[level],
                strides[level],
                kernels[level],
                batch_norm_momentum,
                nn.Conv3d(features[level], out_channels, kernel_size=1) if 0 < level <= heads else None,
            )
            for level in reversed(range(len(features) - 1))
        )
        self.output = nn.Conv3d(features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        if x.shape[2] % self.divisor or x.shape[3] % self.divisor or x.shape[4] % self.divisor_of_slices:
            raise ValueError(
                f"size {x.shape[2:]} must be divisible by {self.divisor} along each axis; pad the image (the last axis "
                f"by {self.divisor_of_slices})"
            )
        skips: list[torch.Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        # The coarsest is what the decoder begins with
        skips.pop()
        outputs: list[torch.Tensor] = []
        for up in self.decoder:
            x = up(x, skips)
            if self.training and up.head is not None:
                outputs.append(up.head(x))  # type: ignore[operator]
        logits = self.output(x)
        if self.training and len(outputs) > 0:
            return [logits] + outputs[::-1]  # noqa: RUF005, torch.jit knows no [logits, *outputs]
        return logits
