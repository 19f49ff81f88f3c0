"""The Pareto front and its drawing."""

from __future__ import annotations

import math

import pytest

from evaluation.report.pareto_plot import CASCADE, SLICES, Point, amount, front, log_ticks, pareto_plot


def point(name, cost, score, kind=SLICES):
    return Point(name, cost, score, None, None, kind)


def names(points):
    return [one.name for one in points]


def test_a_network_that_is_dearer_and_worse_is_not_on_the_front():
    assert names(front([point("good", 1, 0.8), point("bad", 2, 0.7)])) == ["good"]


def test_a_network_that_is_dearer_but_better_is_on_the_front():
    assert names(front([point("better", 5, 0.9), point("cheap", 1, 0.8)])) == ["cheap", "better"]


def test_of_two_of_one_cost_the_better_is_on_the_front():
    assert names(front([point("a", 1, 0.8), point("b", 1, 0.7)])) == ["a"]


def test_two_that_are_alike_are_both_on_the_front():
    assert names(front([point("a", 1, 0.8), point("b", 1, 0.8)])) == ["a", "b"]


def test_the_drawing_says_in_words_who_is_on_the_front():
    drawn = pareto_plot("Dice against cost", "s", "Dice", [point("a", 1, 0.8), point("b", 9, 0.7)])
    assert "On the front: a." in drawn


def test_every_name_is_drawn_once():
    drawn = pareto_plot("t", "s", "Dice", [point("one", 1, 0.8), point("two", 9, 0.7), point("three", 1e4, 0.9)])
    assert [drawn.count(f">{name}</text>") for name in ("one", "two", "three")] == [1, 1, 1]


def test_a_name_of_a_cascade_is_escaped():
    assert "unet_3d&gt;enet" in pareto_plot("t", "s", "Dice", [point("unet_3d>enet", 1, 0.8, CASCADE)])


@pytest.mark.parametrize(("low", "high"), [(2.05, 9.9), (2.05, 4.9), (51, 198)])
def test_costs_between_two_round_numbers_have_three_ticks_at_least(low, high):
    assert len(log_ticks(low, high)) >= 3
    assert all(low <= tick <= high for tick in log_ticks(low, high))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 4), (20, 90), (1e5, 6e7), (0.02, 500)])
def test_every_axis_of_costs_has_two_ticks_at_least(low, high):
    room = 10**0.12
    assert len(log_ticks(low / room, high * room)) >= 2 or math.isclose(low, high)


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (20, "20"), (300_000, "300 k"), (4_189_723, "4.19 M")])
def test_amounts_are_short(value, text):
    assert amount(value) == text
