"""Names of points, placed so that they can be read."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from evaluation.report.label_places import Box, places

BOUNDS = Box(60, 16, 664, 470)
RADIUS = 5.0


def overlap(one, other):
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    return across > 0 and down > 0


def crowd(seed, number=23):
    """Points as crowded as networks of one paper: most in a third of the plot's width and height."""
    random = np.random.default_rng(seed)
    near = random.normal((420, 180), (90, 60), (number, 2))
    points = [tuple(point) for point in np.clip(near, (80, 40), (640, 440)).tolist()]
    return points, [f"network_{index:02d}_net" for index in range(number)]


@pytest.mark.parametrize("seed", range(4))
def test_no_name_of_23_covers_another(seed):
    boxes = [place.box for place in places(*crowd(seed), BOUNDS, RADIUS)]
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]


@pytest.mark.parametrize("seed", range(4))
def test_no_name_of_23_covers_the_point_of_another(seed):
    points, names = crowd(seed)
    dots = [Box(x - 2, y - 2, x + 2, y + 2) for x, y in points]
    boxes = [place.box for place in places(points, names, BOUNDS, RADIUS)]
    assert not [(i, j) for i, box in enumerate(boxes) for j, dot in enumerate(dots) if i != j and overlap(box, dot)]


@pytest.mark.parametrize("seed", range(3))
def test_every_name_stays_within_the_bounds(seed):
    boxes = [place.box for place in places(*crowd(seed), BOUNDS, RADIUS)]
    assert all(box.left >= BOUNDS.left and box.right <= BOUNDS.right for box in boxes)


def test_a_lone_point_has_its_name_at_its_right():
    (place,) = places([(200.0, 200.0)], ["enet"], BOUNDS, RADIUS)
    assert (place.led, place.box.left > 200, place.box.top < 200 < place.box.bottom) == (False, True, True)


def test_a_point_at_the_right_edge_has_its_name_at_its_left():
    (place,) = places([(660.0, 200.0)], ["enet"], BOUNDS, RADIUS)
    assert place.box.right < 660


def test_the_same_points_get_the_same_places():
    assert places(*crowd(1), BOUNDS, RADIUS) == places(*crowd(1), BOUNDS, RADIUS)
