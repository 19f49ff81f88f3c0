"""Volumes go into a DICOM structured report that refers to the segments."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import chest
from dicom_makers import VERIFIER, classic, enhanced, errors, write
from highdicom.sr import srread
from pydicom import dcmread
from pydicom.sr.codedict import codes

from pipeline.scans.dicom.measurements import write_measurements
from pipeline.scans.dicom.segmentation import described, write_segmentation
from pipeline.scans.dicom.series import find_series


@pytest.fixture(params=[classic, lambda image: [enhanced(image)]], ids=["classic", "enhanced"])
def written(request, tmp_path):
    scan, label = chest()
    write(request.param(scan), tmp_path)
    (series,) = find_series(tmp_path)
    write_segmentation(label, series, tmp_path / "seg.dcm", "PneumoBundle test", "1.0")
    write_measurements(label, series, tmp_path / "seg.dcm", tmp_path / "sr.dcm", "PneumoBundle test", "1.0")
    return tmp_path / "sr.dcm", label


def test_each_segment_has_its_volume(written):
    file, label = written
    groups = srread(file).content.get_volumetric_roi_measurement_groups()
    volumes = [group.get_measurements(codes.SCT.Volume)[0].value for group in groups]
    voxels = [np.count_nonzero(sitk.GetArrayViewFromImage(label) == number) for number in (1, 2, 3)]
    assert volumes == pytest.approx([count * 1.2 * 1.5 * 3.0 / 1000 for count in voxels], abs=1e-3)


def test_each_volume_refers_to_its_segment(written):
    file, _ = written
    groups = srread(file).content.get_volumetric_roi_measurement_groups()
    assert [group.referenced_segment.referenced_segment_numbers for group in groups] == [[1], [2], [3]]


def test_the_report_says_what_it_is_for(written):
    report = srread(written[0])
    assert report.SeriesDescription == "PneumoBundle test 1.0; for research, not a medical device"
    assert report.ContentSequence[-1].TextValue == (
        "Found by software and verified by nobody; for research, not a medical device."
    )


def test_the_segmentation_says_what_it_is_for(written):
    segmentation = dcmread(written[0].with_name("seg.dcm"))
    assert segmentation.SeriesDescription == "PneumoBundle test 1.0; for research, not a medical device"
    assert segmentation.ContentDescription == "Found by software; for research, not a medical device"


def test_what_an_object_is_for_stands_behind_the_longest_name_of_what_made_it():
    told = described("lung_ct_covid_attention_unet_amc_segmentation", "0.2.0")
    assert (len(told), told[-36:]) == (64, "; for research, not a medical device")


@pytest.mark.skipif(not VERIFIER, reason="there is no dciodvfy (Debian's dicom3tools)")
def test_the_verifier_finds_no_error(written):
    assert errors(written[0]) == []
