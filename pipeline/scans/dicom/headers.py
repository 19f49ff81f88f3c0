"""What the header of a DICOM file says of each slice in it, its pixels left unread.

A header is read once: it is kept with its slices, whole, for whoever reads the pixels and makes DICOM objects of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import IGNORE
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from pipeline.scans.dicom.file_start import (
    DamagedHeaderError,
    begins_without_preamble,
    first_text,
    quiet_pydicom,
    text_of,
)

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
CT_CLASSES = (CTImageStorage, *ENHANCED)
# What a slice is told by; names, dates of birth and numbers of patients are not among them
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "PatientPosition",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "ConvolutionKernel",
    "InstanceNumber",
    "SliceLocation",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
# Longer values, such as overlays and a vendor's own, stay on the disk until somebody asks for them
LONGEST_KEPT_BYTES = 4096


@dataclass(frozen=True)
class Stack:
    """What all slices of a stack have in common.

    `size` is (columns, rows), `pixel_spacing_mm` the same order; `orientation` holds the directions of a row and of a
    column in LPS coordinates, None where the file does not say.
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    modality: str
    sop_class_uid: str
    image_type: tuple[str, ...]
    patient_position: str
    size: tuple[int, int]
    pixel_spacing_mm: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    rescale_type: str
    frames: int = 1


@dataclass(frozen=True)
class Header:
    """All that a file says before its pixels, which names the patient: in memory alone, and for DICOM objects alone.

    `pixels_at` is the byte at which the element that holds the pixels begins.
    """

    dataset: FileDataset
    pixels_at: int


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame (from 0) of a multi-frame file; positions are those of the first voxel, LPS.

    `header` is that of its file, of which all frames share one; None where it was not kept and is to be read again: of
    a file that is deflated or has no preamble, and of what is no CT.
    """

    file: Path
    instance_uid: str
    frame: int
    stack: Stack
    position_mm: tuple[float, float, float] | None
    location_mm: float | None
    number: int | None
    thickness_mm: float | None
    between_mm: float | None
    # Acquisition, phase and kernel, by which two stacks of one series differ
    acquisition: tuple[str, ...]
    header: Header | None = field(default=None, compare=False, repr=False)


def read_slices(file: Path) -> list[Slice]:
    """The slices in a file, of whatever modality; none for a file that is not DICOM, or a directory of such files.

    A series without StudyInstanceUID is a study of its own. Raises DamagedHeaderError for a DICOM file whose header
    cannot be read.
    """
    force = begins_without_preamble(file)
    if force is None:
        return []
    try:
        with quiet_pydicom():
            if not force and (header := _whole(file)):
                return _checked(header.dataset, file, header, bare=False)
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=force, specific_tags=list(TAGS))
            return _checked(dataset, file, None, bare=force)
    # pydicom lets through whatever a damaged value provokes: a dozen kinds, among them KeyError and struct.error
    except Exception as error:
        what = str(error) if isinstance(error, DamagedHeaderError) else "its header is damaged"
        raise DamagedHeaderError(what, first_text(file, "SeriesInstanceUID")) from error


def _whole(file: Path) -> Header | None:
    """All of a header; None for a file that is deflated, of which pydicom would keep the pixels too."""
    with file.open("rb") as stream:
        dataset = pydicom.dcmread(stream, defer_size=LONGEST_KEPT_BYTES, stop_before_pixels=True)
        if dataset.buffer is not None:
            return None
        # What is left on the disk is read by this name, which pydicom knows as a text alone
        dataset.filename = str(file)
        return Header(dataset, stream.tell())


def _checked(dataset: Dataset, file: Path, header: Header | None, bare: bool) -> list[Slice]:
    _check_whole(dataset, bare)
    if not dataset.get("SeriesInstanceUID"):
        return []
    # Of what is never segmented only its slices are kept
    return list(_slices(dataset, file, header if text_of(dataset, "SOPClassUID") in CT_CLASSES else None))


def _check_whole(dataset: Dataset, bare: bool) -> None:
    """Raise DamagedHeaderError for a header that ends before it tells what every image tells.

    pydicom reads to the end of a file that was cut off, and says nothing.
    """
    meta = getattr(dataset, "file_meta", None) or Dataset()
    kind = str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    if not kind and not bare:
        raise DamagedHeaderError("it ends before it tells what it is")
    if kind in CT_CLASSES and not dataset.get("SeriesInstanceUID"):
        raise DamagedHeaderError("it tells no SeriesInstanceUID, or ends before it")
    if kind in CT_CLASSES and not (dataset.get("Rows") and dataset.get("Columns")):
        raise DamagedHeaderError("it tells no Rows and Columns, or ends before them")


def class_name(sop_class_uid: str) -> str:
    """What an object of a SOP class is, in the standard's words; the UID where that is unknown."""
    # Unasked, pydicom warns of a UID that is none
    return UID(sop_class_uid, IGNORE).name


def _slices(dataset: Dataset, file: Path, header: Header | None) -> Iterator[Slice]:
    if text_of(dataset, "SOPClassUID") not in ENHANCED:
        yield _slice(dataset, file, 0, [dataset], header)
        return
    shared = _item(dataset, "SharedFunctionalGroupsSequence")
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(frames) != int(dataset.get("NumberOfFrames") or 0) or not frames:
        raise DamagedHeaderError("its number of frames is not that of their descriptions")
    for number, frame in enumerate(frames):
        yield _slice(dataset, file, number, [dataset, *functional_groups(shared), *functional_groups(frame)], header)


def functional_groups(item: Dataset | None) -> Iterator[Dataset]:
    """The macros of a multi-frame file's functional groups, which hold what a classic file has at its top."""
    for element in item or ():
        if element.VR == "SQ" and len(element.value) == 1:
            yield element.value[0]


def _slice(dataset: Dataset, file: Path, frame: int, places: list[Dataset], header: Header | None) -> Slice:
    """A slice from the datasets that describe it; of a value that several hold the last one counts."""

    def numbers(name: str, count: int) -> tuple[float, ...] | None:
        return next((found for place in reversed(places) if (found := _numbers(place, name, count))), None)

    def number(name: str) -> float | None:
        found = numbers(name, 1)
        return found[0] if found else None

    def text(name: str) -> str:
        return next((found for place in reversed(places) if (found := text_of(place, name))), "")

    spacing_mm, position_mm = numbers("PixelSpacing", 2), numbers("ImagePositionPatient", 3)
    types = [_texts(place, name) for place in places for name in ("ImageType", "FrameType")]
    stack = Stack(
        text_of(dataset, "SeriesInstanceUID"),
        text_of(dataset, "StudyInstanceUID") or text_of(dataset, "SeriesInstanceUID"),
        text_of(dataset, "FrameOfReferenceUID"),
        text_of(dataset, "Modality"),
        text_of(dataset, "SOPClassUID"),
        next((found for found in reversed(types) if found), ()),
        text_of(dataset, "PatientPosition"),
        (int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)),
        # Stored as the distances of rows, then of columns
        (spacing_mm[1], spacing_mm[0]) if spacing_mm and min(spacing_mm) > 0 else None,
        _directions(numbers("ImageOrientationPatient", 6)),
        # Some write it in small letters, in some slices alone
        text("RescaleType").upper(),
        1 if text_of(dataset, "SOPClassUID") in ENHANCED else int(dataset.get("NumberOfFrames") or 1),
    )
    order = number("InstanceNumber")
    return Slice(
        file,
        text_of(dataset, "SOPInstanceUID"),
        frame,
        stack,
        (position_mm[0], position_mm[1], position_mm[2]) if position_mm else None,
        number("SliceLocation"),
        None if order is None else int(order),
        number("SliceThickness"),
        number("SpacingBetweenSlices"),
        tuple(text(name) for name in ("AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel")),
        header,
    )


def _directions(orientation: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Directions of unit length at right angles, as rounding in the file leaves them nearly; refuses others."""
    if orientation is None:
        return None
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if (
        max(abs(length - 1) for length in lengths) > 0.01
        or abs(sum(a * b for a, b in zip(row, column, strict=True))) > 0.01
    ):
        raise DamagedHeaderError("its directions of rows and columns are not at right angles")
    return orientation


def _item(dataset: Dataset, name: str) -> Dataset | None:
    found = dataset.get(name)
    return found[0] if found else None


def _numbers(dataset: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """As many finite numbers as expected, None where there is no value; DamagedHeaderError for anything else."""
    value: Any = dataset.get(name)
    if value is None or value == "":
        return None
    values = [value] if isinstance(value, str | int | float) else list(value)
    if not values:
        return None
    try:
        found = tuple(float(number) for number in values)
    except (TypeError, ValueError) as error:
        raise DamagedHeaderError(f"its {name} is not a number") from error
    if len(found) != count or not all(math.isfinite(number) for number in found):
        raise DamagedHeaderError(f"its {name} is not {count} finite number(s)")
    return found


def _texts(dataset: Dataset, name: str) -> tuple[str, ...]:
    value = dataset.get(name)
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(part) for part in value)
