"""The layout of weights in memory that convolutions are fastest in, where torch computes them right in it."""

from __future__ import annotations

import torch

from pipeline.core.device import lays_channels_last

# float32 numbers in the widest register, AVX-512's
REGISTER_CHANNELS = 16


def channels_last(network: torch.nn.Module, spatial_dims: int) -> torch.nn.Module:
    """The network with its weights in the memory layout that convolutions are fastest in; values do not change.

    Networks with layers that torch 2.13 gets wrong in this layout on a CPU stay as they are, all of them, since the
    layout of its input is a layer's too: see `is_dilated_depthwise` and `is_strided_pointwise`. Whatever the
    processor, so that results do not depend on it.
    """
    if any(is_dilated_depthwise(module) or is_strided_pointwise(module) for module in network.modules()):
        return network
    layout = torch.channels_last_3d if spatial_dims == 3 else torch.channels_last
    return network.to(memory_format=layout)  # type: ignore[call-overload]


def laid_out(network: torch.nn.Module, spatial_dims: int, device: torch.device) -> torch.nn.Module:
    """The network as `channels_last` has it, unless it is for a device that gets that layout wrong."""
    return channels_last(network, spatial_dims) if lays_channels_last(device) else network


def is_dilated_depthwise(module: torch.nn.Module) -> bool:
    """Whether torch writes beyond the gradient of its weights in bfloat16 (values of 1e33, crashes).

    In the other layout these are as fast.
    """
    if not isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
        return False
    return module.groups > 1 and module.groups == module.in_channels and max(module.dilation) > 1


def is_strided_pointwise(module: torch.nn.Module) -> bool:
    """Whether its training may damage memory (crashes): oneDNN 3.12 on a processor with AVX2 alone, measured.

    It is the gradient of the weights of 2D convolutions without groups, from fewer than 8 channels, in float32, where
    the stride divides both sides: 202 of 9,591 tried, all of them such; none from 8 channels or more, in 3D or with
    groups, which are kept out all the same. Taken for the cause: oneDNN copies the inputs of a 1x1 convolution with a
    stride next to one another, in steps of as many channels as its registers hold, 8 with AVX2 and 16 with AVX-512,
    into a place for those that there are (uxlfoundation/oneDNN#6035).
    """
    if not isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
        return False
    few = module.in_channels // module.groups < REGISTER_CHANNELS
    return few and max(module.kernel_size) == 1 and max(module.stride) > 1
