"""Spectral pooling: its four steps written out, what it keeps, and the precision that it computes in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pipeline.networks.spectral_pooling import spectral_pool


class Half(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return spectral_pool(x, x.shape[2] // 2, x.shape[3] // 2)


def written_out(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Transform, zero frequency to the middle, crop around it, and all the way back."""
    spectrum = torch.fft.fftshift(torch.fft.fft2(x, norm="forward"), dim=(-2, -1))
    top, left = x.shape[2] // 2 - height // 2, x.shape[3] // 2 - width // 2
    cropped = torch.fft.ifftshift(spectrum[..., top : top + height, left : left + width], dim=(-2, -1))
    return torch.fft.ifft2(cropped, norm="forward").real


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((8, 12), (4, 6), id="even to even"),
        pytest.param((10, 6), (5, 3), id="even to odd"),
        pytest.param((9, 7), (4, 5), id="odd to even and odd"),
        pytest.param((8, 8), (8, 4), id="one axis alone"),
        pytest.param((4, 6), (2, 2), id="to the lowest two"),
        pytest.param((96, 96), (48, 48), id="a slice of the demo"),
    ],
)
def test_it_equals_its_four_steps_written_out(before, after):
    x = torch.randn(2, 3, *before, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectral_pool(x, *after), written_out(x, *after), rtol=0, atol=1e-6)


def test_it_is_a_product_with_a_fixed_matrix_along_each_axis():
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    turns = torch.arange(4)[:, None, None] / 4 - torch.arange(8)[:, None] / 8
    matrix = torch.exp(2j * math.pi * turns * torch.arange(-2, 2)).sum(2) / 8
    assert torch.allclose(spectral_pool(x, 4, 4), (matrix @ x.cfloat() @ matrix.T).real, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (1, 1)])
def test_a_constant_stays_constant(size):
    assert torch.allclose(spectral_pool(torch.full((1, 2, 8, 12), 7.0), *size), torch.tensor(7.0))


def test_pooling_to_one_pixel_is_the_mean():
    x = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(spectral_pool(x, 1, 1), x.mean((2, 3), keepdim=True), atol=1e-6)


def test_pooling_to_its_own_size_changes_nothing():
    x = torch.randn(1, 1, 4, 6)
    assert spectral_pool(x, 4, 6) is x


def test_a_slow_wave_keeps_its_height_and_a_fast_one_vanishes():
    place = torch.arange(16) * (2 * math.pi / 16)
    slow, fast = torch.cos(2 * place), torch.cos(5 * place)
    pooled = spectral_pool((slow + fast).expand(1, 1, 16, 16), 8, 8)
    assert torch.allclose(pooled, slow[::2].expand(1, 1, 8, 8), atol=1e-5)


@pytest.mark.parametrize("made", [lambda: Half(), lambda: torch.jit.script(Half())], ids=["eager", "scripted"])
def test_mixed_precision_leaves_it_in_float32(made):
    x, half = torch.rand(1, 2, 8, 8), made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = half(x)
    assert torch.equal(pooled, spectral_pool(x, 4, 4))


def test_a_map_in_bfloat16_comes_back_so_and_is_rounded_only_then():
    x = torch.rand(1, 2, 8, 8).bfloat16()
    assert torch.equal(spectral_pool(x, 4, 4), spectral_pool(x.float(), 4, 4).bfloat16())


def test_exported_under_mixed_precision_it_computes_in_float32():
    x = torch.rand(1, 2, 8, 12)
    exported = torch.export.export(Half(), (x,)).module()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(exported(x), spectral_pool(x, 4, 6))


def test_its_gradient_is_that_of_the_steps_written_out():
    x = torch.randn(1, 1, 8, 6, requires_grad=True)
    mine = torch.autograd.grad(spectral_pool(x, 4, 3).pow(3).sum(), x)[0]
    expected = torch.autograd.grad(written_out(x, 4, 3).pow(3).sum(), x)[0]
    assert torch.allclose(mine, expected, atol=1e-6)
