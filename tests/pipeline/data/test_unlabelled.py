"""Unlabelled scans are read to their end, and none of a tested patient is let in."""

from __future__ import annotations

import json

import pytest
import SimpleITK as sitk

from pipeline.core.errors import InputError
from pipeline.data.unlabelled import read_unlabelled, refuse_tested
from pipeline.scans.intensity import HOUNSFIELD
from pipeline.scans.scan import file_sha256


def entry(case, patient_id="", image_sha256=""):
    return {"case": case, "patient_id": patient_id or case, "image_sha256": image_sha256 or f"file of {case}"}


@pytest.fixture
def scan(tmp_path, make_chest):
    """Writes a chest to a file below the test's folder and gives its path."""

    def write(name, seed=0):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(make_chest(seed=seed)[0], str(file))
        return file

    return write


def test_a_plain_folder_of_scans_is_read(scan, tmp_path):
    file = scan("a.nii.gz")
    (found,) = read_unlabelled(tmp_path)["scans"]
    expected = {"case": "a", "patient_id": "a", "image": str(file), "image_sha256": file_sha256(file)}
    assert found == {**expected, "intensity": HOUNSFIELD}


def test_a_manifest_names_the_patient(scan, tmp_path):
    scan("images/a.nii.gz")
    (tmp_path / "manifest.json").write_text(json.dumps({"cases": [{"case": "a", "patient": "p"}]}))
    assert read_unlabelled(tmp_path)["scans"][0]["patient_id"] == "p"


def test_a_scan_of_the_public_set_has_its_known_patient(scan, tmp_path):
    scan("radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm.nii.gz")
    assert read_unlabelled(tmp_path)["scans"][0]["patient_id"] == "radiopaedia_10"


def test_every_damaged_scan_is_named(scan, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        file = scan(name)
        file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"(?s)2 unlabelled scan.*case a: .*case b: "):
        read_unlabelled(tmp_path)


def test_other_patients_are_let_in():
    assert refuse_tested([entry("new")], [entry("a"), entry("b")]) is None


def test_the_file_of_a_tested_case_under_another_name_is_refused():
    with pytest.raises(InputError, match="unlabelled scan new: is the same file as the tested case a; leave it out"):
        refuse_tested([entry("new", image_sha256="same")], [entry("a", image_sha256="same")])


def test_the_case_name_of_a_tested_case_is_refused():
    with pytest.raises(InputError, match="unlabelled scan a: has the case or patient name 'a' of the tested case a"):
        refuse_tested([entry("a", "p", "other")], [entry("a", "q")])


def test_the_patient_of_a_tested_case_is_refused():
    with pytest.raises(InputError, match="unlabelled scan new: has the case or patient name 'p' of the tested case a"):
        refuse_tested([entry("new", "p")], [entry("a", "p")])


def test_a_patient_whose_case_is_named_like_it_is_refused():
    with pytest.raises(InputError, match="name 'p' of the tested case a"):
        refuse_tested([entry("p")], [entry("a", "p")])


def test_a_public_scan_under_its_other_name_is_refused():
    with pytest.raises(InputError, match="name 'coronacases_001' of the tested case"):
        refuse_tested([entry("coronacases_org_001")], [entry("coronacases_001")])


def test_another_series_of_a_public_patient_is_refused():
    with pytest.raises(InputError, match="name 'radiopaedia_10' of the tested case radiopaedia_10_85902_1"):
        refuse_tested([entry("radiopaedia_10_85902_3")], [entry("radiopaedia_10_85902_1")])


def test_every_scan_of_a_tested_patient_is_named():
    with pytest.raises(InputError, match=r"(?s)unlabelled scan a: .*unlabelled scan b: "):
        refuse_tested([entry("a"), entry("new"), entry("b")], [entry("a"), entry("b")])
