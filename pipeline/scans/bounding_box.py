"""The smallest box around masks: what lies outside of it is background in all of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Box = tuple[slice, ...]


def bounding_box(*masks: np.ndarray) -> Box | None:
    """The slices that cut the smallest box around all masks, boolean and of one shape; None where all are empty."""
    boxes = [box for mask in masks if (box := ndimage.find_objects(mask, 1)[0]) is not None]
    if not boxes:
        return None
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
