"""Label files that another program or person made, joined with the cases of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import InputError
from pipeline.folders.codings import CODE, VALIDATION, meaning_of
from pipeline.folders.layouts import image_files
from pipeline.folders.several import told
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import case_name, read_geometry, read_scan
from pipeline.scans.simpleitk import sitk

# Of two labels of one scan, the overlap from which on they are taken to be of it where names say nothing
SAME_DICE = 0.5
# Those of nnU-Net's training, below the folder of all folds
VALIDATIONS = f"fold_*/{VALIDATION}"
# Where TotalSegmentator writes a file a structure, their names begin and end so
LOBE_FILES = "lung_*.nii.gz"


@dataclass(frozen=True)
class Joined:
    """Label files by case.

    Args:
        files: case -> its label file, or the folder that TotalSegmentator made of it.
        strangers: label files of no case.
        missing: cases without a label file.
    """

    files: Mapping[str, Path]
    strangers: Sequence[Path]
    missing: Sequence[str]


def join(folders: Sequence[Path], cases: Sequence[Mapping[str, Any]]) -> Joined:
    """Labels of cases, entries of a datalist with absolute paths, by names, else by grid and content.

    `x`, `x_seg`, `x-lungs` and `x_0000` are names of case `x`, unless a longer case name fits. What no name tells is of
    the case whose reference is on the same grid and has most in common with it. Raises InputError where a folder holds
    no label file, and where two files are of one case.
    """
    files = [file for folder in folders for file in _label_files(folder)]
    by_case: dict[str, Path] = {}
    unnamed = []
    for file in files:
        name = _case_of(case_name(file), [case["case"] for case in cases])
        if name is None:
            unnamed.append(file)
        elif name in by_case:
            raise InputError(f"case {name}: {by_case[name]} and {file} are both labels of it; take one of them away.")
        else:
            by_case[name] = file
    strangers = []
    for file in unnamed:
        name = _case_by_content(file, [case for case in cases if case["case"] not in by_case])
        if name is None:
            strangers.append(file)
        else:
            by_case[name] = file
    if not by_case:
        raise InputError(
            f"{told(folders)}: none of {len(files)} label files is of a case of DATA, neither by name ({files[0].name} "
            f"against {cases[0]['case']}) nor by grid and content; name them as the scans are named."
        )
    return Joined(by_case, strangers, [case["case"] for case in cases if case["case"] not in by_case])


def _label_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"PREDICTIONS is {folder}, but there is no such folder; check the path.")
    files = [*image_files(folder), *sorted({file.parent for file in folder.glob(f"*/{LOBE_FILES}")})]
    files = files or [file for part in sorted(folder.glob(VALIDATIONS)) for file in image_files(part)]
    if not files:
        raise InputError(f"{folder}: holds no label file; expected one a scan, such as NAME.nii.gz.")
    return files


def _case_of(name: str, cases: Iterable[str]) -> str | None:
    """The longest case name that a label's name is, or begins with."""
    fitting = [case for case in cases if name == case or (name.startswith(case) and not name[len(case)].isalnum())]
    return max(fitting, key=len, default=None)


def _case_by_content(file: Path, cases: Sequence[Mapping[str, Any]]) -> str | None:
    """The case on the same grid whose reference has most in common with a label file; None where none has enough."""
    if file.is_dir():
        return None
    here = read_geometry(file)
    near = [case for case in cases if not here.differences(read_geometry(case["label"]))]
    mine = sitk.GetArrayFromImage(read_scan(file)) > 0 if near else np.empty(0)
    overlaps = {case["case"]: _dice(mine, sitk.GetArrayFromImage(read_scan(case["label"])) > 0) for case in near}
    best = max(overlaps, key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] >= SAME_DICE else None


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    both = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / both if both else 0.0


def read_outside_label(file: Path) -> sitk.Image:
    """A label image with the file's own numbers; of a folder of TotalSegmentator's the project's codes."""
    if not file.is_dir():
        return read_scan(file)
    parts = [(read_scan(part), meaning_of(case_name(part))) for part in sorted(file.glob(LOBE_FILES))]
    known = [(image, meaning) for image, meaning in parts if meaning in CODE]
    if not known:
        raise InputError(
            f"{file}: holds no file of a lung that is known by its name, such as lung_upper_lobe_left.nii.gz."
        )
    codes = np.zeros(sitk.GetArrayViewFromImage(known[0][0]).shape, np.uint8)
    for image, meaning in known:
        codes[sitk.GetArrayViewFromImage(image) > 0] = CODE[str(meaning)]
    label = sitk.GetImageFromArray(codes)
    label.CopyInformation(known[0][0])
    return label


def on_grid_of(label: sitk.Image, scan: Geometry, case: str, file: Path) -> sitk.Image:
    """The label with its axes in the scan's order and sense; InputError where it then lies on another grid."""
    turned = sitk.DICOMOrient(label, sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(scan.direction))
    if differences := Geometry.of(turned).differences(scan):
        raise InputError(
            f"case {case}: {file} lies on another grid than its scan: {'; '.join(differences)}; have the program write "
            "its labels on the scan's grid."
        )
    return turned
