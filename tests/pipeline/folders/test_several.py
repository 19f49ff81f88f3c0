"""DATA of one folder or several: how a text is read, and what joining folders is; the files here are empty."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.folders.layouts import list_cases
from pipeline.folders.scan_list import scans
from pipeline.folders.several import (
    common_folder,
    data_folders,
    folders_of,
    list_all,
    named_folders,
    one_or_several,
    output_name,
    set_name,
)


def make_folder(folder: Path, *cases: str, **manifest: object) -> Path:
    for case in cases:
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{case}.nii.gz").touch()
    if manifest:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def complaint(data: object) -> str:
    with pytest.raises(InputError) as caught:
        list_all(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("scans", ["scans"]),
        ("it's", ["it's"]),
        ("b a", ["a", "b"]),
        ("  b   a ", ["a", "b"]),
        ("b 'my scans'", ["b", "my scans"]),
        ('"my scans" b', ["b", "my scans"]),
        ("my\\ scans b", ["b", "my scans"]),
        ("#1 b", ["#1", "b"]),
        (["b", "a c"], ["a c", "b"]),
        (Path("a b"), ["a b"]),
    ],
)
def test_a_text_is_split_as_a_shell_does_and_a_sequence_is_not(data, named):
    assert named_folders(data) == named


@pytest.mark.parametrize("name", ["my scans", "one 'two three", " a"])
def test_a_text_that_is_a_folder_as_a_whole_is_that_one(tmp_path, name):
    make_folder(tmp_path / name, "a")
    make_folder(tmp_path / "my", "b")
    assert named_folders(f"{tmp_path}/{name}") == [f"{tmp_path}/{name}"]


def test_a_home_folder_is_found_in_words_that_no_shell_has_seen(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert named_folders("~/b /a") == ["/a", "/home/me/b"]


def test_a_configuration_has_a_text_for_one_and_a_list_for_several():
    assert (one_or_several("scans"), one_or_several("b a")) == ("scans", ["a", "b"])


def test_a_folder_that_is_named_twice_is_refused():
    with pytest.raises(InputError, match="/a: is named twice; name each folder once"):
        named_folders("a b a/")


def test_quotes_that_do_not_end_are_told():
    assert complaint("a 'b").startswith("a 'b: there is no such folder, and as several it has quotes that do not end;")


def test_a_folder_that_is_missing_is_told_with_how_spaces_are_written(tmp_path):
    make_folder(tmp_path / "a", "a")
    assert complaint(f"{tmp_path}/a {tmp_path}/b") == (
        f"{tmp_path}/b: there is no such folder, one of 2 that are named; check the path; a name with spaces stands in "
        "quotes: \"scans 'more scans'\"."
    )


def test_one_folder_is_listed_as_ever(tmp_path):
    folder = make_folder(tmp_path / "a", "x", label_codes={"1": "left lung"})
    assert list_all(str(folder)) == list_cases(folder)
    assert [*list_all(folder).by_folder(folder)] == [folder]


def test_several_folders_are_one_listing_by_case_and_each_calls_its_codes_itself(tmp_path):
    one = make_folder(tmp_path / "one", "c", "a", label_codes={"1": "left lung"})
    two = make_folder(tmp_path / "two", "b", label_codes={"1": "infection"})
    listing = list_all([two, one])
    assert [(case.name, case.image.parents[1]) for case in listing.cases] == [("a", one), ("b", two), ("c", one)]
    assert {place: part.label_names for place, part in listing.by_folder(tmp_path).items()} == {
        one: {1: "left lung"},
        two: {1: "infection"},
    }


def test_layouts_are_told_once_each(tmp_path):
    (tmp_path / "raw" / "imagesTr").mkdir(parents=True)
    (tmp_path / "raw" / "imagesTr" / "n_0000.nii.gz").touch()
    folders = [make_folder(tmp_path / name, name) for name in ("a", "b")]
    assert list_all([*folders, tmp_path / "raw"]).layout == "images-labels + nnunet"


def test_a_case_that_is_in_two_folders_is_refused_with_both_files(tmp_path):
    one, two = (make_folder(tmp_path / name, "x", name) for name in ("one", "two"))
    assert complaint([one, two]) == (
        f"case x: occurs in two folders, as {one}/images/x.nii.gz and {two}/images/x.nii.gz; rename one of them, its "
        "label and its line in manifest.json too, or remove it."
    )


def test_patients_are_one_where_manifests_or_the_public_set_say_so(tmp_path):
    cases = {
        "one": ["a", "radiopaedia_10_85902_1"],
        "two": ["b", "c", "radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm"],
    }
    told = {"one": [{"case": "a", "patient": "p"}], "two": [{"case": "b", "patient": "p"}]}
    folders = [make_folder(tmp_path / name, *own, cases=told[name]) for name, own in cases.items()]
    patients = {case.name: case.patient_id for case in list_all(folders).cases}
    assert [*patients.values()] == ["p", "p", "c", "radiopaedia_10", "radiopaedia_10"]


def test_a_data_set_is_called_by_its_folders():
    several = [Path("/x/a"), Path("/x/my scans")]
    assert (set_name(several), output_name(several)) == ("a + my scans", "a+my_scans")
    assert (set_name(several[1:]), output_name(several[1:])) == ("my scans", "my scans")
    assert set_name([Path("/x/a/data"), Path("/x/b/data")]) == "x/a/data + x/b/data"
    assert output_name([Path(f"/x/{name}") for name in "abcde"]) == "a+b+c+2_more"


@pytest.mark.parametrize(
    ("datalist", "folders"),
    [({"dataset_dir": "/x"}, [Path("/x")]), ({"dataset_dir": "/x", "folders": ["a", "."]}, [Path("/x/a"), Path("/x")])],
)
def test_a_datalist_tells_its_folders(datalist, folders):
    assert folders_of(datalist) == folders


def test_folders_are_absolute_and_lie_in_a_common_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = data_folders("a/b a/c")
    assert (folders, common_folder(folders)) == ([tmp_path / "a/b", tmp_path / "a/c"], tmp_path / "a")


def test_scans_of_several_folders_are_listed_together(tmp_path):
    one, two = make_folder(tmp_path / "one", "b"), make_folder(tmp_path / "two", "a")
    assert [(scan["case"], os.path.relpath(scan["image"], tmp_path)) for scan in scans([one, two / "images"])] == [
        ("a", "two/images/a.nii.gz"),
        ("b", "one/images/b.nii.gz"),
    ]
