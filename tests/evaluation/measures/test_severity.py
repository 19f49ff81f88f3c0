"""Infected shares and grades of lungs drawn by hand."""

import math

import numpy as np
import pytest

from evaluation.measures.severity import (
    Severity,
    grade,
    grades_between,
    grades_in_words,
    infected_fraction,
    severity,
    severity_of_labels,
    whole_lungs,
)

SPACING_MM = (3.0, 1.0, 1.0)


def lungs(shape=(4, 8, 20), middle=(9, 11)):
    """Right lung (2) in the columns below the middle, left lung (1) above it, background between, in a frame."""
    labels = np.zeros(shape, np.uint8)
    labels[:, 1:-1, 1 : middle[0]] = 2
    labels[:, 1:-1, middle[1] : -1] = 1
    return labels


def painted(labels, *places):
    """A copy with infection (3) at places of it."""
    infected = labels.copy()
    for place in places:
        infected[place] = 3
    return infected


def columns(first, end):
    return (slice(None), slice(1, -1), slice(first, end))


@pytest.mark.parametrize(
    ("share", "number"),
    [(0, 0), (1e-9, 1), (0.25, 1), (0.2501, 2), (0.5, 2), (0.5001, 3), (0.75, 3), (0.7501, 4), (1, 4)],
)
def test_a_bound_belongs_to_the_lower_grade(share, number):
    assert grade(share) == number


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_a_share_that_is_none_has_no_grade(share):
    with pytest.raises(ValueError, match="from 0 to 1"):
        grade(share)


def test_the_worse_lung_decides():
    assert Severity(left=0.1, right=0.6, lungs=0.35).grade == 3


def test_a_missing_lung_does_not_decide():
    assert Severity(left=math.nan, right=0.3, lungs=0.3).grade == 2


def test_without_lungs_there_is_no_grade():
    assert severity_of_labels(np.zeros((3, 4, 5), np.uint8), SPACING_MM).grade is None


def test_infection_outside_the_lung_is_not_counted():
    lung, infection = np.zeros((2, 10), bool), np.zeros((2, 10), bool)
    lung[0], infection[:, :3] = True, True
    assert infected_fraction(lung, infection) == pytest.approx(0.3)


def test_the_share_of_no_lung_is_undefined():
    assert math.isnan(infected_fraction(np.zeros((2, 3), bool), np.ones((2, 3), bool)))


def test_shares_are_of_the_whole_lung_with_its_infection():
    shares = severity_of_labels(painted(lungs(), columns(1, 3), columns(11, 15)), SPACING_MM)
    assert (shares.left, shares.right, shares.lungs) == pytest.approx((4 / 8, 2 / 8, 6 / 16))


def test_healthy_lungs_are_ct_0():
    assert severity_of_labels(lungs(), SPACING_MM).grade == 0


def test_a_lung_without_free_voxels_is_infected_throughout():
    shares = severity_of_labels(painted(lungs(), columns(11, 19)), SPACING_MM)
    assert (shares.left, shares.right, shares.grade) == (1, 0, 4)


def test_a_missing_lung_has_no_share():
    labels = np.where(lungs() == 1, 0, lungs()).astype(np.uint8)
    assert math.isnan(severity_of_labels(labels, SPACING_MM).left)


def test_a_slice_has_a_severity_too():
    labels = painted(lungs(), columns(1, 3))
    assert severity_of_labels(labels[0], SPACING_MM[1:]).right == pytest.approx(2 / 8)


def test_a_prediction_without_lungs_is_judged_within_those_of_the_reference():
    found = np.zeros((4, 8, 20), bool)
    found[columns(1, 3)], found[:, 0] = True, True
    assert severity(whole_lungs(lungs(), SPACING_MM), found).right == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("likely", "ends", "told"),
    [
        (1, (0.01, 0.2), "CT-1 (mild); no other is within reach"),
        (1, (0.0, 0.2), "CT-1 (mild); CT-0 (none) is possible"),
        (2, (0.1, 0.9), "CT-2 (moderate); CT-1 (mild), CT-3 (severe) and CT-4 (critical) are possible"),
    ],
)
def test_the_grades_that_an_interval_reaches_are_said_in_words(likely, ends, told):
    assert grades_in_words(likely, grades_between(*ends)) == told
