"""The paper's sets are found where they lie, read in the project's codes, and what is missing is named."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from slice_set_makers import INFECTED, LUNG, slices, write, write_cases, write_png_slices, write_set_one, write_set_two

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.data.datalist import read_datalist
from pipeline.data.slice_sets import ONE, THREE, TWO, find_set, find_sets, read_codes, read_image
from pipeline.folders.public_set import PUBLISHED_FILE

PUBLIC = [name for fold in read_json(PUBLISHED_FILE)["folds"] for name in fold["test"]]


def complaint(number: str, data: Path) -> str:
    with pytest.raises(InputError) as caught:
        find_set(number, data)
    return str(caught.value)


def touch_public_set(folder: Path) -> Path:
    for kind in ("COVID-19-CT-Seg_20cases", "Lung_and_Infection_Mask"):
        (folder / kind).mkdir(parents=True)
        for name in PUBLIC:
            (folder / kind / f"{name}.nii.gz").touch()
    return folder


@pytest.mark.parametrize("below", [".", "medseg"])
def test_set_one_is_found_in_the_folder_and_one_below(tmp_path, below):
    write_set_one(tmp_path / below)
    found = find_set(ONE, tmp_path)
    assert [stack.image.name for stack in found.stacks] == ["tr_im.nii.gz"]
    assert not found.stands_in


def test_the_updated_lung_masks_win(tmp_path):
    write_set_one(tmp_path, lung_file="tr_lungmasks.nii.gz")
    write_set_one(tmp_path)
    assert find_set(ONE, tmp_path).stacks[0].labels[1].name == "tr_lungmasks_updated.nii.gz"


def test_the_older_lung_masks_do(tmp_path):
    write_set_one(tmp_path, lung_file="tr_lungmasks.nii.gz")
    assert find_set(ONE, tmp_path).stacks[0].labels[1].name == "tr_lungmasks.nii.gz"


def test_a_missing_mask_of_set_one_is_named(tmp_path):
    (write_set_one(tmp_path) / "tr_mask.nii.gz").unlink()
    assert "has no tr_mask.nii.gz beside it" in complaint(ONE, tmp_path)


def test_set_two_is_a_patient_a_volume(tmp_path):
    found = find_set(TWO, write_set_two(tmp_path))
    assert [(stack.name, stack.patient_id) for stack in found.stacks] == [("set2_1", "set2_1"), ("set2_2", "set2_2")]


def test_a_volume_of_set_two_without_a_mask_is_named(tmp_path):
    (write_set_two(tmp_path) / "rp_lung_msk" / "2.nii.gz").unlink()
    assert complaint(TWO, tmp_path).startswith(f"{tmp_path}/rp_lung_msk: has no 2;")


@pytest.mark.parametrize("number", [ONE, TWO])
def test_all_lesions_are_infection_and_all_other_lung_is_code_1(tmp_path, number):
    write_set_two(write_set_one(tmp_path, count=3))
    codes = sitk.GetArrayFromImage(read_codes(find_set(number, tmp_path).stacks[0]))
    expected = np.zeros_like(codes)
    expected[LUNG] = 1
    expected[INFECTED] = 3
    assert np.array_equal(codes, expected)


def test_an_unknown_lesion_code_is_an_error(tmp_path):
    lesion = slices(10)[1]
    write(write_set_one(tmp_path) / "tr_mask.nii.gz", lesion * 2)
    with pytest.raises(InputError, match=r"tr_mask\.nii\.gz: holds the value 4; expected 0, 1, 2, 3"):
        read_codes(find_set(ONE, tmp_path).stacks[0])


def test_a_mask_of_another_size_is_an_error(tmp_path):
    write(write_set_one(tmp_path) / "tr_lungmasks_updated.nii.gz", slices(9)[2])
    with pytest.raises(InputError, match=r"size \(20, 20, 9\); expected \(20, 20, 10\)"):
        read_codes(find_set(ONE, tmp_path).stacks[0])


def test_a_header_that_differs_is_told_and_the_voxels_are_believed(tmp_path, caplog):
    write(write_set_one(tmp_path) / "tr_mask.nii.gz", slices(10)[1], (2.0, 1.0, 1.0))
    with caplog.at_level(logging.WARNING):
        codes = read_codes(find_set(ONE, tmp_path).stacks[0])
    assert codes.GetSpacing() == (1, 1, 1)
    assert "tr_mask.nii.gz: its header differs" in caplog.text


def test_the_public_set_is_set_three(tmp_path):
    touch_public_set(tmp_path / "covid20")
    found = find_set(THREE, tmp_path)
    assert (len(found.stacks), found.stands_in) == (20, False)


def test_the_public_set_wins_over_other_data_beside_it(tmp_path):
    touch_public_set(write_cases(tmp_path / "own", cases=1).parent / "covid20")
    assert find_set(THREE, tmp_path).folder == tmp_path / "covid20"


@pytest.mark.parametrize("below", [".", "own", "set3"])
def test_other_data_stand_in_for_set_three_and_it_is_said(tmp_path, below):
    write_cases(tmp_path / below)
    found = find_set(THREE, tmp_path)
    assert found.stands_in
    assert found.what().startswith(f"5 case(s) of {(tmp_path / below)}, in place of the public 20 CTs")


def test_two_folders_that_could_be_set_three_are_an_error(tmp_path):
    write_cases(write_cases(tmp_path / "a", cases=1).parent / "b", cases=1)
    assert "a, b could each be the public 20 CTs" in complaint(THREE, tmp_path)


def test_slices_stand_in_for_set_one(tmp_path):
    write_png_slices(tmp_path / "set1")
    found = find_set(ONE, tmp_path)
    assert [stack.name for stack in found.stacks] == ["set1_slice_0", "set1_slice_1"]
    assert found.stands_in


def test_a_stand_in_for_set_one_is_not_taken_for_set_three(tmp_path):
    write_png_slices(tmp_path / "set1")
    assert "the public 20 CTs (Zenodo 3757476) is not there" in complaint(THREE, tmp_path)


@pytest.mark.parametrize(("number", "looked_for"), [(ONE, "tr_im.nii.gz"), (TWO, "rp_im/"), (THREE, "check-data")])
def test_a_missing_set_is_told_with_what_was_looked_for_where(tmp_path, number, looked_for):
    (tmp_path / "other").mkdir()
    said = complaint(number, tmp_path)
    assert looked_for in said
    assert f"{tmp_path}: " in said
    assert "(other)" in said


def test_a_missing_folder_is_an_error(tmp_path):
    assert "there is no such folder" in complaint(ONE, tmp_path / "nowhere")


def test_a_scan_without_a_label_is_an_error(tmp_path):
    (write_cases(tmp_path) / "labels" / "case_1.nii.gz").unlink()
    assert "case_1.nii.gz: has no label" in complaint(THREE, tmp_path)


def test_a_label_on_another_grid_is_an_error(tmp_path):
    write_cases(tmp_path, cases=1)
    write(tmp_path / "labels" / "case_0.nii.gz", np.ones((4, 20, 20), np.uint8), (0.8, 0.8, 6.0))
    with pytest.raises(InputError, match="is not on the grid of"):
        read_codes(find_set(THREE, tmp_path).stacks[0])


@pytest.mark.parametrize("infected", [3, 255])
def test_picture_slices_pass_the_projects_own_check(tmp_path, infected):
    (entry, _) = read_datalist(write_png_slices(tmp_path, infected=infected))["training"]
    assert (entry["size"], entry["spacing_mm"], entry["intensity"]) == ([20, 20, 1], [1, 1, 1], "grey255")
    assert entry["volume_ml"]["infection"] == 0.02


def test_a_volume_stored_in_sagittal_slices_is_turned_to_axial_ones(tmp_path, make_chest):
    for kind, image in zip(("images", "labels"), make_chest(), strict=True):
        (tmp_path / kind).mkdir()
        sitk.WriteImage(sitk.DICOMOrient(image, "PSL"), str(tmp_path / kind / "a.nii.gz"))
    (stack,) = find_set(THREE, tmp_path).stacks
    assert read_image(stack).GetSize() == read_codes(stack).GetSize() == make_chest()[0].GetSize()


def test_of_several_sets_those_are_taken_that_are_there(tmp_path):
    write_set_two(tmp_path / "medseg")
    assert [found.number for found in find_sets((TWO, THREE), tmp_path)] == [TWO]


def test_where_none_of_several_sets_is_there_both_are_named(tmp_path):
    with pytest.raises(InputError, match=r"\(9 volumes\) and the public 20 CTs .* stand in for it in set2/ and set3/"):
        find_sets((TWO, THREE), tmp_path)


def test_scans_may_stand_in_for_another_set_than_the_third(tmp_path):
    (found,) = find_sets((ONE,), write_cases(tmp_path), plain=ONE)
    assert found.what().startswith(f"5 case(s) of {tmp_path}, in place of set I")
