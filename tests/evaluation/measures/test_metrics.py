"""Overlap and volume of hand-drawn masks, where every voxel can be counted."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from evaluation.measures.metrics import ALL_METRICS, Overlap, dice, sensitivity, specificity, volume_ml, voxel_ml


def drawn(*lines):
    """A boolean mask from lines of `#` and `.`"""
    return np.array([[letter == "#" for letter in line] for line in lines])


REFERENCE = drawn("##..", "##..", "....")
PREDICTION = drawn(".##.", ".##.", ".#..")
OVERLAP = Overlap.of(REFERENCE, PREDICTION)
EMPTY, FULL = np.zeros((3, 4), bool), np.ones((3, 4), bool)


def test_overlap_counts_every_voxel_once():
    assert Overlap.of(REFERENCE, PREDICTION) == Overlap(tp=2, fp=3, fn=2, tn=5)


def test_dice_of_hand_drawn_masks():
    assert dice(REFERENCE, PREDICTION) == pytest.approx(2 * 2 / (4 + 5))


def test_sensitivity_of_hand_drawn_masks():
    assert sensitivity(REFERENCE, PREDICTION) == pytest.approx(2 / 4)


def test_specificity_of_hand_drawn_masks():
    assert specificity(REFERENCE, PREDICTION) == pytest.approx(5 / 8)


def test_precision_of_hand_drawn_masks():
    assert OVERLAP.precision == pytest.approx(2 / 5)


def test_jaccard_of_hand_drawn_masks():
    assert OVERLAP.jaccard == pytest.approx(2 / 7)


def test_jaccard_follows_from_dice():
    assert OVERLAP.jaccard == pytest.approx(OVERLAP.dice / (2 - OVERLAP.dice))


def test_mean_jaccard_is_that_of_the_structure_and_the_rest():
    assert OVERLAP.mean_jaccard == pytest.approx((2 / 7 + 5 / 10) / 2)


def test_mean_jaccard_of_a_small_structure_is_above_its_dice():
    overlap = Overlap(tp=68, fp=16, fn=16, tn=10_000)
    assert overlap.jaccard < overlap.dice < overlap.mean_jaccard


def test_dice_of_a_mask_with_itself_is_one():
    assert dice(REFERENCE, REFERENCE) == 1


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        pytest.param(EMPTY, EMPTY, math.nan, id="both empty"),
        pytest.param(EMPTY, PREDICTION, 0, id="reference empty"),
        pytest.param(REFERENCE, EMPTY, 0, id="prediction empty"),
        pytest.param(REFERENCE, PREDICTION, 4 / 9, id="neither empty"),
    ],
)
def test_dice_of_empty_masks(reference, prediction, expected):
    assert dice(reference, prediction) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", ["jaccard", "mean_jaccard"])
def test_jaccard_of_two_empty_masks_is_undefined(metric):
    assert math.isnan(getattr(Overlap.of(EMPTY, EMPTY), metric))


@pytest.mark.parametrize("masks", [(EMPTY, PREDICTION), (REFERENCE, EMPTY)])
def test_jaccard_is_zero_where_one_mask_is_empty(masks):
    assert Overlap.of(*masks).jaccard == 0


def test_mean_jaccard_is_undefined_where_there_is_no_rest():
    assert math.isnan(Overlap.of(FULL, FULL).mean_jaccard)


@pytest.mark.parametrize("reference", [EMPTY, REFERENCE])
def test_precision_is_undefined_where_nothing_is_predicted(reference):
    assert math.isnan(Overlap.of(reference, EMPTY).precision)


def test_precision_of_what_is_not_there_is_zero():
    assert Overlap.of(EMPTY, PREDICTION).precision == 0


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_every_metric_of_a_perfect_prediction_is_one(metric):
    assert getattr(Overlap.of(REFERENCE, REFERENCE), metric) == 1


@pytest.mark.parametrize("prediction", [EMPTY, PREDICTION])
def test_sensitivity_is_undefined_without_a_reference(prediction):
    assert math.isnan(sensitivity(EMPTY, prediction))


def test_sensitivity_of_a_missed_structure_is_zero():
    assert sensitivity(REFERENCE, EMPTY) == 0


@pytest.mark.parametrize("prediction", [EMPTY, PREDICTION, FULL])
def test_specificity_is_undefined_where_the_reference_fills_everything(prediction):
    assert math.isnan(specificity(FULL, prediction))


def test_specificity_of_two_empty_masks_is_one():
    assert specificity(EMPTY, EMPTY) == 1


@pytest.mark.parametrize("shape", [(120,), (10, 12), (4, 5, 6), (2, 3, 4, 5)])
def test_metrics_take_any_number_of_dimensions(shape):
    reference = (np.arange(120) < 60).reshape(shape)
    prediction = (np.arange(120) < 30).reshape(shape)
    assert Overlap.of(reference, prediction) == Overlap(tp=30, fp=0, fn=30, tn=60)


def test_different_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(4, 3\)"):
        dice(REFERENCE, PREDICTION.T)


def test_label_maps_are_refused_as_masks():
    with pytest.raises(ValueError, match="prediction is uint8"):
        dice(REFERENCE, PREDICTION.astype(np.uint8))


def test_overlaps_of_parts_add_up_to_the_whole():
    parts = Overlap.of(REFERENCE[:1], PREDICTION[:1]) + Overlap.of(REFERENCE[1:], PREDICTION[1:])
    assert parts == Overlap.of(REFERENCE, PREDICTION)


def test_volume_uses_all_three_spacings():
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 1:4, 2:4] = True
    assert volume_ml(mask, (0.5, 0.8, 2.5)) == pytest.approx(12 * 0.5 * 0.8 * 2.5 / 1000)


def test_volume_of_an_empty_mask_is_zero():
    assert volume_ml(EMPTY, (1, 1, 5)) == 0


def test_a_spacing_without_slice_distance_is_refused():
    with pytest.raises(ValueError, match="three numbers"):
        voxel_ml((0.7, 0.7))


@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
def test_dice_agrees_with_monai(density):
    masks = np.random.default_rng(5).random((2, 12, 11, 7)) < density
    reference, prediction = torch.from_numpy(masks)[:, None, None]
    theirs = compute_dice(prediction[None], reference[None]).item()
    assert dice(masks[0], masks[1]) == pytest.approx(theirs, abs=1e-6)
