"""Makers of the paper's data sets in miniature, as they are distributed: two test files use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

# Each of 12 x 15 pixels is lung, and 20 of them infection; more than the paper's filter asks for
SIDE, LUNG, INFECTED = 20, (..., slice(4, 16), slice(2, 17)), (..., slice(6, 10), slice(5, 10))


def write(file: Path, voxels: np.ndarray, spacing_mm: tuple[float, ...] | None = None) -> Path:
    """An image file from an array (D, H, W) or (H, W)."""
    image = sitk.GetImageFromArray(voxels)
    if spacing_mm:
        image.SetSpacing(spacing_mm)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))
    return file


def slices(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hounsfield units (float), MedSeg's lesion codes 1, 2, 3 in turn, and a lung mask without the lesions."""
    hounsfield = np.full((count, SIDE, SIDE), 40.0) + np.random.default_rng(seed).normal(0, 5, (count, SIDE, SIDE))
    lesion, lung = np.zeros(hounsfield.shape, np.uint8), np.zeros(hounsfield.shape, np.uint8)
    hounsfield[LUNG], lung[LUNG] = -850, 1
    # A vessel that no window and no mask takes away: each seed is another patient
    hounsfield[:, 12, 3 + seed % 12] = -500
    for number in range(count):
        lesion[number][INFECTED] = 1 + number % 3
    hounsfield[lesion > 0], lung[lesion > 0] = -200, 0
    return hounsfield, lesion, lung


def write_set_one(folder: Path, count: int = 10, lung_file: str = "tr_lungmasks_updated.nii.gz") -> Path:
    for name, voxels in zip(("tr_im.nii.gz", "tr_mask.nii.gz", lung_file), slices(count), strict=True):
        write(folder / name, voxels)
    return folder


def write_set_two(folder: Path, volumes: int = 2, count: int = 3) -> Path:
    for number in range(1, volumes + 1):
        for kind, voxels in zip(("rp_im", "rp_msk", "rp_lung_msk"), slices(count, number), strict=True):
            write(folder / kind / f"{number}.nii.gz", voxels, (0.8, 0.8, 5.0))
    return folder


def write_cases(folder: Path, cases: int = 5, count: int = 4) -> Path:
    """images/ and labels/ in the project's codes, each case one patient: case_0, case_1 and so on."""
    for number in range(cases):
        hounsfield, lesion, lung = slices(count, number)
        codes = np.where(lesion > 0, 3, lung).astype(np.uint8)
        codes[(codes == 1) & (np.arange(SIDE) < SIDE // 2)] = 2
        write(folder / "images" / f"case_{number}.nii.gz", hounsfield.astype(np.int16), (0.8, 0.8, 5.0))
        write(folder / "labels" / f"case_{number}.nii.gz", codes, (0.8, 0.8, 5.0))
    return folder


def write_png_slices(folder: Path, count: int = 2, infected: int = 3) -> Path:
    """images/ and masks/ of PNG slices; with `infected` 255 the masks hold nothing but infection."""
    hounsfield, lesion, lung = slices(count)
    # Each slice is a patient of its own: noise is not the same in two of them
    hounsfield += np.random.default_rng(1).normal(0, 60, hounsfield.shape)
    codes = np.where(lesion > 0, infected, lung * (infected != 255)).astype(np.uint8)
    for number in range(count):
        grey = np.clip((hounsfield[number] + 1250) / 1500 * 255, 0, 255).astype(np.uint8)
        write(folder / "images" / f"slice_{number}.png", grey)
        write(folder / "masks" / f"slice_{number}.png", codes[number])
    return folder
