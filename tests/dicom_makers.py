"""Synthetic CT series as a scanner would send them: classic and enhanced, in any direction, with a planted patient."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from conftest import chest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    generate_uid,
)

from pipeline.core.project import ROOT
from pipeline.scans.geometry import Geometry

# What must appear in no message, log, or name of a file
PATIENT_NAME, PATIENT_ID, BIRTH_DATE, ACCESSION = "Plantagenet^Zoe", "PID-4711-X", "19470331", "ACC-0815"
INTERCEPT, SLOPE = -1024, 1
CORONAL = [1, 0, 0, 0, 0, -1]
REAL = ROOT.parent / "shared" / "data" / "extra" / "dicom" / "ricord_000082"
OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
SIGNED_PERMUTATIONS = [
    tuple(np.eye(3)[list(order)].T @ np.diag(signs))
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
VERIFIER = shutil.which("dciodvfy")
# As of an object that was made of a classic series: one that came from the scanner tells much more of it
ENHANCED_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
# SimpleITK's names of compressions that pydicom cannot write
SIMPLEITK_COMPRESSION = {JPEGLosslessSV1: "JPEG", JPEG2000Lossless: "JPEG2000"}


def classic(image: sitk.Image, slope: float = SLOPE, intercept: float = INTERCEPT) -> list[Dataset]:
    """A CT image object for each slice of a scan in HU, in the order of its last axis."""
    axes = np.reshape(image.GetDirection(), (3, 3))
    common = _common(image, slope, intercept, CTImageStorage)
    stored = _stored(image, slope, intercept)
    made = []
    for index, pixels in enumerate(stored):
        position = image.TransformIndexToPhysicalPoint((0, 0, index))
        dataset = deepcopy(common)
        dataset.SOPInstanceUID = generate_uid()
        dataset.InstanceNumber, dataset.AcquisitionNumber = str(index + 1), "1"
        dataset.ImagePositionPatient = _decimals(position)
        dataset.ImageOrientationPatient = _decimals([*axes[:, 0], *axes[:, 1]])
        dataset.SliceLocation = _decimals(position)[2]
        dataset.SliceThickness = f"{image.GetSpacing()[2]:.6g}"
        dataset.PixelSpacing = _decimals(image.GetSpacing()[1::-1])
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(intercept), str(slope), "HU"
        dataset.KVP = "120"
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = _meta(dataset)
        made.append(dataset)
    return made


def enhanced(image: sitk.Image, order: Sequence[int] | None = None, intercepts: Sequence[float] = ()) -> Dataset:
    """One multi-frame CT object of a scan in HU, its frames in any order, each with an intercept of its own."""
    axes, count = np.reshape(image.GetDirection(), (3, 3)), image.GetSize()[2]
    order = range(count) if order is None else order
    intercepts = intercepts or [INTERCEPT] * count
    dataset = _common(image, SLOPE, INTERCEPT, EnhancedCTImageStorage)
    dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(), "1"
    dataset.update(_enhanced_module(generate_uid()))
    shared = Dataset()
    shared.PixelMeasuresSequence = [
        _item(PixelSpacing=_decimals(image.GetSpacing()[1::-1]), SliceThickness=f"{image.GetSpacing()[2]:.6g}")
    ]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=_decimals([*axes[:, 0], *axes[:, 1]]))]
    shared.update(_enhanced_macros())
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(image, index, place + 1, intercept)
        for place, (index, intercept) in enumerate(zip(order, intercepts, strict=True))
    ]
    dataset.NumberOfFrames = count
    voxels = sitk.GetArrayFromImage(image)
    dataset.PixelData = b"".join(
        np.maximum(voxels[index] - int(intercept), 0).astype("<u2").tobytes()
        for index, intercept in zip(order, intercepts, strict=True)
    )
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = _meta(dataset)
    return dataset


def write(datasets: Iterable[Dataset], folder: Path, name: str = "IM{:04d}") -> list[Path]:
    """Write objects into a folder, numbered in the order in which they come."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, dataset in enumerate(datasets):
        files.append(folder / name.format(number))
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def compress(dataset: Dataset, syntax: UID) -> None:
    """Compress an object's frames without loss, by pydicom or else by SimpleITK."""
    if syntax not in SIMPLEITK_COMPRESSION:
        dataset.compress(syntax)
        return
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    dataset.PixelData = encapsulate([_encoded(frame, SIMPLEITK_COMPRESSION[syntax], syntax) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax


def _encoded(frame: np.ndarray, compressor: str, syntax: UID) -> bytes:
    writer = sitk.ImageFileWriter()
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.SetImageIO("GDCMImageIO")
    with TemporaryDirectory() as folder:
        writer.SetFileName(f"{folder}/frame.dcm")
        writer.Execute(sitk.GetImageFromArray(frame))
        written = dcmread(f"{folder}/frame.dcm")
    assert written.file_meta.TransferSyntaxUID == syntax
    return next(generate_frames(written.PixelData, number_of_frames=1))


def _common(image: sitk.Image, slope: float, intercept: float, sop_class: str) -> Dataset:
    study = _item(
        PatientName=PATIENT_NAME,
        PatientID=PATIENT_ID,
        PatientBirthDate=BIRTH_DATE,
        PatientSex="O",
        AccessionNumber=ACCESSION,
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(),
        SOPClassUID=sop_class,
        StudyDate="20200401",
        StudyTime="101500",
        SeriesDate="20200401",
        SeriesTime="101510",
        AcquisitionDate="20200401",
        AcquisitionTime="101520",
        ContentDate="20200401",
        ContentTime="101530",
        ReferringPhysicianName=None,
        StudyID="1",
        SeriesNumber="2",
        Modality="CT",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        Manufacturer="Synthetic",
        PatientPosition="HFS",
        PositionReferenceIndicator=None,
        BodyPartExamined="CHEST",
    )
    study.Columns, study.Rows = image.GetSize()[:2]
    study.SamplesPerPixel, study.PhotometricInterpretation = 1, "MONOCHROME2"
    study.BitsAllocated, study.BitsStored, study.HighBit, study.PixelRepresentation = 16, 16, 15, 0
    return study


def _enhanced_module(organization: str) -> Dataset:
    pointers = [
        _item(DimensionOrganizationUID=organization, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
        # Stack and place in it
        for pointer in (0x00209056, 0x00209057)
    ]
    return _item(
        DimensionOrganizationSequence=[_item(DimensionOrganizationUID=organization)],
        DimensionIndexSequence=pointers,
        ImageType=ENHANCED_TYPE,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        AcquisitionDateTime="20200401101520",
        AcquisitionDuration=1.0,
        ContentQualification="RESEARCH",
        AcquisitionContextSequence=[],
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
        PresentationLUTShape="IDENTITY",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        ManufacturerModelName="Synthetic",
    )


def _enhanced_macros() -> Dataset:
    frame_type = _item(
        FrameType=ENHANCED_TYPE,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
    )
    chest = _item(CodeValue="51185008", CodingSchemeDesignator="SCT", CodeMeaning="Chest")
    return _item(
        CTImageFrameTypeSequence=[frame_type],
        IrradiationEventIdentificationSequence=[_item(IrradiationEventUID=generate_uid())],
        FrameAnatomySequence=[_item(AnatomicRegionSequence=[chest], FrameLaterality="U")],
    )


def _frame(image: sitk.Image, index: int, place: int, intercept: float) -> Dataset:
    position = image.TransformIndexToPhysicalPoint((0, 0, index))
    content = _item(
        FrameAcquisitionDateTime="20200401101520",
        FrameReferenceDateTime="20200401101520",
        FrameAcquisitionDuration=1.0,
        StackID="1",
        InStackPositionNumber=index + 1,
        DimensionIndexValues=[1, index + 1],
        FrameAcquisitionNumber=1,
    )
    return _item(
        FrameContentSequence=[content],
        PlanePositionSequence=[_item(ImagePositionPatient=_decimals(position))],
        PixelValueTransformationSequence=[
            _item(RescaleIntercept=str(intercept), RescaleSlope=str(SLOPE), RescaleType="HU")
        ],
    )


def _stored(image: sitk.Image, slope: float, intercept: float) -> np.ndarray:
    # As scanners cut off: noise below the lowest value would wrap to the highest
    return np.maximum(np.rint((sitk.GetArrayFromImage(image) - intercept) / slope), 0).astype("<u2")


def _item(**values: object) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def _decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as DICOM's decimal strings of at most 16 characters."""
    return [f"{number:.9f}".rstrip("0").rstrip(".")[:16] for number in numbers]


def _meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def study(count: int = 1, **changes: object) -> list[list[Dataset]]:
    """Series of one study, each of 12 slices, all with the same values of some attributes."""
    uid = generate_uid()
    made = [classic(chest()[0]) for _ in range(count)]
    for dataset in (dataset for series in made for dataset in series):
        dataset.StudyInstanceUID = uid
        for name, value in changes.items():
            setattr(dataset, name, value)
    return made


def assert_same(found: sitk.Image, expected: sitk.Image) -> None:
    assert Geometry.of(found).differences(Geometry.of(expected), tolerance_mm=1e-4) == []
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))


def errors(file: Path) -> list[str]:
    """What the verifier of David Clunie's dicom3tools finds wrong."""
    said = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True, check=False)
    return [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]
