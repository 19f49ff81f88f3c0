"""What INPUT stands for: every scan of a file or a tree of folders, once, under a name of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import dicom_makers
import pytest
from conftest import chest
from pydicom import Dataset

from pipeline.core.errors import InputError
from pipeline.folders.inputs import DICOM, FILE, LEFT_OUT, ZIP, find_all, find_inputs


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def cases(*arguments) -> list[str]:
    return [found.case for found in find_inputs(*arguments)]


def test_a_file_is_one_scan_of_its_name(tmp_path):
    assert cases(touched(tmp_path, "scan 1.nii.gz") / "scan 1.nii.gz") == ["scan 1"]


def test_scans_of_a_tree_keep_the_folders_below_it_in_their_names(tmp_path):
    assert cases(touched(tmp_path, "b/one.nrrd", "a/one.mha", "two.nii")) == ["two", "a/one", "b/one"]


def test_a_scan_in_a_folder_has_its_results_in_a_folder_of_that_name(tmp_path):
    (found,) = find_inputs(touched(tmp_path, "a/b/one.mha"))
    assert (found.folder, found.name, found.paths) == ("a/b", "one", (tmp_path / "a/b/one.mha",))


def test_labels_of_a_known_layout_are_no_scans(tmp_path, caplog):
    assert cases(touched(tmp_path, "x/images/one.nii.gz", "x/labels/one.nii.gz")) == ["x/one"]
    assert not caplog.records


def test_folders_beside_a_known_layout_are_counted_as_left_out(tmp_path, caplog):
    assert cases(touched(tmp_path, "images/one.nii.gz", "labels/one.nii.gz", "Jane Doe/slice.dcm")) == ["one"]
    assert caplog.messages == [LEFT_OUT % 1]


def test_results_within_the_input_are_no_scans(tmp_path):
    assert cases(touched(tmp_path, "one.nii.gz", "out/one.nii.gz"), tmp_path / "out") == ["one"]


def test_hidden_files_and_folders_are_no_scans(tmp_path):
    assert cases(touched(tmp_path, "one.nii.gz", "._one.nii.gz", ".cache/one.nii.gz")) == ["one"]


def test_two_scans_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="case one: occurs twice"):
        find_inputs(touched(tmp_path, "one.nii.gz", "one.mha"))


@pytest.mark.parametrize(
    ("name", "said"), [("nothing", "no such file or folder"), ("text.txt", "no image file"), ("empty", "holds nothing")]
)
def test_what_holds_no_scan_is_told_in_a_sentence(tmp_path, name, said):
    touched(tmp_path, "text.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        find_inputs(tmp_path / name)


def study(folder: Path, seed: int = 0) -> list[Dataset]:
    """A small study, written into a folder."""
    slices = dicom_makers.classic(chest(size=(8, 8, 4), seed=seed)[0])
    dicom_makers.write(slices, folder)
    return slices


def test_a_dicom_study_has_no_name_but_a_hash(tmp_path):
    study(tmp_path / "Plantagenet^Zoe")
    (found,) = find_inputs(tmp_path)
    assert re.fullmatch(r"study_[0-9a-f]{12}", found.case)
    assert found.kind == DICOM


def test_each_study_of_a_tree_is_a_scan(tmp_path):
    for number in range(3):
        study(tmp_path / f"patient_{number}" / "ct", number)
    assert len({*cases(tmp_path)}) == 3


def test_a_study_in_several_folders_is_one_scan(tmp_path):
    slices = study(tmp_path / "a")
    dicom_makers.write(slices, tmp_path / "b")
    (found,) = find_inputs(tmp_path)
    assert found.paths == (tmp_path / "a", tmp_path / "b")


def test_studies_that_are_mixed_in_one_folder_are_a_scan_each(tmp_path):
    study(tmp_path)
    dicom_makers.write(dicom_makers.classic(chest(size=(8, 8, 4))[0]), tmp_path, "other{:04d}")
    assert len(cases(tmp_path)) == 2


def test_studies_that_are_mixed_over_several_folders_are_a_scan_each_with_all_their_folders(tmp_path):
    made = [dicom_makers.classic(chest(size=(8, 8, 4))[0]) for _ in range(3)]
    for number, folder in enumerate(("x", "y")):
        dicom_makers.write([each for slices in made for each in slices[number::2]], tmp_path / folder)
    found = find_inputs(tmp_path)
    assert len({each.study for each in found}) == 3
    assert {each.paths for each in found} == {(tmp_path / "x", tmp_path / "y")}


def test_a_series_that_tells_no_study_is_a_scan(tmp_path):
    slices = dicom_makers.classic(chest(size=(8, 8, 4))[0])
    for each in slices:
        del each.StudyInstanceUID
    dicom_makers.write(slices, tmp_path)
    (found,) = find_inputs(tmp_path)
    assert (found.kind, found.study) == (DICOM, slices[0].SeriesInstanceUID)


def test_a_folder_of_damaged_dicom_files_alone_is_left_out_by_its_number(tmp_path):
    study(tmp_path / "a")
    study(tmp_path / "Plantagenet^Zoe")
    for file in (tmp_path / "Plantagenet^Zoe").iterdir():
        file.write_bytes(file.read_bytes()[:300])
    _, (left_out,) = find_all(tmp_path)
    assert left_out.missed
    assert left_out.sentence.startswith("folder 2 of INPUT in the order of names: holds 4 damaged or empty DICOM")


def test_a_folder_of_empty_files_named_as_slices_is_left_out_by_its_number(tmp_path):
    study(tmp_path / "a")
    touched(tmp_path / "b", "IM0001", "IM0002", "README")
    _, (left_out,) = find_all(tmp_path)
    assert left_out.sentence.startswith("folder 3 of INPUT in the order of names: holds 2 damaged or empty DICOM")


def test_an_object_that_refers_to_another_study_is_of_its_own(tmp_path):
    slices = dicom_makers.classic(chest(size=(8, 8, 4))[0])
    other = Dataset()
    other.StudyInstanceUID = "1.2.3"
    slices[1].ReferencedStudySequence = [other]
    dicom_makers.write(slices, tmp_path)
    (found,) = find_inputs(tmp_path)
    assert found.study == slices[0].StudyInstanceUID


def test_a_series_can_be_named(tmp_path):
    uid = study(tmp_path)[0].SeriesInstanceUID
    (found,) = find_inputs(tmp_path, series=uid)
    assert (found.series, found.case[:7]) == (uid, "series_")


def test_a_zip_file_is_a_scan_of_its_own_name(tmp_path):
    assert cases(touched(tmp_path, "below/study 1.zip")) == ["below/study 1"]


def test_one_file_of_a_study_is_no_scan(tmp_path):
    study(tmp_path)
    with pytest.raises(InputError, match="one file of a DICOM study"):
        find_inputs(tmp_path / "IM0000")


def test_scans_and_studies_may_lie_side_by_side(tmp_path):
    study(tmp_path / "x")
    assert [found.kind for found in find_inputs(touched(tmp_path, "one.nii.gz", "two.zip"))] == [FILE, ZIP, DICOM]


def test_a_name_that_is_no_text_is_written_as_one(tmp_path):
    (tmp_path / "images").mkdir()
    with open(os.fsencode(tmp_path) + b"/images/caf\xe9.mha", "w"):
        assert cases(tmp_path) == ["caf\\xe9"]


def test_a_very_long_name_is_cut_and_stays_unique(tmp_path):
    names = cases(touched(tmp_path, f"{'x' * 240}1.mha", f"{'x' * 240}2.mha"))
    assert len({*names}) == 2
    assert max(map(len, names)) <= 200
