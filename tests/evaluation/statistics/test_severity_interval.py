"""How far a share may be off, from how far those of held-out patients were."""

from __future__ import annotations

import math

import pytest

from evaluation.measures.severity import Severity
from evaluation.statistics.severity_interval import (
    PATIENTS,
    SCANS,
    Coverage,
    HeldOut,
    Share,
    ShareInterval,
    coverage,
    grades_right,
    level_of,
    patient_errors,
    share_interval,
)
from evaluation.tables.severity_table import severity_row

NOWHERE = Severity(math.nan, math.nan, math.nan)


def shares(*errors, folds=1, prediction=0.5):
    """A patient an error, dealt to so many folds in turn; each error is of that many percentage points."""
    return [
        Share(f"patient_{place}", place % folds, prediction + error / 100, prediction)
        for place, error in enumerate(errors)
    ]


@pytest.mark.parametrize(
    ("patients", "level"),
    [(3, None), (4, 80), (8, 80), (9, 80), (11, 80), (18, 80), (19, 90), (38, 90), (39, 95), (500, 95)],
)
def test_a_level_is_as_high_as_the_patients_carry(patients, level):
    assert level_of(patients) == level


def test_of_39_patients_the_38th_smallest_error_is_the_reach():
    around = share_interval(0.5, shares(*range(1, 40), prediction=0.1))
    assert around == ShareInterval(pytest.approx(0.12), pytest.approx(0.88), 95, 39)


def test_of_nine_patients_the_eighth_smallest_error_is_the_reach():
    around = share_interval(0.5, shares(1, 2, 3, 4, 5, 6, 7, 8, 50, prediction=0.1))
    assert around == ShareInterval(pytest.approx(0.42), pytest.approx(0.58), 80, 9)


def test_of_four_patients_the_largest_error_is_the_reach():
    around = share_interval(0.5, shares(10, 20, 30, 5))
    assert around == ShareInterval(pytest.approx(0.2), pytest.approx(0.8), 80, 4)


def test_a_patient_counts_once_with_the_worst_scan():
    of_one = [Share("a", 0, 0.5, 0.4), Share("a", 0, 0.1, 0.5), Share("b", 1, 0.2, 0.2)]
    assert patient_errors(of_one) == pytest.approx({"a": 0.4, "b": 0.0})


def test_a_share_stays_between_0_and_1():
    around = share_interval(0.1, shares(*[95] * 4, prediction=0.0))
    assert around is not None
    assert (around.low, around.high) == (0, 1)


@pytest.mark.parametrize(("share", "errors"), [(math.nan, [10] * 9), (0.5, [10] * 3)], ids=["no share", "too few"])
def test_there_is_no_interval_without_a_share_or_with_too_few_patients(share, errors):
    assert share_interval(share, shares(*errors)) is None


def test_intervals_are_tried_on_each_fold_by_the_patients_of_the_others():
    # Fold 0 has errors of 1, 1, 1, 1, 9, fold 1 of 2 alone: the ninth patient lies outside, all others within
    found = coverage(shares(1, 2, 1, 2, 1, 2, 1, 2, 9, 2, folds=2))
    assert found == Coverage(80, 10, pytest.approx(0.02), 9, pytest.approx((5 * 0.04 + 5 * 0.18) / 10))


def test_a_patient_whose_one_scan_of_two_lies_outside_did_not_hold():
    twice = [*shares(*[1] * 10, folds=2), Share("patient_0", 0, 0.9, 0.5)]
    assert coverage(twice).held == 9


def test_of_one_fold_nothing_is_tried():
    assert coverage(shares(1, 2, 3, 4)) == Coverage(80, 4, pytest.approx(0.04), None, None)


def test_of_three_patients_there_is_nothing_to_try():
    assert coverage(shares(1, 2, 3, folds=3)) is None


def test_grades_are_right_where_every_scan_of_a_patient_is():
    pairs = [("a", 0.1, 0.2), ("b", 0.1, 0.2), ("b", 0.1, 0.3), ("c", 0.0, 0.01)]
    assert grades_right(Share(patient, 0, *both) for patient, *both in pairs) == (1, 3)


def test_errors_are_those_of_both_lungs_and_of_the_worse_one():
    row = severity_row("a", Severity(0.2, 0.4, 0.3), Severity(0.5, 0.1, 0.25))
    found = HeldOut.of([(2, row)], {"a": "patient"})
    assert found == HeldOut(
        (Share("patient", 2, pytest.approx(0.3), 0.25),), (Share("patient", 2, 0.4, 0.5),), PATIENTS
    )


def test_cases_without_lungs_tell_nothing():
    assert HeldOut.of([(0, severity_row("a", NOWHERE, Severity(0.1, 0.1, 0.1)))], {"a": "a"}) == HeldOut()


def test_each_scan_counts_where_nobody_told_the_patients():
    both = [(0, severity_row(case, Severity(0.2, 0.2, 0.2), Severity(0.1, 0.1, 0.1))) for case in "ab"]
    found = HeldOut.of(both, {"a": "patient"})
    assert ([share.patient for share in found.lungs], found.whose) == (["a", "b"], SCANS)
