"""Damaged DICOM series: a small chest in slices or in one multi-frame file, and what can go wrong with their tags."""

from __future__ import annotations

import io
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from pipeline.scans.dicom.file_start import quiet_pydicom

from .images import SPACING_MM, damaged_bytes, voxels

# pytest puts this folder's on the path, `python -m tests.fuzz` the one above
dicom_makers = import_module(f"{__package__.rpartition('.')[0]}.dicom_makers".lstrip("."))

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType",
    "PatientPosition", "AcquisitionNumber", "InstanceNumber", "SliceLocation", "SliceThickness", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored",
    "HighBit",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope",
    "RescaleIntercept", "PixelData",
    "PixelPaddingValue", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PlanarConfiguration",
)  # fmt: skip
VALUES = {
    "DS": ("", "nan", "inf", "1e308", "-1e30", "0", "1e-30", "abc", ["1"], ["1", "2", "3", "4"], ["0", "0", "0"],
           ["nan", "0", "0"], ["1e30", "0", "0"], ["0"] * 6, ["1", "0", "0", "1", "0", "0"], "9" * 60, "-5"),
    "IS": ("", "-1", "0", "99999999999", "abc", "1.5", "2147483648", ["1", "2"]),
    "US": (0, 1, 7, 8, 15, 17, 255, 8192, 65535),
    "UI": ("", "1.2.3", "not a uid", "1." * 40, "1.2.840.10008.5.1.4.1.1.88.67"),
    "CS": ("", "MR", "LOCALIZER", "RGB", "PALETTE COLOR", "ct", "x" * 200, ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
}  # fmt: skip
WRONG_KINDS = ("OB", "OW", "UN", "LO", "US", "DS", "SQ", "FL", "AT", "SL")


@cache
def sound_series(kind: str) -> tuple[bytes, ...]:
    """The files of an undamaged series: `classic`, `enhanced`, or a compression of the first."""
    image = sitk.GetImageFromArray(voxels().transpose(2, 1, 0))
    image.SetSpacing(SPACING_MM)
    # Others each time, they would move all bytes behind them
    uids = (f"1.2.826.0.{number}.{len(kind)}" for number in count(1))
    with mock.patch.object(dicom_makers, "generate_uid", side_effect=uids):
        datasets = [dicom_makers.enhanced(image)] if kind == "enhanced" else dicom_makers.classic(image)
    syntax = {"jpeg": JPEGLosslessSV1, "jpeg2000": JPEG2000Lossless, "rle": RLELossless}.get(kind)
    for dataset in datasets if syntax else ():
        dicom_makers.compress(dataset, syntax)
    return tuple(map(_written, datasets))


def _written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    # Not enforced: what is damaged would be refused
    dcmwrite(stream, dataset, enforce_file_format=False)
    return stream.getvalue()


def write_damaged_series(folder: Path, generator: np.random.Generator) -> None:
    """Write a series that lacks slices, holds some twice or another one's, or of which some or all are damaged."""
    folder.mkdir()
    contents = list(
        sound_series(str(generator.choice(["classic"] * 4 + ["enhanced"] * 3 + ["jpeg", "jpeg2000", "rle"])))
    )
    choice = int(generator.integers(10))
    if choice == 0:
        del contents[int(generator.integers(len(contents)))]
    elif choice == 1:
        contents += list(sound_series(str(generator.choice(["classic", "enhanced", "rle"]))))
    elif choice == 2:
        contents.append(contents[int(generator.integers(len(contents)))])
    elif choice == 3:
        contents += [b"", b"DICM", generator.bytes(500), bytes(128) + b"DICM" + generator.bytes(300)]
    if choice >= 3:
        every = generator.random() < 0.4
        seed = int(generator.integers(2**32))
        one = int(generator.integers(len(contents)))
        for number, content in enumerate(contents):
            if every or number == one:
                contents[number] = damaged_file(content, np.random.default_rng(seed))
    for number, content in enumerate(contents):
        (folder / f"IM{number:04d}").write_bytes(content)


def damaged_file(content: bytes, generator: np.random.Generator) -> bytes:
    """A DICOM file with other tags, or other bytes."""
    if generator.random() < 0.35 or content[128:132] != b"DICM":
        return damaged_bytes(content, min(len(content), 1500), generator) if content else b""
    with quiet_pydicom():
        try:
            dataset = dcmread(io.BytesIO(content))
            for _ in range(int(generator.integers(1, 4))):
                _damage_tag(dataset, generator)
            return _written(dataset)
        # Not every damage can be read again, or written; bytes can
        except Exception:
            return damaged_bytes(content, min(len(content), 1500), generator)


def _damage_tag(dataset: Dataset, generator: np.random.Generator) -> None:
    places = [place for place in _datasets(dataset) if any(tag in place for tag in TAGS)]
    if not places:
        return
    place = places[0] if generator.random() < 0.6 else places[int(generator.integers(len(places)))]
    there = [tag for tag in TAGS if tag in place]
    name = there[int(generator.integers(len(there)))]
    element = place[name]
    choice = int(generator.integers(6))
    if choice == 0:
        del place[name]
    elif choice == 1:
        element.VR = str(generator.choice(WRONG_KINDS))
    elif element.VR in VALUES:
        values = VALUES[element.VR]
        value = values[int(generator.integers(len(values)))]
        element.value = value
    elif isinstance(element.value, bytes):
        element.value = element.value[: int(generator.integers(len(element.value) + 1))]
    else:
        element.value = []


def _datasets(dataset: Dataset) -> list[Dataset]:
    """A dataset and those in its sequences."""
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ" and element.value:
            found += [inner for item in element.value for inner in _datasets(item)]
    return found
