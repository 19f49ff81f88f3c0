"""Cascades on tiny patients, through the commands that a user runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bundle_runs import cross_validate

from pipeline.core.configuration import BUNDLES, TRAIN, cascades, load, merged, networks
from pipeline.core.errors import InputError
from pipeline.core.project import program
from pipeline.core.stages import FIRST, Stage, first_stage_model_of, joined, stage_overrides, stages_of
from pipeline.data.found import with_found
from pipeline.data.study import load_study
from pipeline.phantom.dataset import write_phantom
from pipeline.scans.front import Front
from pipeline.scans.scan import read_scan

CASCADE = "unet_3d>enet"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascade") / "phantom"
    write_phantom(folder, patients=4, coarsening=3.0)
    return folder


@pytest.fixture(scope="module")
def finished(tiny_training, data, tmp_path_factory):
    """A 3D lung network and a 2D infection network, trained within the lungs that the first one predicts."""
    out = tmp_path_factory.mktemp("run") / "cv"
    tiny = {
        **tiny_training(),
        "lungs::network_def::features": [4, 8, 8],
        "infection::network_def::features": [8, 16, 32],
    }
    done = cross_validate(tiny, out, data, "--network", CASCADE, "--lungs", "predicted")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def labels(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_scan(file))


def test_a_cascade_scores_lungs_and_infection(finished):
    assert set(json.loads((finished / "summary.json").read_text())["structures"]) == {"lungs", "infection"}


def test_both_stages_train_on_the_same_patients(finished):
    assert (
        load_study(finished / "lungs").folds == load_study(finished / "infection").folds == load_study(finished).folds
    )


def test_each_stage_has_its_own_classes(finished):
    kept = [json.loads((finished / stage / "train.json").read_text())["label_map"] for stage in ("lungs", "infection")]
    assert kept == ["lungs", "infection"]


@pytest.mark.parametrize("fold", [0, 1])
def test_the_lung_model_behind_a_tested_patient_never_saw_that_patient(finished, fold):
    study = load_study(finished / "lungs")
    learnt = {case["patient_id"] for case in study.training(fold)}
    assert learnt.isdisjoint(case["patient_id"] for case in load_study(finished).held_out(fold))
    second = finished / "infection" / f"fold{fold}" / "model.pt"
    assert Path(first_stage_model_of(second)) == finished / "lungs" / f"fold{fold}" / "model.pt"


@pytest.mark.parametrize("fold", [0, 1])
def test_the_second_stage_learns_within_what_its_own_folds_first_stage_found(finished, fold):
    found = {file.name.split(".")[0] for file in (finished / "lungs" / "found" / f"fold{fold}").iterdir()}
    assert found == {case["case"] for case in load_study(finished).learnt(fold)}


def test_predict_runs_both_stages(finished, data, tmp_path):
    arguments = ["--model", str(finished / "fold0"), "--input", str(data / "images"), "--out", str(tmp_path)]
    command = program("predict", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for case in load_study(finished).held_out(0):
        name = f"{case['case']}.nii.gz"
        assert (labels(tmp_path / name) == labels(finished / "predictions" / name)).all()


def test_a_lung_model_that_is_not_there_is_named(finished, data, tmp_path):
    only = tmp_path / "infection"
    (only / "fold0").mkdir(parents=True)
    for file in ("fold0/model.pt", "inference.json"):
        (only / file).write_bytes((finished / "infection" / file).read_bytes())
    arguments = ["--model", str(only / "fold0"), "--input", str(data / "images"), "--out", str(tmp_path / "out")]
    command = program("predict", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert str(tmp_path / "lungs" / "inference.json") in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_the_lungs_is_air_and_inside_as_in_the_whole_scan(make_chest):
    scan, label = make_chest()
    (whole,) = Front(spacing_mm=(0, 0, 0)).image(scan, "scan")
    front = Front(spacing_mm=(0, 0, 0), within_lungs=True)
    inside = front.label(label) > 0
    (within,) = front.image(scan, "scan", label)
    assert (within[inside] == whole[inside]).all()
    assert (within[~inside] == within[~inside].min()).all()
    assert within[~inside].max() < within[inside].min()


def test_within_lungs_without_lungs_is_an_error(make_chest):
    with pytest.raises(ValueError, match="need what another network has found"):
        Front(within_lungs=True).image(make_chest()[0], "scan")


def test_infection_replaces_lung_and_stands_beside_it():
    lungs, infection = np.array([0, 0, 1, 1], np.uint8), np.array([0, 1, 0, 1], np.uint8)
    assert joined(lungs, infection).tolist() == [0, 2, 1, 2]


def test_a_network_alone_is_one_stage():
    assert stages_of("unet_3d") == (Stage("", "unet_3d"),)


def test_a_chain_names_the_lung_network_first():
    assert stages_of("unet_3d > enet") == (Stage("lungs", "unet_3d"), Stage("infection", "enet"))


@pytest.mark.parametrize("chain", ["unet_3d>", ">enet", "unet_3d>enet>enet"])
def test_another_chain_is_refused(chain):
    with pytest.raises(InputError, match="expected a lung network > an infection network"):
        stages_of(chain)


def test_an_override_for_a_stage_of_another_kind_of_cascade_is_refused():
    first, _ = stages_of("inf_net_multiclass")
    with pytest.raises(InputError, match="is for no stage of this cascade, whose stages are infection_map and kinds"):
        stage_overrides({"lungs::max_epochs": 5}, first)


def test_an_override_is_for_both_stages_or_for_the_one_it_names():
    given = {"max_epochs": 3, "infection::max_epochs": 5, "lungs::network_def::features": [4]}
    lungs, infection = stages_of(CASCADE)
    assert stage_overrides(given, lungs) == {"max_epochs": 3, "network_def::features": [4]}
    assert stage_overrides(given, infection) == {"max_epochs": 5}


def test_lungs_that_were_not_found_are_an_error_with_the_name_of_the_case(tmp_path):
    with pytest.raises(InputError, match="case a: the first stage has not segmented it"):
        with_found([{"case": "a"}], str(tmp_path), fold=0)


@pytest.mark.parametrize("cascade", cascades())
def test_a_cascade_bundle_is_made_of_networks(cascade):
    chosen = load([BUNDLES / cascade / "configs" / "cascade.yaml"])
    assert tuple(chosen)[::-1] in FIRST.items()
    assert set(chosen.values()) <= {*networks(), cascade}


@pytest.mark.parametrize("network", networks())
def test_every_network_can_be_either_stage(network):
    stages = [merged(TRAIN, network, "demo", {}, {}, stage) for stage in ("lungs", "infection")]
    assert [content["within_lungs"] for content in stages] == [False, True]
