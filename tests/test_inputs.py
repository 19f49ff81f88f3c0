"""What INPUT stands for: every scan of a file or a tree of folders, once, under a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.inputs import find_inputs


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
    assert (found.folder, found.name, found.path) == ("a/b", "one", tmp_path / "a/b/one.mha")


def test_labels_of_a_known_layout_are_no_scans(tmp_path):
    assert cases(touched(tmp_path, "x/images/one.nii.gz", "x/labels/one.nii.gz")) == ["x/one"]


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
