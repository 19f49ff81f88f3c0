"""From label maps on disk to a table with one row a case and structure."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from evaluation.measures.lesions import Detection
from evaluation.measures.metrics import ALL_METRICS, COUNTS, Overlap, voxel_ml
from evaluation.measures.roc import area_under_roc
from evaluation.measures.surfaces import SURFACE_METRICS, TOLERANCE_MM, surface_scores
from evaluation.measures.whole_lungs import whole_lungs
from pipeline.core.annotation import Annotation
from pipeline.core.atomic import write_csv
from pipeline.core.errors import InputError
from pipeline.core.labels import (
    BACKGROUND,
    IGNORE,
    LABEL_CODES,
    LABEL_MAPS,
    LABEL_NAMES,
    LabelMap,
)
from pipeline.core.progress_bar import progress_bar
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_geometry, read_label, read_scan
from pipeline.scans.simpleitk import sitk

VOLUMES = ("reference_ml", "prediction_ml", "volume_error_ml")
LESIONS = ("lesions", "lesions_found", "lesions_predicted", "lesions_false")
# Of the papers that average over slices: the mean Dice of the file's slices, 1 where both are empty, and their number
SLICE_DICE, SLICES = "slice_dice_empty_1", "slices"
# Counts are of voxels: added up over cases, they give the metrics of all voxels together
NUMBERS = (*ALL_METRICS, "auc", *SURFACE_METRICS, *VOLUMES, *LESIONS, SLICE_DICE, SLICES, *COUNTS)
COLUMNS = ("case", "patient_id", "fold", "structure", *NUMBERS)
OWN_CODES = LABEL_MAPS["lungs_infection"]
# What to do about a prediction on another grid
WRITTEN_ELSEWHERE = "write the prediction on the scanner's grid"

# One value a column: text in case, patient_id and structure, an int in fold, floats in the rest
Row = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Job:
    """One case to evaluate: two label files on one grid, and who is on them.

    `probability` is the file of the infection's, see `transforms.infection_probability`, `scan` that of the image; None
    where there is none. `annotation` is what the reference annotates, `codes` what its file's codes mean where they are
    not the project's.
    """

    reference: Path
    prediction: Path
    case: str
    patient_id: str
    fold: int
    probability: Path | None = None
    scan: Path | None = None
    annotation: Annotation = field(default_factory=Annotation)
    codes: Mapping[str, str] | None = None


def evaluate_case(job: Job, label_map: LabelMap = OWN_CODES) -> list[Row]:
    """One row a structure, on the scanner's grid: COLUMNS, shares in [0, 1], millimetres, millilitres and counts.

    The reference holds the project's codes, the prediction the numbers of the label map's classes. A structure that the
    reference does not annotate has no row. Voxels of code IGNORE are of neither mask and not counted. Raises InputError
    where the grids of the files differ or a file holds other values. Undefined values are nan, by the rules in
    `evaluation.measures.metrics`, `evaluation.measures.surfaces` and `evaluation.measures.roc`; lesions are counted in
    the infection alone.
    """
    return case_rows(job, *read_pair(job, label_map), label_map)


def case_rows(
    job: Job, reference: sitk.Image, prediction: sitk.Image, label_map: LabelMap, levels: np.ndarray | None = None
) -> list[Row]:
    """`evaluate_case` of label maps that were read already, as `read_pair` gives them.

    `levels` are what `read_probability` gives; None where there is no file, or it was not read yet.
    """
    spacing_mm = reference.GetSpacing()[::-1]
    classes, found, known = class_numbers(job, reference, prediction, label_map)
    rows = []
    for structure, numbers in annotated_structures(job, label_map).items():
        masks = belongs(classes, numbers), belongs(found, numbers)
        row: Row = {
            "case": job.case,
            "patient_id": job.patient_id,
            "fold": job.fold,
            "structure": structure,
            **overlap_scores(*masks, spacing_mm, known),
            **surface_scores(*masks, spacing_mm, TOLERANCE_MM[structure]),
            **dict.fromkeys(("auc", *LESIONS), math.nan),
        }
        if is_infection(structure, label_map):
            row.update(lesion_counts(*masks, spacing_mm))
            if job.probability:
                likely = read_probability(job, Geometry.of(reference)) if levels is None else levels
                row["auc"] = area_under_roc(*(masks[0], likely) if known is None else (masks[0][known], likely[known]))
        rows.append({name: row[name] for name in COLUMNS})
    return rows


def read_pair(job: Job, label_map: LabelMap) -> tuple[sitk.Image, sitk.Image]:
    """The reference and the prediction of a case, uint8; InputError where their grids or values are not as expected."""
    # The headers first: they tell without reading a volume
    _refuse_other_grid(job, read_geometry(job.reference), job.prediction, WRITTEN_ELSEWHERE)
    return (
        read_reference(job.reference, job.case, label_map, job.codes),
        read_labels(job.prediction, job.case, range(len(label_map.classes))),
    )


def read_reference(path: Path, case: str, label_map: LabelMap, codes: Mapping[str, str] | None = None) -> sitk.Image:
    """A reference, uint8, of codes and IGNORE; `codes` as of `read_label`, InputError as of `read_labels`."""
    return checked_labels(read_label(path, codes), case, str(path), label_map.codes, IGNORE)


def read_prediction(job: Job, grid: Geometry, label_map: LabelMap) -> sitk.Image:
    """The prediction alone, as `read_pair` gives it, of a case whose reference's grid is known."""
    _refuse_other_grid(job, grid, job.prediction, WRITTEN_ELSEWHERE)
    return read_labels(job.prediction, job.case, range(len(label_map.classes)))


def read_probability(job: Job, grid: Geometry) -> np.ndarray:
    """The infection's probability in 255ths, uint8 (D, H, W), on the reference's grid."""
    if job.probability is None:
        raise ValueError(f"case {job.case} has no file of probabilities")
    _refuse_other_grid(job, grid, job.probability, "delete it and its prediction, and run again")
    return sitk.GetArrayFromImage(read_scan(job.probability))


def _refuse_other_grid(job: Job, grid: Geometry, file: Path, advice: str) -> None:
    if differences := grid.differences(read_geometry(file)):
        raise InputError(
            f"case {job.case}: {job.reference} and {file} lie on different grids: {'; '.join(differences)}; {advice}."
        )


def is_infection(structure: str, label_map: LabelMap) -> bool:
    """Whether a structure is all infection and nothing else, whatever the label map calls it."""
    return {*label_map.structures[structure]} == {*label_map.infection_classes}


def class_numbers(
    job: Job, reference: sitk.Image, prediction: sitk.Image, label_map: LabelMap
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The class numbers of both label maps (D, H, W) as far as they can be compared, and what `known_voxels` gives.

    Infection that the reference does not annotate is lung in both; what is to be ignored is IGNORE in both.
    The second may be a view of `prediction`, which has to be kept for as long.
    """
    classes = label_map.classes_of(sitk.GetArrayViewFromImage(reference))
    found = sitk.GetArrayViewFromImage(prediction)
    known = known_voxels(classes)
    if not job.annotation.infection:
        found = without_infection(found, label_map, reference.GetSpacing()[::-1])
    if known is not None:
        found = np.where(known, found, np.uint8(IGNORE))
    return classes, found, known


def annotated_structures(job: Job, label_map: LabelMap) -> dict[str, Sequence[int]]:
    """Those of the label map's structures, with their class numbers, that the reference annotates."""
    structures = label_map.structures
    return {name: structures[name] for name in structures if job.annotation.tells(label_map.codes_of(name))}


def known_voxels(labels: np.ndarray) -> np.ndarray | None:
    """Boolean mask of all but what is to be ignored; None where nothing is."""
    known: np.ndarray = labels != IGNORE
    return None if known.all() else known


def without_infection(prediction: np.ndarray, label_map: LabelMap, spacing_mm: Sequence[float]) -> np.ndarray:
    """Class numbers in which infection is lung, as in a reference that does not annotate it.

    Of the class of its lung, by `whole_lungs` where the label map tells the sides; background without such a class.
    """
    infection = np.isin(prediction, label_map.infection_classes)
    lungs = label_map.lung_classes
    merged = prediction.copy()
    if len(lungs) < 2:
        merged[infection] = lungs[0] if lungs else label_map.class_of_code()[BACKGROUND]
        return merged
    first_codes = np.array([codes[0] for codes in label_map.classes.values()], np.uint8)
    sides = whole_lungs(first_codes[prediction], spacing_mm)
    merged[infection] = label_map.class_of_code()[sides[infection]]
    return merged


def overlap_scores(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], known: np.ndarray | None = None
) -> Row:
    """What voxel counts give, of two boolean masks (D, H, W): ALL_METRICS, VOLUMES, SLICE_DICE, SLICES and COUNTS.

    `known` is the mask of the voxels that count, None for all.
    """
    # Slice by slice: the masks stay in the processor's cache
    pairs = list(zip(reference, prediction, strict=True))
    if known is not None:
        pairs = [(here[where], there[where]) for (here, there), where in zip(pairs, known, strict=True)]
    slices = [Overlap.of(here, there) for here, there in pairs]
    overlap = sum(slices, Overlap())
    ml = voxel_ml(spacing_mm)
    return {
        **{metric: getattr(overlap, metric) for metric in ALL_METRICS},
        "reference_ml": overlap.reference_voxels * ml,
        "prediction_ml": overlap.prediction_voxels * ml,
        "volume_error_ml": (overlap.prediction_voxels - overlap.reference_voxels) * ml,
        SLICE_DICE: statistics.fmean(1.0 if math.isnan(one.dice) else one.dice for one in slices),
        SLICES: len(slices),
        **{count: getattr(overlap, count) for count in COUNTS},
    }


def lesion_counts(reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]) -> Row:
    """LESIONS of two boolean masks of the infection, (D, H, W)."""
    found = Detection.of(reference, prediction, spacing_mm)
    return dict(zip(LESIONS, (found.lesions, found.found, found.predicted, found.false_positives), strict=True))


def read_labels(path: Path, case: str, expected: Sequence[int]) -> sitk.Image:
    """A label file in uint8; InputError, naming the case, where it holds anything but the expected numbers."""
    return checked_labels(read_label(path), case, str(path), expected)


def checked_labels(
    image: sitk.Image, case: str, called: str, expected: Sequence[int], besides: int | None = None
) -> sitk.Image:
    """A label image in uint8; InputError, as of `read_labels`, which says what it is `called`.

    One number `besides` the expected ones may be there.
    """
    for plane in sitk.GetArrayViewFromImage(image):
        known = belongs(plane, expected if besides is None else (*expected, besides))
        if not known.all():
            names = f" ({', '.join(LABEL_NAMES.values())})" if expected == LABEL_CODES else ""
            raise InputError(
                f"case {case}: {called} holds the value {plane[~known][0]:g}; expected the labels "
                f"{', '.join(map(str, expected))}{names}; relabel it."
            )
    return image if image.GetPixelID() == sitk.sitkUInt8 else sitk.Cast(image, sitk.sitkUInt8)


def belongs(labels: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Boolean mask of the voxels whose label is one of the codes."""
    mask = labels == codes[0]
    for code in codes[1:]:
        mask |= labels == code
    return mask


def evaluate_cases(jobs: Iterable[Job], label_map: LabelMap = OWN_CODES, workers: int = 2) -> list[Row]:
    """The rows of all jobs, in the order of the jobs."""
    return [row for rows in each_case(jobs, lambda job: evaluate_case(job, label_map), workers) for row in rows]


def each_case(jobs: Iterable[Job], measure: Callable[[Job], Found], workers: int = 2) -> list[Found]:
    """What is measured of each job, in their order; the first error of a worker is raised here as it is.

    A worker has the arrays of one case at a time. Threads are enough, since reading, counting and distances run outside
    Python's lock.
    """
    jobs = list(jobs)
    with ThreadPoolExecutor(workers) as pool:
        return list(progress_bar(pool.map(measure, jobs), len(jobs), "evaluating"))


def write_metrics_csv(rows: Iterable[Row], file: str | Path) -> None:
    """Write the rows whole or not at all; nan becomes an empty cell, other numbers keep all their digits."""
    write_csv(file, COLUMNS, rows)


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
