"""Leave one patient out on three tiny patients, and the vote of its members on two others, really trained."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from bundle_runs import run_here

from pipeline.core.configuration import TRAIN, load
from pipeline.core.errors import InputError
from pipeline.inference import ensemble_score
from pipeline.inference.ensemble_score import EnsembleScore
from pipeline.phantom.dataset import write_phantom
from pipeline.prediction.predict import predict
from pipeline.runs import cross_validation
from pipeline.runs.leave_one_out import MEMBERS, LeaveOneOut
from pipeline.scans.scan import read_scan


@dataclass
class Place:
    """A folder with scans to train on, scans of other patients, and what was run there."""

    folder: Path
    tiny: dict[str, Any]
    trained: list[int] = field(default_factory=list)
    external_was_there: list[bool] = field(default_factory=list)

    @property
    def scans(self) -> Path:
        return self.folder / "scans"

    @property
    def external(self) -> Path:
        return self.folder / "external"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def job(self, **changes: Any) -> LeaveOneOut:
        settings: dict[str, Any] = {"network": "unet_3d", "dataset_dir": str(self.scans), "preset": "demo"}
        settings |= {"output_dir": str(self.out), "test_dir": str(self.external), "overrides": self.tiny}
        return LeaveOneOut(**{**settings, **changes})

    def run_bundle(self, what: str, arguments: dict[str, Any], threads: int = 0, processes: int = 1) -> None:
        """As `run_here`, and the external scans are out of reach while anything is trained."""
        if "fold" not in arguments:
            run_here(what, arguments)
            return
        self.trained.append(arguments["fold"])
        away = self.folder / "away"
        self.external.rename(away)
        try:
            self.external_was_there.append(self.external.exists())
            run_here(what, arguments)
        finally:
            away.rename(self.external)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_training) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("leave one out")
    tiny = tiny_training(features=[4, 8, 8])
    here = Place(folder, {**tiny, "cache_dir": str(folder / "cache"), "max_epochs": 1})
    write_phantom(here.scans, patients=3, coarsening=4.0)
    write_phantom(here.external, patients=2, coarsening=4.0, first=11)
    with pytest.MonkeyPatch.context() as patch:
        for module in (cross_validation, ensemble_score):
            patch.setattr(module, "run_bundle", here.run_bundle)
        yield here


@pytest.fixture(scope="module")
def finished(place) -> Place:
    place.job(members={1: {"learning_rate": 0.01}}).run()
    return place


def labels(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_scan(file))


def test_no_scan_of_the_test_set_is_in_reach_while_a_member_is_trained(finished):
    assert finished.external_was_there == [False] * 3


def test_each_member_leaves_one_patient_out(finished):
    folds = json.loads((finished.out / "folds.json").read_text())["folds"]
    assert [fold["test"] for fold in folds] == [["phantom_01"], ["phantom_02"], ["phantom_03"]]


def test_members_differ_in_seed_and_where_asked_in_more(finished):
    own = [json.loads((finished.out / f"fold{fold}" / f"{TRAIN}.json").read_text()) for fold in range(3)]
    assert [settings["train"]["sampler"]["seed"] for settings in own] == [0, 1, 2]
    assert [settings["learning_rate"] for settings in own] == [0.006, 0.01, 0.006]


def test_members_begin_with_other_weights(finished):
    first, second = (torch.load(finished.out / f"fold{fold}" / "model.pt", weights_only=True) for fold in (0, 2))
    assert not any(torch.equal(first[name], second[name]) for name in first if name.endswith("conv.weight"))


def test_the_members_and_the_ensemble_are_scored_on_the_test_set(finished):
    scores = json.loads((finished.out / "external" / "summary.json").read_text())["scores"]
    who = ["external test set, ensemble", "mean single member", "fold0 alone", "fold1 alone", "fold2 alone"]
    assert [(score["who"], score["cases"]) for score in scores] == [(name, 2) for name in who]


def test_each_patient_left_out_has_one_voter(finished):
    first, *_ = json.loads((finished.out / "lopo.json").read_text())["scores"]
    assert (first["who"], first["cases"]) == ("out-of-patient, one voter a patient", 3)


def test_nothing_leaks_unless_it_is_asked_for(finished):
    assert "LEAKING" not in (finished.out / "lopo.json").read_text()


def test_the_spread_of_the_infected_share_is_over_all_members(finished):
    cases = json.loads((finished.out / "external" / "summary.json").read_text())["severity"]["cases"]
    assert [case["members"] for case in cases] == [3, 3]


def test_flags_tell_whether_the_members_agree_on_a_case(finished):
    with (finished.out / "external" / "flags.csv").open(newline="") as stream:
        asked = [row["case"] for row in csv.DictReader(stream) if row["flag"] == "agreement"]
    assert asked == ["phantom_11", "phantom_12"]


@pytest.fixture
def segment(finished, tmp_path) -> Callable[[Path], Path]:
    """Segments the test set's scans with a model, in this process; gives the folder of the labels."""

    def run(model: Path) -> Path:
        predict(model, finished.external, tmp_path)
        return tmp_path

    return run


@pytest.mark.parametrize("name", ["phantom_11.nii.gz", "uncertainty/phantom_11.nii.gz"])
def test_predict_with_the_folder_gives_the_ensemble_that_was_scored(finished, segment, name):
    predicted = labels(segment(finished.out) / name)
    assert (predicted == labels(finished.out / "external" / "predictions" / name)).all()


def test_a_member_alone_is_scored_on_what_it_predicts(finished, segment):
    alone = finished.out / "external" / "members" / "fold1"
    predicted = labels(segment(finished.out / "fold1") / "phantom_12.nii.gz")
    assert (predicted == labels(alone / "phantom_12.nii.gz")).all()


def test_run_again_it_trains_what_was_lost_and_no_more(finished):
    shutil.rmtree(finished.out / "fold1")
    (finished.out / "predictions" / "phantom_02.nii.gz").unlink()
    shutil.rmtree(finished.out / "external")
    finished.trained.clear()
    finished.job(members={1: {"learning_rate": 0.01}}).run()
    assert finished.trained == [1]


def test_leaking_scores_are_a_row_of_their_own(finished, capsys):
    finished.trained.clear()
    finished.job(members={1: {"learning_rate": 0.01}}, leaky=True).run()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("LEAKING: every member")]
    assert " 3 " in line
    assert finished.trained == []


def test_other_members_are_refused_in_the_same_folder(finished):
    with pytest.raises(InputError, match="learning_rate"):
        finished.job(members={1: {"learning_rate": 0.02}}).run()


def test_two_runs_on_the_same_patients_have_voters_that_saw_none_of_them(finished, tmp_path):
    other = shutil.copytree(finished.out, tmp_path / "other")
    score = EnsembleScore([str(finished.out), str(other)], str(finished.scans), str(tmp_path / "scores"))
    assert list(score.voters.values()) == [[0, 3], [1, 4], [2, 5]]


def test_a_patient_of_the_training_data_is_no_external_one(place, tmp_path):
    write_phantom(tmp_path / "test", patients=1, coarsening=4.0, seed=5)
    with pytest.raises(InputError, match="case phantom_01 of patient phantom_01 is in the training data too"):
        place.job(output_dir=str(tmp_path / "out"), test_dir=str(tmp_path / "test")).run()


def test_a_scan_of_the_training_data_under_another_name_is_no_external_one(place, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "test" / kind).mkdir(parents=True)
        shutil.copy(place.scans / kind / "phantom_02.nii.gz", tmp_path / "test" / kind / "somebody.nii.gz")
    with pytest.raises(InputError, match="case somebody of patient somebody is in the training data too"):
        place.job(output_dir=str(tmp_path / "out"), test_dir=str(tmp_path / "test")).run()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"members": [{}, {}]}, "MEMBERS lists 2 members, but there are 3"),
        ({"members": {3: {}}}, "MEMBERS names member 3"),
        ({"members": "{1: 2}"}, "expected {3: "),
        ({"members": "max_epochs=2"}, "expected {3: "),
        ({"members": {0: {"spacing_mm": [1, 1, 1]}}}, "member 0 changes spacing_mm"),
        ({"members": {0: {"max_epoch": 3}}}, "did you mean max_epochs"),
        ({"method": "median"}, "METHOD is 'median'"),
        ({"jobs": -1}, "JOBS is -1"),
    ],
)
def test_wrong_use_is_one_sentence_before_anything_is_trained(place, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        place.job(output_dir=str(tmp_path / "out"), **changes).run()
    assert not list((tmp_path / "out").glob("fold*/*.pt"))


def test_one_patient_cannot_be_left_out(place, tmp_path):
    write_phantom(tmp_path / "one", patients=1, coarsening=4.0)
    with pytest.raises(InputError, match=r"has scans of 1 patient\(s\)"):
        place.job(dataset_dir=str(tmp_path / "one")).run()


def test_what_every_member_was_trained_on_has_no_honest_score(finished, tmp_path):
    score = EnsembleScore(str(finished.out / "fold0"), str(tmp_path / "scans"), str(tmp_path / "scores"))
    for kind in ("images", "labels"):
        (tmp_path / "scans" / kind).mkdir(parents=True)
        shutil.copy(finished.scans / kind / "phantom_02.nii.gz", tmp_path / "scans" / kind)
    with pytest.raises(InputError, match="every member was trained on every patient"):
        score.run()


@pytest.mark.parametrize("preset", sorted(file.stem for file in MEMBERS.glob("*.yaml")))
def test_what_a_preset_changes_of_members_is_in_their_configuration(place, preset):
    changed = load([MEMBERS / f"{preset}.yaml"])
    content = place.job(network="amc_net", preset=preset, overrides={}).cross_validation.configuration(TRAIN)
    assert {key: content[key] for key in changed} == changed


def test_a_cascade_votes_stage_by_stage(place, tmp_path):
    write_phantom(tmp_path / "two", patients=2, coarsening=4.0)
    own = {"lungs::network_def::features": [4, 8, 8], "infection::network_def::features": [8, 16, 32]}
    tiny = {key: value for key, value in place.tiny.items() if key != "network_def::features"}
    changes = {"network": "unet_3d>enet", "overrides": {**tiny, **own}, "output_dir": str(tmp_path / "out")}
    place.job(dataset_dir=str(tmp_path / "two"), **changes).run()
    scores = json.loads((tmp_path / "out" / "external" / "summary.json").read_text())["scores"]
    assert [(score["who"], sorted(score["dice"])) for score in scores[:1]] == [
        ("external test set, ensemble", ["infection", "lungs"])
    ]
