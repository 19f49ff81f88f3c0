"""The area under the ROC from counted levels, against scikit-learn's and by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.measures.roc import area_under_roc


def test_it_is_scikit_learns_for_the_same_levels():
    random = np.random.default_rng(0)
    reference = random.random((5, 20, 20)) < 0.1
    levels = (random.random(reference.shape) * 200 + 50 * reference).astype(np.uint8)
    assert area_under_roc(reference, levels) == pytest.approx(roc_auc_score(reference.ravel(), levels.ravel()))


def test_levels_that_know_nothing_give_a_half():
    assert area_under_roc(np.array([[True, False]]), np.full((1, 2), 7, np.uint8)) == 0.5


@pytest.mark.parametrize("inside", [True, False])
def test_it_is_undefined_without_either_kind(inside):
    assert math.isnan(area_under_roc(np.full((2, 3), inside), np.zeros((2, 3), np.uint8)))


def test_probabilities_that_are_no_levels_are_refused():
    with pytest.raises(ValueError, match="expected a boolean mask and uint8"):
        area_under_roc(np.zeros((2, 3), bool), np.zeros((2, 3)))
