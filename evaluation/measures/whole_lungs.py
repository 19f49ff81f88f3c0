"""The lungs with what is infected of them: each infected voxel is given to the left or the right lung.

In a label map infection replaces the code of its lung. The nearest voxel of lung tells the lung of a small lesion, but
not in a lung that is infected nearly throughout, much of which is nearer to the other lung. So first what hangs
together decides:

1. Voxels of lung and infection that touch face to face are one part. Where a part holds one lung only, that lung has
   its infection.
2. Where a part holds both, the lungs touch. Then the cores that are left of it deeper than CONTACT_MM are told apart in
   the same way, and its infection goes to the lung of the nearest core. In a core that still holds both, and without
   any core, it is the nearest voxel of lung that counts.
3. A part or core without any lung goes to the lung nearest to its centre. But where one lung has no voxel at all, and a
   part or core without lung is at least WHITE_LUNG_SHARE of those with the other one, it is the lung that seems to be
   missing, infected throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from evaluation.measures.distances import distances_mm
from pipeline.core.labels import LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.scans.bounding_box import bounding_box

# In the one real CT (of MedSeg's) whose labelled lungs touch, they come apart at 5 mm
CONTACT_MM = 8.0
# The left lung has seldom less than 40 % of both, but what is infected throughout may have collapsed
WHITE_LUNG_SHARE = 0.25
BOTH = LEFT_LUNG + RIGHT_LUNG


def whole_lungs(labels: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The lungs with their infection, uint8: 1 left lung, 2 right lung, 0 all else; 0 throughout without any lung.

    `labels` holds the project's codes, on two or three axes; the spacing is in millimetres, one number an axis, in
    their order. Raises ValueError where the spacing does not fit.
    """
    if len(spacing_mm) != labels.ndim:
        raise ValueError(f"spacing_mm is {tuple(spacing_mm)}; expected one number for each of {labels.ndim} axes")
    sides = np.zeros(labels.shape, np.uint8)
    box = bounding_box(labels > 0)
    if box is not None:
        _fill(labels[box], sides[box], spacing_mm)
    return sides


def _fill(codes: np.ndarray, sides: np.ndarray, spacing_mm: Sequence[float]) -> None:
    """Write the lungs of a label map into `sides`, which is 0."""
    lung = (codes == LEFT_LUNG) | (codes == RIGHT_LUNG)
    if not lung.any():
        return
    sides[lung] = codes[lung]
    infection = infected(codes)
    if not infection.any():
        return
    parts, lung_of_part = _parts(codes > 0, sides, spacing_mm)
    sides[infection] = lung_of_part[parts[infection]]
    # Where only one lung was found, the other one may be infected throughout and touch it
    alone = len({*lung_of_part.tolist()} - {0}) == 1
    touches = lung_of_part > 0 if alone else lung_of_part == BOTH
    if not touches.any():
        return
    touching = touches[parts]
    undecided = infection & touching
    if not undecided.any():
        return
    sides[undecided] = 0
    lungs = sides * touching
    cores, lung_of_core = _parts(_deep(touching, spacing_mm), lungs, spacing_mm)
    lung_of_voxel = lung_of_core[cores]
    decided = np.where(lung_of_voxel == BOTH, lungs, lung_of_voxel)
    sides[undecided] = decided[undecided]
    undecided &= sides == 0
    # Not to the nearest voxel of lung: where the lungs touch that is as often one of the other lung
    sides[undecided] = _nearest(decided if decided.any() else lungs, np.argwhere(undecided), spacing_mm)


def _parts(mask: np.ndarray, lungs: np.ndarray, spacing_mm: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Connected parts of a mask by number, 0 outside, and the lung of each number: 1, 2 or BOTH, 0 for the outside."""
    parts, count = ndimage.label(mask)
    lung_of_part = np.zeros(count + 1, np.uint8)
    for code in (LEFT_LUNG, RIGHT_LUNG):
        lung_of_part[np.bincount(parts[lungs == code], minlength=count + 1) > 0] += code
    lung_of_part[0] = 0
    is_lone = lung_of_part == 0
    # The outside is no part
    is_lone[0] = False
    if is_lone.any():
        _give_lone(is_lone[parts], parts, lung_of_part, lungs, spacing_mm)
    return parts, lung_of_part


def _give_lone(
    lone: np.ndarray, parts: np.ndarray, lung_of_part: np.ndarray, lungs: np.ndarray, spacing_mm: Sequence[float]
) -> None:
    """Fill in the lung of every part without any; `lone` is the mask of all of these."""
    numbers, part, voxels = np.unique(parts[lone], return_inverse=True, return_counts=True)
    centres = np.stack([np.bincount(part, places) / voxels for places in np.nonzero(lone)], axis=1)
    others = np.count_nonzero(parts) - voxels.sum()
    lung_of_part[numbers] = _nearest(lungs, centres, spacing_mm)
    present = np.flatnonzero(np.bincount(lungs[lungs > 0], minlength=BOTH))
    if present.size == 1 and voxels.max() >= WHITE_LUNG_SHARE * others:
        lung_of_part[numbers[voxels.argmax()]] = BOTH - present[0]


def _deep(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The voxels of a mask that are further than CONTACT_MM from all that is outside of it."""
    box = bounding_box(mask)
    deep = np.zeros_like(mask)
    if box is None:
        return deep
    # Around the box, the outside: without it a lung would seem to go on where the box ends
    padded = np.pad(mask[box], 1)
    places = np.flatnonzero(padded)
    depths_mm = distances_mm(places, ~padded, spacing_mm)
    padded.ravel()[places] = depths_mm > CONTACT_MM
    deep[box] = padded[(slice(1, -1),) * mask.ndim]
    return deep


def _nearest(sides: np.ndarray, places: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The value of the nearest voxel that is not 0, of places (N, axes) in voxels."""
    decided = sides > 0
    # The nearest one lies at the rim: from any other, a step towards the place would be a nearer one
    rim = decided & ~ndimage.binary_erosion(decided)
    tree = KDTree(np.argwhere(rim) * spacing_mm, leafsize=32)
    return sides[rim][tree.query(places * spacing_mm)[1]]
