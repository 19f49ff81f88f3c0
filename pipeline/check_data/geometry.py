"""Where a scan lies: its directions, spacing and slices, and whether its label lies there too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.check_data.finding import ERROR, NOTE, WARNING, Finding
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk

# Largest cosine between two directions, as SimpleITK accepts for NIfTI, and what can be rounding or a slight tilt
SHEAR, LARGEST_REPAIRED_SHEAR = 1e-3, 0.05
NEAREST = "the nearest directions at right angles"
# No CT has finer voxels, none is useful that is coarser
SPACING_MM = (0.05, 50.0)
THICK_MM = 10.0
# Pixels of a side as scanners reconstruct, halved perhaps; who resamples to 1 mm gets another number
SCANNER_MATRICES = (128, 256, 512, 1024)
# The demo's patch is 32 deep, the paper's 80
FEW_SLICES = 16
# Rounding in a header, or half a voxel that two programs count differently: then the voxels are the same places
REPAIRED_SPACING, REPAIRED_DIRECTION, REPAIRED_VOXELS = 0.01, 0.02, 0.51


def shear(directions: np.ndarray) -> float:
    """How far from a right angle the directions, columns of (3, 3), are: the largest cosine, or error of length."""
    return float(np.abs(directions.T @ directions - np.eye(len(directions))).max())


def check_place(image: sitk.Image, case: str, path: Path) -> list[Finding]:
    """Directions, spacing and number of slices of a scan or a label."""
    numbers = (*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection())
    if not np.isfinite(numbers).all():
        what = "its header places it at NaN or infinity"
        return [Finding(ERROR, case, "nowhere", path, what, "correct the header from the scanner's own files")]
    return [*check_directions(image, case, path), *check_spacing(image, case, path)]


def check_directions(image: sitk.Image, case: str, path: Path) -> list[Finding]:
    amount = shear(np.reshape(image.GetDirection(), (3, 3)))
    if amount <= SHEAR:
        return []
    repair = NEAREST if amount <= LARGEST_REPAIRED_SHEAR else ""
    what = f"its directions are not at right angles (cosine {amount:.3g} between two of them)"
    return [Finding(ERROR, case, "direction", path, what, "resample it, or convert it again", repair)]


def check_spacing(image: sitk.Image, case: str, path: Path) -> list[Finding]:
    low, high = SPACING_MM
    spacing_mm = image.GetSpacing()
    told = " x ".join(f"{length:.4g}" for length in spacing_mm)
    if not all(low <= length <= high for length in spacing_mm):
        what = f"its voxels are {told} mm, which no CT has (expected {low:g} to {high:g} mm each)"
        return [Finding(ERROR, case, "spacing", path, what, "correct the header from the scanner's own files")]
    columns, rows, _ = image.GetSize()
    if set(spacing_mm) == {1.0} and columns == rows and columns in SCANNER_MATRICES:
        what = (
            f"its voxels are exactly 1 x 1 x 1 mm in slices of {columns} x {rows}, as programs write where they do not "
            "know the size: volumes are then wrong, and networks see the chest at another size"
        )
        mend = "look up the voxels' size in the scanner's own files"
        return [Finding(WARNING, case, "spacing", path, what, mend)]
    if (thickest := max(spacing_mm)) > THICK_MM:
        what = f"its voxels are {told} mm: {thickest:.4g} mm between slices hide small lesions"
        return [Finding(NOTE, case, "spacing", path, what)]
    return []


def check_slices(image: sitk.Image, case: str, path: Path) -> list[Finding]:
    """A note on volumes of few slices, which are allowed."""
    slices = image.GetSize()[2]
    if slices >= FEW_SLICES:
        return []
    what = "is a single slice: 3D networks would see little but its mirror images, 2D networks see it as it is"
    if slices > 1:
        what = (
            f"has {slices} slices: 3D networks see it go on mirrored to the depth of their patch, 2D networks as it is"
        )
    return [Finding(NOTE, case, "thin", path, what)]


def check_same_grid(label: sitk.Image, image: sitk.Image, case: str, path: Path) -> list[Finding]:
    """The label's size, spacing and origin (within 0.01 mm) and directions (0.001) have to be the scan's."""
    mine, scan = Geometry.of(label), Geometry.of(image)
    differences = mine.differences(scan)
    if not differences:
        return []
    mend, repair = "resample it onto the image with nearest neighbour", ""
    if mine.size == scan.size:
        mend = "if its voxels fit all the same, save it after SimpleITK's label.CopyInformation(image)"
        repair = "the label with the scan's own header" if _small(mine, scan) else ""
    what = f"the label is not on the image's grid: {'; '.join(differences)} of the image"
    return [Finding(ERROR, case, "grid", path, what, mend, repair)]


def _small(label: Geometry, image: Geometry) -> bool:
    """Whether a difference can only be rounding: no voxel's centre is further than half a voxel from the scan's."""
    spacings = np.array(label.spacing_mm) / np.array(image.spacing_mm)
    directions = np.abs(np.array(label.direction) - np.array(image.direction))
    apart = np.abs(_corners_mm(label) - _corners_mm(image)).max()
    return bool(
        np.abs(spacings - 1).max() <= REPAIRED_SPACING
        and directions.max() <= REPAIRED_DIRECTION
        and apart <= REPAIRED_VOXELS * min(image.spacing_mm)
    )


def _corners_mm(grid: Geometry) -> np.ndarray:
    """First and last voxel's centre, (2, 3)."""
    axes = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing_mm)
    first = np.array(grid.origin_mm)
    return np.stack([first, first + axes @ (np.array(grid.size) - 1)])
