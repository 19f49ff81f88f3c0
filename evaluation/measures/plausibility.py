"""What a label map tells of itself without a reference: its lungs' sizes and pieces, where its infection lies.

Label maps hold the project's codes, in which infection replaces lung; they have three axes in any order. What is
undefined is nan. Which infection belongs to which lung, `evaluation.measures.whole_lungs` tells.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import ndimage

from evaluation.measures.metrics import dice
from pipeline.core.labels import LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.scans.bounding_box import bounding_box
from pipeline.scans.simpleitk import sitk
from pipeline.scans.small_parts import TOUCHING


def left_share(left: np.ndarray, right: np.ndarray) -> float:
    """Share of the left lung in both, in [0, 1], of boolean masks; nan where both are empty."""
    voxels = int(np.count_nonzero(left))
    both = voxels + int(np.count_nonzero(right))
    return voxels / both if both else math.nan


def infection_outside(labels: np.ndarray) -> float:
    """Share of the infection that is apart from the lungs, in [0, 1]; nan where there is no infection.

    Infection replaces lung, so a focus belongs to the lungs where it touches a voxel of codes 1 or 2, if only with a
    corner, or where these enclose it, even across a gap of background; however far it reaches from there. A focus that
    runs from the lung into the chest wall is therefore not seen.
    """
    infection, lung = infected(labels), (labels == LEFT_LUNG) | (labels == RIGHT_LUNG)
    if not infection.any():
        return math.nan
    filled = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray((lung | infection).astype(np.uint8))))
    parts, number = ndimage.label(filled, TOUCHING)
    with_lung = np.zeros(number + 1, dtype=bool)
    with_lung[parts[lung]] = True
    apart = ~with_lung[parts[infection]]
    return int(np.count_nonzero(apart)) / apart.size


def largest_part(mask: np.ndarray) -> float:
    """Share of a boolean mask that is in its largest connected part, in [0, 1]; nan where it is empty."""
    box = bounding_box(mask)
    if box is None:
        return math.nan
    parts, _ = ndimage.label(mask[box], TOUCHING)
    sizes = np.bincount(parts[mask[box]])
    return int(sizes.max()) / int(sizes.sum())


def agreement(masks: Sequence[np.ndarray]) -> float:
    """Mean Dice of every two of several boolean masks; pairs of empty ones are left out, and nan if these are all."""
    found = [dice(first, second) for first, second in combinations(masks, 2)]
    defined = [value for value in found if not math.isnan(value)]
    return statistics.fmean(defined) if defined else math.nan


def typical_lung(values: np.ndarray, labels: np.ndarray) -> float:
    """The median of a scan's values, of the shape of the labels, in the uninfected lung; nan where there is none."""
    box = bounding_box(labels > 0) or ...
    inside = values[box][(labels[box] == LEFT_LUNG) | (labels[box] == RIGHT_LUNG)]
    return float(np.median(inside)) if inside.size else math.nan
