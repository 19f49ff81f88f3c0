"""Class numbers of a slice as a detector's instances, and a detector's instances as class numbers again.

A box is (x1, y1, x2, y2) in pixel edges, x along the columns: a mask of the one pixel in row 3 and column 5 has the box
(5, 3, 6, 4). So x2 > x1 and y2 > y1 in every box.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

SMALLEST = 10  # pixels of an instance; fewer are noise of the labels
SCORE_THRESHOLD = 0.5


class Instances(NamedTuple):
    """N connected regions of a slice, those of a lower class first.

    Args:
        boxes: (N, 4) float32.
        classes: (N,) int64, 1 and up.
        masks: (N, H, W) bool.
    """

    boxes: np.ndarray
    classes: np.ndarray
    masks: np.ndarray


def instances(label: np.ndarray, smallest: int = SMALLEST) -> Instances:
    """The regions of the class numbers (H, W), pixels of a class that touch at a side or a corner; 0 is background.

    Regions of fewer than `smallest` pixels are left out; a slice without any gives N = 0.
    """
    boxes, classes, masks = [], [], []
    for number in np.unique(label[label > 0]):
        regions, _ = ndimage.label(label == number, structure=np.ones((3, 3)))
        for region, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            mask = regions == region
            if mask.sum() >= smallest:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                classes.append(number)
                masks.append(mask)
    return Instances(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(masks, bool).reshape(-1, *label.shape),
    )


def class_probabilities(
    classes: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    class_count: int,
    score_threshold: float = SCORE_THRESHOLD,
) -> np.ndarray:
    """Of detections, (class_count, H, W) float32 in [0, 1], the background first.

    A class has at each pixel the largest score x mask of its detections whose score is `score_threshold` at least, the
    background what is left by the largest of them: the class of the highest value is therefore one that has more than
    0.5, or the background where none has. Together the values may be more than 1.

    Args:
        classes: (N,) class numbers, 1 and up.
        scores: (N,) in [0, 1].
        masks: (N, H, W), bool or in [0, 1].
    """
    probabilities = np.zeros((class_count, *masks.shape[1:]), np.float32)
    for number, score, mask in zip(classes, scores, masks, strict=True):
        if score >= score_threshold:
            np.maximum(probabilities[number], score * mask, out=probabilities[number], casting="same_kind")
    probabilities[0] = 1 - probabilities[1:].max(axis=0, initial=0)
    return probabilities


def semantic_map(classes: np.ndarray, scores: np.ndarray, masks: np.ndarray, class_count: int) -> np.ndarray:
    """Of detections, the class numbers (H, W), uint8: those of the highest of the `class_probabilities`."""
    return class_probabilities(classes, scores, masks, class_count).argmax(axis=0).astype(np.uint8)
