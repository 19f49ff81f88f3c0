"""A label map as a DICOM RT structure set of the series that it was made from, for planning systems.

No library does it as it has to be here: highdicom has no such object; rt-utils (1.2.7, of 2023) draws lines through the
centres of the outermost voxels, leaves out parts of one or two, lays the slices of a tilted gantry straight above each
other, reads no enhanced CT, and brings OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence, SOPClass
from highdicom.sr import CodedConcept
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from pipeline.core.atomic import replacing
from pipeline.core.labels import label_map
from pipeline.scans.dicom.contours import keyhole_polygons
from pipeline.scans.dicom.grid import Grid
from pipeline.scans.dicom.headers import ENHANCED, Slice
from pipeline.scans.dicom.segmentation import (
    ANATOMY,
    CONCEPTS,
    MANUFACTURER,
    SERIES_NUMBER,
    checked_grid,
    described,
    made_of_headers,
    shown_slices,
    source_headers,
)
from pipeline.scans.dicom.stack import Series
from pipeline.scans.simpleitk import sitk

# The name that planning systems list it by, 16 letters at most, and what they tell of it
LABEL = "RESEARCH ONLY"
DESCRIPTION = "Found by software and approved by nobody. For research only, not a medical device."
# In the manner of AAPM TG-263: many systems cut names after 16 letters, and a lung here is what is not infected of it
NAMES = {
    "left_lung": "Lung_L-Infection",
    "right_lung": "Lung_R-Infection",
    "lungs": "Lungs-Infection",
    "normal": "Lungs-Infection",
    "infection": "Infection",
    "abnormal": "Infection",
    "ground_glass_opacity": "GroundGlass",
    "consolidation": "Consolidation",
}
# Retired, and what references to a study have by custom
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"


def write_structure_set(
    label: sitk.Image,
    series: Series,
    path: str | Path,
    algorithm: str,
    version: str,
    classes: str = "lungs_infection",
) -> None:
    """Write a label map on the grid of `read_series(series)` as a DICOM RT structure set, atomically.

    A region of interest for each class of the label map named `classes` but the background, its number being the class'
    own, without contours where there is nothing of it. Contours are `keyhole_polygons`, in the planes of the slices
    themselves, each referring to its slice. Like the segmentation it carries patient and study as the sources do.
    Raises InputError for what `write_segmentation` refuses, but enhanced CT in several files.
    """
    what = "a DICOM structure set"
    grid = checked_grid(label, series, what, classes)
    voxels, voxel_ml = sitk.GetArrayViewFromImage(label), float(np.prod(label.GetSpacing())) / 1000
    with made_of_headers(series, what, "the label file"):
        source = source_headers(series)[0]
        made = _belonging_to(source, algorithm, version)
        made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source, series)]
        regions, drawn, observations = [], [], []
        for number, name in enumerate(list(label_map(classes).classes)[1:], 1):
            mask = voxels == number
            region = _region(number, name, np.count_nonzero(mask) * voxel_ml, algorithm, version)
            region.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
            regions.append(region)
            drawn.append(_drawn(number, name, list(_contours(mask, series, grid))))
            observations.append(_observation(number, name))
        made.StructureSetROISequence, made.ROIContourSequence = regions, drawn
        made.RTROIObservationsSequence = observations
        with replacing(path) as temporary:
            made.save_as(temporary)


def _belonging_to(source: Dataset, algorithm: str, version: str) -> SOPClass:
    """An RT structure set of the patient and the study of a source, without any structure yet."""
    made = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER + 2,
        sop_instance_uid=generate_uid(),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        manufacturer=MANUFACTURER,
        # Where VRs are explicit, 64 KiB are the most that a contour may have
        transfer_syntax_uid=ImplicitVRLittleEndian,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        series_description=described(algorithm, version),
        manufacturer_model_name=algorithm,
        software_versions=version,
        device_serial_number=version,
        specific_character_set=source.get("SpecificCharacterSet"),
    )
    made.copy_patient_and_study_information(source)
    now = datetime.now()
    made.StructureSetLabel, made.StructureSetName, made.StructureSetDescription = LABEL, algorithm, DESCRIPTION
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ApprovalStatus = "UNAPPROVED"
    made.FrameOfReferenceUID = source.FrameOfReferenceUID
    made.PositionReferenceIndicator = source.get("PositionReferenceIndicator")
    # Nobody, as the standard wants to be said of a series for radiotherapy
    made.OperatorsName = None
    return made


def _frame_of_reference(source: Dataset, series: Series) -> Dataset:
    """The slices that a structure set is drawn on."""
    images = _item(
        SeriesInstanceUID=source.SeriesInstanceUID,
        ContourImageSequence=[_reference(each) for each in shown_slices(series)],
    )
    study = _item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=source.StudyInstanceUID,
        RTReferencedSeriesSequence=[images],
    )
    return _item(FrameOfReferenceUID=source.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _reference(shown: Slice) -> Dataset:
    reference = _item(ReferencedSOPClassUID=shown.stack.sop_class_uid, ReferencedSOPInstanceUID=shown.instance_uid)
    if shown.stack.sop_class_uid in ENHANCED:
        reference.ReferencedFrameNumber = shown.frame + 1
    return reference


def _region(number: int, name: str, volume_ml: float, algorithm: str, version: str) -> Dataset:
    """What a class is called and what found it; one ml is one cm3, and the volume that of the label's voxels."""
    made_by = AlgorithmIdentificationSequence(algorithm, codes.DCM.ArtificialIntelligence, version)
    return _item(
        ROINumber=number,
        ROIName=NAMES[name],
        ROIDescription=CONCEPTS[name].label,
        ROIVolume=f"{volume_ml:.3f}",
        ROIGenerationAlgorithm="AUTOMATIC",
        ROIGenerationDescription=f"{algorithm} {version}",
        ROIDerivationAlgorithmIdentificationSequence=made_by,
    )


def _drawn(number: int, name: str, contours: Sequence[Dataset]) -> Dataset:
    drawn = _item(ReferencedROINumber=number, ROIDisplayColor=list(CONCEPTS[name].red_green_blue))
    if contours:
        drawn.ContourSequence = contours
    return drawn


def _contours(mask: np.ndarray, series: Series, grid: Grid) -> Iterator[Dataset]:
    """Of a mask (planes, rows, columns), in the planes in which its slices truly lie."""
    across = series.orientation[:, :2] * series.spacing_mm[:2]
    number = 0
    for plane, shown in enumerate(shown_slices(series)):
        reference = _reference(shown)
        for polygon in keyhole_polygons(mask[(plane, *grid.place(plane, series))]):
            number += 1
            contour = _item(
                ContourNumber=number,
                ContourImageSequence=[reference],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(polygon),
            )
            places_mm = (shown.position_mm + polygon @ across.T).ravel().tolist()
            # As it will be in the file: pydicom would make an object of each of millions of numbers
            text = "\\".join(map("%.3f".__mod__, places_mm))
            contour.add(DataElement("ContourData", "DS", text, already_converted=True))
            yield contour


def _observation(number: int, name: str) -> Dataset:
    concept = CONCEPTS[name]
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        SegmentedPropertyCategoryCodeSequence=[_coded(concept.category)],
        RTROIIdentificationCodeSequence=[_kind(concept.kind, concept.side)],
        # No term means a lesion that is no target: as GTV it would be irradiated
        RTROIInterpretedType="ORGAN" if concept.category == ANATOMY else "",
        ROIInterpreter="",
    )


def _kind(kind: Code, side: Code | None) -> CodedConcept:
    coded = _coded(kind)
    if side:
        coded.SegmentedPropertyTypeModifierCodeSequence = [_coded(side)]
    return coded


def _coded(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme_designator, code.meaning)


def _item(**values: object) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made
