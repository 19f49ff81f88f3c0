"""Two landmarks of a chest CT's grey levels, healthy lung and soft tissue, found without labels.

Healthy lung of one scan is as bright as ground glass of another: the patient's breath, the scanner's kernel and, in
8-bit grey, a window that nobody wrote down move it by a tenth of the window and more. Distances between these two
landmarks are comparable between scans, whatever is in view. (Landmarks of a histogram, mapped onto fixed values: Nyul
and Udupa, "On standardizing the MR image intensity scale", 1999.)
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.scans.simpleitk import sitk

LEVELS = 256
# Of the histogram, in grey levels: noise is wider than one level
SMOOTHING = 4
# Of the most frequent level's voxels, what a level must have
FREQUENT = 0.4
# Of all that is dark, what the body must enclose to be taken for lung
ENCLOSED_SHARE = 0.15
# Between lung and soft tissue, in grey levels; in a window of 1500 HU they are 150 apart
SMALLEST_CONTRAST = 40


def lung_and_tissue(grey: np.ndarray) -> tuple[float, float]:
    """A frequent grey level of lung, and the most frequent of soft tissue, of a scan (H, W, D) in grey 0..255.

    Otsu's threshold tells air from tissue. Air that does not reach the sides of its axial slice is lung; the darkest of
    its frequent levels is that of healthy lung, even where more is infected. Where such air is little, since the field
    of view cuts through the lungs, the most frequent level of all air counts, but for the darkest value, which is
    padding. Two equal levels are given for a scan that has no air or no tissue.
    """
    air = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(grey), 1, 0)).astype(bool)
    dark = air & (grey > grey.min())
    lung, least = dark & enclosed(air), FREQUENT
    if lung.sum() < ENCLOSED_SHARE * dark.sum():
        lung, least = dark, 1.0
    if not lung.any() or air.all():
        level = float(grey.mean(dtype=np.float64))
        return level, level
    of_lung, of_tissue = smooth_histogram(grey[lung]), smooth_histogram(grey[~air])
    return float(peaks(of_lung, least)[0]), float(of_tissue.argmax())


def enclosed(air: np.ndarray) -> np.ndarray:
    """Air (H, W, D) that in its axial slice is not connected with the sides."""
    in_slice = ndimage.generate_binary_structure(3, 1)
    in_slice[:, :, [0, 2]] = False
    pockets, count = ndimage.label(air, in_slice)
    closed = np.ones(count + 1, bool)
    closed[0] = False
    for side in (pockets[[0, -1]], pockets[:, [0, -1]]):
        closed[np.unique(side)] = False
    return closed[pockets]


def smooth_histogram(grey: np.ndarray) -> np.ndarray:
    """How many voxels have each grey level; 0 and 255 hold what a window cut off, and count where all is that."""
    counts = np.bincount(np.rint(grey).astype(np.int64), minlength=LEVELS).astype(np.float64)
    if counts[1:-1].any():
        counts[[0, -1]] = 0
    return ndimage.gaussian_filter1d(counts, SMOOTHING, mode="constant")


def peaks(histogram: np.ndarray, least: float) -> np.ndarray:
    """Levels that are more frequent than their neighbours, and at least `least` times as frequent as any."""
    around = np.pad(histogram, 1)
    higher = (histogram > around[:-2]) & (histogram >= around[2:])
    return np.flatnonzero(higher & (histogram >= least * histogram.max()))
