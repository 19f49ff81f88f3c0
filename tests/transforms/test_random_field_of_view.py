"""Another field of view: what lies beyond a box around the labelled structures becomes air."""

from __future__ import annotations

import numpy as np

from transforms.random_field_of_view import RandomFieldOfView

SHAPE = (12, 10, 6)


def lungs(*boxes):
    label = np.zeros((1, 1, *SHAPE), np.uint8)
    for box in boxes:
        label[(0, 0, *box)] = 1
    return label


def seen(label, **settings):
    """The mask of what is left of a scan of 0 in air of -1."""
    image = np.zeros((1, 1, *SHAPE), np.float32)
    image[0, 0, 0, 0, 0] = -1
    view = RandomFieldOfView(p_per_sample=1, **settings)
    return view(data=image, seg=label)["data"][0, 0] == 0


def test_all_beyond_the_box_becomes_air():
    label = lungs((slice(3, 6), slice(4, 8), slice(1, 4)))
    expected = np.zeros(SHAPE, bool)
    expected[2:7, 3:9, 0:5] = True
    np.testing.assert_array_equal(seen(label, margin_voxels=(1, 1.5), by_slice=0), expected)


def test_each_slice_has_a_box_of_its_own_and_one_without_lungs_stays():
    label = lungs((slice(3, 6), slice(4, 8), 1), (slice(1, 9), slice(2, 3), 2))
    expected = np.ones(SHAPE, bool)
    expected[..., 1:3] = False
    expected[3:6, 4:8, 1] = expected[1:9, 2:3, 2] = True
    expected[0, 0, 0] = False  # air from the beginning
    np.testing.assert_array_equal(seen(label, margin_voxels=(0, 0), by_slice=1), expected)


def test_nothing_changes_where_nothing_is_labelled():
    assert seen(lungs(), margin_voxels=(0, 0)).sum() == np.prod(SHAPE) - 1


def test_infection_alone_is_no_box_around_the_lungs():
    infection = 3 * lungs((slice(3, 6), slice(4, 8), slice(1, 4)))
    assert seen(infection, margin_voxels=(0, 0)).sum() == np.prod(SHAPE) - 1


def test_slices_as_samples_have_a_box_too():
    label = np.zeros((1, 1, 8, 8), np.uint8)
    label[0, 0, 2:4, 3:6] = 2
    image = np.ones((1, 1, 8, 8), np.float32)
    image[0, 0, 0, 0] = 0
    found = RandomFieldOfView(margin_voxels=(0, 0), p_per_sample=1)(data=image, seg=label)["data"][0, 0]
    np.testing.assert_array_equal(found, (label[0, 0] > 0).astype(np.float32))
