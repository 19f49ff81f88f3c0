"""A small but plausible chest for the tests of check-data, and data sets with a planted defect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

from pipeline.check_data.check import check_labelled
from pipeline.check_data.finding import Finding
from pipeline.folders.layouts import list_cases

SIZE, SPACING_MM = (60, 50, 44), (6.0, 6.0, 6.0)


def patient(seed: int = 0) -> tuple[sitk.Image, sitk.Image]:
    """A scan in Hounsfield units and its label: a body 320 mm wide, two lungs of 20 to 25 cm, a lesion in the left one.

    Each seed is another patient: lungs of another shape with other vessels.
    """
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(SIZE, SPACING_MM, strict=True)), indexing="ij"
    )

    def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        return sum(((place - c) / r) ** 2 for place, c, r in zip((x, y, z), centre, radii, strict=True)) < 1

    hounsfield, codes = np.full(SIZE, -1000.0), np.zeros(SIZE, np.uint8)
    hounsfield[ellipsoid((0, 0, 0), (165, 115, 1000))] = 40
    hounsfield[ellipsoid((0, 80, 0), (20, 20, 1000))] = 600
    for code, side in ((1, 1), (2, -1)):
        lung = ellipsoid((75 * side, 0, rng.uniform(-8, 8)), tuple(rng.uniform(0.9, 1.1, 3) * (48, 70, 108)))
        hounsfield[lung], codes[lung] = -850, code
    for centre in rng.uniform((-120, -70, -100), (120, 70, 100), (60, 3)):
        vessel = ellipsoid(tuple(centre), tuple(rng.uniform(8, 22, 3))) & (codes > 0)
        hounsfield[vessel] = -100
    lesion = ellipsoid((75, 10, 10), (25, 30, 35)) & (codes > 0)
    hounsfield[lesion], codes[lesion] = -300, 3
    hounsfield += rng.normal(0, 15, SIZE)
    return volume(hounsfield.astype(np.int16)), volume(codes)


def volume(voxels: np.ndarray) -> sitk.Image:
    """An image from an array (x, y, z), in the middle of the scanner."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(SPACING_MM)
    image.SetOrigin([-(n - 1) / 2 * mm for n, mm in zip(SIZE, SPACING_MM, strict=True)])
    return image


def changed(image: sitk.Image, change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    """An image with other voxels (z, y, x) in the same place."""
    made = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    made.CopyInformation(image)
    return made


def write_case(folder: Path, name: str, image: sitk.Image, label: sitk.Image | None) -> None:
    for kind, one in (("images", image), ("labels", label)):
        if one is not None:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(one, str(folder / kind / f"{name}.nii.gz"), useCompression=True)


def found_in(folder: Path) -> list[Finding]:
    return check_labelled(list_cases(folder), folder)[1]


def found_of(folder: Path, image: sitk.Image, label: sitk.Image) -> dict[str, Finding]:
    """What is found in a data set of one case, by the name of the check."""
    write_case(folder, "a", image, label)
    return {finding.check: finding for finding in found_in(folder)}


def sheared(folder: Path, image: sitk.Image, label: sitk.Image, amount: float) -> None:
    """A case whose scan has directions that are not at right angles, in a NIfTI header's sform alone."""
    write_case(folder, "a", image, label)
    file = folder / "images/a.nii.gz"
    stored = nibabel.load(file)
    affine = stored.affine.copy()
    affine[0, 1] += amount * affine[1, 1]
    made = nibabel.Nifti1Image(np.asarray(stored.dataobj), affine)
    made.header["qform_code"] = 0
    made.header["sform_code"] = 1
    nibabel.save(made, file)


def swapped(codes: np.ndarray) -> np.ndarray:
    return np.array([0, 2, 1, 3], np.uint8)[codes]
