"""Random propagation of pseudo labels: what is trained on what, in which order, and what is left where it is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import SimpleITK as sitk
from conftest import chest, dataset
from semi_runs import SemiRuns

from pipeline.core.atomic import read_json
from pipeline.core.configuration import BUNDLES, COMMON, load, presets
from pipeline.core.errors import InputError
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.semi_supervised import CONTROL, TRAININGS, SemiSupervised
from pipeline.scans.scan import file_sha256, read_scan

PATIENTS = ["a", "b", "c", "d"]


@pytest.fixture
def runs(monkeypatch):
    made = SemiRuns()
    monkeypatch.setattr(CrossValidation, "bundle_run", lambda *arguments: made.run(*arguments))
    return made


@pytest.fixture
def semi(tmp_path, monkeypatch):
    """Makes a semi-supervised run of four labelled and three unlabelled chests, of the first of two folds."""
    monkeypatch.chdir(tmp_path)
    dataset(tmp_path / "labelled", PATIENTS)
    for number in range(3):
        unlabelled_scan(tmp_path / "unlabelled" / f"new_{number}.nii.gz", 10 + number)
    chosen = {"network": "enet", "dataset_dir": "labelled", "unlabelled_dir": "unlabelled", "folds": 2}
    return partial(SemiSupervised, **chosen, preset="demo", output_dir="out", per_round=4, rounds=2, only_fold=0)


def unlabelled_scan(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(chest(seed=seed)[0], str(file))


def trained(runs: SemiRuns, fold: int) -> list[dict]:
    """The semi-supervised trainings of a fold, in order."""
    return [one for one in runs.trainings if one["fold"] == fold and "supervised" not in str(one["fold_dir"])]


def entries(fold: int) -> list[dict]:
    return read_json(Path("out", f"fold{fold}", "pseudo_labels.json"))


def test_a_fold_is_trained_in_rounds_then_anew_then_on_the_labelled(semi, runs):
    semi().run()
    folders = [str(one["fold_dir"]) for one in trained(runs, 0)]
    assert folders == ["out/fold0/round1", "out/fold0/round2", "out/fold0/anew", "out/fold0"]


def test_each_training_begins_where_the_one_before_ended_and_anew_from_the_start(semi, runs):
    semi().run()
    begun = [one.get("begin_with") for one in trained(runs, 0)]
    expected = ["out/supervised/fold0", "out/fold0/round1", None, "out/fold0/anew"]
    assert begun == [folder and Path(folder, "model.pt") for folder in expected]


def test_only_the_training_anew_and_the_last_leave_cases_out(semi, runs):
    semi().run()
    assert [one.get("trained_on", "all") for one in trained(runs, 0)] == ["all", "all", "pseudo_labelled", "labelled"]


def test_a_round_adds_its_slices_to_those_before(semi, runs):
    semi().run()
    first, second, anew, _ = (one["entries"] for one in trained(runs, 0))
    assert 0 < first < second == anew == len(entries(0))


def test_a_round_draws_as_many_slices_as_asked_for_and_none_twice(semi, runs):
    semi().run()
    drawn = [(one["round"], one["case"], number) for one in entries(0) for number in one["slices"]]
    assert [sum(one == number for one, *_ in drawn) for number in (1, 2)] == [4, 4]
    assert len({(case, number) for _, case, number in drawn}) == 8


def test_without_a_number_of_rounds_the_pool_is_used_up(semi, runs):
    semi(rounds=0).run()
    # 12 slices of 3 mm, prepared at 6 mm
    assert sum(len(one["slices"]) for one in entries(0)) == 3 * 6


def test_a_3d_network_draws_whole_scans(semi, runs):
    semi(network="unet_3d", per_round=2, rounds=0).run()
    assert [one["round"] for one in entries(0)] == [1, 1, 2]
    assert all("slices" not in one for one in entries(0))


def test_the_record_says_by_which_model_a_label_was_found(semi, runs):
    semi().run()
    model = Path("out/supervised/fold0/model.pt")
    first = entries(0)[0]
    assert (first["model"], first["model_sha256"]) == (str(model), file_sha256(model))
    assert first["mean_confidence"] == 0.75


def test_the_record_holds_what_a_case_to_train_on_needs(semi, runs):
    semi().run()
    for entry in entries(0):
        for kind in ("image", "label"):
            assert file_sha256(entry[kind]) == entry[f"{kind}_sha256"]


def test_a_pseudo_label_holds_the_projects_codes(semi, runs):
    semi(overrides={"label_map": "infection"}).run()
    assert set(sitk.GetArrayFromImage(read_scan(entries(0)[0]["label"])).ravel()) == {3}


def test_the_same_seed_draws_the_same_slices_and_another_fold_others(semi, runs):
    scans = [{"case": str(number), "image": f"unlabelled/new_{number}.nii.gz"} for number in range(3)]
    first, again, other = semi(output_dir="x"), semi(output_dir="y"), semi(seed=1)
    assert first.drawn(0, scans) == again.drawn(0, scans)
    assert first.drawn(0, scans) not in (first.drawn(1, scans), other.drawn(0, scans))


@pytest.mark.parametrize("calls", range(9))
def test_a_run_that_was_interrupted_goes_on_and_repeats_nothing(semi, runs, calls):
    runs.dies_at = calls
    with pytest.raises(KeyboardInterrupt):
        semi().run()
    runs.dies_at = 1000
    semi().run()
    # The supervised network and its cases, two rounds of both, anew, the last, and its cases
    asked = [str(one.get("fold_dir", one.get("output_dir", ""))) for one in (*runs.trainings, *runs.segmentations)]
    assert (len(runs.trainings), len(runs.segmentations)) == (1 + 4, 1 + 2 + 1), asked


def test_a_finished_run_asks_for_nothing_more(semi, runs):
    semi(only_fold=-1).run()
    asked = len(runs.trainings), len(runs.segmentations)
    semi(only_fold=-1).run()
    assert (len(runs.trainings), len(runs.segmentations)) == asked


def test_models_of_rounds_that_are_over_are_removed(semi, runs):
    semi(rounds=0).run()
    assert len(list(Path("out/fold0").glob("round*/model.pt"))) == 1
    assert Path("out/supervised/fold0/model.pt").exists()


def test_the_tested_cases_are_scored_as_in_cross_validation(semi, runs):
    semi(only_fold=-1).run()
    assert len(json.loads(Path("out/summary.json").read_text())["structures"]) == 4
    assert len(list(Path("out/predictions").iterdir())) == len(PATIENTS)


def test_the_comparison_is_printed_and_written(semi, runs, capsys):
    semi(only_fold=-1).run()
    text = Path("out/comparison.txt").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "Steps of training: 2 supervised; 8 more semi-supervised." in text


def test_a_supervised_run_that_was_trained_alike_is_taken(semi, runs):
    semi().cross_validation("runs/enet/cv").run()
    before = len(runs.trainings)
    semi().run()
    assert not Path("out/supervised").exists()
    assert len(runs.trainings) == before + 4


def test_a_supervised_run_that_was_trained_otherwise_is_not_taken(semi, runs):
    semi(overrides={"max_epochs": 1}).cross_validation("runs/enet/cv").run()
    semi().run()
    assert Path("out/supervised/fold0/model.pt").exists()


def test_a_named_supervised_run_that_was_trained_otherwise_is_refused(semi, runs):
    semi(overrides={"max_epochs": 1}).cross_validation("mine").run()
    with pytest.raises(InputError, match="was begun with another max_epochs"):
        semi(supervised_dir="mine").run()


def test_one_fold_alone_trains_that_one_and_compares_nothing(semi, runs):
    semi(only_fold=1).run()
    assert {one["fold"] for one in runs.trainings} == {1}
    assert not Path("out/comparison.txt").exists()


def test_an_override_of_one_training_is_for_that_one_alone(semi, runs):
    semi(overrides={"fine_tuning::max_epochs": 7, "batch_size": 3}).run()
    assert [one.get("max_epochs") for one in trained(runs, 0)] == [7, 7, None, 3]
    assert read_json("out/train.json")["batch_size"] == 3


def test_the_same_trainings_can_be_run_on_the_labelled_alone(semi, runs):
    semi(overrides=CONTROL.removeprefix("OVERRIDES=").strip('"')).run()
    assert {one["trained_on"] for one in trained(runs, 0)} == {"labelled"}


def test_a_training_can_be_left_out(semi, runs):
    semi(overrides={"anew": None, "last": None}).run()
    assert [str(one["fold_dir"]) for one in trained(runs, 0)] == ["out/fold0/round1", "out/fold0"]


def test_without_fine_tuning_every_round_is_labelled_by_the_supervised_network(semi, runs):
    semi(overrides={"fine_tuning": None}).run()
    assert {one["model"] for one in entries(0)} == {"out/supervised/fold0/model.pt"}
    assert [str(one["fold_dir"]) for one in trained(runs, 0)] == ["out/fold0/anew", "out/fold0"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": "unet_3d>enet"}, "a cascade"),
        ({"per_round": 0}, "K is 0"),
        ({"rounds": -1}, "ROUNDS is -1"),
        ({"unlabelled_dir": ""}, "UNLABELED is empty"),
        ({"unlabelled_dir": "nowhere"}, "nowhere"),
        ({"overrides": {"last::max_epoch": 3}}, "did you mean max_epochs?"),
        ({"overrides": {"last": 3}}, "OVERRIDES sets last to 3"),
        ({"overrides": dict.fromkeys(TRAININGS)}, "keep one of them"),
        ({"unlabelled_dir": "labelled"}, "is the same file as the tested case"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_trained(semi, runs, changed, said):
    with pytest.raises(InputError) as caught:
        semi(**changed).run()
    assert said in str(caught.value)
    assert runs.trainings == []


@pytest.mark.parametrize("changed", [{"per_round": 3}, {"rounds": 1}, {"overrides": {"last::max_epochs": 9}}])
def test_a_folder_that_was_begun_with_another_plan_is_refused(semi, runs, changed):
    semi().run()
    with pytest.raises(InputError, match="was begun with another plan"):
        semi(**changed).run()


def test_a_folder_that_was_begun_with_other_unlabelled_scans_is_refused(semi, runs):
    semi().run()
    unlabelled_scan(Path("unlabelled/new_3.nii.gz"), 13)
    with pytest.raises(InputError, match="was begun with other unlabelled scans"):
        semi().run()


def test_a_folder_of_a_cross_validation_is_refused(semi, runs):
    semi().cross_validation("out").run()
    with pytest.raises(InputError, match="was begun with another pseudo_labelled"):
        semi().run()


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("network", ["unet_3d", "inf_net"])
def test_every_preset_has_a_plan(network, preset):
    assert SemiSupervised(network, "data", "scans", 5, preset, "out").check_plan() is None


def test_every_part_of_a_plan_is_read():
    files = [*(COMMON / "semi_supervised").glob("*.yaml"), *BUNDLES.glob("*/configs/semi_*.yaml")]
    assert {key for file in files for key in load([file])} == {
        *("slices_per_round", "scans_per_round", "rounds", *TRAININGS)
    }


def test_inf_net_has_its_papers_numbers():
    plan = SemiSupervised("inf_net", "data", "scans", 5, "paper", "out").plan
    assert (plan["per_round"], plan["rounds"]) == (5, 0)
    assert plan["fine_tuning"] == {"max_epochs": 10, "learning_rate": 0.0003, "batch_size": 16}
