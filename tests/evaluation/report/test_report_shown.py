"""The choice of the cases that a report shows."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from evaluation.report.shown import Shown, evenly, landmarks, ranking, ranking_structure, worst_and_evenly


def scored(*dice, structure="infection"):
    return [{"case": f"case_{n}", "fold": 0, "structure": structure, "dice": value} for n, value in enumerate(dice)]


def ranked(count):
    return [Shown(f"case_{place}", 0, place / 100) for place in range(count)]


def names(chosen):
    return [shown.case for shown in chosen]


def test_cases_are_ranked_from_the_lowest_dice():
    assert names(ranking(scored(0.5, 0.1, 0.9), "infection")) == ["case_1", "case_0", "case_2"]


def test_a_case_without_infection_in_both_label_maps_is_not_ranked():
    assert names(ranking(scored(0.5, math.nan), "infection")) == ["case_0"]


def test_other_structures_do_not_rank():
    assert ranking(scored(0.5, structure="lungs"), "infection") == []


@pytest.mark.parametrize(
    ("structures", "expected"),
    [(["lungs", "infection"], "infection"), (["abnormal", "normal"], "abnormal"), (["whole_lungs"], None)],
)
def test_the_infection_ranks_under_whatever_name(structures, expected):
    assert ranking_structure(structures) == expected


def test_the_median_of_four_is_the_lower_of_the_two_in_the_middle():
    assert {rank: shown.case for rank, shown in landmarks(ranked(4)).items()} == {
        "worst": "case_0",
        "median": "case_1",
        "best": "case_3",
    }


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["only"]), (2, ["worst", "best"])])
def test_fewer_than_three_cases_have_no_median(count, expected):
    assert list(landmarks(ranked(count))) == expected


def test_worst_median_and_best_are_among_the_few_that_are_shown():
    assert names(evenly(ranked(10), 3)) == ["case_0", "case_4", "case_9"]


def test_shown_cases_are_spread_over_the_ranking():
    places = [int(shown.case[5:]) for shown in evenly(ranked(100), 10)]
    assert len(places) == 10
    assert max(after - before for before, after in pairwise(places)) <= 22


def test_few_cases_are_all_shown():
    assert evenly(ranked(3), 10) == ranked(3)


def test_none_are_shown_where_none_are_wanted():
    assert evenly(ranked(3), 0) == []


def test_the_worst_are_among_those_that_are_shown_and_the_landmarks_stay():
    places = [int(shown.case[5:]) for shown in worst_and_evenly(ranked(100), 10)]
    assert places == [0, 1, 2, 3, 4, 11, 22, 33, 49, 99]
