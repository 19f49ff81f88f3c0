"""The series of a folder, sorted into stacks of slices, and what could not be read beside them."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.scans.dicom.file_start import DamagedHeaderError
from pipeline.scans.dicom.headers import Slice, Stack, read_slices
from pipeline.scans.dicom.stack import STANDARD_ORIENTATION, Series, directions
from pipeline.scans.scan_names import DICOM_SUFFIXES

logger = logging.getLogger(__name__)

# Directions are written with four to six digits
SAME_DIRECTION, SAME_SPACING_MM = 1e-3, 1e-4
LOCALIZER = "LOCALIZER"
# Of a series that is two stacks at most this share of its slices lie in planes of their own
TWO_STACKS = 0.75
DIRECTORY = "DICOMDIR"
# About 48 KiB each
MOST_HEADERS_KEPT = 4096


def name_pattern(file: Path) -> str:
    """The name of a file without its numbers, by which slices of a series differ."""
    return re.sub(r"\d+", "#", file.name)


@dataclass(frozen=True)
class Damaged:
    """A file that cannot be read and is DICOM by its content, or by a name like those beside it.

    `series_uid` is that of its series; "" where it does not tell.
    """

    file: Path
    series_uid: str


def find_series(*folders: str | Path) -> list[Series]:
    """All stacks of slices in folders and the folders in them (or in one file), from their headers alone.

    See `found_in`. Raises InputError where there is no folder.
    """
    return found_in(files_below(*folders))[0]


def files_below(*folders: str | Path) -> list[Path]:
    """Every regular file of folders and the folders in them, each once."""
    for folder in folders:
        if not Path(folder).exists():
            raise InputError(f"{folder}: there is no such folder; check the path.")
    return [*dict.fromkeys(file for folder in folders for file in _files(Path(folder)))]


def found_in(files: Iterable[Path]) -> tuple[list[Series], list[Damaged]]:
    """The stacks of slices in files, from their headers alone, and the files that cannot be read.

    A series may lie in several folders: what was copied from two discs is one. Grouped by series, and within one by
    size, orientation, spacing and frame of reference; objects that are no image, such as dose reports, are a series of
    size 0. Files that are not DICOM are passed over. A damaged file is logged, and counted with its series, or else
    with every series that has a file in the same folder. The headers of the first MOST_HEADERS_KEPT files are kept.
    """
    slices: list[Slice] = []
    damaged: list[Damaged] = []
    others: list[Path] = []
    for number, file in enumerate(files):
        try:
            found = read_slices(file)
        except (DamagedHeaderError, OSError) as error:
            reason = str(error) if isinstance(error, DamagedHeaderError) else error.strerror
            logger.warning("%s: left out: %s; copy it again.", file, reason)
            # A directory of files names slices and holds none
            if file.name.upper() != DIRECTORY:
                damaged.append(Damaged(file, getattr(error, "series_uid", "")))
            continue
        slices += found if number < MOST_HEADERS_KEPT else [replace(each, header=None) for each in found]
        if not found:
            others.append(file)
    damaged += _no_longer_dicom(others, slices)
    every = [series for group in _groups(slices) for series in _stacks(group)]
    return sorted(_with_notes(every, damaged), key=lambda each: (each.study_uid, each.uid, -len(each.slices))), damaged


def _no_longer_dicom(others: Iterable[Path], slices: Iterable[Slice]) -> Iterator[Damaged]:
    """Files of no content, or of none that is DICOM, that are named as slices are: a copy that was broken off."""
    patterns = {(each.file.parent, name_pattern(each.file)) for each in slices}
    for file in others:
        is_dicom = file.name.lower().endswith(DICOM_SUFFIXES)
        if is_dicom or (file.parent, name_pattern(file)) in patterns:
            logger.warning("%s: left out: it is empty or no longer DICOM; copy it again.", file)
            yield Damaged(file, "")


def _files(folder: Path) -> Iterator[Path]:
    """Every regular file, in an order that does not depend on the disk's."""
    if folder.is_file():
        yield folder
    for place, folders, names in os.walk(folder, onerror=_say_unreadable):
        folders.sort()
        # What is neither file nor link to one, such as a named pipe, may never end
        yield from (file for name in sorted(names) if (file := Path(place, name)).is_file())


def _say_unreadable(error: OSError) -> None:
    logger.warning("%s: left out: %s; check who may read it.", error.filename, error.strerror)


def _groups(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that can form one stack: alike in all but their place."""
    groups: dict[tuple, list[list[Slice]]] = defaultdict(list)
    for each in slices:
        stack = each.stack
        alike = groups[
            stack.study_uid,
            stack.series_uid,
            stack.frame_of_reference_uid,
            stack.sop_class_uid,
            stack.modality,
            stack.size,
            LOCALIZER in stack.image_type,
            stack.rescale_type,
        ]
        for group in alike:
            if _alike(group[0].stack, stack):
                group.append(each)
                break
        else:
            alike.append([each])
    return [group for alike in groups.values() for group in alike]


def _alike(one: Stack, other: Stack) -> bool:
    return all(
        (mine is None) == (theirs is None)
        and (mine is None or theirs is None or np.allclose(mine, theirs, rtol=0, atol=tolerance))
        for mine, theirs, tolerance in (
            (one.orientation, other.orientation, SAME_DIRECTION),
            (one.pixel_spacing_mm, other.pixel_spacing_mm, SAME_SPACING_MM),
        )
    )


def _stacks(group: Sequence[Slice]) -> list[Series]:
    """A group in slice order; two acquisitions, phases or kernels of the same planes as a stack each."""
    whole = _ordered(group)
    if whole.problem or len(whole.planes) > TWO_STACKS * len(_instances(group)):
        return [whole]
    for kind in range(len(group[0].acquisition)):
        parts: dict[str, list[Slice]] = defaultdict(list)
        for each in group:
            parts[each.acquisition[kind]].append(each)
        stacks = [_ordered(part) for part in parts.values()]
        # A series that was copied twice holds each slice twice
        if len(stacks) > 1 and all(len(stack.planes) == len(_instances(stack.slices)) for stack in stacks):
            return stacks
    return [whole]


def _instances(slices: Iterable[Slice]) -> set[tuple[str, int]]:
    return {(each.instance_uid, each.frame) for each in slices}


def _ordered(group: Sequence[Slice]) -> Series:
    """A stack sorted by position; without positions by slice location or else by number, and then that is said."""
    stack, assumed, problem = group[0].stack, "", ""
    placed = [each for each in group if each.position_mm is not None]
    if len(placed) == len(group):
        normal = directions(stack.orientation or STANDARD_ORIENTATION)[:, 2]
        along_mm = [float(np.asarray(each.position_mm) @ normal) for each in group]
        if stack.orientation is None:
            assumed = "the orientation (no tag tells it): axial, the patient's left on the right of the image"
    elif placed:
        along_mm = [0.0] * len(group)
        problem = f"{len(group) - len(placed)} of its {len(group)} slices have no position"
    else:
        along_mm, assumed, problem = _along_without_positions(group)
    order = sorted(range(len(group)), key=lambda index: (along_mm[index], group[index].frame, str(group[index].file)))
    return Series(
        stack, tuple(group[index] for index in order), tuple(along_mm[index] for index in order), assumed, problem
    )


def _along_without_positions(group: Sequence[Slice]) -> tuple[list[float], str, str]:
    """Where slices without positions lie along the normal, what that assumes, and why it cannot be told."""
    locations = [each.location_mm for each in group if each.location_mm is not None]
    if len(locations) == len(group) and len(set(locations)) > 1:
        return locations, "the positions (no tag tells them): by slice location, larger towards the head", ""
    numbers = [each.number for each in group if each.number is not None]
    distances = {each.between_mm or each.thickness_mm for each in group}
    if len(numbers) < len(group) or len(distances) > 1 or not (distance_mm := distances.pop()):
        return [0.0] * len(group), "", "its slices have neither positions nor numbers and one distance"
    name = "spacing between slices" if group[0].between_mm else "slice thickness"
    assumed = f"the positions (no tag tells them): by image number from head to feet, {distance_mm:g} mm ({name}) apart"
    return [-number * abs(distance_mm) for number in numbers], assumed, ""


def _with_notes(found: Sequence[Series], damaged: Sequence[Damaged]) -> Iterator[Series]:
    stacks = Counter(series.uid for series in found)
    for series in found:
        notes = []
        if (count := stacks[series.uid]) > 1:
            notes.append(f"its series holds {count} stacks, of which this is one")
        if series.assumed:
            notes.append(f"assumed: {series.assumed}; left and right, or head and feet, may be swapped")
        yield replace(series, notes=tuple(notes), damaged=sum(may_be_of(each, series) for each in damaged))


def may_be_of(damaged: Damaged, series: Series) -> bool:
    """Whether a file that cannot be read is a slice of a series, or may be by where it lies."""
    if damaged.series_uid:
        return damaged.series_uid == series.uid
    return damaged.file.parent in {file.parent for file in series.files}
