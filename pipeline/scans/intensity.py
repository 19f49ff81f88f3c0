"""What the numbers of a scan mean: Hounsfield units, or grey of a window."""

from __future__ import annotations

import math

from pipeline.core.errors import InputError
from pipeline.scans.simpleitk import sitk

HOUNSFIELD, GREY_255 = "hu", "grey255"


def intensity_domain(image: sitk.Image, name: str) -> str:
    """`hu` for Hounsfield units, `grey255` for 0..255 lung-window grey, from the range of the voxels.

    Half of the public 20-CT set is stored as 0..255 grey. Air is about -1000 HU, so a scan without negative values
    cannot be in Hounsfield units. Raises InputError where neither fits or a voxel is not a finite number.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = float(voxels.min()), float(voxels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name}: holds NaN or infinite voxels; expected finite numbers; export the scan again.")
    if low == high:
        raise InputError(f"{name}: every voxel is {low:g}; expected a CT scan; export it again.")
    if low < 0:
        return HOUNSFIELD
    if high <= 255:
        return GREY_255
    raise InputError(
        f"{name}: voxels range from {low:g} to {high:g}, which is neither Hounsfield units (air near -1000) nor 0..255 "
        "grey; subtract the scanner's offset (often 1024) and save it again."
    )
