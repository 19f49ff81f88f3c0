"""The U of the 2D U-Nets: which level meets which."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.networks.u_shape import UShape, joined


class Plus(nn.Module):
    """Adds a number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.number


class Noting(nn.Module):
    """A decoder block that notes the largest value of each of its inputs, and gives zeros of the skip's size."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[float, float]] = []

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        self.read.append((x.max().item(), skip.max().item()))
        return torch.zeros_like(skip)


def read_by_the_decoder(levels: int, bottleneck: nn.Module | None = None) -> list[tuple[float, float]]:
    """(from below, skip) of each block of a decoder of two, of zeros to which encoder block n adds 10 ** n."""
    decoder = [Noting(), Noting()]
    UShape([Plus(10**level) for level in range(levels)], decoder, nn.Identity(), bottleneck)(torch.zeros(1, 1, 4, 8))
    return [read for block in decoder for read in block.read]


def test_the_decoder_meets_the_encoders_levels_from_the_coarsest_up():
    assert read_by_the_decoder(3) == [(111, 11), (0, 1)]


def test_a_bottleneck_is_the_coarsest_level():
    assert read_by_the_decoder(2, bottleneck=Plus(500)) == [(511, 11), (0, 1)]


def test_each_level_has_half_the_size_of_the_one_above():
    sizes = []
    network = UShape([Plus(0) for _ in range(3)], [Noting(), Noting()], nn.Identity())
    for block in network.encoder:
        block.register_forward_hook(lambda _, inputs, made: sizes.append(tuple(made.shape[2:])))
    network(torch.zeros(1, 1, 4, 8))
    assert sizes == [(4, 8), (2, 4), (1, 2)]


def test_joining_repeats_the_decoders_pixels_and_puts_the_skip_after_them():
    x, skip = torch.tensor([[[[1.0, 2.0]]]]), torch.full((1, 1, 2, 4), 3.0)
    assert joined(x, skip).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]], [[3, 3, 3, 3], [3, 3, 3, 3]]]]
