"""Healthy lung and soft tissue are found in any window, and go to the same two values."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import chest

from pipeline.scans.front import Front
from pipeline.scans.landmarks import lung_and_tissue, peaks

LUNG, TISSUE, GROUND_GLASS = 60, 220, 130


def thorax(infected_rows: int = 0, outside: int = 40) -> np.ndarray:
    """Two lungs in a body in air, (H, W, D) with noise, the first rows of the lungs infected."""
    voxels = np.full((60, 50, 12), outside, np.float32)
    voxels[5:-5, 5:-5] = TISSUE
    for left in (12, 34):
        voxels[left : left + 14, 10:40] = LUNG
        voxels[left : left + 14, 10 : 10 + infected_rows] = GROUND_GLASS
    return voxels + np.random.default_rng(0).normal(0, 5, voxels.shape).astype(np.float32)


def assert_near(found: tuple[float, float], lung: float, tissue: float) -> None:
    assert found == (pytest.approx(lung, abs=4), pytest.approx(tissue, abs=4))


def test_lung_and_tissue_are_found_beside_air_outside():
    assert_near(lung_and_tissue(thorax()), LUNG, TISSUE)


def test_lung_that_is_mostly_infected_is_still_found():
    assert_near(lung_and_tissue(thorax(infected_rows=19)), LUNG, TISSUE)


def test_a_field_of_view_that_cuts_through_both_lungs_is_no_hindrance():
    assert_near(lung_and_tissue(thorax()[16:44, 14:36]), LUNG, TISSUE)


def test_padding_is_no_lung():
    cut = thorax()[16:44, 14:36]
    assert_near(lung_and_tissue(np.pad(cut, ((20, 20), (20, 20), (0, 0)))), LUNG, TISSUE)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_scan_of_one_value_has_no_contrast(value):
    lung, tissue = lung_and_tissue(np.full((8, 8, 3), value, np.float32))
    assert lung == tissue


def test_of_frequent_levels_those_count_that_are_frequent_enough():
    histogram = np.array([0, 3, 0, 10, 4, 4, 0, 5.0])
    assert peaks(histogram, 0.4).tolist() == [3, 7]
    assert peaks(histogram, 1.0).tolist() == [3]


def seen_through(scan: sitk.Image, low: float, high: float) -> sitk.Image:
    """A scan in Hounsfield units as 8-bit grey of a window."""
    grey = sitk.Cast(
        sitk.Round((sitk.Clamp(scan, sitk.sitkFloat32, low, high) - low) * (255 / (high - low))), sitk.sitkUInt8
    )
    return grey


@pytest.mark.parametrize("window", [(-1350, 150), (-1100, 400), (-1400, 300)])
def test_grey_of_a_window_that_nobody_wrote_down_is_prepared_as_hounsfield_units_are(window):
    scan, label = chest(size=(64, 64, 24))
    front = Front(spacing_mm=(0, 0, 0), normalisation="landmarks")
    known, unknown = front.image(scan, "HU")[0], front.image(seen_through(scan, *window), "grey")[0]
    lungs = front.label(label) > 0
    assert np.median(known[lungs]) == pytest.approx(-0.5, abs=0.1)
    assert np.abs(known[lungs] - unknown[lungs]).mean() < 0.03
    # Which no fixed window gives
    fixed = Front(spacing_mm=(0, 0, 0), normalisation="window")
    far = fixed.image(scan, "HU")[0] - fixed.image(seen_through(scan, *window), "grey")[0]
    assert np.abs(far[lungs]).mean() > 0.08


def test_without_contrast_the_window_counts():
    flat = sitk.GetImageFromArray(np.full((4, 8, 8), 100, np.uint8) + (np.arange(8) % 2).astype(np.uint8))
    fronts = [Front(spacing_mm=(0, 0, 0), normalisation=name) for name in ("landmarks", "window")]
    assert np.array_equal(*(front.image(flat, "flat") for front in fronts))
