"""Which series of a study is segmented, and why the others are not: what is ambiguous is refused."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from pipeline.core.errors import InputError
from pipeline.scans.dicom.headers import CT_CLASSES, class_name
from pipeline.scans.dicom.series import LOCALIZER
from pipeline.scans.dicom.stack import SAME_PLANE_MM, Series

logger = logging.getLogger(__name__)

# A gantry is tilted by 30 degrees at most; a plane of a coronal or sagittal series by more than 45
AXIAL_NORMAL = 0.8
# Words of an image type for what shows no single slices
PROJECTIONS = ("MIP", "MINIP", "MIN_IP", "MAX_IP", "PROJECTION IMAGE", "VOLUME_RENDER")
# Series that one message lists
MOST_TOLD = 5
# Pixels along a side; the largest detectors make 2048
LARGEST_SLICE = 8192
# "US" is unspecified; other types are maps of dual-energy CT, such as electron density
HOUNSFIELD_TYPES = ("", "HU", "US", "HOUNSFIELD")


def unsuitable(series: Series) -> str:
    """Why a series is no chest CT that can be segmented, in words; "" where it can be."""
    return _other_kind(series) or _defect(series)


def _other_kind(series: Series) -> str:
    """What a series is in place of slices of a CT in Hounsfield units."""
    words = {word.upper() for word in series.stack.image_type}
    if series.modality != "CT":
        return f"its modality is {series.modality or 'not given'}, not CT"
    if series.sop_class_uid not in CT_CLASSES:
        return f"it is {class_name(series.sop_class_uid) or 'of no known class'}"
    if LOCALIZER in words:
        return "it is a localizer"
    if projection := words.intersection(PROJECTIONS):
        return f"it is a projection ({projection.pop()})"
    if series.stack.rescale_type not in HOUNSFIELD_TYPES:
        return f"its values are {series.stack.rescale_type}, not Hounsfield units"
    return ""


def _defect(series: Series) -> str:
    """What keeps slices of a CT from being a volume."""
    if max(series.stack.size) > LARGEST_SLICE or not min(series.stack.size):
        return f"no CT has slices of {series.stack.size[0]} x {series.stack.size[1]} pixels"
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
    """As `chosen_and_why`, without the reasons."""
    return chosen_and_why(series, uid)[0]


def chosen_and_why(series: Sequence[Series], uid: str | None = None) -> tuple[list[Series], dict[Series, str]]:
    """The CT series to segment, and why each is not, in words; "" for these.

    Of each study it is the axial one with the most planes, or the one of a UID; `UID:2` is the second stack of a series
    that holds several. What is left out is logged too. Raises InputError, listing what there is, where none fits; and
    where the one with the most planes holds several stacks, cannot be read, or has slices that are lost or damaged.
    """
    wanted, _, number = (uid or "").partition(":")
    if uid:
        series = [each for each in series if each.uid == wanted] or _none_fits(series, f"no series is {wanted}")
    reasons = {each: unsuitable(each) or ("" if uid else _not_axial(each)) for each in series}
    chosen = []
    for study in dict.fromkeys(each.study_uid for each in series):
        mine = [each for each in series if each.study_uid == study]
        if not all(reasons[each] for each in mine):
            chosen.append(_stack_of(_largest(mine, reasons), reasons, number))
            _tell_others(mine, chosen[-1], reasons)
    for each, reason in reasons.items():
        if reason:
            logger.info("left out: %s: %s.", each, reason)
    return chosen or _none_fits(series, "there is no axial CT series", reasons), reasons


def _tell_others(mine: Sequence[Series], best: Series, reasons: dict[Series, str]) -> None:
    for each in mine:
        if each is not best and not reasons[each]:
            same = each.uid == best.uid
            reasons[each] = f"of its {'series' if same else 'study'} {'another stack' if same else best.uid} is chosen"


def _largest(mine: Sequence[Series], reasons: dict[Series, str]) -> list[Series]:
    """The stacks of the series of a study that has the most planes, those that cannot be read included."""
    groups: dict[str, list[Series]] = defaultdict(list)
    for each in mine:
        if not _other_kind(each) and (not reasons[each] or not _not_axial(each)):
            groups[each.uid].append(each)
    # Of equals the one that the scanner made, not one that was computed of it
    return min(
        groups.values(),
        key=lambda group: (-_planes(group), "ORIGINAL" not in group[0].stack.image_type, group[0].uid),
    )


def _planes(group: Sequence[Series]) -> int:
    """Planes of all stacks; those of another kernel or phase, where the patient has not moved, count once."""
    places = {
        (each.stack.frame_of_reference_uid, round(each.along_mm[plane[0]] / SAME_PLANE_MM))
        for each in group
        for plane in each.planes
    }
    # Frames of a file that does not tell where each lies
    return len(places) + sum(each.stack.frames - 1 for each in group)


def _stack_of(group: Sequence[Series], reasons: dict[Series, str], number: str) -> Series:
    """The only stack of a series, or the one of a number (from 1); InputError where that is not all of it."""
    fits = [each for each in group if not reasons[each]]
    if not fits:
        raise InputError(
            f"{group[0]}: has more slices than any other CT series of its study, but cannot be read ("
            f"{reasons[group[0]]}); export it again, or choose another by SERIES=UID."
        )
    if number:
        return _whole(_numbered(fits, number))
    best = fits[0]
    if len(fits) > 1:
        raise InputError(
            f"{best}: its series holds several stacks of slices (other frame of reference, kernel, phase or grid), "
            f"{_listed(fits)}, and which is meant cannot be known; choose one by SERIES=UID:1 to UID:{len(fits)}, or "
            "export each as a series of its own."
        )
    for each in group:
        if each is not best and each.stack.size == best.stack.size:
            raise InputError(
                f"{best}: {each.number_of_slices} more slice(s) of its series do not fit to the others (other frame of "
                "reference or grid) and would be lost; export the series again, or choose this stack by SERIES=UID:1."
            )
    return _whole(best)


def _whole(series: Series) -> Series:
    if series.damaged:
        raise InputError(
            f"{series}: {series.damaged} file(s) that are slices of it, or may be since they lie beside them, are "
            "damaged, empty or cut off, and nothing is made up for them; copy the series again, or move them away."
        )
    return series


def _numbered(fits: Sequence[Series], number: str) -> Series:
    if not number.isdecimal() or not 1 <= int(number) <= len(fits):
        raise InputError(
            f"SERIES ends with :{number}, but {fits[0].uid} holds {len(fits)} stack(s) of slices; expected 1 to "
            f"{len(fits)}."
        )
    return fits[int(number) - 1]


def _listed(fits: Sequence[Series]) -> str:
    """The stacks of a series by number, with what they differ in."""
    said = []
    for number, each in enumerate(fits[:MOST_TOLD], 1):
        acquisition, phase, kernel = each.slices[0].acquisition
        told = [f"{name} {value}" for name, value in (("acquisition", acquisition), ("phase", phase)) if value]
        told += [f"kernel {kernel}"] if kernel else []
        places = f"from {each.along_mm[0]:.1f} to {each.along_mm[-1]:.1f} mm"
        said.append(f"{number}: {', '.join([f'{each.number_of_slices} slices {places}', *told])}")
    return "; ".join(said)


def _none_fits(series: Sequence[Series], what: str, reasons: dict[Series, str] | None = None) -> list[Series]:
    lines = [f"{each}" + (f" ({reasons[each]})" if reasons else "") for each in series]
    more = f"; and {len(lines) - MOST_TOLD} more" if len(lines) > MOST_TOLD else ""
    there = f"found {'; '.join(lines[:MOST_TOLD])}{more}" if lines else "no DICOM series was found"
    raise InputError(f"{what} to segment: {there}; give a folder with an axial chest CT, or the UID of one.")
