"""Colours of probabilities, by the formula."""

import numpy as np
import pytest

from evaluation.report.jet import jet, jet_overlay


@pytest.mark.parametrize(
    ("share", "colour"),
    [
        (0.0, (0, 0, 0.5)),
        (0.125, (0, 0, 1)),
        (0.25, (0, 0.5, 1)),
        (0.5, (0.5, 1, 0.5)),
        (0.75, (1, 0.5, 0)),
        (1.0, (0.5, 0, 0)),
    ],
)
def test_jet_goes_from_blue_over_green_and_yellow_to_red(share, colour):
    assert jet(np.array([share]))[0] == pytest.approx(colour)


def test_values_outside_are_clipped():
    assert np.array_equal(jet(np.array([-3.0, 7.0])), jet(np.array([0.0, 1.0])))


def test_colours_get_an_axis_of_their_own():
    assert jet(np.zeros((4, 5, 6))).shape == (4, 5, 6, 3)


def test_a_slice_stays_grey_up_to_the_threshold():
    picture = jet_overlay(np.array([[0.2, 0.6]]), np.array([[0.5, 0.0]]), threshold=0.5)
    assert picture.tolist() == [[[51, 51, 51], [153, 153, 153]]]


def test_opacity_blends_colour_into_grey():
    picture = jet_overlay(np.array([[1.0]]), np.array([[0.75]]), opacity=0.2)
    assert picture[0, 0].tolist() == [255, round(255 * 0.9), round(255 * 0.8)]


def test_different_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        jet_overlay(np.zeros((2, 3)), np.zeros((3, 2)))
