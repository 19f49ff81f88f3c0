"""A structure set is written where it is asked for, stays where it was, and is never of another label than the rest."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from conftest import chest, tiny_overrides
from dicom_makers import classic, write
from exported import small_run

from pipeline.core.atomic import read_json
from pipeline.folders.manifest import BEGUN, DONE, read_manifest, write_manifest
from pipeline.prediction.predict import predict
from pipeline.scans.written_image import write_image


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "cv"
    return small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False}) / "fold0"


@pytest.fixture
def study(tmp_path) -> Path:
    write(classic(chest()[0]), tmp_path / "study")
    return tmp_path / "study"


def suffixes(folder: Path) -> set[str]:
    return {"".join(file.suffixes) for file in folder.glob("study_*")}


def test_it_is_written_where_it_is_asked_for_alone(run, study, tmp_path):
    (plain,) = predict(run, study, tmp_path / "plain", pages=False)
    (drawn,) = predict(run, study, tmp_path / "drawn", pages=False, rtstruct=True)
    assert suffixes(tmp_path / "plain") == {".nii.gz", ".json", ".seg.dcm", ".sr.dcm"}
    assert suffixes(tmp_path / "drawn") == {".nii.gz", ".json", ".seg.dcm", ".sr.dcm", ".rtstruct.dcm"}
    assert "rtstruct" not in plain
    assert drawn["rtstruct"] is True
    (file,) = (tmp_path / "drawn").glob("*.rtstruct.dcm")
    assert file.name in read_json(tmp_path / "drawn" / f"{drawn['case']}.json")["files"]
    assert len(pydicom.dcmread(file).StructureSetROISequence) == 3


def test_what_was_done_without_is_done_again_and_what_was_done_with_it_is_not(run, study, tmp_path):
    at = [
        predict(run, study, tmp_path / "out", pages=False, rtstruct=asked)[0]["at"]
        for asked in (False, True, True, False)
    ]
    assert at[0] != at[1]
    assert at[1] == at[2] == at[3]
    assert ".rtstruct.dcm" in suffixes(tmp_path / "out")


def test_one_that_was_removed_is_made_again(run, study, tmp_path):
    predict(run, study, tmp_path / "out", pages=False, rtstruct=True)
    (file,) = (tmp_path / "out").glob("*.rtstruct.dcm")
    file.unlink()
    predict(run, study, tmp_path / "out", pages=False, rtstruct=True)
    assert file.exists()


def test_one_of_a_result_that_is_replaced_is_removed(run, study, tmp_path):
    (manifest,) = predict(run, study, tmp_path / "out", pages=False, rtstruct=True)
    # As a process leaves it that is killed before it has written all
    begun = read_manifest(tmp_path / "out" / f"{manifest['case']}.json")
    write_manifest(tmp_path / "out", {**begun, "status": BEGUN, "files": []})
    predict(run, study, tmp_path / "out", pages=False)
    assert suffixes(tmp_path / "out") == {".nii.gz", ".json", ".seg.dcm", ".sr.dcm"}


def test_a_scan_that_is_no_dicom_says_so_and_is_done_once(run, tmp_path):
    write_image(chest()[0], tmp_path / "a.nii.gz")
    first, second = (
        predict(run, tmp_path / "a.nii.gz", tmp_path / "out", pages=False, rtstruct=True)[0] for _ in range(2)
    )
    assert first["warnings"][-1] == (
        "a: there is no DICOM structure set, since the scan is no DICOM series; the label file has all of it."
    )
    assert "rtstruct" not in first
    assert first["at"] == second["at"]


def test_where_slices_lie_nowhere_one_sentence_names_all_that_is_missing(run, tmp_path):
    datasets = classic(chest()[0])
    for dataset in datasets:
        del dataset.ImagePositionPatient
    write(datasets, tmp_path / "study")
    first, second = (
        predict(run, tmp_path / "study", tmp_path / "out", pages=False, rtstruct=True)[0] for _ in range(2)
    )
    (told,) = [warning for warning in first["warnings"] if "DICOM" in warning]
    assert told == (
        f"{first['case']}: there is no DICOM segmentation, report or structure set, since the files do not tell where "
        "their slices lie; the label file has all of it."
    )
    assert first["status"] == DONE
    assert first["at"] == second["at"]
    assert suffixes(tmp_path / "out") == {".nii.gz", ".json"}


def test_one_that_cannot_be_written_leaves_the_others(run, study, tmp_path, monkeypatch):
    def fails(*_: object) -> None:
        raise OverflowError

    monkeypatch.setattr("pipeline.scans.dicom.structure_set.keyhole_polygons", fails)
    (manifest,) = predict(run, study, tmp_path / "out", pages=False, rtstruct=True)
    assert manifest["status"] == DONE
    assert [warning for warning in manifest["warnings"] if "no DICOM structure set: " in warning]
    assert suffixes(tmp_path / "out") == {".nii.gz", ".json", ".seg.dcm", ".sr.dcm"}
