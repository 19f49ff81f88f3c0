"""Intervals of means and medians over patients, and when there is none."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import intervals
from evaluation.statistics.intervals import Estimate, estimate, patient_means

DICE = (0.91, 0.12, 0.77, 0.83, 0.69, 0.88, 0.74, 0.80)


@pytest.fixture
def few_resamples(monkeypatch):
    """999 are enough where many intervals are drawn."""
    monkeypatch.setattr(intervals, "RESAMPLES", 999)


def test_an_estimate_is_the_statistic_of_the_values():
    assert estimate(DICE, np.median).value == pytest.approx(0.785)


def test_the_interval_of_a_mean_is_scipys():
    theirs = stats.bootstrap((DICE,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(0))
    found = estimate(DICE)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval))


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_the_same_values_give_the_same_interval(statistic):
    assert estimate(DICE, statistic) == estimate(DICE, statistic)


def test_the_interval_of_a_skewed_sample_reaches_further_to_its_tail():
    found = estimate(DICE)
    assert found.value - found.low > found.high - found.value


def test_undefined_values_are_left_out():
    assert estimate([*DICE, math.nan]) == estimate(DICE)


@pytest.mark.parametrize(
    ("values", "value", "patients", "why_not"),
    [
        pytest.param([], None, 0, "no patient has a value", id="none"),
        pytest.param([math.nan], None, 0, "no patient has a value", id="undefined"),
        pytest.param([0.2, 0.4], 0.3, 2, "an interval needs 3 patients, there are 2", id="two"),
        pytest.param([0.5] * 4, 0.5, 4, "all 4 patients have the same value", id="equal"),
        pytest.param([0.1 + 0.2, 0.3, 0.3], 0.3, 3, "all 3 patients have the same value", id="equal but for rounding"),
        pytest.param([0.5] * 3 + [0.7], 0.5, 4, "leaving out any one patient does not change it", id="jackknife"),
        pytest.param([1.0, 2.0, 3.0, math.inf], 2.5, 4, "1 patient(s) have an infinite value", id="infinite"),
    ],
)
def test_a_median_without_an_interval_says_why(values, value, patients, why_not):
    found = estimate(values, np.median)
    assert found == Estimate(pytest.approx(value), None, None, patients, why_not)


@pytest.mark.parametrize("values", [[], [0.5], [0.5] * 4, [0.5] * 3 + [0.7], [math.inf] * 3])
def test_degenerate_samples_warn_of_nothing(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate(values, np.median)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(("statistic", "seed"), [(np.mean, 1), (np.median, 2)])
def test_nineteen_of_twenty_intervals_hold_the_true_value(statistic, seed):
    samples = np.random.default_rng(seed).normal(0.7, 0.1, (400, 50))
    found = [estimate(sample, statistic) for sample in samples]
    held = sum(one.low <= 0.7 <= one.high for one in found)
    # 94 % rather than 95: what 50 patients reach, see evaluation.statistics.verdicts.SMALL_SAMPLES
    low, high = stats.binom.interval(0.999, len(samples), 0.94)
    assert low <= held <= high


def test_a_patients_cases_are_averaged():
    assert patient_means([("a", 0.2), ("b", 0.9), ("a", 0.4)]) == {"a": pytest.approx(0.3), "b": 0.9}


def test_undefined_cases_do_not_count_for_their_patient():
    assert patient_means([("a", 0.2), ("a", math.nan), ("b", math.nan)]) == {"a": 0.2}


def test_a_patient_between_two_infinities_has_no_mean():
    assert patient_means([("a", math.inf), ("a", -math.inf)]) == {}
