"""The main job on four tiny patients, through the same commands that a user runs."""

from __future__ import annotations

import csv
import json
import subprocess
from functools import partial

import pytest
import SimpleITK as sitk
from bundle_runs import cross_validate
from fire.parser import DefaultParseValue

from pipeline.core.bundle_process import as_word
from pipeline.core.project import program
from pipeline.core.scan_traits import HELD_OUT, TRAINING, read_traits
from pipeline.data.study import load_study
from pipeline.phantom.dataset import write_phantom
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_geometry, read_scan


@pytest.fixture(scope="module")
def run_cv(tiny_training):
    return partial(cross_validate, tiny_training(features=[4, 8, 8]))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with space") / "phantom"
    write_phantom(folder, patients=4, coarsening=3.0)
    return folder


@pytest.fixture(scope="module")
def finished(run_cv, data, tmp_path_factory):
    """A finished run: its folder and what it printed."""
    out = tmp_path_factory.mktemp("run of tests") / "cv"
    done = run_cv(out, data)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def test_every_case_has_a_prediction_on_its_own_grid(finished, data):
    out, _ = finished
    for image in sorted((data / "images").iterdir()):
        predicted = out / "predictions" / image.name
        assert Geometry.of(read_scan(predicted)) == read_geometry(image), image.name
        assert read_scan(predicted).GetPixelID() == sitk.sitkUInt8


def test_every_case_is_scored_once_for_each_structure(finished):
    with (finished[0] / "metrics.csv").open() as table:
        rows = [(row["case"], row["structure"]) for row in csv.DictReader(table)]
    assert len(rows) == len(set(rows)) == 4 * 4


def test_the_summary_has_what_outside_scripts_read(finished):
    summary = json.loads((finished[0] / "summary.json").read_text())
    for structure in ("left_lung", "right_lung", "lungs", "infection"):
        assert {"mean", "median", "std"} <= summary["structures"][structure]["dice"].keys()


def test_each_fold_leaves_its_model_and_curves(finished):
    for fold in ("fold0", "fold1"):
        files = {file.name for file in (finished[0] / fold).iterdir()}
        assert {"model.pt", "history.csv", "training.json", "tensorboard"} <= files
        assert not {"last.pt", "previous.pt"} & files


def test_each_fold_keeps_what_its_network_makes_of_its_training_scans_and_of_those_held_out(finished):
    study = load_study(finished[0])
    for fold in range(2):
        kept = read_traits(finished[0] / f"fold{fold}")
        assert set(kept[TRAINING]) == {case["case"] for case in study.training(fold)}
        assert set(kept[HELD_OUT]) == {case["case"] for case in study.held_out(fold)}
        assert len({len(one.deep) for of_cases in kept.values() for one in of_cases.values()}) == 1


def test_the_printed_table_has_the_papers_row(finished):
    assert ".956" in finished[1]
    assert "AVG" in finished[1]


def test_a_finished_run_is_not_repeated(run_cv, finished, data):
    out, _ = finished
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.pt")}
    again = run_cv(out, data)
    assert again.returncode == 0
    assert "trained already" in again.stdout
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.pt")} == before


@pytest.mark.slow
def test_a_lost_prediction_alone_is_made_again(run_cv, finished, data):
    out, _ = finished
    lost, kept = sorted((out / "predictions").iterdir())[:2]
    written = kept.stat().st_mtime_ns
    voxels = sitk.GetArrayFromImage(read_scan(lost))
    lost.unlink()
    assert run_cv(out, data).returncode == 0
    assert (sitk.GetArrayFromImage(read_scan(lost)) == voxels).all()
    assert kept.stat().st_mtime_ns == written


def test_other_settings_are_refused_in_the_same_folder(run_cv, finished, data):
    refused = run_cv(finished[0], data, max_epochs=7)
    assert refused.returncode == 2
    assert "max_epochs" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_one_fold_alone_equals_that_fold_of_the_whole_run(run_cv, finished, data, tmp_path):
    assert run_cv(tmp_path / "alone", data, "--only_fold", "1").returncode == 0
    alone, whole = ((folder / "fold1" / "history.csv").read_text() for folder in (tmp_path / "alone", finished[0]))
    assert alone == whole
    assert not (tmp_path / "alone" / "fold0").exists()


def test_predict_segments_a_folder_with_a_folds_model(finished, data, tmp_path):
    arguments = ["--model", str(finished[0] / "fold0"), "--input", str(data / "images"), "--out", str(tmp_path)]
    command = program("predict", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    labels = sorted(file.name for file in tmp_path.glob("*.nii.gz"))
    assert labels == sorted(file.name for file in (data / "images").iterdir())


@pytest.mark.parametrize("text", ["runs/cv", "a,b", "with space/x", "1e3", "None", "[1]", "7", '$f("a b", 0)'])
def test_a_word_on_the_command_line_is_read_back_as_it_was(text):
    assert str(DefaultParseValue(as_word(text))) == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--network", "unet3d"], "did you mean unet_3d?"),
        (["--preset", "fast"], "PRESET is 'fast'"),
        (["--folds", "9"], "folds: 9"),
        (["--only_fold", "2"], "fold: 2"),
        (["--max_epoch", "3"], "max_epoch"),
        (["--dataset_dir", "nowhere"], "nowhere"),
        (["--overrides", "{'max_epoch': 3}"], "did you mean max_epochs?"),
        (["--overrides", "max_epochs=3"], "expected a dictionary"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(run_cv, arguments, said, data, tmp_path):
    refused = run_cv(tmp_path / "cv", data, *arguments)
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert (refused.returncode, len(errors)) == (2, 1), refused.stderr
    assert said in errors[0]
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_2d_network_on_other_classes_is_cross_validated_by_the_same_command(tiny_training, data, tmp_path):
    tiny = tiny_training(features=[8, 8, 12, 16])
    done = cross_validate(
        tiny, tmp_path / "cv", data, "--network", "anam_net", label_map="abnormal_normal", max_epochs=1
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "cv" / "summary.json").read_text())
    assert list(summary["structures"]) == ["abnormal", "normal"]
    predicted = sitk.GetArrayFromImage(read_scan(next((tmp_path / "cv" / "predictions").iterdir())))
    assert predicted.max() <= 2
