"""Which study a DICOM file is of, from the first few kilobytes of it: of an archive every file is asked."""

from __future__ import annotations

from pathlib import Path

from pipeline.scans.dicom.file_start import begins_without_preamble, first_text
from pipeline.scans.dicom.headers import read_slices

# The tags of StudyInstanceUID and of the pixels, which may hold any bytes; little endian
TAG, PIXELS = b"\x20\x00\x0d\x00", b"\xe0\x7f\x10\x00"
# What most headers have before it and itself
FIRST_BYTES = 8192


def study_uid(file: Path, likely: str = "") -> str:
    """UID of the study that a DICOM file is of, or else of its series; "" for what is no such file.

    `likely` is the study of the file before, which is confirmed without reading the header: 0.02 ms instead of 0.5.
    Raises DamagedHeaderError for a DICOM file that does not tell, and OSError for one that cannot be opened.
    """
    if likely and _confirms(file, likely):
        return likely
    if begins_without_preamble(file) is None:
        return ""
    if found := first_text(file, "StudyInstanceUID"):
        return found
    slices = read_slices(file)
    return slices[0].stack.study_uid if slices else ""


def _confirms(file: Path, study: str) -> bool:
    """Whether the beginning of a file names a study, and no other one: an object may refer to another study."""
    with file.open("rb") as stream:
        start = stream.read(FIRST_BYTES).partition(PIXELS)[0]
    if start.count(TAG) != 1:
        return False
    value = start[start.index(TAG) + len(TAG) :][:72]
    uid = study.encode() + b"\0" * (len(study) % 2)
    length = len(uid)
    return value.startswith((b"UI" + length.to_bytes(2, "little") + uid, length.to_bytes(4, "little") + uid))
