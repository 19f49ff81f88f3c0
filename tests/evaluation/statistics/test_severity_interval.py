"""How far a share may be off, from how far others were."""

from __future__ import annotations

import math

import pytest

from evaluation.measures.severity import Severity
from evaluation.statistics.severity_interval import ShareErrors, ShareInterval, share_interval
from evaluation.tables.severity_table import severity_row


def test_of_99_errors_the_95th_smallest_is_the_reach():
    around = share_interval(0.5, [place / 1000 for place in range(1, 100)])
    assert around == pytest.approx(ShareInterval(0.5 - 0.095, 0.5 + 0.095, 0.95, 99))


def test_of_few_errors_the_largest_is_the_reach_and_the_coverage_says_so():
    assert share_interval(0.5, [0.1, 0.2, 0.3, 0.05]) == ShareInterval(0.2, 0.8, 0.8, 4)


def test_a_share_stays_between_0_and_1():
    around = share_interval(0.1, [0.95] * 3)
    assert around is not None
    assert (around.low, around.high) == (0, 1)


@pytest.mark.parametrize(("share", "errors"), [(math.nan, [0.1] * 9), (0.5, [0.1] * 2)], ids=["no share", "too few"])
def test_there_is_no_interval_without_a_share_or_with_too_few_errors(share, errors):
    assert share_interval(share, errors) is None


def test_errors_are_those_of_both_lungs_and_of_the_worse_one():
    row = severity_row("a", Severity(0.1, 0.5, 0.3), Severity(0.2, 0.1, 0.15))
    errors = ShareErrors.of([row])
    assert errors.lungs == pytest.approx((0.15,))
    assert errors.worse == pytest.approx((0.3,))


def test_a_case_without_lungs_tells_nothing():
    nowhere = Severity(math.nan, math.nan, math.nan)
    assert ShareErrors.of([severity_row("a", nowhere, Severity(0.1, 0.1, 0.1))]) == ShareErrors()
