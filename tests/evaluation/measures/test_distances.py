"""Distances from masks against a search through all their voxels."""

import numpy as np
import pytest

from evaluation.measures.distances import distances_mm

SPACING_MM = (2.9, 0.7, 1.1)
SHAPE = (9, 14, 16)
EVERYWHERE = np.arange(9 * 14 * 16)


@pytest.mark.parametrize("density", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), SPACING_MM])
def test_distances_are_those_of_a_search_through_all(density, spacing_mm):
    mask = np.random.default_rng(6).random(SHAPE) < density
    places = np.argwhere(np.ones(SHAPE)) * spacing_mm
    apart = np.linalg.norm(places[:, None] - (np.argwhere(mask) * spacing_mm)[None], axis=-1).min(axis=1)
    assert distances_mm(EVERYWHERE, mask, spacing_mm) == pytest.approx(apart, abs=1e-5)


def test_the_inside_of_a_mask_is_at_distance_zero():
    mask = np.zeros(SHAPE, bool)
    mask[1:6, 1:7, 1:8] = True
    assert not distances_mm(np.flatnonzero(mask), mask, SPACING_MM).any()


def test_an_empty_mask_is_infinitely_far():
    assert np.isposinf(distances_mm(EVERYWHERE, np.zeros(SHAPE, bool), SPACING_MM)).all()


def test_a_slice_has_two_spacings():
    mask = np.zeros((5, 6), bool)
    mask[0, 0] = True
    assert distances_mm(np.array([3 * 6 + 4]), mask, (2.0, 0.5)) == pytest.approx(np.hypot(6, 2))


def test_no_place_has_no_distance():
    assert distances_mm(np.zeros(0, np.intp), np.ones((2, 3), bool), (1.0, 1.0)).shape == (0,)
