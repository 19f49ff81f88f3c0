"""Repaired copies of a data set: what can be mended without guessing, in another folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from pipeline.atomic import read_json, write_json
from pipeline.check_data.finding import ERROR, Finding, of_level
from pipeline.check_data.intensity import AIR_HU, OFFSET, PADDING_HU, check_intensity
from pipeline.check_data.labels import NAMED_IN
from pipeline.errors import InputError
from pipeline.labels import LABEL_NAMES, LEFT_LUNG, RIGHT_LUNG
from pipeline.layouts import Listing
from pipeline.scan import PNG, read_scan
from pipeline.simpleitk import sitk

# Of a file whose repair did not hold
AS_IT_WAS = "copied as it was"
Mend = Callable[[sitk.Image], sitk.Image]


def repair(listing: Listing, folder: Path, findings: Sequence[Finding], target: Path) -> list[str]:
    """Copy a data set to a new folder, with all files mended that findings say can be; what was done, a line a file.

    No case is left out and nothing is written into `folder`. The copy appears under its name when all of it is
    written. Raises InputError where `target` is there already or lies in `folder`, or where files of the data set
    lie outside of `folder`.
    """
    target = Path(os.path.abspath(target))
    # A link is what it leads to
    if target.exists() or Path(os.path.realpath(target)).is_relative_to(os.path.realpath(folder)):
        why = "is there already" if target.exists() else "lies within the data set"
        raise InputError(f"{target}: {why}; give REPAIR= a folder that does not exist yet, outside of DATA.")
    files = [path for case in listing.cases for path in (case.image, case.label) if path]
    files += listing.labels_without_image
    if outside := [path for path in files if not path.is_relative_to(folder)]:
        raise InputError(f"{outside[0]}: lies outside of {folder}; move it there, a copy would not find it.")
    # Descriptions of the data set lie at its top
    files += [path for path in folder.iterdir() if path.is_file() and path not in files]
    wanted = _wanted(listing, findings)
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        done = [line for path in files if (line := _write(path, folder, growing, wanted.get(path, {})))]
        os.replace(growing, target)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return done


def _wanted(listing: Listing, findings: Sequence[Finding]) -> dict[Path, dict[str, Finding]]:
    """File -> check -> what is to be repaired there."""
    wanted: dict[Path, dict[str, Finding]] = {}
    for finding in findings:
        if finding.repair and finding.file:
            wanted.setdefault(finding.file, {})[finding.check] = finding
    # A scan that gets another place takes its label along
    for case in listing.cases:
        if case.label in wanted and "grid" in wanted[case.label]:
            wanted[case.label]["grid_of"] = Finding("", case.name, "grid_of", case.image, "")
    return wanted


def _write(path: Path, folder: Path, growing: Path, wanted: Mapping[str, Finding]) -> str:
    """Copy a file, or write it mended; what was done to it, empty for nothing."""
    copy = growing / path.relative_to(folder)
    copy.parent.mkdir(parents=True, exist_ok=True)
    mends = {check: finding for check, finding in wanted.items() if finding.repair}
    if not mends:
        if path.exists():
            shutil.copy2(path, copy)
        return ""
    told = f"{path.relative_to(folder).as_posix()}: {', '.join(finding.repair for finding in mends.values())}"
    if "code_names" in mends:
        write_json(copy, _with_sides_named(path))
        return told
    image = _right_angles(path) if "direction" in mends else read_scan(path)
    if "grid" in mends:
        image.CopyInformation(read_scan(wanted["grid_of"].file or path))
    for check, mend in MENDS.items():
        if check in mends:
            image = mend(image)
    # A PNG is read as a volume of one slice, which is no PNG
    sitk.WriteImage(image[:, :, 0] if copy.name.lower().endswith(PNG) else image, str(copy), useCompression=True)
    if {"offset", "padding"} & mends.keys() and (doubt := _still_wrong(copy)):
        shutil.copy2(path, copy)
        return f"{path.relative_to(folder).as_posix()}: {AS_IT_WAS}, since the repaired one {doubt}"
    return told


def _still_wrong(copy: Path) -> str:
    """What is wrong with the numbers of a repaired scan, read back; "" where they are plausible."""
    _, doubts = check_intensity(read_scan(copy), copy.name, copy)
    return "; ".join(doubt.what for doubt in of_level(doubts, ERROR))


def _with_sides_named(path: Path) -> dict[str, Any]:
    """A description of a data set in which the codes of the lungs have the project's names."""
    description: dict[str, Any] = read_json(path)
    names = description[NAMED_IN[path.name]]
    left, right = LABEL_NAMES[LEFT_LUNG], LABEL_NAMES[RIGHT_LUNG]
    if str(LEFT_LUNG) in names:
        names |= {str(LEFT_LUNG): left, str(RIGHT_LUNG): right}
        return description
    # nnU-Net's second version: {"right lung": 1, "left lung": 2}
    others = {name: code for name, code in names.items() if code not in (LEFT_LUNG, RIGHT_LUNG)}
    return {**description, NAMED_IN[path.name]: {**others, left: LEFT_LUNG, right: RIGHT_LUNG}}


def without_offset(image: sitk.Image) -> sitk.Image:
    """The scanner's offset subtracted, and padding made air."""
    return without_padding(_with_voxels(image, sitk.GetArrayFromImage(image).astype(np.int32) - OFFSET))


def without_padding(image: sitk.Image) -> sitk.Image:
    """What is far darker than air becomes air; the noise around it stays."""
    voxels = sitk.GetArrayFromImage(image)
    voxels[voxels < PADDING_HU] = AIR_HU
    small = voxels.dtype.kind in "iu" and int(voxels.max()) <= np.iinfo(np.int16).max
    return _with_voxels(image, voxels.astype(np.int16) if small else voxels)


def with_sides_swapped(label: sitk.Image) -> sitk.Image:
    codes = sitk.GetArrayFromImage(label)
    left, right = codes == LEFT_LUNG, codes == RIGHT_LUNG
    codes[left], codes[right] = RIGHT_LUNG, LEFT_LUNG
    return _with_voxels(label, codes)


MENDS: Mapping[str, Mend] = {
    "offset": without_offset,
    "padding": without_padding,
    "sides": with_sides_swapped,
}


def _with_voxels(image: sitk.Image, voxels: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(voxels)
    made.CopyInformation(image)
    return made


def _right_angles(path: Path) -> sitk.Image:
    """A volume with the nearest directions at right angles; NIfTI by nibabel, as SimpleITK reads no others."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        image = read_scan(path)
        image.SetDirection(nearest_rotation(np.reshape(image.GetDirection(), (3, 3))).ravel())
        return image
    loaded: Any = nibabel.load(path)
    affine = loaded.affine
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    # NIfTI: x to the right, y to the front; SimpleITK: to the left and to the back
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asanyarray(loaded.dataobj).transpose(2, 1, 0)))
    image.SetSpacing(spacing_mm.astype(float).tolist())
    image.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    image.SetDirection((to_lps @ nearest_rotation(affine[:3, :3] / spacing_mm)).ravel().tolist())
    return image


def nearest_rotation(directions: np.ndarray) -> np.ndarray:
    """The orthonormal matrix nearest to directions (3, 3), a rotation or with a mirror: its polar factor."""
    left, _, right = np.linalg.svd(directions)
    return left @ right
