"""A CT of a chosen size: the built-in phantom on a finer grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pipeline.core.atomic import replacing
from pipeline.phantom.dataset import PhantomCase, phantom_case
from pipeline.scans.geometry import Geometry

PIXELS, PIXEL_MM, SLICE_MM = 512, 0.78, 0.96
NOISE_HU = 20.0
# In Hounsfield units, and neither a thin slab nor cropped
CASE = 0
AIR_HU, LOWEST_HU = -1000, -1024
CHEST_SLICES = 275


def large_scan(folder: Path, slices: int = 275, pixels: int = PIXELS) -> Path:
    """The path of an int16 CT of `pixels` x `pixels` x `slices` voxels of 0.78 x 0.78 x 0.96 mm; written once.

    At 275 slices it is a whole chest with air around it. Fewer slices are its middle; more repeat it mirrored, as if
    chests were stacked, so that what a pipeline has to do grows with the slices.
    """
    target = folder / f"ct_{pixels}x{pixels}x{slices}.nii.gz"
    if not target.is_file():
        voxels = _voxels(phantom_case(CASE), slices, pixels)
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing((PIXEL_MM * PIXELS / pixels, PIXEL_MM * PIXELS / pixels, SLICE_MM))
        with replacing(target) as temporary:
            sitk.WriteImage(image, str(temporary), useCompression=True)
    return target


def _voxels(case: PhantomCase, slices: int, pixels: int) -> np.ndarray:
    """(slices, pixels, pixels), int16 Hounsfield units with a scanner's noise."""
    image = sitk.GetImageFromArray(case.image)
    image.SetSpacing(case.geometry.spacing_mm)
    image.SetOrigin(case.geometry.origin_mm)
    size = np.array((pixels, pixels, min(slices, CHEST_SLICES)))
    spacing_mm = np.array((PIXEL_MM * PIXELS / pixels, PIXEL_MM * PIXELS / pixels, SLICE_MM))
    centre_mm = np.array(image.TransformContinuousIndexToPhysicalPoint((np.array(image.GetSize()) - 1) / 2))
    origin_mm = centre_mm - spacing_mm * (size - 1) / 2
    grid = Geometry(
        tuple(size.tolist()), tuple(spacing_mm.tolist()), tuple(origin_mm.tolist()), case.geometry.direction
    )
    # Beyond the phantom's own grid is the air of the room
    chest = sitk.GetArrayFromImage(sitk.Resample(image, grid.empty_image(), sitk.Transform(), sitk.sitkLinear, AIR_HU))
    stacked = np.pad(chest, ((0, slices - chest.shape[0]), (0, 0), (0, 0)), mode="symmetric")
    noise = np.random.default_rng(0).normal(0, NOISE_HU, stacked.shape[1:]).astype(np.float32)
    # The same grain shifted by a slice's number: as random to a pipeline, and made in a moment
    noisy = [np.roll(noise, 37 * number, axis=(0, 1)) + plane for number, plane in enumerate(stacked)]
    return np.clip(np.rint(noisy), LOWEST_HU, 3071).astype(np.int16)
