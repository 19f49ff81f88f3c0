"""What a DICOM study holds beside the scan that is segmented is told where people look; what is finished is kept."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from commands import run_command
from conftest import chest, tiny_overrides
from dicom_makers import CORONAL, classic, study, write
from exported import small_run

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.folders.inputs import find_inputs
from pipeline.folders.left_out import LeftOut
from pipeline.folders.manifest import DONE
from pipeline.prediction.opened_input import opened
from pipeline.prediction.predict import predict


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "cv"
    return small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False}) / "fold0"


def beside(source: Path) -> tuple[LeftOut, ...]:
    (item,) = find_inputs(source)
    with opened(item, lambda _: None) as scan:
        return scan.left_out


def test_another_ct_of_the_study_is_told_without_its_uid_and_not_missed(tmp_path):
    large, small = study(2)
    write([*large, *small[:6]], tmp_path)
    (told,) = beside(tmp_path)
    assert not told.missed
    assert "CT, 6 slice(s)" in told.why
    assert small[0].SeriesInstanceUID not in told.sentence


def test_a_localizer_is_not_told(tmp_path):
    scan, localizer = study(2)
    localizer[0].ImageType, localizer[0].ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], CORONAL
    write([*scan, localizer[0]], tmp_path)
    assert beside(tmp_path) == ()


def test_a_damaged_file_of_another_series_of_the_study_is_missed(tmp_path):
    large, small = study(2)
    write(large, tmp_path / "a")
    last = write(small[:6], tmp_path / "b")[-1]
    last.write_bytes(last.read_bytes()[:800])
    series, damaged = beside(tmp_path)
    assert (series.missed, damaged.missed) == (True, True)
    assert damaged.why.startswith("1 damaged or empty DICOM file(s)")


def test_another_series_in_a_folder_of_a_zip_file_is_told(tmp_path):
    for name, slices in zip(("a", "b"), study(2), strict=True):
        write(slices[: 12 if name == "a" else 5], tmp_path / "unpacked" / name)
    with ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in sorted((tmp_path / "unpacked").rglob("IM*")):
            archive.write(file, file.relative_to(tmp_path / "unpacked"))
    (told,) = beside(tmp_path / "zipped.zip")
    assert told.name.startswith("zipped, series ")


def test_a_damaged_directory_of_the_files_keeps_nothing_from_being_read(tmp_path):
    write(study()[0], tmp_path)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"x" * 50)
    assert beside(tmp_path) == ()


def test_a_zip_file_of_damaged_slices_alone_says_so(tmp_path):
    with ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in write(study()[0], tmp_path / "unpacked"):
            archive.writestr(file.name, file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"zipped: its 12 DICOM file\(s\) are damaged or empty"):
        beside(tmp_path / "zipped.zip")


def test_slices_of_one_series_that_tell_two_studies_are_refused(tmp_path):
    (slices,) = study()
    slices[-1].StudyInstanceUID = "1.2.3"
    write(slices, tmp_path)
    item = max(find_inputs(tmp_path), key=lambda each: len(each.study))
    with pytest.raises(InputError, match="tell different studies"), opened(item, lambda _: None):
        pass


def test_what_was_left_out_stands_in_the_table_the_csv_and_the_json(run, tmp_path, capsys):
    large, small = study(2)
    write([*large, *small[:6]], tmp_path / "in")
    run_command("predict", tmp_path / "in", "--model", run, "--out", tmp_path / "out", "--no-pages")
    assert "left out: study_" in capsys.readouterr().out
    assert ",left out," in (tmp_path / "out" / "results.csv").read_text()
    (file,) = (tmp_path / "out").glob("study_*.json")
    assert len(read_json(file)["left_out"]) == 1


def test_a_damaged_file_beside_the_scan_ends_with_status_1(run, tmp_path):
    write(classic(chest()[0]), tmp_path / "in" / "a")
    for file in write(classic(chest()[0])[:2], tmp_path / "in" / "b"):
        file.write_bytes(file.read_bytes()[:300])
    words = ["--input", tmp_path / "in", "--out", tmp_path / "out", "--no-pages"]
    with pytest.raises(SystemExit) as ended:
        run_command("predict", "--model", run, *words)
    assert ended.value.code == 1


def test_a_report_that_cannot_be_written_leaves_the_segmentation(run, tmp_path, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise OverflowError

    monkeypatch.setattr("pipeline.scans.dicom.measurements.sr.ComprehensiveSR", fails)
    write(classic(chest()[0]), tmp_path / "in")
    (manifest,) = predict(run, tmp_path / "in", tmp_path / "out")
    assert manifest["status"] == DONE
    assert [warning for warning in manifest["warnings"] if "no DICOM report: " in warning]
    suffixes = {"".join(file.suffixes) for file in (tmp_path / "out").glob("study_*")}
    assert suffixes == {".nii.gz", ".seg.dcm", ".json", ".html"}
