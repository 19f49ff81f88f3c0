"""Slices drawn by hand become instances, and instances slices again."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.networks.instances import Instances, class_probabilities, instances, semantic_map


def drawn(*rows: str) -> np.ndarray:
    """Class numbers of a slice from its rows, a digit a pixel; `.` is 0."""
    return np.array([[int(pixel.replace(".", "0")) for pixel in row] for row in rows], np.uint8)


def blocks(*squares: tuple[int, int, int, int]) -> np.ndarray:
    """A slice of 24 x 32 pixels with squares of (class, first row, first column, side)."""
    label = np.zeros((24, 32), np.uint8)
    for number, row, column, side in squares:
        label[row : row + side, column : column + side] = number
    return label


def everywhere(*values: float) -> np.ndarray:
    """A mask (1, 1, N) for each detection: one row of N pixels."""
    return np.array(values, np.float32)[:, None, None]


def test_a_box_is_the_edges_of_its_pixels():
    found = instances(drawn("......", "..33..", "..33.."), smallest=1)
    assert found.boxes.tolist() == [[2, 1, 4, 3]]


def test_a_single_pixel_has_a_box_of_one_pixel():
    found = instances(drawn("...", "..1"), smallest=1)
    assert found.boxes.tolist() == [[2, 1, 3, 2]]


def test_every_box_is_larger_than_nothing():
    boxes = instances(np.random.default_rng(0).integers(0, 4, (40, 30)), smallest=1).boxes
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_types_are_those_that_a_detector_learns_from():
    found = instances(blocks((1, 2, 2, 5)))
    assert [array.dtype for array in found] == [np.float32, np.int64, bool]


def test_pixels_that_touch_at_a_corner_are_one_instance():
    assert len(instances(drawn("2...", ".2..", "2..."), smallest=1).classes) == 1


def test_pixels_that_do_not_touch_are_two_instances():
    assert instances(drawn("2.2", "2.2"), smallest=1).boxes.tolist() == [[0, 0, 1, 2], [2, 0, 3, 2]]


def test_classes_that_touch_are_instances_of_their_own():
    found = instances(drawn("1133", "1133"), smallest=1)
    assert found.classes.tolist() == [1, 3]
    assert found.masks.astype(int).tolist() == [[[1, 1, 0, 0]] * 2, [[0, 0, 1, 1]] * 2]


def test_a_mask_leaves_out_another_instance_inside_its_box():
    found = instances(drawn("22222", "2...2", "2.2.2", "2...2", "22222"), smallest=1)
    assert found.masks.sum(axis=(1, 2)).tolist() == [16, 1]


@pytest.mark.parametrize(("pixels", "count"), [(9, 0), (10, 1)])
def test_an_instance_has_ten_pixels_at_least(pixels, count):
    label = np.zeros((4, 12), np.uint8)
    label[1, :pixels] = 3
    assert len(instances(label).classes) == count


@pytest.mark.parametrize("label", [blocks(), blocks((3, 5, 5, 3))], ids=["empty", "too small"])
def test_a_slice_without_instances_gives_zero_boxes(label):
    found = instances(label)
    assert [array.shape for array in found] == [(0, 4), (0,), (0, 24, 32)]
    assert [array.dtype for array in found] == [np.float32, np.int64, bool]


def test_a_slice_comes_back_from_its_instances():
    label = blocks((1, 2, 2, 8), (2, 2, 20, 8), (3, 4, 4, 4), (3, 12, 12, 5), (1, 17, 17, 6))
    found: Instances = instances(label)
    assert np.array_equal(semantic_map(found.classes, np.ones(len(found.classes)), found.masks, 4), label)


def test_an_empty_slice_comes_back_empty():
    found = instances(blocks())
    assert np.array_equal(semantic_map(found.classes, np.ones(0), found.masks, 4), blocks())


def test_the_higher_score_wins_where_two_classes_overlap():
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
    assert semantic_map(np.array([2, 3]), np.array([0.6, 0.9]), masks, 4).tolist() == [[2, 3, 3]]


def test_a_sure_mask_wins_over_a_higher_score():
    classes, scores = np.array([1, 2]), np.array([0.9, 0.8])
    assert semantic_map(classes, scores, everywhere(0.7, 0.9), 3).tolist() == [[2]]


def test_detections_of_one_class_do_not_add_up():
    scores = np.array([0.6, 0.7])
    assert class_probabilities(np.array([1, 1]), scores, everywhere(0.5, 0.5), 2)[1].item() == pytest.approx(0.35)


@pytest.mark.parametrize(("score", "number"), [(0.49, 0), (0.51, 1)])
def test_a_detection_below_the_threshold_does_not_count(score, number):
    assert semantic_map(np.array([1]), np.array([score]), everywhere(1.0), 2).item() == number


def test_the_threshold_itself_counts():
    assert class_probabilities(np.array([1]), np.array([0.5]), everywhere(1.0), 2)[1].item() == 0.5


@pytest.mark.parametrize(("mask", "number"), [(0.5, 0), (0.6, 1)])
def test_a_pixel_needs_more_than_half_of_score_times_mask(mask, number):
    # 0.9 x 0.5 = 0.45 and 0.9 x 0.6 = 0.54
    assert semantic_map(np.array([1]), np.array([0.9]), everywhere(mask), 2).item() == number


def test_the_background_is_what_the_surest_class_leaves():
    found = class_probabilities(np.array([1, 2]), np.array([0.8, 0.5]), everywhere(1.0, 0.5), 3)
    assert found[:, 0, 0].tolist() == pytest.approx([0.2, 0.8, 0.25])


def test_without_detections_everything_is_background():
    found = class_probabilities(np.zeros(0, int), np.zeros(0), np.zeros((0, 2, 3)), 4)
    assert found.tolist() == [np.ones((2, 3)).tolist(), *[np.zeros((2, 3)).tolist()] * 3]
