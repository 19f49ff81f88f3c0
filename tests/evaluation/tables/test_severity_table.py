"""Severities of references and predictions side by side."""

import math

import numpy as np
import pytest

from evaluation.measures.severity import Severity
from evaluation.tables.severity_table import (
    SEVERITY_COLUMNS,
    agreement_line,
    case_severities,
    grade_agreement,
    severity_row,
    severity_table,
)
from pipeline.core.labels import LABEL_MAPS, label_map

SPACING_MM = (3.0, 1.0, 1.0)
NO_LUNGS = Severity(math.nan, math.nan, math.nan)
WORST_SHARE = (0.0, 0.2, 0.4, 0.6, 0.9)


def labels():
    """Eight voxels of right lung with two infected ones beside them, eight of left lung."""
    codes = np.zeros((1, 2, 12), np.uint8)
    codes[0, :, 1:5], codes[0, :, 0], codes[0, :, 7:11] = 2, 3, 1
    return codes


def rows(*pairs):
    """A row for each pair of grades, of the reference and of the prediction."""
    severities = [
        [NO_LUNGS if grade is None else Severity(WORST_SHARE[grade], 0.0, 0.1) for grade in pair] for pair in pairs
    ]
    return [severity_row(f"case_{number}", *pair) for number, pair in enumerate(severities)]


def test_a_row_has_percents_and_grades():
    row = severity_row("medseg_1", Severity(0.1, 0.6, 0.35), Severity(0.2, 0.3, 0.25))
    assert tuple(row) == SEVERITY_COLUMNS
    assert tuple(row.values()) == ("medseg_1", 10, 20, 60, 30, 35, 25, 3, 2)


def test_a_prediction_in_the_projects_codes_has_its_own_lungs():
    found = labels()
    found[0, :, 3:5] = 0
    reference, prediction = case_severities(labels(), found, label_map("lungs_infection"), SPACING_MM)
    assert (reference.right, prediction.right) == pytest.approx((2 / 10, 2 / 6))


@pytest.mark.parametrize("name", ["infection", "abnormal_normal", "lungs_and_infection"])
def test_a_prediction_without_sides_is_judged_within_the_references_lungs(name):
    found = label_map(name).class_of_code()[labels()]
    reference, prediction = case_severities(labels(), found, label_map(name), SPACING_MM)
    assert prediction == reference


def test_a_label_map_without_infection_has_no_severity():
    assert case_severities(labels(), labels(), LABEL_MAPS["lungs"], SPACING_MM) is None


def test_the_confusion_counts_the_reference_in_rows():
    confusion = grade_agreement(rows((1, 2), (1, 2), (4, 4), (0, 1))).confusion
    assert np.argwhere(confusion).tolist() == [[0, 1], [1, 2], [4, 4]]
    assert confusion[1, 2] == 2


def test_equal_grades_have_kappa_one():
    assert grade_agreement(rows((0, 0), (1, 1), (4, 4))).kappa == pytest.approx(1)


def test_kappa_by_hand():
    # Squared differences: 1 in 3 observed; of all 9 pairs of a reference's and a prediction's grade 14 in 9 expected
    agreement = grade_agreement(rows((0, 0), (1, 2), (2, 2)))
    assert agreement.kappa == pytest.approx(1 - (1 / 3) / (sum((a - b) ** 2 for a in (0, 1, 2) for b in (0, 2, 2)) / 9))


def test_kappa_is_undefined_where_all_grades_are_one():
    assert math.isnan(grade_agreement(rows((1, 1), (1, 1))).kappa)


def test_a_far_grade_costs_more_than_a_near_one():
    near, far = (grade_agreement(rows((1, 1), (3, 3), (0, found))).kappa for found in (1, 4))
    assert near > far


def test_cases_without_lungs_are_left_out_and_counted():
    agreement = grade_agreement(rows((1, None), (None, 2), (3, 3), (1, 1)))
    assert (agreement.undefined, int(agreement.confusion.sum())) == (2, 2)


def test_no_case_at_all_is_no_agreement():
    agreement = grade_agreement(rows((None, None)))
    assert math.isnan(agreement.kappa)
    assert not agreement.confusion.any()


def test_the_line_says_how_many_are_equal():
    line = agreement_line(grade_agreement(rows((1, 1), (2, 2), (3, 2), (None, 1))))
    assert line.startswith("Grades are equal in 2 of 3 cases; 1 without lungs left out; quadratic weighted kappa: 0.")


def test_the_table_has_a_line_a_case():
    table = severity_table(rows((1, 4), (None, 0))).splitlines()
    assert table[2].split() == ["case_0", "20.0", "90.0", "0.0", "0.0", "10.0", "10.0", "CT-1", "CT-4"]
    assert table[3].split() == ["case_1", "-", "0.0", "-", "0.0", "-", "10.0", "-", "CT-0"]
