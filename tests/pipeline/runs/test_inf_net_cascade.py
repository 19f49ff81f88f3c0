"""The two stages of Inf-Net on tiny patients: the infection, then its kinds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bundle_runs import run_here

import pipeline.runs.cross_validation
from pipeline.core.errors import InputError
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, INFECTION
from pipeline.core.stages import first_stage_model_of
from pipeline.data.study import load_study
from pipeline.phantom.dataset import write_phantom
from pipeline.prediction.predict import predict
from pipeline.runs.cross_validation import PREDICTED, CrossValidation
from pipeline.scans.scan import read_scan

NETWORK = "inf_net_multiclass"
TINY = {
    "infection_map::network_def::width": 1 / 16,
    "infection_map::network_def::blocks": [1, 1, 1, 1],
    "kinds::network_def::features": [4, 8],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds") / "phantom"
    write_phantom(folder, patients=3, coarsening=4.0)
    return folder


def cross_validation(data: Path, out: Path, overrides: dict, lungs: str = PREDICTED) -> CrossValidation:
    own = {**overrides, **TINY, "cache_dir": str(out.parent / "cache")}
    return CrossValidation(NETWORK, str(data), 3, "demo", str(out), overrides=own, lungs=lungs)


@pytest.fixture(scope="module")
def finished(tiny_training, data, tmp_path_factory):
    """The first fold, trained with the infection that its own first stage finds."""
    training = cross_validation(data, tmp_path_factory.mktemp("run") / "cv", tiny_training())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.runs.cross_validation, "run_bundle", run_here)
        training.only_fold = 0
        training.run()
    return Path(training.output_dir)


def settings(finished: Path, stage: str) -> dict:
    return json.loads((finished / stage / "train.json").read_text())


def test_the_first_stage_finds_infection_and_the_second_its_kinds(finished):
    assert [settings(finished, stage)["label_map"] for stage in ("infection_map", "kinds")] == [
        "infection",
        "infection_kinds",
    ]


def test_the_second_stage_sees_two_channels(finished):
    shapes = {np.load(file).shape[0] for file in (finished.parent / "cache").glob("*/image.npy")}
    assert shapes == {1, 2}


def test_the_first_model_of_a_tested_patient_never_saw_that_patient(finished):
    second = finished / "kinds" / "fold0" / "model.pt"
    assert Path(first_stage_model_of(second)) == finished / "infection_map" / "fold0" / "model.pt"
    learnt = {case["patient_id"] for case in load_study(finished / "infection_map").training(0)}
    assert learnt.isdisjoint(case["patient_id"] for case in load_study(finished).held_out(0))


def test_the_second_stage_learns_with_what_its_own_folds_first_stage_found(finished):
    found = {file.name.split(".")[0] for file in (finished / "infection_map" / "found" / "fold0").iterdir()}
    assert found == {case["case"] for case in load_study(finished).learnt(0)}


def test_predict_runs_both_stages(finished, tmp_path):
    (case,) = load_study(finished).held_out(0)
    predict(finished / "fold0", case["image"], tmp_path)
    predicted = [read_scan(folder / f"{case['case']}.nii.gz") for folder in (tmp_path, finished / "predictions")]
    assert np.array_equal(*map(sitk.GetArrayFromImage, predicted))


def test_faultless_predictions_have_a_dice_of_1_for_each_kind_and_both_together(bundles, data, tmp_path):
    CrossValidation(NETWORK, str(data), 3, "demo", str(tmp_path / "cv")).run()
    structures = json.loads((tmp_path / "cv" / "summary.json").read_text())["structures"]
    assert {name: scores["dice"]["mean"] for name, scores in structures.items()} == dict.fromkeys(
        ("infection", "ground_glass_opacity", "consolidation"), 1
    )


def test_data_without_kinds_is_refused_before_anything_is_trained(data, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for file in (data / kind).iterdir():
            image = sitk.ReadImage(str(file))
            if kind == "labels":
                image = sitk.ChangeLabel(image, changeMap={GROUND_GLASS: INFECTION, CONSOLIDATION: INFECTION})
            sitk.WriteImage(image, str(tmp_path / "data" / kind / file.name))
    with pytest.raises(InputError, match="none of its labels tells the kinds of infection apart; label infection as 4"):
        CrossValidation(NETWORK, str(tmp_path / "data"), 3, "demo", str(tmp_path / "cv")).begin()
