"""Repaired copies of a data set: what can be mended without guessing, in another folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from pipeline.check_data.check import check_case, check_scan
from pipeline.check_data.files import NIFTI
from pipeline.check_data.finding import ERROR, Finding
from pipeline.check_data.intensity import AIR_HU, OFFSET, PADDING_HU
from pipeline.check_data.labels import NAMED_IN
from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import INFECTION, LABEL_NAMES, LEFT_LUNG, RIGHT_LUNG
from pipeline.core.progress_bar import progress_bar
from pipeline.folders.layouts import Case, Listing
from pipeline.scans.header_formats import TWO_FILES
from pipeline.scans.scan import PNG, ROUNDED, case_name, files_there, read_label, read_scan
from pipeline.scans.simpleitk import sitk

# Of a file whose repair did not hold
AS_IT_WAS = "copied as it was"
# Findings that are no errors, with which a repaired scan is not plausible
DOUBTS = frozenset({"tissue"})
# Mends of labels
OF_LABELS = frozenset({"grid", "sides", "mask"})
# The layout whose dataset.json names every file
NAMED_FILE_BY_FILE = "decathlon"
Mend = Callable[[sitk.Image], sitk.Image]


def repair(listing: Listing, folder: Path, findings: Sequence[Finding], target: Path) -> list[str]:
    """Copy a data set to a new folder, with all files mended that findings say can be; what was done, a line a file.

    No case is left out and nothing is written into `folder`. The copy appears under its name when all of it is
    written. Of several folders, `folder` holds them all, and so does `target` then. Raises InputError where `target`
    is there already or lies in the data set, or where files of the data set lie outside of `folder`.
    """
    target, parts = Path(os.path.abspath(target)), listing.by_folder(folder)
    # A link is what it leads to
    if target.exists() or any(Path(os.path.realpath(target)).is_relative_to(os.path.realpath(part)) for part in parts):
        why = "is there already" if target.exists() else "lies within the data set"
        raise InputError(f"{target}: {why}; give REPAIR= a folder that does not exist yet, outside of DATA.")
    files = [*_files(listing), *listing.labels_without_image]
    wanted = _wanted(listing, findings)
    # A repaired one is written into one file
    files += [voxels for path in files if path not in wanted for voxels in files_there(path)[1:]]
    if outside := [path for path in files if not path.is_relative_to(folder)]:
        raise InputError(f"{outside[0]}: lies outside of {folder}; move it there, a copy would not find it.")
    # Descriptions of the data set lie at its top
    files += [path for part in parts for path in part.iterdir() if path.is_file() and path not in files]
    named = {file for part in parts.values() if part.layout == NAMED_FILE_BY_FILE for file in _files(part)}
    if renamed := [path for path in wanted if path in named and _copy_name(path) != path.name]:
        raise InputError(
            f"{renamed[0]}: its repaired copy would be a .nii.gz, which dataset.json does not name; convert it first."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        copied = progress_bar(files, len(files), "copying and repairing")
        done = {path: line for path in copied if (line := _write(path, folder, growing, wanted.get(path, {})))}
        for case in listing.cases:
            if doubt := _doubt(case, folder, growing, findings, wanted):
                for path in (case.image, case.label):
                    done |= _undone(path, folder, growing, done, doubt)
        os.replace(growing, target)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return list(done.values())


def _files(listing: Listing) -> list[Path]:
    """Scans and labels of all cases."""
    return [path for case in listing.cases for path in (case.image, case.label) if path]


def _doubt(
    case: Case,
    folder: Path,
    growing: Path,
    findings: Sequence[Finding],
    wanted: Mapping[Path, Mapping[str, Finding]],
) -> str:
    """Why the repaired files of a case, read back, are no better than they were; "" where they are.

    What asked for the repair is to be gone, and no error to have come but such as a next repair mends.
    """
    mended = {path: wanted[path] for path in (case.image, case.label) if path and path in wanted}
    if not mended:
        return ""
    image, label = (path and _copy_of(path, folder, growing) for path in (case.image, case.label))
    copied = replace(case, image=image or case.image, label=label)
    again = (check_case if label else check_scan)(growing, copied).findings
    asked = {check for checks in mended.values() for check in checks}
    before = {finding.check for finding in findings if finding.case == case.name}
    return "; ".join(
        finding.what
        for finding in again
        if finding.check in asked | DOUBTS
        or (finding.level == ERROR and not finding.repair and finding.check not in before)
    )


def _undone(path: Path | None, folder: Path, growing: Path, done: Mapping[Path, str], doubt: str) -> dict[Path, str]:
    """The original in the place of a repaired copy, and what is told of it; {} for a file that was not repaired."""
    if path is None or path not in done:
        return {}
    _copy_of(path, folder, growing).unlink()
    for part in files_there(path):
        shutil.copy2(part, growing / part.relative_to(folder))
    return {path: f"{path.relative_to(folder).as_posix()}: {AS_IT_WAS}, since the repaired case {doubt}"}


def _copy_of(path: Path, folder: Path, growing: Path) -> Path:
    """Where the copy of a file lies: a repaired one under its own name or as .nii.gz, one that was copied as it is."""
    copy = growing / path.relative_to(folder)
    packed = copy.with_name(_copy_name(path))
    return packed if packed.exists() else copy


def _copy_name(path: Path) -> str:
    """The name under which a repaired file is written: in one file, packed by gzip where its own way is not written."""
    return f"{case_name(path)}.nii.gz" if path.name.lower().endswith((*TWO_FILES, ".nii.bz2")) else path.name


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
    copy = copy.with_name(_copy_name(path))
    reader = _right_angles if "direction" in mends else read_label if OF_LABELS & mends.keys() else read_scan
    image = reader(path)
    image.EraseMetaData(ROUNDED)
    if "grid" in mends:
        image.CopyInformation(read_scan(wanted["grid_of"].file or path))
    for check, mend in MENDS.items():
        if check in mends:
            image = mend(image)
    # A PNG is read as a volume of one slice, which is no PNG
    sitk.WriteImage(image[:, :, 0] if copy.name.lower().endswith(PNG) else image, str(copy), useCompression=True)
    return told


def _with_sides_named(path: Path) -> dict[str, Any]:
    """A description of a data set in which the codes of the lungs have the project's names."""
    description: dict[str, Any] = read_json(path)
    names = description[NAMED_IN[path.name]]
    if len([code for code in names if code != "0" and names[code] != 0]) == 1:
        # A mask of infection
        return {**description, NAMED_IN[path.name]: {str(INFECTION): LABEL_NAMES[INFECTION]}}
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


def with_infection(label: sitk.Image) -> sitk.Image:
    codes = sitk.GetArrayFromImage(label)
    codes[codes == LEFT_LUNG] = INFECTION
    return _with_voxels(label, codes)


MENDS: Mapping[str, Mend] = {
    "offset": without_offset,
    "padding": without_padding,
    "sides": with_sides_swapped,
    "mask": with_infection,
}


def _with_voxels(image: sitk.Image, voxels: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(voxels)
    made.CopyInformation(image)
    return made


def _right_angles(path: Path) -> sitk.Image:
    """A volume with the nearest directions at right angles; NIfTI by nibabel, as SimpleITK reads no others."""
    if not path.name.lower().endswith(NIFTI):
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
