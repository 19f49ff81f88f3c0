"""A scan in memory as MONAI has it, and back: voxels (W, H, D) that know where they lie by an affine in RAS."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor

from pipeline.core.errors import InputError
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk

# MONAI's coordinates grow to the right and the front, SimpleITK's to the left and the back
RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Of a tensor's meta, as MONAI's own readers name them: of the scanner's grid, whatever became of the voxels
SCANNER_AFFINE, SCANNER_SHAPE = "original_affine", "spatial_shape"


def affine_of(geometry: Geometry) -> np.ndarray:
    """From indices (w, h, d) to millimetres in RAS, float64 (4, 4)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(geometry.direction).reshape(3, 3) * geometry.spacing_mm
    affine[:3, 3] = geometry.origin_mm
    return RAS_OF_LPS @ affine


def geometry_of(affine: np.ndarray | torch.Tensor, size: tuple[int, ...], name: str) -> Geometry:
    """The grid of so many voxels (w, h, d) with an affine in RAS; InputError naming `name` for none of a scanner."""
    numbers = RAS_OF_LPS @ np.asarray(affine, dtype=np.float64)
    if numbers.shape != (4, 4):
        raise InputError(f"{name}: has an affine of {numbers.shape} numbers, expected 4 x 4.")
    spacing_mm = np.linalg.norm(numbers[:3, :3], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = numbers[:3, :3] / spacing_mm
    found = Geometry(
        tuple(map(int, size)),
        tuple(spacing_mm.tolist()),
        tuple(numbers[:3, 3].tolist()),
        tuple(direction.ravel().tolist()),
    )
    found.check_numbers(name)
    return found


def on_grid(voxels: torch.Tensor, affine: np.ndarray, scanner: Geometry) -> MetaTensor:
    """A tensor that lies somewhere, and knows the grid of the scanner that it is from."""
    meta = {SCANNER_AFFINE: affine_of(scanner), SCANNER_SHAPE: np.array(scanner.size)}
    return MetaTensor(voxels, affine=torch.from_numpy(affine), meta=meta)


def as_tensor(scan: sitk.Image) -> MetaTensor:
    """The voxels of a scan, (W, H, D), in the type that its file has."""
    geometry = Geometry.of(scan)
    voxels = torch.from_numpy(sitk.GetArrayFromImage(scan)).permute(2, 1, 0)
    return on_grid(voxels, affine_of(geometry), geometry)


def as_scan(voxels: torch.Tensor, geometry: Geometry) -> sitk.Image:
    """An image of voxels (W, H, D) on a grid."""
    image = sitk.GetImageFromArray(voxels.cpu().permute(2, 1, 0).contiguous().numpy())
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image


def scanner_of(tensor: MetaTensor, name: str) -> Geometry:
    """The grid of the scanner that a tensor is from; InputError naming `name` where it does not know it."""
    try:
        affine, size = tensor.meta[SCANNER_AFFINE], tensor.meta[SCANNER_SHAPE]
    except (AttributeError, KeyError) as error:
        raise InputError(
            f"{name}: does not tell the scanner's grid; give a file, or voxels with their affine."
        ) from error
    return geometry_of(affine, tuple(int(length) for length in size), name)
