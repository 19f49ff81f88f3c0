"""The box around masks, drawn by hand."""

import numpy as np

from pipeline.scans.bounding_box import bounding_box


def mask_of(*voxels, shape=(5, 6, 7)):
    mask = np.zeros(shape, bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def test_the_box_ends_at_the_outermost_voxels():
    assert bounding_box(mask_of((1, 2, 3), (3, 2, 6))) == (slice(1, 4), slice(2, 3), slice(3, 7))


def test_the_box_of_two_masks_holds_both():
    assert bounding_box(mask_of((1, 2, 3)), mask_of((0, 4, 5))) == (slice(0, 2), slice(2, 5), slice(3, 6))


def test_an_empty_mask_does_not_widen_the_box():
    assert bounding_box(mask_of(), mask_of((4, 5, 6))) == (slice(4, 5), slice(5, 6), slice(6, 7))


def test_empty_masks_have_no_box():
    assert bounding_box(mask_of(), mask_of()) is None
