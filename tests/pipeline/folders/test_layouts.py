"""Data folders in every layout are recognised by file names alone: the files here are empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.folders.layouts import image_files, list_cases
from pipeline.folders.public_set import public_name

KAGGLE_PATH = "../input/covid19-ct-scans/"


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_object(file: Path, **content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def labels_by_case(folder: Path) -> dict[str, str | None]:
    return {case.name: case.label and case.label.name for case in list_cases(folder).cases}


def test_images_are_paired_with_labels_of_the_same_name(tmp_path):
    make_files(tmp_path, "images/b.nii.gz", "images/a.nii.gz", "labels/a.nii.gz")
    assert list_cases(tmp_path).layout == "images-labels"
    assert labels_by_case(tmp_path) == {"a": "a.nii.gz", "b": None}


def test_labels_may_lie_in_a_folder_of_masks(tmp_path):
    make_files(tmp_path, "images/a.png", "masks/a.png")
    assert labels_by_case(tmp_path) == {"a": "a.png"}


def test_labels_win_over_masks(tmp_path):
    make_files(tmp_path, "images/a.nii", "labels/a.nii", "masks/a.mha")
    assert labels_by_case(tmp_path) == {"a": "a.nii"}


def test_a_label_without_an_image_is_listed(tmp_path):
    make_files(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "labels/b.nii.gz")
    assert list_cases(tmp_path).labels_without_image == (tmp_path / "labels/b.nii.gz",)


def test_the_manifest_names_patients_and_a_case_without_one_is_its_own(tmp_path):
    make_files(tmp_path, "images/a.nii", "images/b.nii", "images/c.nii")
    cases = [{"case": "a", "patient": "p"}, {"case": "b", "patient": "p"}, {"case": "c"}]
    write_object(tmp_path / "manifest.json", cases=cases)
    assert [case.patient_id for case in list_cases(tmp_path).cases] == ["p", "p", "c"]


def test_a_broken_manifest_is_named(tmp_path):
    make_files(tmp_path, "images/a.nii").joinpath("manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: not readable as JSON"):
        list_cases(tmp_path)


def test_hidden_files_of_macos_are_no_images(tmp_path):
    make_files(tmp_path, "._a.nii.gz", "a.nii.gz", "a.txt")
    assert [path.name for path in image_files(tmp_path)] == ["a.nii.gz"]


def test_a_folder_of_slices_holds_images(tmp_path):
    make_files(tmp_path, "b.png", "a.PNG")
    assert [path.name for path in image_files(tmp_path)] == ["a.PNG", "b.png"]


def test_pictures_beside_volumes_are_no_images(tmp_path):
    make_files(tmp_path, "a.nii.gz", "a.png")
    assert [path.name for path in image_files(tmp_path)] == ["a.nii.gz"]


def test_the_zenodo_set_is_paired_and_its_other_masks_are_ignored(tmp_path):
    name = "coronacases_001.nii.gz"
    folders = ("COVID-19-CT-Seg_20cases", "Lung_and_Infection_Mask", "Lung_Mask", "Infection_Mask")
    make_files(tmp_path, *(f"{folder}/{name}" for folder in folders))
    (case,) = list_cases(tmp_path).cases
    assert (case.name, case.label) == ("coronacases_001", tmp_path / "Lung_and_Infection_Mask" / name)


def make_kaggle(folder: Path) -> Path:
    make_files(folder, "ct_scans/coronacases_org_001.nii", "lung_and_infection_mask/coronacases_001.nii")
    scan, label = "radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm.nii", "radiopaedia_10_85902_1.nii"
    return make_files(folder, f"ct_scans/{scan}", f"lung_and_infection_mask/{label}", f"lung_mask/{label}")


def test_the_kaggle_set_gets_the_names_of_zenodo(tmp_path):
    expected = {"coronacases_001": "coronacases_001.nii", "radiopaedia_10_85902_1": "radiopaedia_10_85902_1.nii"}
    assert labels_by_case(make_kaggle(tmp_path)) == expected


def test_the_table_of_kaggle_pairs_names_that_tell_nothing(tmp_path):
    make_files(tmp_path, "ct_scans/odd.nii", "lung_and_infection_mask/coronacases_004.nii")
    row = f"{KAGGLE_PATH}ct_scans/odd.nii,x,y,{KAGGLE_PATH}lung_and_infection_mask/coronacases_004.nii"
    header = "ct_scan,lung_mask,infection_mask,lung_and_infection_mask"
    (tmp_path / "metadata.csv").write_text(f"{header}\n{row}\n")
    assert labels_by_case(tmp_path) == {"coronacases_004": "coronacases_004.nii"}


def test_a_scan_that_only_the_table_of_kaggle_names_is_an_error(tmp_path):
    row = "ct_scans/coronacases_org_009.nii,lung_and_infection_mask/coronacases_009.nii"
    (make_kaggle(tmp_path) / "metadata.csv").write_text(f"ct_scan,lung_and_infection_mask\n{row}\n")
    with pytest.raises(InputError, match="coronacases_org_009, not in ct_scans"):
        list_cases(tmp_path)


@pytest.mark.parametrize("name", ["coronacases_org_007", "coronacases_org_case007", "case007", "coronacases_007"])
def test_every_spelling_of_a_public_case_is_one_name(name):
    assert public_name(name) == "coronacases_007"


def test_two_series_of_a_public_patient_are_known_in_any_layout(tmp_path):
    make_files(tmp_path, "images/radiopaedia_29_86490_1.nii.gz", "images/radiopaedia_29_86491_1.nii.gz")
    assert {case.patient_id for case in list_cases(tmp_path).cases} == {"radiopaedia_29"}


def test_nnunet_raw_loses_its_channel_number(tmp_path):
    make_files(tmp_path, "imagesTr/x_001_0000.nii.gz", "labelsTr/x_001.nii.gz")
    write_object(tmp_path / "dataset.json", channel_names={"0": "CT"}, labels={"background": 0, "left lung": 1})
    assert labels_by_case(tmp_path) == {"x_001": "x_001.nii.gz"}
    assert list_cases(tmp_path).label_names == {0: "background", 1: "left lung"}


def test_nnunet_version_1_lists_images_that_are_not_there(tmp_path):
    make_files(tmp_path, "imagesTr/x_0000.nii.gz", "labelsTr/x.nii.gz")
    training = [{"image": "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}]
    write_object(tmp_path / "dataset.json", modality={"0": "CT"}, training=training)
    assert list_cases(tmp_path).layout == "nnunet"


def test_nnunet_with_two_channels_is_an_error(tmp_path):
    make_files(tmp_path, "imagesTr/x_0000.nii.gz", "imagesTr/x_0001.nii.gz", "labelsTr/x.nii.gz")
    with pytest.raises(InputError, match=r"x_0001\.nii\.gz; expected one CT channel"):
        list_cases(tmp_path)


def test_decathlon_honours_patient_id(tmp_path):
    make_files(tmp_path, "imagesTr/x_0000.nii.gz", "imagesTr/y_0000.nii.gz")
    items = [{"image": f"imagesTr/{name}_0000.nii.gz", "label": "l.nii.gz", "patient_id": 7} for name in "xy"]
    write_object(tmp_path / "dataset.json", training=items)
    found = list_cases(tmp_path)
    assert found.layout == "decathlon"
    assert [(case.name, case.patient_id) for case in found.cases] == [("x_0000", "7"), ("y_0000", "7")]


def test_a_case_name_that_occurs_twice_is_an_error(tmp_path):
    make_files(tmp_path, "images/a.nii", "images/a.nii.gz")
    with pytest.raises(InputError, match="case a: occurs twice"):
        list_cases(tmp_path)


def test_an_unknown_folder_is_told_what_it_holds_and_what_is_understood(tmp_path):
    make_files(tmp_path, "scans/a.nii.gz", "notes.txt")
    with pytest.raises(InputError, match=r"holds notes\.txt, scans/; .*images/ \+ labels/.*Decathlon"):
        list_cases(tmp_path)


def test_a_known_layout_without_images_is_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="laid out as images-labels but holds no"):
        list_cases(tmp_path)


def test_a_manifest_names_patients_in_every_layout(tmp_path):
    for name in ("imagesTr/a_1_0000.nii.gz", "imagesTr/a_2_0000.nii.gz", "labelsTr/a_1.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = [{"case": "a_1", "patient": "a"}, {"case": "a_2", "patient": "a"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"cases": told}))
    assert {case.patient_id for case in list_cases(tmp_path).cases} == {"a"}
