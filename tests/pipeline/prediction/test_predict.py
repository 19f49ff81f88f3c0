"""Segmenting scans one by one: what is done stays done, what is wrong with one scan is that scan's own."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command
from conftest import chest, tiny_overrides
from exported import small_run
from monai.bundle import ConfigWorkflow

from pipeline.core.atomic import read_json
from pipeline.core.configuration import METADATA
from pipeline.core.errors import InputError
from pipeline.folders.manifest import BEGUN, DONE, FAILED, table
from pipeline.prediction.predict import predict
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_geometry, read_scan

NAMES = ("a", "b", "below/c")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of two members with few and random weights."""
    folder = tmp_path_factory.mktemp("run") / "cv"
    return small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False})


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(NAMES):
        file = folder / f"{name}.nii.gz"
        file.parent.mkdir(exist_ok=True)
        sitk.WriteImage(chest(seed=number)[0], str(file))
    return folder


@pytest.fixture(scope="module")
def finished(run, scans, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    predict(run / "fold0", scans, out)
    return out


@pytest.fixture
def mine(finished, tmp_path) -> Path:
    """A copy of what was finished."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def own_scans(scans, tmp_path) -> Path:
    return Path(shutil.copytree(scans, tmp_path / "scans"))


def written(out: Path) -> dict[str, int]:
    """When each label was written."""
    return {file.relative_to(out).as_posix(): file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")}


def outcomes(manifests) -> dict[str, str]:
    return {manifest["case"]: manifest["status"] for manifest in manifests}


def test_every_scan_has_a_label_on_its_own_grid(finished, scans):
    for name in NAMES:
        assert Geometry.of(read_scan(finished / f"{name}.nii.gz")) == read_geometry(scans / f"{name}.nii.gz")


def test_every_label_lies_on_its_scan_for_nibabel_too(finished, scans):
    for name in NAMES:
        label, scan = (nibabel.load(folder / f"{name}.nii.gz") for folder in (finished, scans))
        np.testing.assert_allclose(label.affine, scan.affine, atol=1e-4)
        assert label.header.get_sform(coded=True)[1] > 0


def test_labels_are_those_of_monai_s_own_command_byte_by_byte(finished, run, scans, tmp_path):
    own = {"model_file": str(run / "fold0" / "model.pt"), "dataset_dir": str(scans), "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(
        str(run / "inference.json"), str(METADATA), logging_file=False, workflow_type="infer", **own
    )
    workflow.initialize()
    workflow.run()
    for name in ("a", "b"):
        assert (tmp_path / f"{name}.nii.gz").read_bytes() == (finished / f"{name}.nii.gz").read_bytes()


def test_nothing_is_left_but_results(finished):
    names = {file.relative_to(finished).as_posix() for file in finished.rglob("*") if file.is_file()}
    assert names == {"results.csv"} | {f"{name}{suffix}" for name in NAMES for suffix in (".nii.gz", ".json", ".html")}
    assert not (finished / ".claims").exists()


def test_what_is_done_is_not_done_again(mine, run, scans):
    before = written(mine)
    assert set(outcomes(predict(run / "fold0", scans, mine)).values()) == {DONE}
    assert written(mine) == before


@pytest.mark.parametrize("lost", ["a.nii.gz", "a.json", "a.html"])
def test_what_lacks_a_file_is_done_again_and_nothing_else(mine, run, scans, lost):
    before = written(mine)
    (mine / lost).unlink()
    predict(run / "fold0", scans, mine)
    after = written(mine)
    assert [name for name in before if before[name] != after[name]] == ["a.nii.gz"]


def test_a_scan_that_changed_is_done_again(mine, run, own_scans):
    # So that the results are of this place
    os.utime(own_scans / "a.nii.gz", (0, 0))
    predict(run / "fold0", own_scans, mine)
    sitk.WriteImage(chest(seed=9)[0], str(own_scans / "a.nii.gz"))
    before = read_json(mine / "a.json")["input"]["sha256"]
    predict(run / "fold0", own_scans, mine)
    assert read_json(mine / "a.json")["input"]["sha256"] != before


def test_a_scan_that_was_only_copied_is_not_done_again(mine, run, own_scans):
    for name in NAMES:
        (own_scans / f"{name}.nii.gz").touch()
    before = written(mine)
    predict(run / "fold0", own_scans, mine)
    assert written(mine) == before


@pytest.mark.parametrize(("fold", "mode"), [("fold1", ""), ("fold0", "exact")], ids=["other model", "other mode"])
def test_with_other_means_all_is_done_again(mine, run, scans, fold, mode):
    before = written(mine)
    predict(run / fold, scans, mine, mode=mode)
    assert not before.items() & written(mine).items()


def test_a_bad_scan_does_not_keep_the_others_from_it(run, own_scans, tmp_path):
    (own_scans / "a.nii.gz").write_bytes(b"no gzip")
    found = predict(run / "fold0", own_scans, tmp_path / "out")
    assert outcomes(found) == {"a": FAILED, "b": DONE, "below/c": DONE}


def test_a_bad_scan_is_told_in_one_sentence_without_its_folder(run, own_scans, tmp_path):
    (own_scans / "a.nii.gz").write_bytes(b"no gzip")
    (bad, *_) = predict(run / "fold0", own_scans / "a.nii.gz", tmp_path / "out")
    assert bad["message"].startswith("a: not readable as a medical image")
    assert str(tmp_path) not in (tmp_path / "out" / "a.json").read_text()


def test_a_bad_scan_that_was_mended_is_done(run, own_scans, scans, tmp_path):
    (own_scans / "a.nii.gz").write_bytes(b"no gzip")
    predict(run / "fold0", own_scans, tmp_path / "out")
    shutil.copy(scans / "a.nii.gz", own_scans / "a.nii.gz")
    assert set(outcomes(predict(run / "fold0", own_scans, tmp_path / "out")).values()) == {DONE}


def test_a_command_with_a_bad_scan_ends_with_a_table_and_status_1(run, own_scans, tmp_path, capsys):
    (own_scans / "a.nii.gz").write_bytes(b"no gzip")
    words = ["--model", run / "fold0", "--input", own_scans, "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as ended:
        run_command("predict", *words)
    assert ended.value.code == 1
    assert "2 of 3 scans segmented, 1 failed" in capsys.readouterr().out


def test_results_are_one_row_a_scan(finished):
    _, *rows = (finished / "results.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows] == [[name, DONE] for name in NAMES]


def test_merging_gives_the_same_results(mine):
    before = (mine / "results.csv").read_text()
    (mine / "results.csv").unlink()
    run_command("merge", mine)
    assert (mine / "results.csv").read_text() == before


def test_a_manifest_tells_how_long_each_stage_took(finished):
    assert set(read_json(finished / "a.json")["seconds"]) == {"read", "prepare", "network", "write", "severity", "page"}


def test_an_ensemble_tells_where_its_members_disagree(run, scans, tmp_path):
    predict(run, scans / "a.nii.gz", tmp_path)
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.nii.gz")) == [
        "a.nii.gz",
        "uncertainty/a.nii.gz",
    ]


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(run, scans, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="which cannot be written"):
        predict(run / "fold0", scans, tmp_path / "out")


def test_a_disk_that_fills_up_is_told_in_a_sentence_and_leaves_no_half_file(run, scans, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(InputError, match=os.strerror(errno.EFBIG)):
            predict(run / "fold0", scans, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # The manifest says that the label is this program's, so that the same command goes on
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["a.json", "a.nii.gz"]
    assert read_json(tmp_path / "a.json")["status"] == BEGUN
    assert Geometry.of(read_scan(tmp_path / "a.nii.gz")) == read_geometry(scans / "a.nii.gz")


def test_a_scan_that_does_not_fit_into_memory_is_refused_with_the_figure(run, scans, tmp_path, monkeypatch):
    # Enough to unpack what its header promises (22.5 KiB), not to segment it
    monkeypatch.setattr("pipeline.core.machine.memory_left_mib", lambda: 0.05)
    monkeypatch.setattr("pipeline.prediction.segmented.memory_mib", lambda: 0.0)
    (refused,) = predict(run / "fold0", scans / "a.nii.gz", tmp_path)
    assert refused["status"] == FAILED
    assert "and 0 MiB are left" in refused["message"]


def test_a_table_of_very_many_scans_begins_with_those_that_failed():
    many = [{"case": f"{number}", "status": DONE} for number in range(100)]
    shown = table([*many, {"case": "bad", "status": FAILED, "message": "bad: is bad."}])
    assert shown.splitlines()[1].startswith("bad")
    assert "41 more" in shown


def test_the_table_says_which_cases_to_look_at_first():
    raised = [{"flag": name, "raised": True} for name in ("lung_volume", "left_share")]
    flags = [*raised, {"flag": "largest_part", "raised": False}]
    shown = table([{"case": "a", "status": DONE, "flags": flags}, {"case": "b", "status": DONE}])
    assert [line.split("-")[-1].strip() for line in shown.splitlines()[1:3]] == [
        "look first, it may be wrong: lung volume, left share", ""
    ]  # fmt: skip


def test_a_scan_that_kills_every_process_is_given_up(run, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.prediction.batch.MOST_ENDED", 0)
    (given_up, *_) = predict(run / "fold0", scans / "a.nii.gz", tmp_path)
    assert (given_up["status"], given_up["message"][:17]) == (FAILED, "0 processes ended")


def test_a_model_of_another_version_is_told_in_a_sentence(run, scans, tmp_path):
    older = shutil.copytree(run, tmp_path / "cv")
    for file in older.rglob("inference.json"):
        file.write_text(file.read_text().replace("MirroredWindows", "AirPaddedWindows"))
    with pytest.raises(InputError, match=r"not here .*AirPaddedWindows.* another version of this project"):
        predict(older / "fold0", scans / "a.nii.gz", tmp_path / "out")


def test_a_spacing_that_stands_for_none_is_told_in_the_result(run, tmp_path):
    scan = chest()[0]
    in_matrix = sitk.Resample(scan, (128, 128, scan.GetDepth()), sitk.Transform(), sitk.sitkLinear, scan.GetOrigin())
    in_matrix.SetSpacing((1, 1, 1))
    sitk.WriteImage(in_matrix, str(tmp_path / "a.nii.gz"))
    # Half of this scan lies beyond the chest, where resampling has put 0
    (manifest,) = predict(run / "fold0", tmp_path / "a.nii.gz", tmp_path / "out", anyway=True)
    (warning,) = [each for each in manifest["warnings"] if "exactly 1 x 1 x 1 mm" in each]
    assert warning.startswith("a: its voxels are")


def end_before_the_manifest(monkeypatch, *arguments: Path) -> None:
    """Begin `predict`, and end it when the label of its first scan is written."""

    def ended(*_: object) -> None:
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.prediction.case_files.CaseFiles.write_page", ended)
        with pytest.raises(SystemExit):
            predict(*arguments)


def test_what_was_ended_before_its_manifest_goes_on(run, scans, tmp_path, monkeypatch):
    end_before_the_manifest(monkeypatch, run / "fold0", scans / "a.nii.gz", tmp_path)
    assert (tmp_path / "a.nii.gz").exists()
    (manifest,) = predict(run / "fold0", scans / "a.nii.gz", tmp_path)
    assert manifest["status"] == DONE


def test_a_result_whose_replacement_was_ended_is_no_label_changed_by_hand(mine, run, scans, monkeypatch):
    end_before_the_manifest(monkeypatch, run / "fold1", scans, mine)
    assert outcomes(predict(run / "fold1", scans, mine)) == dict.fromkeys(NAMES, DONE)


def test_a_label_that_was_changed_by_hand_is_kept(mine, run, scans):
    sitk.WriteImage(read_scan(mine / "a.nii.gz") * 0 + 2, str(mine / "a.nii.gz"))
    by_hand = (mine / "a.nii.gz").read_bytes()
    failed = {manifest["case"]: manifest for manifest in predict(run / "fold1", scans, mine)}["a"]
    assert "was changed since it was written" in failed["message"]
    assert (mine / "a.nii.gz").read_bytes() == by_hand


def test_the_page_of_a_result_that_was_replaced_does_not_stay(mine, run, scans):
    predict(run / "fold1", scans, mine, pages=False)
    assert not list(mine.rglob("*.html"))
