"""Which metrics of a table are compared, and how."""

from __future__ import annotations

import math

from evaluation.measures.cases import NUMBERS
from evaluation.report.metric_columns import METRICS, metrics_of


def by_column(column):
    return next(metric for metric in METRICS if metric.column == column)


def test_only_metrics_with_a_value_are_compared():
    row = {**dict.fromkeys(NUMBERS, math.nan), "dice": 0.5, "specificity": 0.9}
    assert [metric.column for metric in metrics_of([row])] == ["dice", "specificity"]


def test_every_compared_metric_is_a_column_of_the_table():
    assert {metric.column for metric in METRICS} <= set(NUMBERS)


def test_distances_are_better_where_they_are_lower_and_summarised_by_the_median():
    assert (by_column("hd95_mm").lower_is_better, by_column("hd95_mm").statistic) == (True, "median")
