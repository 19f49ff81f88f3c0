"""From label maps on disk to a table with one row a case and structure."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from evaluation.metrics import ALL_METRICS, COUNTS, Overlap, voxel_ml
from pipeline.atomic import replacing
from pipeline.errors import InputError
from pipeline.labels import LABEL_CODES, LABEL_MAPS, LabelMap
from pipeline.scan import read_geometry, read_scan

# Counts are of voxels: added up over cases, they give the metrics of all voxels together
NUMBERS = (*ALL_METRICS, "reference_ml", "prediction_ml", *COUNTS)
COLUMNS = ("case", "patient_id", "fold", "structure", *NUMBERS)
OWN_CODES = LABEL_MAPS["lungs_infection"]

# One value a column: text in case, patient_id and structure, an int in fold, floats in the rest
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One case to evaluate: two label files on one grid, and who is on them."""

    reference: Path
    prediction: Path
    case: str
    patient_id: str
    fold: int


def evaluate_case(job: Job, label_map: LabelMap = OWN_CODES) -> list[Row]:
    """One row a structure, on the scanner's grid: overlap as shares in [0, 1], volumes in millilitres, voxel counts.

    The reference holds the project's codes, the prediction the numbers of the label map's classes. Raises InputError
    where the grids of the two files differ or a file holds other values. Undefined values are nan, by the rule in
    `evaluation.metrics`.
    """
    reference, prediction, case = job.reference, job.prediction, job.case
    # The headers first: they tell without reading a volume
    expected, found = read_geometry(reference), read_geometry(prediction)
    if differences := expected.differences(found):
        raise InputError(
            f"case {case}: {reference} and {prediction} lie on different grids: {'; '.join(differences)}; "
            "write the prediction on the scanner's grid."
        )
    overlaps = structure_overlaps(
        read_labels(reference, case, LABEL_CODES),
        read_labels(prediction, case, range(len(label_map.classes))),
        label_map,
    )
    one_voxel_ml = voxel_ml(expected.spacing_mm)
    return [
        {
            "case": case,
            "patient_id": job.patient_id,
            "fold": job.fold,
            "structure": structure,
            **{metric: getattr(overlap, metric) for metric in ALL_METRICS},
            "reference_ml": overlap.reference_voxels * one_voxel_ml,
            "prediction_ml": overlap.prediction_voxels * one_voxel_ml,
            **{count: getattr(overlap, count) for count in COUNTS},
        }
        for structure, overlap in overlaps.items()
    ]


def read_labels(path: Path, case: str, expected: Sequence[int]) -> sitk.Image:
    """A label file in uint8; InputError, naming the case, where it holds anything but the expected numbers."""
    image = read_scan(path)
    for plane in sitk.GetArrayViewFromImage(image):
        known = belongs(plane, expected)
        if not known.all():
            names = " (background, left lung, right lung, infection)" if expected == LABEL_CODES else ""
            raise InputError(
                f"case {case}: {path} holds the value {plane[~known][0]:g}; expected the labels "
                f"{', '.join(map(str, expected))}{names}; relabel it."
            )
    return image if image.GetPixelID() == sitk.sitkUInt8 else sitk.Cast(image, sitk.sitkUInt8)


def structure_overlaps(reference: sitk.Image, prediction: sitk.Image, label_map: LabelMap) -> dict[str, Overlap]:
    """The counts of every structure of two label images of one size."""
    overlaps = dict.fromkeys(label_map.structures, Overlap())
    class_of_code = label_map.class_of_code()
    # Slice by slice: the masks stay in the processor's cache, and no mask of a whole volume is ever held
    planes = (sitk.GetArrayViewFromImage(image) for image in (reference, prediction))
    for expected, found in zip(*planes, strict=True):
        classes = class_of_code[expected]
        for structure, numbers in label_map.structures.items():
            overlaps[structure] += Overlap.of(belongs(classes, numbers), belongs(found, numbers))
    return overlaps


def belongs(labels: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Boolean mask of the voxels whose label is one of the codes."""
    mask = labels == codes[0]
    for code in codes[1:]:
        mask |= labels == code
    return mask


def evaluate_cases(jobs: Iterable[Job], label_map: LabelMap = OWN_CODES, workers: int = 2) -> list[Row]:
    """The rows of all jobs in the order of the jobs; the first error of a worker is raised here as it is.

    Threads are enough, since reading and counting run outside Python's lock. Each holds two label maps and, while it
    reads, SimpleITK's buffer: 230 MiB for 512 x 512 x 300 voxels stored as 8-bit integers.
    """
    with ThreadPoolExecutor(workers) as pool:
        return [row for rows in pool.map(lambda job: evaluate_case(job, label_map), jobs) for row in rows]


def write_metrics_csv(rows: Iterable[Row], file: str | Path) -> None:
    """Write the rows whole or not at all; nan becomes an empty cell, other numbers keep all their digits."""
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({name: "" if _undefined(value) else value for name, value in row.items()} for row in rows)


def _undefined(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def read_metrics_csv(file: str | Path) -> list[Row]:
    """The rows that `write_metrics_csv` wrote, equal to them (undefined is the object `math.nan` throughout).

    Raises InputError for a missing file, column or number.
    """
    if not Path(file).is_file():
        raise InputError(f"{file}: there is no such file; check the path.")
    # utf-8-sig: a spreadsheet that saved the file again puts a byte order mark before the first column's name
    with Path(file).open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise InputError(f"{file}: has no column {', '.join(missing)}; expected {', '.join(COLUMNS)}.")
        return [_row(cells, f"{file}, line {reader.line_num}") for cells in reader]


def _row(cells: dict[str, str], where: str) -> Row:
    """A row with its numbers read; `where` is for the message."""
    try:
        numbers = {name: math.nan if cells[name] == "" else float(cells[name]) for name in NUMBERS}
        row = {"fold": int(cells["fold"]), **numbers}
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: a number is missing or unreadable ({error}); expected an integer fold, and numbers or, where "
            "undefined, empty cells; evaluate again."
        ) from error
    return {name: row.get(name, cells[name]) for name in COLUMNS}
