"""Counts of voxels by the level of their probability, and what they give: small ones, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.measures.reliability import (
    BINS,
    binned,
    brier_score,
    expected_calibration_error,
    level_counts,
    level_probabilities,
    negative_log_likelihood,
)
from pipeline.core.labels import label_map

CODES = np.array([[[0, 0, 1, 2, 3, 255]]], np.uint8)
LEVELS = np.array([[[9, 8, 0, 10, 200, 200]]], np.uint8)


def counted(**levels: tuple[int, int]) -> np.ndarray:
    """Voxels that are not infected, and infected, by level."""
    counts = np.zeros((2, 256))
    for name, pair in levels.items():
        counts[:, int(name[1:])] = pair
    return counts / counts.sum()


def test_voxels_within_the_lungs_of_either_count_and_ignored_ones_do_not():
    found = np.array([[[0, 3, 1, 2, 0, 1]]], np.uint8)
    counts = level_counts(CODES, found, LEVELS, label_map("lungs_infection"))
    assert {level: counts[:, level].tolist() for level in np.flatnonzero(counts.sum(0))} == {
        0: [1, 0],
        8: [1, 0],
        10: [1, 0],
        200: [0, 1],
    }


def test_the_background_of_classes_without_lungs_is_no_lung():
    found = np.array([[[0, 0, 0, 0, 1, 1]]], np.uint8)
    assert level_counts(CODES, found, LEVELS, label_map("infection")).sum() == 3


def test_levels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="expected one shape"):
        level_counts(CODES, CODES, LEVELS[..., :3], label_map("lungs_infection"))


def test_the_outermost_levels_are_the_middle_of_what_is_rounded_to_them():
    own = level_probabilities()
    assert (own[0], own[51], own[255]) == (0.25 / 255, 0.2, 1 - 0.25 / 255)


def test_a_tempered_level_has_its_logit_divided():
    logit = math.log(0.8 / 0.2) / 2
    assert level_probabilities(2.0)[204] == pytest.approx(1 / (1 + math.exp(-logit)))


def test_the_lowest_level_is_never_tempered():
    assert level_probabilities(3.0)[0] == level_probabilities()[0]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_levels_that_are_tempered_keep_their_order(temperature):
    assert (np.diff(level_probabilities(temperature)[1:]) >= 0).all()


def test_the_brier_score_by_hand():
    # Level 51 is 0.2, level 204 is 0.8: (0.04 + 0.64 + 0.04 + 0.64) / 4
    shares = counted(_51=(1, 1), _204=(1, 1))
    assert brier_score(shares, level_probabilities()) == pytest.approx(0.34)


def test_the_likelihood_by_hand():
    shares = counted(_51=(3, 1))
    expected = -(3 * math.log(0.8) + math.log(0.2)) / 4
    assert negative_log_likelihood(shares, level_probabilities()) == pytest.approx(expected)


def test_the_calibration_error_of_what_is_calibrated_is_0():
    shares = counted(_51=(8, 2), _102=(6, 4), _204=(1, 4))
    assert expected_calibration_error(binned(shares, level_probabilities())) == pytest.approx(0, abs=1e-15)


def test_the_calibration_error_by_hand():
    # Half of the voxels are 0.2 and half of these infected, the other half are right
    shares = counted(_51=(5, 5), _204=(2, 8))
    assert expected_calibration_error(binned(shares, level_probabilities())) == pytest.approx(0.15)


def test_a_bin_has_seventeen_levels_and_the_last_one_more():
    voxels = np.full((2, 256), 1 / 512)
    assert (256 * binned(voxels, np.arange(256) / 255)[0]).tolist() == pytest.approx([17] * (BINS - 1) + [18])
