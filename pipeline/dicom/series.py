"""The series of a folder, sorted into stacks of slices, and the one of each study that is worth segmenting."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.dicom.headers import CT_CLASSES, DamagedHeaderError, Slice, Stack, class_name, read_slices
from pipeline.dicom.stack import STANDARD_ORIENTATION, Series, directions
from pipeline.errors import InputError

logger = logging.getLogger(__name__)

# Directions are written with four to six digits
SAME_DIRECTION, SAME_SPACING_MM = 1e-3, 1e-4
# A gantry is tilted by 30 degrees at most; a plane of a coronal or sagittal series by more than 45
AXIAL_NORMAL = 0.8
# Words of an image type for what shows no single slices
PROJECTIONS = ("MIP", "MINIP", "MIN_IP", "MAX_IP", "PROJECTION IMAGE", "VOLUME_RENDER")
LOCALIZER = "LOCALIZER"
# Series that one message lists
MOST_TOLD = 5
# Pixels along a side; the largest detectors make 2048
LARGEST_SLICE = 8192
# "US" is unspecified; other types are maps of dual-energy CT, such as electron density
HOUNSFIELD_TYPES = ("", "HU", "US", "HOUNSFIELD")
# Of a series that is two stacks at most this share of its slices lie in planes of their own
TWO_STACKS = 0.75


def find_series(*folders: str | Path) -> list[Series]:
    """All stacks of slices in folders and the folders in them (or in one file), from their headers alone.

    A series may lie in several folders: what was copied from two discs is one.

    Grouped by series, and within one by size, orientation, spacing and frame of reference; objects that are no image,
    such as dose reports, are a series of size 0. Files that are not DICOM are passed over; a damaged DICOM file is
    logged, and noted with every series that has a file in the same folder. Raises InputError where there is no folder.
    """
    for folder in folders:
        if not Path(folder).exists():
            raise InputError(f"{folder}: there is no such folder; check the path.")
    slices: list[Slice] = []
    damaged: Counter[Path] = Counter()
    for file in dict.fromkeys(file for folder in folders for file in _files(Path(folder))):
        try:
            slices += read_slices(file)
        except (DamagedHeaderError, OSError) as error:
            reason = str(error) if isinstance(error, DamagedHeaderError) else error.strerror
            logger.warning("%s: left out: %s; copy it again.", file, reason)
            damaged[file.parent] += 1
    found = [series for group in _groups(slices) for series in _stacks(group)]
    return sorted(_with_notes(found, damaged), key=lambda each: (each.study_uid, each.uid, -len(each.slices)))


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
    if whole.problem or len(whole.planes) > TWO_STACKS * len(whole.slices):
        return [whole]
    for kind in range(len(group[0].acquisition)):
        parts: dict[str, list[Slice]] = defaultdict(list)
        for each in group:
            parts[each.acquisition[kind]].append(each)
        stacks = [_ordered(part) for part in parts.values()]
        if len(stacks) > 1 and all(len(stack.planes) == len(stack.slices) for stack in stacks):
            return stacks
    return [whole]


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


def _with_notes(found: Sequence[Series], damaged: Counter[Path]) -> Iterator[Series]:
    stacks = Counter(series.uid for series in found)
    for series in found:
        notes = []
        if (count := stacks[series.uid]) > 1:
            notes.append(f"its series holds {count} stacks, of which this is one")
        if series.assumed:
            notes.append(f"assumed: {series.assumed}; left and right, or head and feet, may be swapped")
        if count := sum(damaged[place] for place in {file.parent for file in series.files}):
            notes.append(f"{count} damaged file(s) beside it were left out and may be slices of it")
        yield replace(series, notes=tuple(notes))


def unsuitable(series: Series) -> str:
    """Why a series is no chest CT that can be segmented, in words; "" where it can be."""
    words = {word.upper() for word in series.stack.image_type}
    if series.modality != "CT":
        return f"its modality is {series.modality or 'not given'}, not CT"
    if series.sop_class_uid not in CT_CLASSES:
        return f"it is {class_name(series.sop_class_uid) or 'of no known class'}"
    if LOCALIZER in words:
        return "it is a localizer"
    if projection := words.intersection(PROJECTIONS):
        return f"it is a projection ({projection.pop()})"
    if max(series.stack.size) > LARGEST_SLICE or not min(series.stack.size):
        return f"no CT has slices of {series.stack.size[0]} x {series.stack.size[1]} pixels"
    if series.stack.rescale_type not in HOUNSFIELD_TYPES:
        return f"its values are {series.stack.rescale_type}, not Hounsfield units"
    if series.stack.frames > 1:
        return (
            f"it holds {series.stack.frames} frames in one file of the kind for single slices, which does not tell "
            "where each lies"
        )
    if series.number_of_slices < 2:
        return "it is one slice, not a volume" if not series.problem else series.problem
    if not series.stack.pixel_spacing_mm:
        return "no tag tells its pixel spacing"
    return series.problem


def _not_axial(series: Series) -> str:
    return "" if abs(series.orientation[2, 2]) > AXIAL_NORMAL else "its slices are not axial"


def choose_series(series: Sequence[Series], uid: str | None = None) -> list[Series]:
    """The CT series to segment: of each study the axial one with the most slices, or the one of a UID.

    What is left out is logged with its reason. Raises InputError, listing what there is, where none fits.
    """
    if uid is not None:
        series = [each for each in series if each.uid == uid] or _none_fits(series, f"no series is {uid}")
    reasons = {each: unsuitable(each) or ("" if uid else _not_axial(each)) for each in series}
    chosen: dict[str, Series] = {}
    # Of equals the one that the scanner made, not one that was computed of it
    for each in sorted(
        series, key=lambda each: (-each.number_of_slices, "ORIGINAL" not in each.stack.image_type, each.uid)
    ):
        best = chosen.get(each.study_uid)
        if best and best.uid == each.uid and reasons[each] and _is_part_of(each, best):
            raise InputError(
                f"{best}: {each.number_of_slices} more slice(s) of its series do not fit to the others (other frame of "
                "reference or grid) and would be lost; export the series again."
            )
        if not reasons[each]:
            best = chosen.setdefault(each.study_uid, each)
            if best is not each and best.uid == each.uid:
                raise InputError(
                    f"{best}: its series holds several stacks of slices, such as another of {each.number_of_slices} "
                    "slices (other frame of reference, kernel, phase or grid), and which is meant cannot be known; "
                    "export each as a series of its own."
                )
            if best is not each:
                reasons[each] = f"of its study {best.uid} has as many slices or more"
    for each, reason in reasons.items():
        if reason:
            logger.info("left out: %s: %s.", each, reason)
    return list(chosen.values()) or _none_fits(series, "there is no axial CT series", reasons)


def _is_part_of(few: Series, stack: Series) -> bool:
    """Whether slices that form no scan of their own look like slices of a stack."""
    return few.stack.size == stack.stack.size and LOCALIZER not in few.stack.image_type and few.modality == "CT"


def _none_fits(series: Sequence[Series], what: str, reasons: dict[Series, str] | None = None) -> list[Series]:
    lines = [f"{each}" + (f" ({reasons[each]})" if reasons else "") for each in series]
    more = f"; and {len(lines) - MOST_TOLD} more" if len(lines) > MOST_TOLD else ""
    there = f"found {'; '.join(lines[:MOST_TOLD])}{more}" if lines else "no DICOM series was found"
    raise InputError(f"{what} to segment: {there}; give a folder with an axial chest CT, or the UID of one.")
