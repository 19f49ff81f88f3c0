"""Distances from masks against a search through all their voxels."""

import numpy as np
import pytest

from evaluation.distance_map import distance_map_mm

SPACING_MM = (2.9, 0.7, 1.1)


@pytest.mark.parametrize("density", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), SPACING_MM])
def test_distances_are_those_of_a_search_through_all(density, spacing_mm):
    mask = np.random.default_rng(6).random((9, 14, 16)) < density
    places = np.argwhere(np.ones_like(mask)) * spacing_mm
    apart = np.linalg.norm(places[:, None] - (np.argwhere(mask) * spacing_mm)[None], axis=-1).min(axis=1)
    assert distance_map_mm(mask, spacing_mm).ravel() == pytest.approx(apart, abs=1e-5)


def test_the_inside_of_a_mask_is_at_distance_zero():
    mask = np.zeros((7, 8, 9), bool)
    mask[1:6, 1:7, 1:8] = True
    assert not distance_map_mm(mask, SPACING_MM)[mask].any()


def test_an_empty_mask_is_infinitely_far():
    assert np.isposinf(distance_map_mm(np.zeros((3, 4, 5), bool), SPACING_MM)).all()


def test_a_slice_has_two_spacings():
    mask = np.zeros((5, 6), bool)
    mask[0, 0] = True
    assert distance_map_mm(mask, (2.0, 0.5))[3, 4] == pytest.approx(np.hypot(6, 2))


def test_the_mask_is_left_as_it_is():
    mask = np.eye(6, dtype=bool)
    distance_map_mm(mask, (1.0, 1.0))
    assert np.array_equal(mask, np.eye(6, dtype=bool))
