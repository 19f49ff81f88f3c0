"""A scan and its label at a few millimetres, turned to the patient's axes: what anatomy is judged by, cheaply."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.check_data.intensity import BONE_HU, PADDING_HU
from pipeline.scans.lung_box import DoubtfulLungsError, outside_and_lungs
from pipeline.scans.simpleitk import sitk

ORIENTATION = "LPS"
OVERVIEW_MM = 4.0
# A slice that holds less body than this is air around the patient, or padding
BODY_SHARE = 0.02


@dataclass(frozen=True)
class Overview:
    """Arrays (x, y, z): from the patient's right to left, from front to back, from the feet up.

    Args:
        values: means of blocks of about 4 mm.
        spacing_mm: of the blocks.
        threshold: between air and tissue (Otsu), in the scan's own numbers.
        air: lungs as far as they are air, and what else of it the body encloses; None where it encloses none.
        why_no_air: a sentence's part for the latter.
        codes: of the label, the nearest voxel's; None without a label.
        hash: SHA-256 of all voxels as stored: equal for the same voxels under two names.
    """

    values: np.ndarray
    spacing_mm: tuple[float, ...]
    threshold: float
    air: np.ndarray | None
    why_no_air: str
    codes: np.ndarray | None
    hash: str


def overview(image: sitk.Image, label: sitk.Image | None = None) -> Overview:
    """The overview of a scan, which must be finite, and of a label on its grid."""
    pairs = zip(image.GetSpacing(), image.GetSize(), strict=True)
    factors = [min(max(1, round(OVERVIEW_MM / spacing)), size) for spacing, size in pairs]
    small = sitk.BinShrink(image, factors)
    turned = sitk.DICOMOrient(small, ORIENTATION)
    values = sitk.GetArrayFromImage(turned).astype(np.float32).transpose(2, 1, 0)
    threshold = _threshold(values)
    air, why = _enclosed_air(values < threshold, float(np.prod(turned.GetSpacing())) / 1000)
    codes = None
    if label is not None:
        codes = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.Shrink(label, factors), ORIENTATION)).transpose(2, 1, 0)
    digest = hashlib.sha256(sitk.GetArrayViewFromImage(image).data).hexdigest()
    return Overview(values, turned.GetSpacing(), threshold, air, why, codes, digest)


def _threshold(values: np.ndarray) -> float:
    """Otsu's, of what is not padding or metal, which would pull it away from between lung and tissue."""
    low, high = np.percentile(values, (1, 99))
    chosen = sitk.OtsuThresholdImageFilter()
    chosen.Execute(sitk.GetImageFromArray(np.clip(values, max(low, PADDING_HU), min(high, BONE_HU))))
    return float(chosen.GetThreshold())


def _enclosed_air(air: np.ndarray, voxel_ml: float) -> tuple[np.ndarray | None, str]:
    """Air in the body, without the windpipe above the lungs where it is apart from them."""
    body = ndimage.binary_opening(~air).mean((0, 1)) >= BODY_SHARE
    if not body.any():
        return None, "no body was found"
    # Slices of air above or below the body would join the lungs to the air around it
    first, last = np.flatnonzero(body)[[0, -1]]
    found = np.zeros_like(air)
    try:
        _, found[:, :, first : last + 1] = outside_and_lungs(air[:, :, first : last + 1], voxel_ml)
    except DoubtfulLungsError as error:
        return None, str(error)
    return found, ""


def body_width_mm(view: Overview) -> float:
    """From side to side, of the largest connected piece that is not air; 0 where there is none."""
    parts, count = ndimage.label(ndimage.binary_opening(view.values >= view.threshold))
    if not count:
        return 0.0
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return float(np.ptp(np.flatnonzero(largest.any((1, 2)))) + 1) * view.spacing_mm[0]
