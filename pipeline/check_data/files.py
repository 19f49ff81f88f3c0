"""Files that cannot be read, or that are not one volume."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from pipeline.check_data.finding import ERROR, WARNING, Finding, of_error
from pipeline.check_data.geometry import LARGEST_REPAIRED_SHEAR, shear
from pipeline.errors import InputError
from pipeline.scan import read_scan
from pipeline.simpleitk import sitk

NIFTI = (".nii", ".nii.gz")
# In millimetres, between what a NIFTI file's two descriptions make of the same corner of the volume
HEADER_TOLERANCE_MM = 0.5


def read(path: Path, case: str) -> tuple[sitk.Image | None, list[Finding]]:
    """A scan or label as `pipeline.scan.read_scan` reads it, and what is wrong with the file; None if not readable."""
    try:
        image = read_scan(path)
    except InputError as error:
        return None, [_sheared(path, case) or of_error(error, case, _kind(error), path)]
    return image, two_descriptions(path, case)


def _kind(error: InputError) -> str:
    return "dimensions" if "value(s) a voxel" in str(error) or "colour" in str(error) else "file"


def _sheared(path: Path, case: str) -> Finding | None:
    """SimpleITK (2.5) reads no NIfTI file whose directions are not at right angles; said as such."""
    header = nifti_header(path)
    if header is None or header.get_qform(coded=True)[1]:
        return None
    amount = shear(_directions(header.get_best_affine()))
    if amount <= 1e-4:
        return None
    repair = "the nearest directions at right angles" if amount <= LARGEST_REPAIRED_SHEAR else ""
    return Finding(
        ERROR,
        case,
        "direction",
        path,
        f"its directions are not at right angles (cosine {amount:.3g} between two of them), so no program can place it",
        "a gantry tilt has to be resampled when the DICOM series is converted; rounding may be repaired",
        repair,
    )


def two_descriptions(path: Path, case: str) -> list[Finding]:
    """NIfTI files may say twice where they lie; programs differ in which of them they believe."""
    header = nifti_header(path)
    if header is None:
        return []
    (qform, has_qform), (sform, has_sform) = header.get_qform(coded=True), header.get_sform(coded=True)
    if not (has_qform and has_sform):
        return []
    corner = np.array([*(length - 1 for length in header.get_data_shape()[:3]), 1.0])
    if corner.size != 4:
        return []
    apart_mm = max(float(np.abs((qform - sform)[:3, 3]).max()), float(np.abs((qform - sform) @ corner)[:3].max()))
    if not apart_mm > HEADER_TOLERANCE_MM:
        return []
    return [
        Finding(
            WARNING,
            case,
            "header",
            path,
            f"its header places the volume twice, {apart_mm:.3g} mm apart (sform and qform); programs differ in which "
            "they believe, and SimpleITK's choice is used here",
            "look at which one fits, and convert the scan again",
            "SimpleITK's choice in both places",
        )
    ]


def nifti_header(path: Path) -> nibabel.Nifti1Header | None:
    """The header of a NIfTI file; None for other files and what nibabel cannot read."""
    if not path.name.lower().endswith(NIFTI):
        return None
    try:
        header = nibabel.load(path).header
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError):
        # What is wrong with it, read_scan tells
        return None
    return header if isinstance(header, nibabel.Nifti1Header) else None


def _directions(affine: np.ndarray) -> np.ndarray:
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    return axes / np.where(lengths > 0, lengths, 1)
