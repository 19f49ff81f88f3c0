"""No command writes onto what it reads, nor onto a file that it did not make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import dataset

from pipeline.core.claims import FOLDER, Claims
from pipeline.core.errors import InputError
from pipeline.data.study import open_study
from pipeline.folders.inputs import find_all
from pipeline.folders.manifest import COLUMNS, DONE, write_manifest
from pipeline.folders.output_folder import MARK, check_output, check_results, claim_output


@pytest.fixture
def scan(tmp_path) -> Path:
    file = tmp_path / "scans" / "a.nii.gz"
    file.parent.mkdir()
    file.write_bytes(b"a scan")
    return file


def test_the_folder_of_a_scan_is_refused(scan):
    with pytest.raises(InputError, match="results would replace what they are made of"):
        check_output(scan.parent, scan)


def test_the_folder_that_is_read_is_refused(scan):
    with pytest.raises(InputError, match="results would replace what they are made of"):
        check_output(scan.parent, scan.parent)


def test_a_link_to_the_folder_that_is_read_is_refused(scan, tmp_path):
    (tmp_path / "link").symlink_to(scan.parent)
    with pytest.raises(InputError, match="results would replace what they are made of"):
        check_output(tmp_path / "link", scan.parent)


@pytest.mark.parametrize("below", ["", "images", "labels", "masks"])
def test_a_data_set_and_its_folders_are_refused(tmp_path, below):
    data = dataset(tmp_path / "set", ["one", "two"])
    with pytest.raises(InputError, match="data set"):
        check_output(data / below, tmp_path / "other")


@pytest.mark.parametrize("below", ["images/sub", "labels/deep/sub"])
def test_a_folder_deep_in_a_data_set_is_refused(tmp_path, below):
    data = dataset(tmp_path / "set", ["a", "b"])
    with pytest.raises(InputError, match="a folder of the data set"):
        check_output(data / below, tmp_path)


def test_a_new_folder_beside_the_images_is_allowed(tmp_path):
    data = dataset(tmp_path / "set", ["one", "two"])
    check_output(data / "results", data)


def test_a_file_is_refused(scan, tmp_path):
    with pytest.raises(InputError, match="it is a file"):
        check_output(scan, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["a.nii.gz", "a.json", "a.html", "a.seg.dcm", "a.rtstruct.dcm", "uncertainty/a.nii.gz", "results.csv"],
)
def test_a_foreign_file_is_not_replaced(tmp_path, name):
    foreign = tmp_path / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("somebody's")
    with pytest.raises(InputError, match="did not write"):
        check_results(tmp_path, ["a"])
    assert foreign.read_text() == "somebody's"


def test_a_link_to_nothing_is_a_foreign_file(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="did not write"):
        check_results(tmp_path, ["a"])


def test_a_file_of_another_case_is_no_matter(tmp_path):
    (tmp_path / "b.nii.gz").write_text("somebody's")
    check_results(tmp_path, ["a"])


def test_what_has_a_manifest_is_this_programs(tmp_path):
    (tmp_path / "a.nii.gz").write_text("a label")
    write_manifest(tmp_path, {"case": "a", "status": "done"})
    check_results(tmp_path, ["a"])


def test_somebodys_page_beside_a_result_is_not_replaced(tmp_path):
    told = {"case": "a", "status": DONE, "files": ["a.nii.gz"]}
    write_manifest(tmp_path, told)
    (tmp_path / "a.nii.gz").touch()
    check_results(tmp_path, ["a"])
    (tmp_path / "a.html").touch()
    with pytest.raises(InputError, match=r"holds a\.html"):
        check_results(tmp_path, ["a"])


def test_what_a_killed_process_left_is_this_programs(tmp_path):
    (tmp_path / "a.nii.gz").write_text("a label")
    with Claims(tmp_path / FOLDER) as claims, claims.held("a"):
        check_results(tmp_path, ["a"])


def test_results_in_a_tree_are_no_scans(scan, tmp_path):
    results = tmp_path / "scans" / "earlier"
    results.mkdir()
    (results / "results.csv").write_text(",".join(COLUMNS) + "\n")
    (results / "a.nii.gz").write_bytes(b"a label")
    found, left_out = find_all(scan.parent)
    assert [item.case for item in found] == ["a"]
    assert [(each.name, each.missed) for each in left_out] == [("earlier", False)]


def test_a_label_beside_its_manifest_is_no_scan(scan):
    (scan.parent / "b.nii.gz").write_bytes(b"a label")
    write_manifest(scan.parent, {"case": "b", "status": "done"})
    found, _ = find_all(scan.parent)
    assert [item.case for item in found] == ["a"]


@pytest.mark.parametrize("name", ["b.tar.gz", "b.nii.xz", "b.mgz"])
def test_what_looks_like_a_scan_and_is_not_read_is_named(scan, name):
    (scan.parent / name).write_bytes(b"something")
    _, left_out = find_all(scan.parent)
    assert [(each.name, each.missed) for each in left_out] == [(name, True)]


def test_a_linked_folder_is_followed_once(scan, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.nii.gz").write_bytes(b"a scan")
    for name in ("one", "two"):
        (scan.parent / name).symlink_to(outside)
    (outside / "round").symlink_to(scan.parent)
    assert [item.case for item in find_all(scan.parent)[0]] == ["a", "one/b"]


def test_a_study_is_not_begun_in_its_data_set(tmp_path):
    data = dataset(tmp_path / "set", ["one", "two"])
    before = sorted(os.listdir(data))
    with pytest.raises(InputError, match="results would replace"):
        open_study(data, data, 2)
    assert sorted(os.listdir(data)) == before


@pytest.mark.parametrize("name", ["metrics.csv", "report.html", "summary.json", "predictions/a.nii.gz"])
def test_a_study_is_not_begun_among_somebodys_files(tmp_path, name):
    data = dataset(tmp_path / "set", ["a", "b"])
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("somebody's")
    with pytest.raises(InputError, match=f"holds {name.partition('/')[0]}, which this program did not write"):
        open_study(tmp_path / "out", data, folds=2)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [name.partition("/")[0]]
    assert foreign.read_text() == "somebody's"


def test_a_folder_with_other_kinds_of_files_is_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    claim_output(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_was_begun_is_gone_on_with(tmp_path):
    claim_output(tmp_path / "out")
    (tmp_path / "out" / "metrics.csv").touch()
    claim_output(tmp_path / "out")
    assert (tmp_path / "out" / MARK).exists()


def test_a_label_beside_its_scan_is_no_scan(scan):
    (scan.parent / "a_seg.nii.gz").write_bytes(b"a label")
    found, left_out = find_all(scan.parent)
    assert [each.case for each in found] == ["a"]
    assert [(each.name, each.missed) for each in left_out] == [("a_seg.nii.gz", False)]


def test_a_header_takes_its_second_file_along(scan):
    (scan.parent / "b.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = other.raw\n")
    (scan.parent / "b.raw").write_bytes(b"voxels")
    found, left_out = find_all(scan.parent)
    assert ([each.case for each in found], left_out) == (["a", "b"], [])


def test_a_sign_of_monai_in_the_name_of_a_folder_is_refused_before_it_is_made(tmp_path):
    data = dataset(tmp_path / "set", ["a", "b"])
    with pytest.raises(InputError, match="MONAI reads the #"):
        open_study(tmp_path / "run #2", data, folds=2)
    assert not (tmp_path / "run #2").exists()


def test_a_training_begins_beside_its_own_settings(tmp_path):
    data = dataset(tmp_path / "set", ["a", "b"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.json").write_text("{}")
    open_study(tmp_path / "out", data, folds=2)
    assert (tmp_path / "out" / "train.json").read_text() == "{}"
