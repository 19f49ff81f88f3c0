"""The lungs with what is infected of them: each infected voxel is given to the left or the right lung.

In a label map infection replaces the code of its lung. The nearest voxel of lung tells the lung of a small lesion, but
not in a lung that is infected nearly throughout, much of which is nearer to the other lung. So first what hangs
together decides:

1. Voxels of lung and infection that touch face to face are one part. Where a part holds one lung only, that lung has
   its infection.
2. Where it holds both, the lungs touch. Then the parts that are left of it deeper than CONTACT_MM decide in the same
   way, and what they leave open goes to the lung of the nearest voxel that is decided.
3. A part without any lung goes to the lung nearest to its centre, except where the other lung has no voxel at all and
   the part is at least WHITE_LUNG_SHARE of the lung that there is: then it is that other lung, infected throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from evaluation.bounding_box import bounding_box
from evaluation.distance_map import distance_map_mm
from pipeline.labels import INFECTION, LEFT_LUNG, RIGHT_LUNG

# In the one real CT (MedSeg) whose labelled lungs touch, they come apart at 5 mm
CONTACT_MM = 8.0
# The smaller lung of a patient has seldom less than a third of both; some of it may have collapsed
WHITE_LUNG_SHARE = 0.25
BOTH = LEFT_LUNG + RIGHT_LUNG


def whole_lungs(labels: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The lungs with their infection, uint8: 1 left lung, 2 right lung, 0 all else; no lung where no voxel has its code.

    `labels` holds the project's codes, on two or three axes; the spacing is in millimetres, one number an axis, in their
    order. Raises ValueError where the spacing does not fit.
    """
    if len(spacing_mm) != labels.ndim:
        raise ValueError(f"spacing_mm is {tuple(spacing_mm)}; expected one number for each of {labels.ndim} axes")
    sides = np.zeros(labels.shape, np.uint8)
    box = bounding_box(labels > 0)
    if box is None:
        return sides
    codes, inside = labels[box], sides[box]
    lung = (codes == LEFT_LUNG) | (codes == RIGHT_LUNG)
    inside[lung] = codes[lung]
    if not lung.any():
        return sides
    infection = codes == INFECTION
    parts, lung_of_part = _parts(codes > 0, codes)
    _give_lone_parts(parts, lung_of_part, inside, spacing_mm)
    inside[infection] = lung_of_part[parts[infection]]
    touching = lung_of_part[parts] == BOTH
    inside[infection & touching] = 0
    if (infection & touching).any():
        _give_touching(touching, codes, inside, spacing_mm)
    return sides


def _parts(mask: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected parts of a mask by number, 0 outside, and of each number the lung whose code it holds, 0, 1, 2 or BOTH."""
    parts, count = ndimage.label(mask)
    lung_of_part = np.zeros(count + 1, np.uint8)
    for code in (LEFT_LUNG, RIGHT_LUNG):
        lung_of_part[np.bincount(parts[codes == code], minlength=count + 1) > 0] += code
    lung_of_part[0] = 0
    return parts, lung_of_part


def _give_lone_parts(
    parts: np.ndarray, lung_of_part: np.ndarray, sides: np.ndarray, spacing_mm: Sequence[float]
) -> None:
    """Fill in the lung of every part that holds none; `sides` has the voxels of lung alone."""
    lone = (parts > 0) & (lung_of_part == 0)[parts]
    numbers, part, voxels = np.unique(parts[lone], return_inverse=True, return_counts=True)
    if not numbers.size:
        return
    centres = np.stack([np.bincount(part, places) / voxels for places in np.nonzero(lone)], axis=1)
    lungs = np.flatnonzero(np.bincount(sides[sides > 0], minlength=BOTH))
    present_voxels = np.count_nonzero(parts) - voxels.sum()
    lung_of_part[numbers] = _nearest(sides, centres, spacing_mm)
    if lungs.size == 1 and voxels.max() >= WHITE_LUNG_SHARE * present_voxels:
        lung_of_part[numbers[voxels.argmax()]] = BOTH - lungs[0]


def _give_touching(touching: np.ndarray, codes: np.ndarray, sides: np.ndarray, spacing_mm: Sequence[float]) -> None:
    """Fill in the infection of parts that hold both lungs."""
    # The box ends where the lungs end: without a rim of background they would seem to go on beyond it
    depth_mm = distance_map_mm(~np.pad(touching, 1), spacing_mm)[(slice(1, -1),) * touching.ndim]
    cores, lung_of_core = _parts(depth_mm > CONTACT_MM, codes)
    lung_of_core[lung_of_core == BOTH] = 0
    infection = (codes == INFECTION) & touching
    sides[infection] = lung_of_core[cores[infection]]
    undecided = infection & (sides == 0)
    sides[undecided] = _nearest(sides * touching, np.argwhere(undecided), spacing_mm)


def _nearest(sides: np.ndarray, places: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The value of the nearest voxel that is not 0, of places (N, axes) in voxels where it is 0."""
    decided = sides > 0
    # The nearest one lies at the rim: from any other, a step towards the place would be a nearer one
    rim = decided & ~ndimage.binary_erosion(decided)
    tree = KDTree(np.argwhere(rim) * spacing_mm, leafsize=32)
    return sides[rim][tree.query(places * spacing_mm)[1]]
