"""What hand-drawn label maps tell of themselves."""

import math

import numpy as np
import pytest

from evaluation.measures.plausibility import agreement, infection_outside, largest_part, left_share, typical_lung


def lungs():
    """Axes (z, y, x), 5 x 7 x 12: a left lung of 45 voxels, a right one of 60, two columns apart."""
    labels = np.zeros((5, 7, 12), np.uint8)
    labels[1:4, 1:6, 7:10] = 1
    labels[1:4, 1:6, 1:5] = 2
    return labels


EMPTY = np.zeros((5, 7, 12), np.uint8)


def test_the_share_of_the_left_lung_is_counted_by_hand():
    assert left_share(lungs() == 1, lungs() == 2) == pytest.approx(45 / 105)


def test_without_lungs_there_is_no_share():
    assert math.isnan(left_share(EMPTY == 1, EMPTY == 2))


@pytest.mark.parametrize(
    ("place", "outside"),
    [
        pytest.param((slice(2, 3), slice(3, 4), slice(8, 9)), 0, id="within a lung"),
        pytest.param((slice(2, 3), slice(3, 4), slice(10, 11)), 0, id="at a face"),
        pytest.param((slice(4, 5), slice(6, 7), slice(10, 11)), 0, id="at a corner"),
        pytest.param((slice(2, 3), slice(3, 4), slice(11, 12)), 1, id="one voxel away"),
        pytest.param((slice(1, 4), slice(1, 6), slice(7, 10)), 1, id="in place of a whole lung"),
    ],
)
def test_infection_is_outside_where_it_does_not_touch_lung(place, outside):
    labels = lungs()
    labels[place] = 3
    assert infection_outside(labels) == outside


def test_the_middle_of_a_large_focus_is_not_outside():
    labels = lungs()
    labels[:, :, 5:7] = 3
    assert infection_outside(labels) == 0


def test_infection_that_lung_encloses_across_a_gap_is_not_outside():
    labels = np.full((7, 7, 7), 1, np.uint8)
    labels[1:6, 1:6, 1:6] = 0
    labels[3, 3, 3] = 3
    assert infection_outside(labels) == 0


def test_the_share_outside_is_of_voxels():
    labels = lungs()
    labels[2, 3, 7:10] = 3
    labels[0, 0, 11] = 3
    assert infection_outside(labels) == pytest.approx(1 / 4)


def test_without_infection_there_is_no_share_outside():
    assert math.isnan(infection_outside(lungs()))


def test_infection_without_any_lung_is_all_outside():
    labels = EMPTY.copy()
    labels[2, 3, 4] = 3
    assert infection_outside(labels) == 1


def test_the_largest_part_is_counted_by_hand():
    mask = lungs() == 1
    mask[0, 0, :5] = True
    assert largest_part(mask) == pytest.approx(45 / 50)


def test_parts_that_share_a_corner_are_one():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert largest_part(mask) == 1


@pytest.mark.parametrize("shape", [(3, 3, 3), (0, 0, 0)])
def test_nothing_has_no_parts(shape):
    assert math.isnan(largest_part(np.zeros(shape, bool)))


def test_agreement_is_the_mean_dice_of_every_two():
    first, second, third = np.zeros((3, 2, 2, 2), bool)
    first[0], second[0], third[0, 0] = True, True, True
    # 1 for the first two, 2 * 2 / (4 + 2) for either with the third
    assert agreement([first, second, third]) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_an_infection_that_one_model_alone_sees_is_disagreement():
    assert agreement([lungs() == 1, EMPTY == 1]) == 0


def test_models_that_see_nothing_have_no_agreement():
    assert math.isnan(agreement([EMPTY == 3, EMPTY == 3]))


def test_the_typical_lung_is_the_median_without_the_infection():
    labels = np.array([[[1, 2, 1, 3, 0]]], np.uint8)
    assert typical_lung(np.array([[[-800, -850, -900, 40, -1000]]]), labels) == -850


def test_without_lung_nothing_is_typical():
    assert math.isnan(typical_lung(EMPTY, EMPTY))
