"""What at least three of the networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    momentum: float = 0.1,
) -> nn.Sequential:
    """2D convolution whose padding keeps the size (at stride 1), then batch norm.

    `momentum` is what a new batch weighs in the running statistics.
    """
    taps = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    padding = (dilation * (taps[0] - 1) // 2, dilation * (taps[1] - 1) // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, taps, stride, padding, dilation, groups, bias),
        nn.BatchNorm2d(out_channels, momentum=momentum),
    )


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    momentum: float = 0.1,
) -> nn.Sequential:
    """`conv_norm`, then ReLU."""
    layers = conv_norm(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        dilation=dilation,
        groups=groups,
        bias=bias,
        momentum=momentum,
    )
    return layers.append(nn.ReLU(inplace=True))


def resize(x: torch.Tensor, size: list[int], align_corners: bool = False) -> torch.Tensor:
    """Bilinear interpolation of (B, C, H, W) to `size`, (H, W) in pixels; nothing where it has that size."""
    if list(x.shape[2:]) == list(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def require_multiple(x: torch.Tensor, divisor: int) -> None:
    """Raise ValueError unless every spatial size of (B, C, ...) is a multiple of `divisor`."""
    for length in x.shape[2:]:
        if length % divisor != 0:
            raise ValueError(f"size {x.shape[2:]} must be divisible by {divisor} along each axis; pad the image")


def glorot(module: nn.Module) -> None:
    """Keras' default initialisation, for `Module.apply`: Glorot uniform weights of convolutions, zero biases."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
