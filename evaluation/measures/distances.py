"""Distances of voxels from a mask, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.scans.simpleitk import sitk


def distances_mm(places: np.ndarray, mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance of each place from the nearest voxel of a mask, centre to centre; 0 inside it, inf where it is empty.

    Places are flat indices into the mask, (N,); the distances are float64, (N,). The mask is boolean on two or three
    axes; the spacing is in millimetres, one number an axis, in their order. Exact but for rounding to float32 (Maurer
    et al. 2003), in a time that depends on the number of voxels alone: a tree of the mask's points takes half of it
    where the places are near, but ten times as long where they are far. Four bytes a voxel are held meanwhile.
    """
    if not mask.any():
        return np.full(places.shape, np.inf)
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing_mm)])
    signed = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    # A view, since a copy would hold four bytes a voxel more; negative inside
    return np.maximum(sitk.GetArrayViewFromImage(signed).ravel()[places], 0).astype(np.float64)
