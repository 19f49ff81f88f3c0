"""The slice data sets of several papers as they are distributed: finding them in a folder and reading them.

Sets I and II are MedSeg's of medicalsegmentation.com/covid19, set III the public 20 CTs (Ma et al., Zenodo 3757476).
Each lies in the folder DATA or directly in a folder of it. A folder `set1`, `set2` or `set3` with scans and labels in a
layout of `pipeline.folders.layouts` stands in for a set, and so does any such folder for set III.

Labels get the project's codes: infection is the union of MedSeg's ground glass, consolidation and effusion; where a set
has one mask for both lungs (set I), or does not say which is the left one (set II), all lung is code 1, left. The label
map `abnormal_normal` joins 1 and 2.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.labels import INFECTION, LABEL_CODES, LEFT_LUNG
from pipeline.folders.layouts import Listing, by_case, image_files, list_cases, recognise
from pipeline.folders.public_set import are_public
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_geometry, read_label, read_scan
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)

ONE, TWO, THREE = "I", "II", "III"
STAND_INS = {ONE: "set1", TWO: "set2", THREE: "set3"}
WHAT = {
    ONE: "set I of medicalsegmentation.com (100 slices of over 40 patients)",
    TWO: "set II of medicalsegmentation.com (9 volumes)",
    THREE: "the public 20 CTs (Zenodo 3757476)",
}
FILES = {
    ONE: "tr_im.nii.gz, tr_mask.nii.gz and tr_lungmasks_updated.nii.gz or tr_lungmasks.nii.gz",
    TWO: "rp_im/, rp_msk/ and rp_lung_msk/ with equal file names",
    THREE: "scans and labels in a layout that `make check-data` reads",
}
# 1 ground glass, 2 consolidation, 3 pleural effusion
LESION_CODES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Stack:
    """The axial slices of one file.

    Args:
        name: of the case, unique within its set.
        labels: one file with the project's codes, or MedSeg's lesion mask and lung mask.
        annotates: structures that the label annotates, None for all of them.
        codes: what the codes of the label's file are, None for the project's.
    """

    name: str
    patient_id: str
    image: Path
    labels: tuple[Path, ...]
    annotates: tuple[str, ...] | None = None
    codes: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class SliceSet:
    """A data set of a paper, or what stands in for it."""

    number: str
    folder: Path
    stacks: tuple[Stack, ...]
    stands_in: bool

    def what(self) -> str:
        """Which data these really are."""
        if not self.stands_in:
            return f"{WHAT[self.number]} in {self.folder}"
        told = {stack.annotates for stack in self.stacks}
        partial = "" if told == {None} else ", scored where their labels annotate a class"
        return f"{len(self.stacks)} case(s) of {self.folder}, in place of {WHAT[self.number]}{partial}"


def find_set(number: str, data_dir: str | Path) -> SliceSet:
    """Set `I`, `II` or `III` in a folder or directly below it; InputError that says what was looked for where."""
    (found,) = find_sets((number,), data_dir)
    return found


def find_sets(numbers: Sequence[str], data_dir: str | Path, plain: str = THREE) -> list[SliceSet]:
    """Those of several sets that are in a folder or directly below it; InputError where there is none of them.

    `plain` is the set that scans and labels stand in for whose folder is not named after a set.
    """
    data = Path(os.path.abspath(data_dir))
    if not data.is_dir():
        raise InputError(f"DATA is {data}: there is no such folder; check the path.")
    below = [place for place in sorted(data.iterdir()) if place.is_dir() and not place.name.startswith(".")]
    if found := [one for number in numbers if (one := _look_for(number, data, below, plain))]:
        return found
    folders = ", ".join(folder.name for folder in below) or "it has none"
    raise InputError(
        f"DATA is {data}: {' and '.join(WHAT[number] for number in numbers)} is not there; looked for "
        f"{', for '.join(FILES[number] for number in numbers)} in it and in its folders ({folders}), and for scans and "
        f"labels to stand in for it in {' and '.join(f'{STAND_INS[number]}/' for number in numbers)}; add one of them."
    )


def _look_for(number: str, data: Path, below: list[Path], plain: str) -> SliceSet | None:
    """A set, or what stands in for it; None where there is neither."""
    if number != THREE:
        distributed = _set_one if number == ONE else _set_two
        for place in (data, *below):
            if stacks := distributed(place):
                return SliceSet(number, place, stacks, stands_in=False)
    place = data / STAND_INS[number]
    listing = list_cases(place) if place.is_dir() else None
    if listing is None and number == plain:
        place, listing = _recognised(data, below, number)
    if listing is None:
        return None
    prefix = "" if number == THREE else f"{STAND_INS[number]}_"
    stacks = tuple(
        Stack(
            prefix + case.name,
            case.patient_id,
            case.image,
            (_label(case.image, case.label),),
            case.annotates,
            case.codes,
        )
        for case in listing.cases
    )
    return SliceSet(number, place, stacks, stands_in=number != THREE or not are_public(stack.name for stack in stacks))


def _set_one(folder: Path) -> tuple[Stack, ...]:
    image = folder / "tr_im.nii.gz"
    if not image.is_file():
        return ()
    lesion = _first(folder / "tr_mask.nii.gz", beside=image)
    lung = _first(folder / "tr_lungmasks_updated.nii.gz", folder / "tr_lungmasks.nii.gz", beside=image)
    # Which slice is of which patient is not published.
    return (Stack("set1", "set1", image, (lesion, lung)),)


def _set_two(folder: Path) -> tuple[Stack, ...]:
    if not (folder / "rp_im").is_dir():
        return ()
    images, lesions, lungs = (by_case(image_files(folder / name)) for name in ("rp_im", "rp_msk", "rp_lung_msk"))
    if not images:
        raise InputError(f"{folder / 'rp_im'}: holds no scan; expected those of {WHAT[TWO]}; download it again.")
    for kind, files in (("rp_msk", lesions), ("rp_lung_msk", lungs)):
        if missing := sorted(images.keys() - files.keys()):
            raise InputError(
                f"{folder / kind}: has no {', '.join(missing)}; expected {FILES[TWO]}; download the set again."
            )
    return tuple(
        Stack(f"set2_{name}", f"set2_{name}", image, (lesions[name], lungs[name])) for name, image in images.items()
    )


def _first(*files: Path, beside: Path) -> Path:
    for file in files:
        if file.is_file():
            return file
    wanted = " or ".join(file.name for file in files)
    raise InputError(f"{beside}: has no {wanted} beside it; expected {FILES[ONE]} in one folder; add it.")


def _recognised(data: Path, below: list[Path], number: str) -> tuple[Path, Listing | None]:
    """The folder itself or the one folder of it whose layout is known; the public 20 CTs win over other data."""
    if listing := recognise(data):
        return data, listing
    others = [place for place in below if place.name not in STAND_INS.values()]
    found = [(place, listing) for place in others if (listing := recognise(place))]
    public = [(place, listing) for place, listing in found if len(listing.cases) == 20 and _all_public(listing)]
    choice = public or found
    if len(choice) > 1:
        names = ", ".join(place.name for place, _ in choice)
        raise InputError(
            f"DATA is {data}: {names} could each be {WHAT[number]}; expected one; give DATA=that folder, or rename it "
            f"{STAND_INS[number]}."
        )
    return choice[0] if choice else (data, None)


def _all_public(listing: Listing) -> bool:
    return are_public(case.name for case in listing.cases)


def _label(image: Path, label: Path | None) -> Path:
    if label is None:
        raise InputError(f"{image}: has no label; expected one of the same name; add it or remove the scan.")
    return label


def read_image(stack: Stack) -> sitk.Image:
    """The slices as they are stored, axis 2 (x, y, z) counting them."""
    return _axial(read_scan(stack.image), stack)


def read_codes(stack: Stack) -> sitk.Image:
    """The slices' labels in the project's codes, uint8, on the grid of `read_image`."""
    grid = read_geometry(stack.image)
    if len(stack.labels) == 1:
        (file,) = stack.labels
        codes = _whole_numbers(file, LABEL_CODES, grid, stack.codes)
        if differences := grid.differences(read_geometry(file)):
            raise InputError(f"{file}: is not on the grid of {stack.image}: {'; '.join(differences)}; resample it.")
    else:
        lesion_file, lung_file = stack.labels
        lesion, lung = _whole_numbers(lesion_file, LESION_CODES, grid), _voxels(lung_file, grid) != 0
        codes = np.where(lesion > 0, INFECTION, np.where(lung, LEFT_LUNG, 0)).astype(np.uint8)
        _warn_of_headers(stack, grid)
    image = sitk.GetImageFromArray(codes)
    image.CopyInformation(grid.empty_image())
    return _axial(image, stack)


def _voxels(file: Path, grid: Geometry, codes: Mapping[str, str] | None = None) -> np.ndarray:
    """The voxels of a mask (D, H, W); InputError where it has another size than its scan."""
    mask = read_label(file, codes)
    if mask.GetSize() != grid.size:
        raise InputError(f"{file}: has size {mask.GetSize()}; expected {grid.size}, its scan's; download it again.")
    return sitk.GetArrayFromImage(mask)


def _whole_numbers(
    file: Path, expected: tuple[int, ...], grid: Geometry, codes: Mapping[str, str] | None = None
) -> np.ndarray:
    """The codes of a mask, uint8 (D, H, W); InputError for any but the expected ones."""
    voxels = _voxels(file, grid, codes)
    known = np.isin(voxels, expected)
    if not known.all():
        raise InputError(
            f"{file}: holds the value {voxels[~known][0]:g}; expected {', '.join(map(str, expected))}; relabel it."
        )
    return voxels.astype(np.uint8)


@cache
def _warn_of_headers(stack: Stack, grid: Geometry) -> None:
    """MedSeg's masks fit their scans voxel by voxel; where a header says otherwise, the voxels are believed."""
    for file in stack.labels:
        if differences := grid.differences(read_geometry(file)):
            logger.warning("%s: its header differs from its scan's (%s); not used", file, "; ".join(differences))


def _axial(image: sitk.Image, stack: Stack) -> sitk.Image:
    """Volumes whose third axis is not the body's, reoriented; MedSeg's stacks as they are, whose slices are axial."""
    # Column 3 of the direction, row 3: how far the third axis points along the body
    along_body = abs(image.GetDirection()[8])
    return image if len(stack.labels) > 1 or along_body > 0.5 else sitk.DICOMOrient(image, "LPS")
