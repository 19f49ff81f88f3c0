"""A scan or a patient under two names is found; different patients are not taken for one."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from defects import changed, found_in, patient, write_case

from pipeline.check_data.check import all_findings, check_each, check_scan
from pipeline.check_data.duplicates import MAYBE_SAME, lungs_look
from pipeline.check_data.finding import ERROR, NOTE, WARNING
from pipeline.check_data.overview import overview
from pipeline.core.project import ROOT
from pipeline.folders.layouts import list_cases
from pipeline.phantom.dataset import phantom_case

SHARED = ROOT.parent / "shared" / "data"


def two(folder: Path, second: sitk.Image, label: sitk.Image, patients: tuple[str, str]) -> list[tuple[str, str, str]]:
    write_case(folder, "a", *patient())
    write_case(folder, "b", second, label)
    cases = [{"case": case, "patient": name} for case, name in zip("ab", patients, strict=True)]
    (folder / "manifest.json").write_text(json.dumps({"cases": cases}))
    return [(finding.level, finding.check, finding.case) for finding in found_in(folder)]


def test_the_same_voxels_of_two_patients_are_an_error(tmp_path):
    assert two(tmp_path, *patient(), ("p", "q")) == [(ERROR, "duplicate", "b")]


def test_the_same_voxels_of_one_patient_are_a_warning(tmp_path):
    assert two(tmp_path, *patient(), ("p", "p")) == [(WARNING, "duplicate", "b")]


def test_other_patients_are_not_confused(tmp_path):
    assert two(tmp_path, *patient(1), ("p", "q")) == []


def noisy(image: sitk.Image) -> sitk.Image:
    return changed(
        image, lambda voxels: (voxels + np.random.default_rng(5).normal(0, 40, voxels.shape)).astype(np.int16)
    )


def windowed(image: sitk.Image) -> sitk.Image:
    return changed(image, lambda voxels: (np.clip((voxels + 1250) / 1500, 0, 1) * 255).astype(np.uint8))


def with_less_air(image: sitk.Image) -> sitk.Image:
    return image[3:-3, 3:-3, :]


def turned(image: sitk.Image) -> sitk.Image:
    return sitk.DICOMOrient(image, "RAS")


def coarser(image: sitk.Image) -> sitk.Image:
    return image[:, :, ::2]


@pytest.mark.parametrize("change", [noisy, windowed, with_less_air, turned, coarser])
def test_a_scan_that_was_worked_on_is_known_again(change):
    first, second = (lungs_look(overview(image)) for image in (patient()[0], change(patient()[0])))
    assert float((first * second).sum()) >= MAYBE_SAME


def test_one_patient_under_two_names_is_an_error(tmp_path):
    assert (ERROR, "same_patient", "b") in two(tmp_path, noisy(patient()[0]), patient()[1], ("p", "q"))


def test_two_scans_of_one_patient_are_a_note(tmp_path):
    assert two(tmp_path, noisy(patient()[0]), patient()[1], ("p", "p")) == [(NOTE, "same_patient", "b")]


def test_ten_phantoms_are_ten_patients():
    looks = []
    for index in range(10):
        case = phantom_case(index, coarsening=4.0)
        image = sitk.GetImageFromArray(case.image)
        image.SetSpacing(case.geometry.spacing_mm)
        looks.append(lungs_look(overview(image)))
    pairs = combinations([look for look in looks if look is not None], 2)
    assert max(float((one * other).sum()) for one, other in pairs) < MAYBE_SAME - 0.04


@pytest.mark.realdata
def test_the_real_scan_under_two_names_is_found_and_no_other():
    cases = []
    for name in ("covid5", "extra"):
        if not (SHARED / name).is_dir():
            pytest.skip(f"real scans are not in {SHARED / name}")
        cases += list_cases(SHARED / name).cases
    findings = all_findings(check_each(lambda case: check_scan(SHARED, case), cases))
    told = [(finding.level, finding.case) for finding in findings if finding.check == "same_patient"]
    # Its manifest says whose it is
    assert told == [(NOTE, "medseg_4_approxhu_ds2")]
