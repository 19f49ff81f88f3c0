"""A scan or label map that a program gives in memory, as an image: arrays, tensors, images of SimpleITK and nibabel."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.spatialimages import SpatialImage

from pipeline.core.errors import InputError
from pipeline.scans.front import from_array
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import RAS_OF_LPS, geometry_of
from pipeline.scans.scan import as_volume
from pipeline.scans.simpleitk import sitk

ASSUMED = (
    "it came with spacing_mm alone: its axes were taken to grow to the patient's left, back and head; where they do "
    "not, sides are wrong, and an affine would tell."
)


def given_image(
    given: Any, name: str, spacing_mm: Sequence[float] | None = None, affine: Any | None = None
) -> tuple[sitk.Image, list[str]]:
    """A copy of a volume as an image, and what was assumed of it.

    Args:
        given: a numpy array or torch tensor (W, H, D) or (1, W, H, D), which needs one of the next two; or a
            MetaTensor, SimpleITK image or nibabel image, which brings its own grid.
        name: in messages.
        spacing_mm: along the array's three axes, which then grow to the patient's left, back and head, as in DICOM.
        affine: (4, 4), from the array's indices to millimetres in RAS, as nibabel and MONAI have it.

    Raises InputError for anything else, for a grid that no scanner gives, for an array that seems to be (D, H, W), and
    for numbers that are no scan's, such as complex ones.
    """
    if isinstance(given, sitk.Image | SpatialImage | MetaTensor):
        if spacing_mm is not None or affine is not None:
            raise InputError(
                f"{name}: spacing_mm and affine are for arrays, and a {type(given).__name__} brings its own grid; "
                "leave them out, or give its voxels as an array."
            )
        return _with_grid(given, name), []
    if not isinstance(given, np.ndarray | torch.Tensor):
        raise InputError(
            f"{name}: is of type {type(given).__name__}; expected a path, an array or tensor (W, H, D), a MetaTensor, "
            "or an image of SimpleITK or nibabel."
        )
    voxels = _voxels(given, name)
    if (spacing_mm is None) == (affine is None):
        what = "neither spacing_mm nor affine" if affine is None else "both spacing_mm and affine"
        raise InputError(f"{name}: is an array with {what}; give one of them, so that its volumes are right.")
    if spacing_mm is None:
        return _placed(voxels, _numbers(affine, name), name), []
    spacing = _three(spacing_mm, name)
    _refuse_depth_first(voxels.shape, name)
    return _placed(voxels, RAS_OF_LPS @ np.diag([*spacing, 1.0]), name), [ASSUMED]


def _with_grid(given: sitk.Image | SpatialImage | MetaTensor, name: str) -> sitk.Image:
    if isinstance(given, sitk.Image):
        image = as_volume(given, name)
        _check_numbers(sitk.GetArrayViewFromImage(image), name)
        Geometry.of(image).check_prepared(name)
        # A change of the caller's then makes that one's own copy
        return sitk.Image(image)
    if isinstance(given, MetaTensor):
        return _placed(_voxels(given.as_tensor(), name), given.affine.cpu().numpy(), name)
    if given.affine is None:
        raise InputError(f"{name}: is a nibabel image without an affine; give its voxels as an array, and spacing_mm.")
    voxels = np.asanyarray(given.dataobj)
    # As of files: axes of length 1 beyond the third are none
    if voxels.ndim > 3 and set(voxels.shape[3:]) == {1}:
        voxels = voxels.reshape(voxels.shape[:3])
    return _placed(_voxels(voxels, name), given.affine, name)


def _voxels(given: np.ndarray | torch.Tensor, name: str) -> np.ndarray:
    """Voxels (W, H, D) in a type that an image can have."""
    if isinstance(given, torch.Tensor):
        tensor = given.detach().cpu()
        given = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    voxels = given[0] if given.ndim == 4 and len(given) == 1 else given
    if voxels.ndim != 3 or not voxels.size:
        raise InputError(f"{name}: has shape {given.shape}; expected one volume (W, H, D), or (1, W, H, D).")
    _check_numbers(voxels, name)
    if voxels.dtype.kind == "b":
        return voxels.astype(np.uint8)
    return voxels.astype(np.float32) if voxels.dtype == np.float16 else voxels


def _check_numbers(voxels: np.ndarray, name: str) -> None:
    if voxels.dtype.kind not in "buif" or voxels.dtype.itemsize > 8:
        raise InputError(f"{name}: holds numbers of type {voxels.dtype}; expected whole or floating-point ones.")


def _placed(voxels: np.ndarray, affine: np.ndarray, name: str) -> sitk.Image:
    grid = geometry_of(affine, voxels.shape, name)
    grid.check_prepared(name)
    # In the byte order of this machine, which files may not have
    return from_array(voxels.astype(voxels.dtype.newbyteorder("="), copy=False), grid)


def _numbers(affine: Any, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: affine is {affine!r}, expected 4 x 4 numbers.") from error
    if numbers.shape != (4, 4):
        raise InputError(f"{name}: affine has {' x '.join(map(str, numbers.shape)) or 1} numbers, expected 4 x 4.")
    return numbers


def _three(spacing_mm: Sequence[float], name: str) -> list[float]:
    try:
        spacing = [float(length) for length in spacing_mm]
    except (TypeError, ValueError):
        spacing = []
    if len(spacing) != 3 or not all(isfinite(length) and length > 0 for length in spacing):
        raise InputError(
            f"{name}: spacing_mm is {spacing_mm!r}, expected three lengths above 0, along the array's axes (W, H, D)."
        )
    return spacing


def _refuse_depth_first(shape: tuple[int, ...], name: str) -> None:
    """Slices are square in nearly every CT: equal lengths of the last two axes alone tell of (D, H, W)."""
    if shape[1] == shape[2] != shape[0]:
        raise InputError(
            f"{name}: has shape {shape}, which looks like (D, H, W), as SimpleITK's arrays are; give "
            "array.transpose(2, 1, 0) and its spacing_mm in that order, or, if it is (W, H, D), an affine instead."
        )
