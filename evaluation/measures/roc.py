"""How well a probability tells a structure from the rest: the area under the receiver operating characteristic."""

from __future__ import annotations

import math

import numpy as np

LEVELS = 256
AUC_RULE = (
    "AUC is of all voxels, from the infection's probability in 255 steps; undefined where the reference is empty. The "
    "air around the patient counts, so it is close to 1 for most networks"
)


def area_under_roc(reference: np.ndarray, levels: np.ndarray) -> float:
    """Chance that a voxel inside has a higher level than one outside, ties half, in [0, 1]; nan without either.

    `reference` is a boolean mask, `levels` uint8, of one shape. From the counts of the 256 levels, since sorting all
    voxels of a chest CT takes half a minute. Raises ValueError where shapes or types do not fit.
    """
    if reference.shape != levels.shape or reference.dtype != bool or levels.dtype != np.uint8:
        raise ValueError(
            f"reference is {reference.dtype} {reference.shape}, levels {levels.dtype} {levels.shape}; expected a "
            "boolean mask and uint8 of one shape"
        )
    inside = np.bincount(levels[reference], minlength=LEVELS)
    outside = np.zeros(LEVELS, np.int64)
    # Slice by slice: counting widens the levels to 64 bits
    for plane in levels:
        outside += np.bincount(plane.ravel(), minlength=LEVELS)
    outside -= inside
    pairs = int(inside.sum()) * int(outside.sum())
    if not pairs:
        return math.nan
    below = np.cumsum(outside) - outside
    # As floats: the number of pairs may be beyond 64 bits
    return float(np.dot(inside.astype(float), below + outside / 2) / pairs)
