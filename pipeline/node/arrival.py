"""One object that somebody sent: whose series it is of, and whether it can be understood at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pipeline.scans.dicom.file_start import DamagedHeaderError, quiet_pydicom, text_of
from pipeline.scans.dicom.gdcm_decoder import SYNTAXES
from pipeline.scans.dicom.headers import CT_CLASSES, read_slices

UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
# All that a series may be stored in, see docs/what-is-read.md
TRANSFER_SYNTAXES = (*UNCOMPRESSED, DeflatedExplicitVRLittleEndian, RLELossless, *SYNTAXES)
# Of C-STORE, PS3.4 B.2.3, and of STOW-RS, PS3.18 10.5.3
OUT_OF_RESOURCES, NOT_OF_ITS_CLASS, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
CLASS_NOT_SUPPORTED, SYNTAX_NOT_SUPPORTED, PROCESSING_FAILED = 0x0122, 0xC122, 0x0110
# What a patient is told by. Two with the same number are two where name or date of birth differ
PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
LONGEST_UID = 64


class RefusedError(Exception):
    """An object is not taken; the message says why, without a value of its header.

    `status` is of DICOM; `series` is the key of its series, "" where that cannot be told, and `instance` its name.
    """

    def __init__(self, status: int, why: str, series: str = "", instance: str = "") -> None:
        super().__init__(why)
        self.status, self.series, self.instance = status, series, instance


@dataclass(frozen=True)
class Arrival:
    """An object that can be taken.

    Args:
        series: key of patient, study and series, which tells none of them.
        instance: name of the object, which does not tell its UID.
        study_uid, series_uid: as it says.
        told: images of its series, as far as it says; 0 where it does not.
        size: bytes.
    """

    series: str
    instance: str
    study_uid: str
    series_uid: str
    told: int
    size: int


def look_at(file: Path, sop_class: str = "", sop_instance: str = "") -> Arrival:
    """What an object in a file is, its pixels left unread; RefusedError where it is none that can be segmented.

    `sop_class` and `sop_instance` are as its sender told them.
    """
    series = instance = ""
    try:
        with quiet_pydicom():
            header = pydicom.dcmread(file, stop_before_pixels=True, defer_size=4096)
            found_class = text_of(header, "SOPClassUID")
            if found_class not in CT_CLASSES:
                raise RefusedError(CLASS_NOT_SUPPORTED, "it is no CT image")
            if header.file_meta.TransferSyntaxUID not in TRANSFER_SYNTAXES:
                raise RefusedError(SYNTAX_NOT_SUPPORTED, "it is stored in a way that is not read here")
            study, uid = text_of(header, "StudyInstanceUID"), text_of(header, "SeriesInstanceUID")
            own = text_of(header, "SOPInstanceUID")
            if not (study and uid and own) or max(map(len, (study, uid, own))) > LONGEST_UID:
                raise RefusedError(NOT_UNDERSTOOD, "it lacks the UID of study, series or image")
            series, instance = series_key(header, study, uid), hashed(own)
            if sop_class not in ("", found_class) or sop_instance not in ("", own):
                raise RefusedError(NOT_OF_ITS_CLASS, "it is another object than its sender says", series, instance)
            slices = read_slices(file)
            if not slices:
                raise RefusedError(NOT_UNDERSTOOD, "it holds no slice", series, instance)
            if slices[0].header and _pixel_bytes(header) > file.stat().st_size - slices[0].header.pixels_at:
                raise RefusedError(NOT_UNDERSTOOD, "it ends before its last pixel", series, instance)
            told = header.get("NumberOfSeriesRelatedInstances")
            return Arrival(series, instance, study, uid, max(int(told or 0), 0), file.stat().st_size)
    except RefusedError:
        raise
    except DamagedHeaderError as error:
        raise RefusedError(NOT_UNDERSTOOD, str(error), series, instance) from error
    except OSError as error:
        raise RefusedError(PROCESSING_FAILED, f"it cannot be read ({error.strerror})", series, instance) from error
    # pydicom lets through whatever a damaged value provokes
    except Exception as error:
        raise RefusedError(NOT_UNDERSTOOD, "its header is damaged", series, instance) from error


def _pixel_bytes(header: Dataset) -> int:
    """What the pixels of an object take that is not compressed; at least 1."""
    if header.file_meta.TransferSyntaxUID not in UNCOMPRESSED:
        return 1
    values = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames") or 1)
    return values * int(header.get("SamplesPerPixel") or 1) * int(header.BitsAllocated) // 8


def series_key(header: Dataset, study_uid: str, series_uid: str) -> str:
    """Short, the same each time, and nobody's: of patient, study and series together."""
    patient = [" ".join(str(header.get(name) or "").split()).upper() for name in PATIENT]
    return hashed("\x1f".join([*patient, study_uid, series_uid]))[:12]


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
