"""A data folder as a MONAI-style datalist, every file read to its end before anything is trained on it.

python -m pipeline.datalist DATA --out datalist.json
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from json import JSONDecodeError
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.atomic import read_json, write_json
from pipeline.errors import InputError, report_plainly
from pipeline.labels import (
    BACKGROUND,
    CONSOLIDATION,
    GROUND_GLASS,
    INFECTION,
    KINDS,
    LABEL_CODES,
    LABEL_NAMES,
    LEFT_LUNG,
    RIGHT_LUNG,
    STRUCTURES,
    LabelMap,
)
from pipeline.layouts import UNDERSTOOD, Case, Listing, by_case, image_files, list_cases, recognise, unrecognised
from pipeline.scan import GREY_255, HOUNSFIELD, SUFFIXES, Geometry, file_sha256, intensity_domain, read_scan
from pipeline.simpleitk import sitk

EXPECTED_CODES = ", ".join(f"{code} {name}" for code, name in LABEL_NAMES.items())
# In volume_ml, infection of code 3 in a label that has other infection of a kind
UNSPECIFIED = "unspecified_infection"
# A part of the name that a folder must give a code, where it names its codes at all.
NAME_PARTS = {
    LEFT_LUNG: ("left",),
    RIGHT_LUNG: ("right",),
    INFECTION: ("infect", "lesion", "covid", "opaci", "ground", "ggo"),
    GROUND_GLASS: ("ground", "ggo", "opaci"),
    CONSOLIDATION: ("consol",),
}


def read_datalist(dataset_dir: str | Path) -> dict[str, Any]:
    """The labelled cases of a folder in any layout of `pipeline.layouts`, read and checked.

    Gives layout, dataset_dir (absolute), label_codes and training, a list by case of case, patient_id, image and label
    (relative to dataset_dir), intensity, spacing_mm and size (x, y, z), volume_ml of each structure and, where a label
    tells them, of the kinds of infection, and the SHA-256 of both files. Raises one InputError that tells every
    case that is wrong.
    """
    listing, folder = list_cases(dataset_dir), Path(os.path.abspath(dataset_dir))
    _check_label_names(listing, folder)
    # Two threads: SimpleITK, zlib and hashlib let others run, and two full scans fit into any memory.
    with ThreadPoolExecutor(max_workers=2) as readers:
        outcomes = list(readers.map(partial(_entry_or_complaint, folder), listing.cases))
    complaints = [outcome for outcome in outcomes if isinstance(outcome, str)]
    for path in listing.labels_without_image:
        complaints.append(f"label {path}: has no image; expected one of the same name; add it or remove the label.")
    _raise_together(folder, complaints)
    return {
        "layout": listing.layout,
        "dataset_dir": str(folder),
        "label_codes": {str(code): name for code, name in LABEL_NAMES.items()},
        "training": outcomes,
    }


def write_datalist(dataset_dir: str | Path, file: str | Path) -> dict[str, Any]:
    """As `read_datalist`, and written to a JSON file."""
    datalist = read_datalist(dataset_dir)
    write_json(file, datalist)
    return datalist


def load_datalist(file: str | Path) -> dict[str, Any]:
    """A datalist from its JSON file; nothing is read of the data itself."""
    make_it = f"make it with `python -m pipeline.datalist DATA --out {file}`"
    try:
        datalist = read_json(file)
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such datalist; {make_it}.") from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not readable as JSON ({error}); {make_it}.") from error
    if not isinstance(datalist, dict) or not {"dataset_dir", "training"} <= datalist.keys():
        raise InputError(f"{file}: is not a datalist, which has dataset_dir and training; {make_it}.")
    return datalist


def scans(path: str | Path) -> list[dict[str, str]]:
    """Scans to segment, by case: one image file, a plain folder of image files, or the images of a known layout.

    Each is {"case", "image"} with an absolute path; labels are not looked at. Raises InputError where there is none.
    """
    place = Path(os.path.abspath(path))
    # Unlike Path's own, false too for a name that no file can have
    if not os.path.lexists(place):
        raise InputError(f"{place}: there is no such file or folder; check the path.")
    if not place.is_dir():
        if not place.name.lower().endswith(SUFFIXES):
            raise InputError(f"{place}: is no image file; expected {', '.join(SUFFIXES)}; convert it.")
        images = by_case([place])
    elif listing := recognise(place):
        images = {case.name: case.image for case in listing.cases}
    else:
        images = by_case(image_files(place))
    if not images:
        raise InputError(unrecognised(place, (f"a plain folder of {', '.join(SUFFIXES)} files", *UNDERSTOOD)))
    return [{"case": name, "image": str(image)} for name, image in sorted(images.items())]


def check_kinds(datalist: Mapping[str, Any], classes: LabelMap) -> None:
    """Raise InputError where classes are kinds of infection and the labels of a datalist do not tell the kinds."""
    if not classes.tells_kinds:
        return
    wanted = ", ".join(f"{code} {LABEL_NAMES[code]}" for code in (GROUND_GLASS, CONSOLIDATION))
    mend = f"label infection as {wanted}, or choose a network that finds infection of any kind"
    volumes_ml = {entry["case"]: entry["volume_ml"] for entry in datalist["training"]}
    if not any(name in volumes for volumes in volumes_ml.values() for name in KINDS):
        raise InputError(f"{datalist['dataset_dir']}: none of its labels tells the kinds of infection apart; {mend}.")
    for case, volumes in volumes_ml.items():
        if UNSPECIFIED in volumes or (volumes["infection"] and not {*KINDS} <= volumes.keys()):
            raise InputError(f"case {case}: has infection of no kind (code {INFECTION}); {mend}.")


def _entry_or_complaint(folder: Path, case: Case) -> dict[str, Any] | str:
    try:
        return _entry(folder, case)
    except InputError as error:
        return f"case {case.name}: {error}"


def _entry(folder: Path, case: Case) -> dict[str, Any]:
    """The datalist entry of a case; InputError for the first thing that is wrong with it."""
    if case.label is None:
        raise InputError(f"{case.image} has no label; expected one of the same name; add it or remove the scan.")
    image, label = read_scan(case.image), read_scan(case.label)
    _check_same_grid(image, label)
    return {
        "case": case.name,
        "patient_id": case.patient_id,
        "image": Path(os.path.relpath(case.image, folder)).as_posix(),
        "label": Path(os.path.relpath(case.label, folder)).as_posix(),
        "intensity": intensity_domain(image, str(case.image)),
        "spacing_mm": [round(spacing, 6) for spacing in image.GetSpacing()],
        "size": list(image.GetSize()),
        "volume_ml": _structure_volumes_ml(label, case.label),
        "image_sha256": file_sha256(case.image),
        "label_sha256": file_sha256(case.label),
    }


def _check_same_grid(image: sitk.Image, label: sitk.Image) -> None:
    differences = Geometry.of(label).differences(Geometry.of(image))
    if not differences:
        return
    if label.GetSize() == image.GetSize():
        mend = "if its voxels fit all the same, save it after SimpleITK's label.CopyInformation(image)"
    else:
        mend = "resample it onto the image with nearest neighbour"
    raise InputError(f"the label is not on the image's grid: {'; '.join(differences)} of the image; {mend}.")


def _structure_volumes_ml(label: sitk.Image, path: Path) -> dict[str, float]:
    """Volume of each structure in ml; InputError for other label codes and for a label without any structure."""
    view = sitk.GetArrayViewFromImage(label)
    voxels = {code: int(np.count_nonzero(view == code)) for code in LABEL_CODES}
    if sum(voxels.values()) != view.size:
        codes = [f"{code:g}" for code in np.unique(view)]
        found = ", ".join(codes[:8]) + (f" and {len(codes) - 8} more" if len(codes) > 8 else "")
        raise InputError(f"{path}: holds the codes {found}; expected only {EXPECTED_CODES}; relabel it.")
    if voxels[BACKGROUND] == view.size:
        raise InputError(f"{path}: is empty; expected {EXPECTED_CODES}; save the annotation again.")
    voxel_ml = prod(label.GetSpacing()) / 1000
    structures = dict(STRUCTURES)
    # Only where they are told: the entries of data sets that never told them stay as they are
    if voxels[GROUND_GLASS] or voxels[CONSOLIDATION]:
        structures |= {**KINDS, **({UNSPECIFIED: (INFECTION,)} if voxels[INFECTION] else {})}
    return {name: round(sum(voxels[code] for code in codes) * voxel_ml, 3) for name, codes in structures.items()}


def _check_label_names(listing: Listing, folder: Path) -> None:
    """A folder that names its codes otherwise (lungmask: 1 right, 2 left) would be learnt wrongly without an error."""
    for code, name in listing.label_names.items():
        if code in NAME_PARTS and not any(part in name.lower() for part in NAME_PARTS[code]):
            raise InputError(
                f"{folder}: calls label code {code} {name!r}; expected {EXPECTED_CODES}; relabel, or correct the name."
            )


def _raise_together(folder: Path, complaints: Sequence[str]) -> None:
    """One InputError for all: as it is where it is one, else counted and one a line."""
    if len(complaints) == 1:
        raise InputError(complaints[0])
    if complaints:
        raise InputError(f"{folder}: {len(complaints)} problems were found.", *complaints)


def table(datalist: Mapping[str, Any]) -> str:
    """A line for every case, and a last one that counts them."""
    entries = datalist["training"]
    rows = [("case", "patient", "intensity", "size", "spacing mm", "left ml", "right ml", "infection ml")]
    for entry in entries:
        size = "x".join(str(length) for length in entry["size"])
        spacing = "x".join(f"{length:.4g}" for length in entry["spacing_mm"])
        volumes = [f"{entry['volume_ml'][name]:.1f}" for name in ("left_lung", "right_lung", "infection")]
        rows.append((entry["case"], entry["patient_id"], entry["intensity"], size, spacing, *volumes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    patients = len({entry["patient_id"] for entry in entries})
    hounsfield, grey = (sum(entry["intensity"] == domain for entry in entries) for domain in (HOUNSFIELD, GREY_255))
    counts = f"{hounsfield} in Hounsfield units, {grey} in 0..255 grey, layout {datalist['layout']}"
    return "\n".join([*lines, f"{len(entries)} cases of {patients} patients: {counts}"])


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m pipeline.datalist", description="Check a data folder.")
    parser.add_argument("data", help="folder with scans and labels")
    parser.add_argument("--out", help="JSON file for the datalist")
    given = parser.parse_args(arguments)
    print(table(write_datalist(given.data, given.out) if given.out else read_datalist(given.data)))


if __name__ == "__main__":
    main()
