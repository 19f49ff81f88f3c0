"""Decode with SimpleITK's GDCM what pydicom cannot decode by itself, JPEG Lossless first of all.

A plug-in in pydicom's sense. Only GPL or large packages would teach pydicom these syntaxes, and SimpleITK is there.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from pipeline.scans.simpleitk import sitk

NAME = "simpleitk"
SYNTAXES = (JPEGLosslessSV1, JPEGLossless, JPEGExtended12Bit, JPEGBaseline8Bit, JPEG2000Lossless, JPEG2000)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("SimpleITK>=2.4",))
END_OF_IMAGE = b"\xff\xd9"


def is_available(uid: str) -> bool:
    """Whether a transfer syntax can be decoded here; pydicom asks."""
    return uid in SYNTAXES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """The stored values of one encoded frame, little endian; pydicom calls it.

    The frame alone is put into a file of its own, without rescale slope and intercept, which GDCM would apply. Raises
    ValueError for a frame that ends early: GDCM fills up what is missing.
    """
    # Some files fill up to an even length with other bytes than zeros
    if END_OF_IMAGE not in source[-8:]:
        raise ValueError("the compressed image ends early")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "frame.dcm"
        _file_of_one_frame(source, runner).save_as(file, enforce_file_format=True)
        image = sitk.ReadImage(str(file), imageIO="GDCMImageIO")
    values = sitk.GetArrayFromImage(image)
    kind = np.dtype(f"{'i' if runner.pixel_representation else 'u'}{runner.bits_allocated // 8}")
    if values.size != runner.rows * runner.columns:
        raise ValueError("the compressed image has another size than its header says")
    return values.astype(kind.newbyteorder("<")).tobytes()


def _file_of_one_frame(source: bytes, runner: DecodeRunner) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = runner.rows, runner.columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = runner.bits_allocated, runner.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = runner.bits_stored - 1, runner.pixel_representation
    dataset.PixelData = encapsulate([source])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(runner.transfer_syntax)
    return dataset


def use_gdcm() -> None:
    """Have pydicom ask GDCM, after decoders of its own, in this process."""
    for syntax in SYNTAXES:
        decoder = get_decoder(syntax)
        if NAME not in decoder.available_plugins:
            decoder.add_plugin(NAME, (__name__, decode_frame.__name__))
