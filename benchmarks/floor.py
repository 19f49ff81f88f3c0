"""The least that a network can take on this machine: its operations over the measured rate of its convolutions."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from pipeline.core.machine import computes_bfloat16, keep_allocations

REPEATS = 5
GIGA = 1e9


def convolution_rate(shape: list[int], in_channels: int, out_channels: int) -> Callable[[], dict[str, float]]:
    """What measures 10^9 operations a second of a convolution with kernels of 3, in the precision that networks use.

    `shape` is (B, H, W) or (B, H, W, D).
    """
    keep_allocations()
    precision = torch.bfloat16 if computes_bfloat16() else torch.float32
    dims = len(shape) - 1
    layout = torch.channels_last_3d if dims == 3 else torch.channels_last
    layer = (nn.Conv2d, nn.Conv3d)[dims - 2](in_channels, out_channels, 3, padding=1)
    layer = layer.to(dtype=precision, memory_format=layout)  # type: ignore[call-overload]
    inputs = torch.randn(shape[0], in_channels, *shape[1:]).to(dtype=precision, memory_format=layout)
    operations = 2 * 3**dims * in_channels * out_channels * torch.Size(shape).numel()

    def measure() -> dict[str, float]:
        with torch.inference_mode():
            layer(inputs)
            seconds = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                layer(inputs)
                seconds.append(time.perf_counter() - began)
        return {"gflops": operations / median(seconds) / GIGA}

    return measure
