"""The grey levels of another window."""

from __future__ import annotations

import numpy as np
import pytest

from transforms.random_window import RandomWindow


def test_values_between_the_ends_are_spread_and_those_beyond_are_clipped():
    narrower = RandomWindow(low=(-0.5, -0.5), high=(0.5, 0.5), p_per_sample=1)
    image = np.array([-1, -0.5, 0, 0.25, 0.5, 1], np.float32).reshape(1, 1, -1)
    np.testing.assert_allclose(narrower(data=image.copy())["data"].ravel(), [-1, -1, 0, 0.5, 1, 1])


def test_a_wider_window_leaves_the_ends_unused():
    wider = RandomWindow(low=(-1.5, -1.5), high=(1.5, 1.5), p_per_sample=1)
    np.testing.assert_allclose(wider(data=np.array([[[-1.0, 0, 1]]]))["data"].ravel(), [-2 / 3, 0, 2 / 3])


@pytest.mark.parametrize(("probability", "changed"), [(0, False), (1, True)])
def test_a_sample_is_changed_with_the_probability_given(probability, changed):
    np.random.seed(0)
    image = np.linspace(-1, 1, 60, dtype=np.float32).reshape(1, 1, 3, 4, 5)
    found = RandomWindow(p_per_sample=probability)(data=image.copy())["data"]
    assert (not np.array_equal(found, image)) is changed
    assert np.abs(found).max() <= 1
