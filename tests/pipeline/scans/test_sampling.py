"""Interpolation by torch is scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from pipeline.scans.resampling import spline_coefficients
from pipeline.scans.sampling import interpolated, nearest

SHAPES = [(30, 26, 22), (40, 33), (3, 1, 20)]


def scattered(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of a volume or slice, and places in it, some of them beyond its edges."""
    random = np.random.default_rng(0)
    size = (20, 10, 20)[: len(shape)]
    places = [random.uniform(-4, length + 3, size) for length in shape]
    return random.normal(size=shape).astype(np.float32), np.stack(places).astype(np.float32)


@pytest.mark.parametrize("border", ["constant", "nearest"])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_between_voxels_are_scipys(shape, order, border):
    voxels, places = scattered(shape)
    filtered = spline_coefficients(voxels.reshape((1, *shape)[-3:])).reshape(shape) if order == 3 else voxels
    expected = map_coordinates(filtered, places, order=order, mode=border, cval=7.0, prefilter=False)
    found = interpolated(torch.from_numpy(voxels)[None], torch.from_numpy(places), order, border, 7.0)[0]
    assert found.numpy() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("border", ["constant", "nearest"])
def test_codes_are_those_of_the_nearest_voxel(border):
    voxels, places = scattered(SHAPES[0])
    codes = (voxels > 0).astype(np.uint8) + 1
    expected = map_coordinates(codes, places, order=0, mode=border, cval=0)
    found = nearest(torch.from_numpy(codes)[None], torch.from_numpy(places), border)
    assert (found.dtype, np.array_equal(found[0], expected)) == (torch.uint8, True)


def test_a_cubic_spline_goes_through_its_voxels():
    voxels = torch.from_numpy(scattered(SHAPES[1])[0])[None]
    axes = [torch.arange(length, dtype=torch.float32) for length in voxels.shape[1:]]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    assert interpolated(voxels, places, 3).numpy() == pytest.approx(voxels.numpy(), abs=1e-4)


def test_every_channel_is_interpolated_alone():
    voxels, places = (torch.from_numpy(array) for array in scattered(SHAPES[0]))
    both = interpolated(torch.stack([voxels, 2 * voxels]), places, 3)
    assert torch.equal(both[1], 2 * both[0])
