"""Distance of every voxel from a mask, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk


def distance_map_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance of each voxel's centre from that of the nearest voxel of a mask, float32; 0 inside, inf where it is empty.

    The mask is boolean on two or three axes; the spacing is in millimetres, one number an axis, in their order. Exact
    but for float32 (Maurer et al. 2003), in a time that depends on the number of voxels alone: a tree of points takes
    half of it where masks are alike, and ten times as long where they are far apart.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing_mm)])
    signed = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    # A copy is needed in any case: the image ends with this function
    return np.maximum(sitk.GetArrayViewFromImage(signed), 0)
