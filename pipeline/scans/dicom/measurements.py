"""The volumes of a segmentation as a DICOM structured report (TID 1500), which an archive shows beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import sr
from highdicom.seg import Segmentation, segread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from pipeline.core.atomic import replacing
from pipeline.core.labels import label_map
from pipeline.scans.dicom.segmentation import (
    ABNORMALITY,
    CONCEPTS,
    LUNG,
    MANUFACTURER,
    SERIES_NUMBER,
    USE,
    described,
    made_of_headers,
    source_headers,
)
from pipeline.scans.dicom.stack import Series
from pipeline.scans.simpleitk import sitk

REMARK = f"Found by software and verified by nobody; {USE}."


def write_measurements(
    label: sitk.Image,
    series: Series,
    segmentation: str | Path,
    path: str | Path,
    algorithm: str,
    version: str,
    classes: str = "lungs_infection",
) -> None:
    """Write the volume in cm3 of each class of a label map as a DICOM structured report, atomically.

    `segmentation` is the file that `write_segmentation` made of the label; each volume refers to its segment. Not
    verified by anybody, as the report says. Like the segmentation it carries patient and study as the sources do.
    Raises InputError where the segmentation or the headers do not suffice.
    """
    voxel_ml = float(np.prod(label.GetSpacing())) / 1000
    counts = np.bincount(np.ravel(sitk.GetArrayViewFromImage(label)), minlength=len(label_map(classes).classes))
    with made_of_headers(series, "a DICOM report", "the severity file"):
        shown = segread(segmentation)
        device = sr.DeviceObserverIdentifyingAttributes(generate_uid(), MANUFACTURER, MANUFACTURER, algorithm, version)
        report = sr.MeasurementReport(
            sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
            codes.cid100.CTUnspecifiedBodyRegion,
            [
                _volume(shown, number, name, counts[number] * voxel_ml, sr.AlgorithmIdentification(algorithm, version))
                for number, name in enumerate(list(label_map(classes).classes)[1:], 1)
            ],
            codes.DCM.ImagingMeasurementReport,
        )
        # The template may be extended; a viewer shows this as a line of the report
        remark = sr.TextContentItem(codes.DCM.Comment, REMARK, sr.RelationshipTypeValues.CONTAINS)
        report[0].ContentSequence.append(remark)
        made = sr.ComprehensiveSR(
            [shown, *source_headers(series)],
            report[0],
            generate_uid(),
            SERIES_NUMBER + 1,
            generate_uid(),
            1,
            MANUFACTURER,
            is_complete=True,
            series_description=described(algorithm, version),
        )
        with replacing(path) as temporary:
            made.save_as(temporary)


def _volume(
    shown: Segmentation, number: int, name: str, volume_ml: float, algorithm: sr.AlgorithmIdentification
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """The volume of a segment; one ml is one cm3."""
    concept = CONCEPTS[name]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(generate_uid(), concept.label),
        referenced_segment=sr.ReferencedSegment.from_segmentation(shown, number),
        finding_type=concept.kind,
        finding_category=concept.category,
        finding_sites=[sr.FindingSite(LUNG, concept.side)] if concept.side or concept.category == ABNORMALITY else None,
        algorithm_id=algorithm,
        measurements=[sr.Measurement(codes.SCT.Volume, round(volume_ml, 3), codes.UCUM.CubicCentimeter)],
    )
