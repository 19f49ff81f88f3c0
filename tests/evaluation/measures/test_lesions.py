"""Lesions drawn by hand: which are found, which are false."""

import math

import numpy as np
import pytest

from evaluation.measures.lesions import Detection

# 10 microlitres a voxel: the smallest lesion, 0.1 ml, has 10 voxels
SPACING_MM = (5.0, 2.0, 1.0)
SHAPE = (6, 12, 40)


def bars(*columns, shape=SHAPE):
    """A mask with a bar of 20 voxels from each column to the next but nine: (2, 1, column..column+10)."""
    mask = np.zeros(shape, bool)
    for column in columns:
        mask[1:3, 4, column : column + 10] = True
    return mask


EMPTY = bars()


def detection(reference, prediction, **settings):
    return Detection.of(reference, prediction, SPACING_MM, **settings)


def test_lesions_are_counted_and_found():
    assert detection(bars(0, 15), bars(0)) == Detection(lesions=2, found=1, predicted=1, false_positives=0)


def test_sensitivity_is_the_share_of_found_lesions():
    assert detection(bars(0, 15, 28), bars(15)).sensitivity == pytest.approx(1 / 3)


def test_a_prediction_beside_all_lesions_is_false():
    assert detection(bars(0), bars(0, 15)).false_positives == 1


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        pytest.param(EMPTY, EMPTY, Detection(), id="both empty"),
        pytest.param(EMPTY, bars(0), Detection(predicted=1, false_positives=1), id="reference empty"),
        pytest.param(bars(0), EMPTY, Detection(lesions=1), id="prediction empty"),
        pytest.param(bars(0), bars(0), Detection(lesions=1, found=1, predicted=1), id="neither empty"),
    ],
)
def test_counts_of_empty_masks(reference, prediction, expected):
    assert detection(reference, prediction) == expected


@pytest.mark.parametrize("prediction", [EMPTY, bars(0)])
def test_sensitivity_is_undefined_without_lesions(prediction):
    assert math.isnan(detection(EMPTY, prediction).sensitivity)


def test_sensitivity_of_missed_lesions_is_zero():
    assert detection(bars(0, 15), EMPTY).sensitivity == 0


def test_voxels_that_touch_at_a_corner_are_one_lesion():
    mask = np.zeros((12, 12, 12), bool)
    mask[np.arange(12), np.arange(12), np.arange(12)] = True
    assert detection(mask, mask) == Detection(lesions=1, found=1, predicted=1)


def test_a_lesion_below_the_smallest_volume_is_not_missed():
    reference = EMPTY.copy()
    reference[1, 4, :9] = True
    assert detection(reference, EMPTY) == Detection()


def test_a_prediction_below_the_smallest_volume_is_not_false():
    prediction = EMPTY.copy()
    prediction[1, 4, :9] = True
    assert detection(EMPTY, prediction) == Detection()


def test_a_lesion_of_exactly_the_smallest_volume_counts_whatever_the_rounding_of_the_header():
    reference = EMPTY.copy()
    reference[1, 4, :10] = True
    rounded = (np.float32(5.0), np.float32(2.0), np.nextafter(np.float32(1.0), np.float32(0.0)))
    assert Detection.of(reference, EMPTY, [float(step) for step in rounded]).lesions == 1


def test_a_prediction_on_a_lesion_that_is_too_small_to_count_is_not_false():
    reference, prediction = EMPTY.copy(), EMPTY.copy()
    reference[1, 4, :9], prediction[1, 4, :12] = True, True
    assert detection(reference, prediction) == Detection(predicted=1)


def test_one_common_voxel_does_not_find_a_lesion_of_twenty():
    prediction = EMPTY.copy()
    prediction[1, 4, 0] = True
    assert detection(bars(0), prediction).found == 0


def test_without_a_least_share_one_common_voxel_finds_a_lesion():
    prediction = EMPTY.copy()
    prediction[1, 4, 0] = True
    assert detection(bars(0), prediction, least_share=0).found == 1


def test_without_a_least_share_no_common_voxel_is_still_no_match():
    assert detection(bars(0), bars(15), least_share=0) == Detection(lesions=1, predicted=1, false_positives=1)


def test_small_predictions_find_a_lesion_together():
    prediction = EMPTY.copy()
    prediction[1, 4, 0], prediction[2, 4, 8] = True, True
    assert detection(bars(0), prediction) == Detection(lesions=1, found=1)


def test_a_prediction_of_everything_finds_all_and_is_one_false_positive():
    found = detection(bars(0, 15, 28), np.ones(SHAPE, bool))
    assert found == Detection(lesions=3, found=3, predicted=1, false_positives=1)


def test_cases_add_up():
    cases = [detection(bars(0, 15), bars(0)), detection(bars(0), bars(0, 15))]
    assert sum(cases, Detection()) == Detection(lesions=3, found=2, predicted=3, false_positives=1)


def test_label_maps_are_refused_as_masks():
    with pytest.raises(ValueError, match="prediction is uint8"):
        detection(EMPTY, EMPTY.astype(np.uint8))


def test_different_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(6, 12, 40\).*\(40, 12, 6\)"):
        detection(EMPTY, EMPTY.T)
