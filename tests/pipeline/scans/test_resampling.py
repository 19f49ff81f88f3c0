"""Resampling axis by axis gives what SimpleITK's general filter gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.scans.front import Front, as_array, resample
from pipeline.scans.geometry import Geometry
from pipeline.scans.resampling import cubic, majority, positions

DIRECTIONS = {
    "LPS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "RAI": (-1, 0, 0, 0, -1, 0, 0, 0, -1),
    "sagittal": (0, 0, 1, 1, 0, 0, 0, -1, 0),
    "oblique": (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1),
}
by_direction = pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
# Finer along one axis, coarser along the others
FRONT = Front(spacing_mm=(1.9, 1.1, 4.1), order=3, normalisation="unit")


def by_itk(image: sitk.Image, interpolator: int) -> np.ndarray:
    """An image on the front's grid by SimpleITK alone."""
    return as_array(resample(image, FRONT.grid(Geometry.of(image)), interpolator))


def test_voxel_centres_share_the_outer_edges():
    # Voxels of 1.5: the first covers -0.5 to 1 and has its centre at 0.25
    assert positions(6, 4).tolist() == [0.25, 1.75, 3.25, 4.75]


@by_direction
def test_cubic_is_simpleitks_b_spline(make_chest: Callable, direction):
    scan, _ = make_chest(direction=direction)
    grey = sitk.Round(sitk.Clamp(scan, sitk.sitkFloat32, -1250, 250) * 0.17 + 212.5)
    assert 255 * FRONT.image(sitk.Cast(grey, sitk.sitkUInt8), "a")[0] == pytest.approx(
        by_itk(grey, sitk.sitkBSpline3), abs=1e-3
    )


@by_direction
def test_the_label_is_simpleitks_largest_share(make_chest: Callable, direction):
    _, label = make_chest(size=(37, 31, 17), direction=direction)
    # Equal shares, which ITK's rounding errors decide, are one voxel in thousands
    assert (FRONT.label(label) != by_itk(label, sitk.sitkLabelLinear)).mean() < 1e-3


def test_equal_shares_go_to_the_lower_code():
    codes = np.array([3, 2, 1, 1, 0, 2], np.uint8).reshape(6, 1, 1)
    assert majority(codes, (3, 1, 1)).ravel().tolist() == [2, 1, 0]


def test_a_code_with_less_than_half_may_be_the_largest_share():
    # In the middle of four voxels the 3 has two quarters, the others one each
    codes = np.array([[3, 1], [2, 3]], np.uint8)[None]
    assert majority(codes, (1, 1, 1)).item() == 3


def test_cubic_keeps_a_constant():
    assert cubic(np.full((5, 4, 3), 7, np.uint8), (3, 6, 2)) == pytest.approx(np.full((3, 6, 2), 7.0), abs=1e-5)


def test_a_single_slice_is_resampled_within_the_slice():
    grey = np.random.default_rng(0).random((1, 6, 4))
    assert cubic(grey, (1, 6, 4)) == pytest.approx(grey, abs=1e-6)


def test_int16_looked_up_is_float_computed(make_chest: Callable):
    scan, _ = make_chest()
    computed = FRONT.image(sitk.Cast(scan, sitk.sitkFloat32), "a")
    assert np.array_equal(FRONT.image(scan, "a"), computed)


def test_every_int16_value_has_its_level(make_image: Callable):
    values = np.arange(-(2**15), 2**15, dtype=np.int16).reshape(256, 256, 1)
    front = Front(spacing_mm=(0, 0, 0), order=0, normalisation="unit")
    levels = 255 * front.image(make_image(values), "a")[0]
    expected = np.floor((np.clip(values.astype(float), -1250, 250) + 1250) * (255 / 1500) + 0.5)
    assert np.abs(levels - expected).max() < 1e-4
