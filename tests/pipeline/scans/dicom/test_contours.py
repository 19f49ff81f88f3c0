"""Polygons have the centres of a mask's voxels inside, and of no others, by whatever rule they are filled."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import points_in_poly

from pipeline.scans.dicom.contours import enclosed_area, keyhole_polygons

DONUT = ["#####", "#...#", "#.#.#", "#...#", "#####"]


def drawn(rows: list[str]) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def centres(mask: np.ndarray) -> np.ndarray:
    """(voxels, 2) column and row of each voxel."""
    rows, columns = np.indices(mask.shape)
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)


def winding_numbers(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """How often a polygon leads around each point, by the angle that it turns through as seen from there."""
    ways = np.append(polygon, polygon[:1], axis=0)[None] - points[:, None]
    angles = np.diff(np.arctan2(ways[..., 1], ways[..., 0]), axis=1)
    return np.rint(((angles + np.pi) % (2 * np.pi) - np.pi).sum(axis=1) / (2 * np.pi)).astype(int)


def assert_inside(mask: np.ndarray) -> None:
    polygons, points = keyhole_polygons(mask), centres(mask)
    even_odd = [points_in_poly(points, polygon) for polygon in polygons]
    # No voxel is in two, so to join and to subtract them is the same
    assert np.array_equal(np.sum(even_odd, axis=0).reshape(mask.shape), mask)
    winding = [winding_numbers(points, polygon) for polygon in polygons]
    assert np.array_equal(np.sum(winding, axis=0).reshape(mask.shape), mask)


@pytest.mark.parametrize("seed", range(40))
def test_noise_comes_back_voxel_by_voxel(seed):
    random = np.random.default_rng(seed)
    mask = random.random(random.integers(2, 16, 2)) < random.uniform(0.2, 0.95)
    mask.flat[0] = True
    assert_inside(mask)


@pytest.mark.parametrize(
    "rows",
    [["#"], ["##"], ["...", ".#.", "..."], ["#.#", ".#.", "#.#"], ["###", "###"], DONUT, ["####", "#..#", "####"]],
    ids=["all", "pair", "single", "corners", "to the border", "donut", "wide hole"],
)
def test_a_drawn_mask_comes_back_voxel_by_voxel(rows):
    assert_inside(drawn(rows))


def test_a_single_voxel_is_a_rhombus_through_the_middles_of_its_edges():
    (polygon,) = keyhole_polygons(drawn(["...", "..#"]))
    assert {tuple(point) for point in polygon.tolist()} == {(1.5, 1.0), (2.0, 0.5), (2.5, 1.0), (2.0, 1.5)}


def test_an_empty_slice_has_no_polygon():
    assert keyhole_polygons(np.zeros((4, 5), bool)) == []


def test_a_hole_is_part_of_the_polygon_around_it_and_what_is_in_it_another():
    around, within = sorted(keyhole_polygons(drawn(DONUT)), key=len, reverse=True)
    # A rhombus is cut off each corner, an eighth of a voxel
    assert enclosed_area(around) == (25 - 4 / 8) - (9 - 4 / 8)
    assert enclosed_area(within) == 1 / 2


def test_a_channel_lies_between_rows_of_centres():
    (polygon,) = keyhole_polygons(drawn(["#####", "#.###", "#####"]))
    assert np.count_nonzero(polygon[:, 1] % 0.5) == 4
    assert np.ptp(polygon[polygon[:, 1] % 0.5 > 0, 1]) == 0


def test_points_are_halfway_between_a_voxel_and_one_beside_it_that_is_none():
    mask = np.random.default_rng(3).random((30, 30)) < 0.3
    padded = np.pad(mask, 1)
    for column, row in np.concatenate(keyhole_polygons(mask)) + 1:
        if row % 0.5:
            continue
        beside = {(int(np.floor(row)), int(np.floor(column))), (int(np.ceil(row)), int(np.ceil(column)))}
        assert sorted(bool(padded[place]) for place in beside) == [False, True]


def test_straight_lines_have_points_at_their_ends_alone():
    (polygon,) = keyhole_polygons(np.ones((20, 30), bool))
    assert len(polygon) == 8
