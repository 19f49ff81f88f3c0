"""A label map as a DICOM segmentation of the series that it was made from, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription, segread
from highdicom.sr import CodedConcept
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.scans.dicom.file_start import quiet_pydicom
from pipeline.scans.dicom.grid import Grid, grid_of
from pipeline.scans.dicom.headers import ENHANCED, Slice
from pipeline.scans.dicom.stack import Series
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk

MANUFACTURER = "PneumoBundle"
# In what viewers list and show
USE = "for research, not a medical device"
LONGEST_DESCRIPTION = 64
# Scanners number theirs from 1 on
SERIES_NUMBER = 900
LUNG, ANATOMY, ABNORMALITY = codes.SCT.Lung, codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure
# What the standard wants to be there, if empty, and anonymised series leave out
MAY_BE_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)


@dataclass(frozen=True)
class Concept:
    """What a class is, in words and in codes of SNOMED CT and DICOM, and the colour that viewers are asked for."""

    label: str
    category: Code
    kind: Code
    side: Code | None
    red_green_blue: tuple[int, int, int]


# A lung's classes are what is not infected of it, as the labels have it
CONCEPTS = {
    "left_lung": Concept("Left lung without infection", ANATOMY, LUNG, codes.SCT.Left, (80, 170, 255)),
    "right_lung": Concept("Right lung without infection", ANATOMY, LUNG, codes.SCT.Right, (90, 220, 120)),
    "lungs": Concept("Lungs without infection", ANATOMY, LUNG, codes.SCT.Bilateral, (80, 170, 255)),
    "normal": Concept("Lungs without infection", ANATOMY, LUNG, codes.SCT.Bilateral, (80, 170, 255)),
    "infection": Concept(
        "Infection", ABNORMALITY, Code("409609008", "SCT", "Pulmonary infiltrate"), None, (255, 80, 60)
    ),
    "abnormal": Concept(
        "Infection", ABNORMALITY, Code("409609008", "SCT", "Pulmonary infiltrate"), None, (255, 80, 60)
    ),
    "ground_glass_opacity": Concept(
        "Ground-glass opacity", ABNORMALITY, codes.DCM.GroundGlassOpacity, None, (255, 170, 60)
    ),
    "consolidation": Concept(
        "Consolidation", ABNORMALITY, Code("95436008", "SCT", "Lung consolidation"), None, (200, 40, 120)
    ),
}


def write_segmentation(
    label: sitk.Image,
    series: Series,
    path: str | Path,
    algorithm: str,
    version: str,
    classes: str = "lungs_infection",
) -> None:
    """Write a label map on the grid of `read_series(series)` as a binary DICOM segmentation, atomically.

    A segment for each class of the label map named `classes` but the background, its number being the class' own; a
    frame for each segment and source slice, empty ones too, which refers to that slice. `algorithm` and `version` say
    what made it. The object carries patient and study as its sources do, names included, as the standard asks of what
    goes back to the archive of the hospital; its path holds neither. Raises InputError for another grid, other values,
    a series without positions, and headers that do not suffice.
    """
    grid = checked_grid(label, series, "a DICOM segmentation", classes)
    names = list(label_map(classes).classes)[1:]
    with made_of_headers(series, "a DICOM segmentation", "the label file"):
        sources, frames = _on_sources(sitk.GetArrayViewFromImage(label), series, grid)
    identification = AlgorithmIdentificationSequence(algorithm, codes.DCM.ArtificialIntelligence, version)
    with made_of_headers(series, "a DICOM segmentation", "the label file"):
        made = Segmentation(
            sources,
            frames,
            "BINARY",
            [_description(number, name, identification) for number, name in enumerate(names, 1)],
            generate_uid(),
            SERIES_NUMBER,
            generate_uid(),
            1,
            MANUFACTURER,
            algorithm,
            version,
            version,
            content_label="LUNGS",
            content_description=f"Found by software; {USE}",
            omit_empty_frames=False,
            series_description=described(algorithm, version),
        )
        with replacing(path) as temporary:
            made.save_as(temporary)


def checked_grid(label: sitk.Image, series: Series, what: str, classes: str) -> Grid:
    """The grid of a series; InputError where `what` cannot be made of it and a label map named `classes`."""
    if series.geometry_assumed:
        raise InputError(f"{series}: its files do not tell where its slices lie, as {what} must; use the label file.")
    grid = grid_of(series)
    if differences := Geometry.of(label).differences(grid.geometry):
        raise InputError(f"{series}: the label is on another grid: {'; '.join(differences)}; label the scan as read.")
    if len({(each.instance_uid, each.frame) for each in shown_slices(series)}) < series.number_of_slices:
        raise InputError(f"{series}: slices share a SOP instance UID, so {what} cannot name them; use the label file.")
    highest, most = int(sitk.GetArrayViewFromImage(label).max()), len(label_map(classes).classes) - 1
    if highest > most:
        raise InputError(f"{series}: the label holds {highest}; expected 0 to {most}; name its label map.")
    return grid


def described(algorithm: str, version: str) -> str:
    """What viewers call the series of an object: what made it, as far as there is room, and what it is for."""
    return f"{f'{algorithm} {version}'[: LONGEST_DESCRIPTION - len(USE) - 2]}; {USE}"


@contextmanager
def made_of_headers(series: Series, what: str, instead: str) -> Iterator[None]:
    """Raise InputError where the headers of a series do not suffice for what highdicom makes of them."""
    try:
        with quiet_pydicom():
            yield
    # Of the disk, or told already
    except (InputError, OSError, MemoryError):
        raise
    # highdicom and pydicom find out in many places and by many kinds that a header lacks something, and may quote it
    except Exception as error:
        raise InputError(
            f"{series}: the headers of its files do not suffice for {what} ({_reason(error)}); use {instead}."
        ) from error


def _reason(error: Exception) -> str:
    """Of what highdicom says the name of a tag alone, or else the kind of the error: all else may be a patient's."""
    if missing := re.search(r"no attribute '(\w+)'", str(error)):
        return f"no {missing[1]}"
    tags = [word for word in re.findall(r"\w+", str(error)) if tag_for_keyword(word) is not None]
    return ": ".join([type(error).__name__, *tags[:1]])


def read_segmentation(path: str | Path, series: Series) -> sitk.Image:
    """The label map (uint8) of a DICOM segmentation, on the grid of `read_series(series)`, by source slice.

    The value of a voxel is the number of its segment. Raises InputError for a file that is no segmentation of this
    series.
    """
    grid = grid_of(series)
    shown = shown_slices(series)
    try:
        with quiet_pydicom():
            segmentation = segread(path)
            if series.sop_class_uid in ENHANCED:
                frames = segmentation.get_pixels_by_source_frame(
                    shown[0].instance_uid, [each.frame + 1 for each in shown], combine_segments=True
                )
            else:
                uids = [each.instance_uid for each in shown]
                frames = segmentation.get_pixels_by_source_instance(uids, combine_segments=True)
    # Whatever file is given
    except Exception as error:
        raise InputError(f"{path}: is no DICOM segmentation of the series {series.uid}, or damaged.") from error
    voxels = np.zeros(grid.geometry.size[::-1], np.uint8)
    for plane, frame in enumerate(frames):
        voxels[(plane, *grid.place(plane, series))] = frame
    label = sitk.GetImageFromArray(voxels)
    label.CopyInformation(grid.geometry.empty_image())
    return label


def shown_slices(series: Series) -> list[Slice]:
    """The slice of each plane that the image shows."""
    return [series.slices[plane[0]] for plane in series.planes]


def source_headers(series: Series) -> list[Dataset]:
    """All that the source files say but their pixels, as highdicom takes over patient and study from it."""
    if series.sop_class_uid in ENHANCED:
        return [_header(each) for each in {each.file: each for each in series.slices}.values()]
    return [_header(each) for each in shown_slices(series)]


def _on_sources(label: np.ndarray, series: Series, grid: Grid) -> tuple[list[Dataset], np.ndarray]:
    """Headers of the source files, and the label (frames, rows, columns) of each of their frames."""
    parts = [label[(plane, *grid.place(plane, series))] for plane in range(series.number_of_slices)]
    if series.sop_class_uid not in ENHANCED:
        return source_headers(series), np.stack(parts).astype(np.uint8)
    if len(series.files) > 1:
        raise InputError(
            f"{series}: is spread over {len(series.files)} multi-frame files, and a DICOM segmentation refers to one; "
            "use the label file."
        )
    (source,) = source_headers(series)
    # A file may hold frames that are no part of this stack
    frames = np.zeros((int(source.NumberOfFrames), *parts[0].shape), np.uint8)
    for plane, part in zip(series.planes, parts, strict=True):
        for index in plane:
            frames[series.slices[index].frame] = part
    return [source], frames


def _header(source: Slice) -> Dataset:
    with quiet_pydicom():
        if source.header:
            dataset = copy(source.header.dataset)
        else:
            dataset = pydicom.dcmread(source.file, stop_before_pixels=True, force=True)
        for name in MAY_BE_EMPTY:
            if name not in dataset:
                setattr(dataset, name, "")
        return dataset


def _description(number: int, name: str, algorithm: AlgorithmIdentificationSequence) -> SegmentDescription:
    concept = CONCEPTS[name]
    description = SegmentDescription(
        number,
        concept.label,
        concept.category,
        concept.kind,
        "AUTOMATIC",
        algorithm,
        tracking_id=f"{MANUFACTURER} {name}",
        tracking_uid=generate_uid(),
        anatomic_regions=[LUNG] if concept.category == ABNORMALITY else None,
        display_color=CIELabColor.from_rgb(*concept.red_green_blue),
    )
    if concept.side:
        side = CodedConcept(concept.side.value, concept.side.scheme_designator, concept.side.meaning)
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    return description
