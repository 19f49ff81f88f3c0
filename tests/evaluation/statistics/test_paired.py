"""The signed-rank test, its effect size and Holm's correction, against numbers worked out by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.paired import SignedRank, holm, rank_biserial, signed_rank, smallest_p


@pytest.mark.parametrize("pairs", [1, 2, 5, 6, 8, 12])
def test_pairs_that_all_favour_one_side_give_the_smallest_p(pairs):
    assert signed_rank(np.arange(1, pairs + 1)).p == pytest.approx(smallest_p(pairs))


def test_five_pairs_cannot_be_significant_at_5_percent():
    assert smallest_p(5) == 0.0625


def test_nothing_that_differs_has_p_1_at_best():
    assert smallest_p(0) == 1


def test_six_pairs_by_hand():
    # The third smallest is negative: of the 64 patterns of signs, five have a negative rank sum of 3 or less (none, 1,
    # 2, 3, 1 + 2), and five a positive one
    assert signed_rank([-2.5, 1, 2, 4, 5, 6]).p == pytest.approx(2 * 5 / 64)


def test_ties_are_enumerated_by_hand():
    # Ranks 1.5, 1.5, 3: the eight rank sums of the positive are 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6; observed 4.5
    assert signed_rank([0.1, -0.1, 0.3]).p == pytest.approx(6 / 8)


def test_differences_that_only_binary_fractions_tell_apart_are_ties():
    assert signed_rank([0.9 - 0.8, -(0.8 - 0.7), 0.3]) == signed_rank([0.1, -0.1, 0.3])


def test_ties_of_ten_pairs_agree_with_all_patterns_of_signs():
    differences = np.array([1, 1, -1, 2, 2, -3, 3, 3, 4, 4.0])
    ranks = stats.rankdata(np.abs(differences))
    sums = np.array(list(itertools.product((-1, 1), repeat=10))) @ ranks
    observed = abs(np.sign(differences) @ ranks)
    assert signed_rank(differences).p == pytest.approx(np.mean(np.abs(sums) >= observed - 1e-9))


@pytest.mark.parametrize(
    ("number", "tied", "method"),
    [(50, False, "exact"), (51, False, "normal approximation"), (8, True, "exact"), (14, True, "normal approximation")],
)
def test_the_method_is_named(number, tied, method):
    differences = np.linspace(-1, 2.1, number)
    differences[1] = differences[0] if tied else differences[1]
    assert signed_rank(differences).method == method


def test_equal_pairs_are_counted_and_left_out():
    found = signed_rank([0, 0, 1, 2, 3])
    assert (found.pairs, found.differing, found.p) == (5, 3, pytest.approx(0.25))


@pytest.mark.parametrize("differences", [[], [0.0, 0.0]])
def test_nothing_that_differs_has_no_p(differences):
    assert signed_rank(differences) == SignedRank(len(differences), 0, None, "none", None)


@pytest.mark.parametrize(
    ("differences", "expected"), [([1, 2, 3], 1), ([-1, -2], -1), ([1, 2, -3], 0), ([3, -1], 1 / 3)]
)
def test_the_rank_biserial_correlation_by_hand(differences, expected):
    assert rank_biserial(np.array(differences)) == pytest.approx(expected)


def test_swapping_the_networks_turns_the_effect_and_keeps_p():
    differences = np.array([0.3, -0.1, 0.25, 0.4, -0.05, 0.15])
    there, back = signed_rank(differences), signed_rank(-differences)
    assert (back.p, back.rank_biserial) == pytest.approx((there.p, -there.rank_biserial))


def test_networks_that_do_not_differ_are_called_different_one_time_in_twenty():
    samples = np.random.default_rng(3).normal(size=(1200, 20))
    rejected = sum(signed_rank(sample).p <= 0.05 for sample in samples)
    low, high = stats.binom.interval(0.999, len(samples), 0.05)
    assert low <= rejected <= high


def test_the_vectorised_test_of_scipy_gives_the_same_p():
    samples = np.random.default_rng(4).normal(size=(50, 12))
    theirs = stats.wilcoxon(samples, axis=1, method="exact").pvalue
    assert [signed_rank(sample).p for sample in samples] == pytest.approx(theirs)


def test_holm_by_hand():
    # 4 * 0.01, 3 * 0.02, 2 * 0.04, 1 * 0.05 raised to the one before
    assert holm([0.04, 0.01, 0.05, 0.02]) == pytest.approx([0.08, 0.04, 0.08, 0.06])


def test_holm_keeps_equal_p_equal():
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])


def test_holm_does_not_exceed_one():
    assert holm([0.4, 0.6, 0.9]) == [1, 1, 1]


def test_one_test_needs_no_correction():
    assert holm([0.03]) == [0.03]


def test_holm_does_not_count_what_was_not_tested():
    assert holm([None, 0.02, None, 0.03]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def test_four_networks_that_do_not_differ_are_rarely_called_different():
    runs = np.random.default_rng(5).normal(size=(200, 4, 15))
    families = [[signed_rank(a - b).p for a, b in itertools.combinations(run, 2)] for run in runs]
    rejected = sum(min(holm(family)) <= 0.05 for family in families)
    assert rejected <= stats.binom.ppf(0.999, len(runs), 0.05)
