"""Files that cannot be read, or that are not one volume."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from pipeline.check_data.finding import ERROR, WARNING, Finding, of_error
from pipeline.check_data.geometry import LARGEST_REPAIRED_SHEAR, NEAREST, shear
from pipeline.core.errors import InputError
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

NIFTI = (".nii", ".nii.gz", ".nii.bz2", ".hdr")
# In millimetres, between what a NIFTI file's two descriptions make of the same corner of the volume
HEADER_TOLERANCE_MM = 0.5
# In what `read_scan` says of files that are no single volume
DIMENSIONS = ("value(s) a voxel", "colour", "volumes of")
# Of a voxel's size in two places of a header: more than rounding
SAME_SIZE = 0.01


def read(
    path: Path, case: str, reader: Callable[[Path], sitk.Image] = read_scan
) -> tuple[sitk.Image | None, list[Finding]]:
    """A scan or label as `reader` reads it, and what is wrong with the file; None if not readable."""
    try:
        image = reader(path)
    except InputError as error:
        sheared = _sheared(path, case) if "orthonormal" in str(error.__cause__) else None
        return None, [sheared or of_error(error, case, _kind(error), path)]
    return image, two_descriptions(path, case)


def _kind(error: InputError) -> str:
    return "dimensions" if any(word in str(error) for word in DIMENSIONS) else "file"


def _sheared(path: Path, case: str) -> Finding | None:
    """SimpleITK (2.5) reads no NIfTI file whose directions are not at right angles; by how much they are not."""
    places = nifti_places(path)
    if places is None or places.sform is None:
        return None
    amount = shear(_directions(places.sform))
    repair = NEAREST if amount <= LARGEST_REPAIRED_SHEAR else ""
    what = f"its directions are not at right angles (cosine {amount:.3g} between two of them), so it cannot be placed"
    mend = "a gantry tilt has to be resampled when the DICOM series is converted; rounding may be repaired"
    return Finding(ERROR, case, "direction", path, what, mend, repair)


def two_descriptions(path: Path, case: str) -> list[Finding]:
    """NIfTI files may say twice where they lie; programs differ in which of them they believe."""
    places = nifti_places(path)
    if places is None:
        return []
    if places.qform is None and places.sform is None:
        what = (
            "its header does not say how it lies in the patient; left, right, head and feet are assumed, as SimpleITK "
            "does, and other programs assume otherwise"
        )
        return [Finding(WARNING, case, "header", path, what, "look whether its sides are right, or convert it again")]
    if places.sform is not None and (found := _other_size(places.pixdim_mm, places.sform, case, path)):
        return [found]
    if places.qform is None or places.sform is None:
        return []
    last = np.array([*(length - 1 for length in places.size), 1.0])
    corners = np.stack([np.array([0.0, 0.0, 0.0, 1.0]), last], axis=1)
    apart_mm = float(np.abs((places.qform - places.sform) @ corners).max())
    if not apart_mm > HEADER_TOLERANCE_MM:
        return []
    if nibabel.aff2axcodes(places.qform) != nibabel.aff2axcodes(places.sform):
        what = "its header names opposite sides as left, front or top (sform and qform), so nobody can know which is"
        mend = "look at which one fits, and convert the scan again"
        return [Finding(ERROR, case, "header", path, what, mend)]
    what = (
        f"its header places the volume twice, {apart_mm:.3g} mm apart (sform and qform); programs differ in which they "
        "believe, and SimpleITK's choice is used here"
    )
    mend = "look at which one fits, and convert the scan again"
    return [Finding(WARNING, case, "header", path, what, mend, "SimpleITK's choice in both places")]


def _other_size(pixdim_mm: tuple[float, ...], sform: np.ndarray, case: str, path: Path) -> Finding | None:
    """Voxels of one size in `pixdim` and of another one in the sform; None where they agree."""
    sform_mm = np.linalg.norm(sform[:3, :3], axis=0)
    if np.allclose(sform_mm, pixdim_mm, rtol=SAME_SIZE, atol=0):
        return None
    sizes = (" x ".join(f"{mm:.4g}" for mm in each) for each in (pixdim_mm, sform_mm))
    what = "its header tells two sizes of its voxels, {} mm (pixdim) and {} mm (sform)".format(*sizes)
    return Finding(ERROR, case, "header", path, what, "look up which is right, and convert the scan again")


class NiftiPlaces(NamedTuple):
    """What a NIfTI header says of the volume's place: its size, and affines (4, 4), None where they are not set."""

    size: tuple[int, ...]
    qform: np.ndarray | None
    sform: np.ndarray | None
    pixdim_mm: tuple[float, ...]


def nifti_places(path: Path) -> NiftiPlaces | None:
    """Of a volume; None for other files and for what nibabel cannot read, which `read_scan` tells better."""
    # A pipe would never end
    if not path.name.lower().endswith(NIFTI) or not path.is_file():
        return None
    try:
        header = nibabel.load(path).header
        if not isinstance(header, nibabel.Nifti1Header) or len(header.get_data_shape()) != 3:
            return None
        forms = (header.get_qform(coded=True)[0], header.get_sform(coded=True)[0])
        return NiftiPlaces(header.get_data_shape(), *forms, tuple(map(float, header.get_zooms()[:3])))
    except (OSError, ValueError, EOFError, zlib.error, ImageFileError, HeaderDataError):
        return None


def _directions(affine: np.ndarray) -> np.ndarray:
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    return axes / np.where(lengths > 0, lengths, 1)
