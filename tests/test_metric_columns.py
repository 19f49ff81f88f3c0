"""Scores of any version of metrics.csv."""

from __future__ import annotations

import math

import pytest

from evaluation.report.metric_columns import METRICS, metrics_of, read_scores
from pipeline.errors import InputError

OLD = "case,patient_id,fold,structure,dice,sensitivity,specificity,reference_ml,prediction_ml\n"


@pytest.fixture
def write(tmp_path):
    def written(text):
        (tmp_path / "metrics.csv").write_text(text)
        return tmp_path / "metrics.csv"

    return written


def by_column(column):
    return next(metric for metric in METRICS if metric.column == column)


def test_a_table_without_later_metrics_is_read_and_they_are_undefined(write):
    (row,) = read_scores(write(f"{OLD}a,p,0,infection,0.5,0.4,0.9,20,10\n"))
    assert (row["dice"], row["fold"], math.isnan(row["hd95_mm"])) == (0.5, 0, True)


def test_only_metrics_with_a_value_are_compared(write):
    rows = read_scores(write(f"{OLD}a,p,0,infection,0.5,,0.9,20,10\n"))
    assert [metric.column for metric in metrics_of(rows)] == ["dice", "specificity"]


def test_a_distance_of_a_later_version_is_compared(write):
    rows = read_scores(write(f"{OLD.strip()},hd95_mm\na,p,0,infection,0.5,0.4,0.9,20,10,12.5\n"))
    assert by_column("hd95_mm") in metrics_of(rows)


def test_distances_are_better_where_they_are_lower_and_summarised_by_the_median():
    assert (by_column("hd95_mm").lower_is_better, by_column("hd95_mm").statistic) == (True, "median")


def test_a_table_without_dice_is_refused_by_name(write):
    with pytest.raises(InputError, match=r"metrics\.csv: has no column dice"):
        read_scores(write("case,patient_id,fold,structure,reference_ml\n"))


def test_a_word_in_a_number_is_refused_with_its_line(write):
    with pytest.raises(InputError, match="line 2: a number"):
        read_scores(write(f"{OLD}a,p,0,infection,high,0.4,0.9,20,10\n"))


def test_a_run_that_is_not_evaluated_is_refused(tmp_path):
    with pytest.raises(InputError, match="finish that cross-validation first"):
        read_scores(tmp_path / "metrics.csv")
