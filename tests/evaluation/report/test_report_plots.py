"""Smooth curves, box plots and the SVG that they are drawn in."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.box_plot import RADIUS, BoxRow, box, box_plot, swarm
from evaluation.report.loss_plot import Series, loss_plot
from evaluation.report.smoothing import smooth, thinned


def falling(noise=0.05, folds=3, epochs=60, seed=0):
    """Losses of some folds around exp(-epoch / 10)."""
    random = np.random.default_rng(seed)
    return [
        [(epoch, float(np.exp(-epoch / 10) + random.normal(0, noise))) for epoch in range(1, epochs + 1)]
        for _ in range(folds)
    ]


def test_the_smooth_curve_follows_what_lies_under_the_noise():
    band = smooth(falling())
    assert np.abs(band.mean - np.exp(-band.epochs / 10)).max() < 0.05


def test_the_band_holds_about_95_percent_of_the_points():
    band = smooth(falling(folds=4))
    points = np.array([point for curve in falling(folds=4, seed=1) for point in curve])
    low, high = (np.interp(points[:, 0], band.epochs, edge) for edge in (band.low, band.high))
    assert 0.9 < ((points[:, 1] > low) & (points[:, 1] < high)).mean() < 0.99


def test_the_smooth_curve_ends_with_the_fold_that_ends_first():
    curves = falling(folds=2)
    assert smooth([curves[0], curves[1][:30]]).epochs[-1] == 30


def test_the_same_curves_give_the_same_band():
    assert (smooth(falling()).high == smooth(falling()).high).all()


@pytest.mark.parametrize("curves", [[], [[(1, 0.5)]], [[(1, 0.5), (2, 0.4), (3, 0.3)]]])
def test_too_few_points_are_not_smoothed(curves):
    assert smooth(curves) is None


def test_equal_losses_give_a_level_curve():
    band = smooth([[(epoch, 0.5) for epoch in range(1, 9)]])
    assert band.mean == pytest.approx(0.5, abs=1e-6)


def test_a_long_curve_is_thinned_to_means_of_neighbours():
    assert thinned([(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)], 2) == [(1.5, 2.0), (3.5, 6.0)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 10, [2, 4, 6, 8, 10]), (0.41, 0.6, [0.45, 0.5, 0.55, 0.6]), (3, 3, [3])],
)
def test_ticks_are_round_numbers_within_the_limits(low, high, expected):
    assert svg.ticks(low, high) == pytest.approx(expected)


def test_text_and_attributes_are_escaped():
    assert svg.element("text", "<b>", aria_label='"') == Markup('<text aria-label="&#34;">&lt;b&gt;</text>')


def test_a_box_has_the_quartiles_and_leaves_an_outlier_outside_its_whiskers():
    assert box([0.0, 0.8, 0.81, 0.82, 0.83, 0.84]) == pytest.approx((0.8, 0.8025, 0.815, 0.8275, 0.84))


def test_no_dot_covers_another():
    places = [10.0, 10.0, 11.0, 12.0, 40.0]
    dots = list(zip(places, swarm(places), strict=True))
    for number, (x, y) in enumerate(dots):
        for other_x, other_y in dots[:number]:
            assert (x - other_x) ** 2 + (y - other_y) ** 2 >= (2 * RADIUS) ** 2


def test_every_case_is_a_dot_that_says_its_name():
    drawn = ElementTree.fromstring(box_plot("Dice", "Dice", [BoxRow("lungs", [0.9, 0.8], ["first", "second"])]))
    assert [title.text for title in drawn.iter("title")] == ["first: 0.900", "second: 0.800"]


def test_a_structure_without_values_keeps_its_row():
    drawn = box_plot("Dice", "Dice", [BoxRow("lungs", [], []), BoxRow("infection", [0.5], ["case"])])
    assert "lungs" in drawn
    assert drawn.count("<rect") == 1


def test_a_plot_is_told_in_words():
    drawn = box_plot("Dice", "Dice", [BoxRow("lungs", [0.9, 0.8], ["first", "second"])])
    assert 'aria-label="Dice. Medians: lungs 0.850."' in drawn


def test_losses_are_drawn_as_a_line_a_fold_a_band_and_a_mean():
    drawn = ElementTree.fromstring(loss_plot("Losses", [Series("training", falling(folds=3), 1)]))
    kinds = [path.get("class").split()[0] for path in drawn.iter("path")]
    assert [kinds.count(kind) for kind in ("fold", "band", "mean")] == [3, 1, 1]


def test_losses_too_few_to_smooth_are_drawn_without_a_band():
    drawn = loss_plot("Losses", [Series("training", [[(1, 1.0), (2, 0.5)]], 1), Series("validation", [], 2)])
    assert "band" not in drawn
    assert "fold series-1" in drawn


def test_a_single_point_is_drawn_inside_the_picture():
    drawn = ElementTree.fromstring(loss_plot("Losses", [Series("training", [[(1, 0.5)]], 1)]))
    assert not any("nan" in (path.get("d") or "") for path in drawn.iter("path"))
