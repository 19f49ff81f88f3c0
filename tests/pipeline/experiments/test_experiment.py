"""The paper's experiments from end to end, with a stand-in for what trains and segments."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from bundle_runs import find_nothing
from commands import run_command
from slice_set_makers import write_cases, write_png_slices, write_set_one, write_set_two

from pipeline.core.atomic import read_json
from pipeline.core.configuration import INFERENCE, TRAIN, merged, networks
from pipeline.core.errors import InputError
from pipeline.experiments.description import described
from pipeline.experiments.experiment import Experiment
from pipeline.training.checkpoint import MODEL


@pytest.fixture
def data(tmp_path):
    write_set_one(tmp_path / "data" / "medseg1")
    write_set_two(tmp_path / "data" / "medseg2")
    write_cases(tmp_path / "data" / "set3")
    return tmp_path / "data"


@pytest.fixture
def make(data, tmp_path, bundles):
    """An experiment with Anam-Net and the demo preset, its output in tmp_path/out."""

    def made(number: int, **settings: Any) -> Experiment:
        return Experiment(
            **{
                "number": number,
                "data_dir": str(data),
                "networks": ("anam_net",),
                "preset": "demo",
                "output_dir": str(tmp_path / "out"),
                **settings,
            }
        )

    return made


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def configuration(folder: Path, name: str = TRAIN) -> dict[str, Any]:
    return read_json(folder / f"{name}.json")


def test_the_papers_networks_all_have_bundles():
    assert set(described("anam_net").networks) <= set(networks())


def test_experiment_1_trains_one_model_a_network(make, bundles):
    make(1, networks=("anam_net", "enet")).run()
    assert bundles.count(TRAIN) == 2


def test_experiment_2_trains_three_models(make, bundles):
    make(2).run()
    assert bundles.count(TRAIN) == 3


def test_a_perfect_segmentation_scores_1_throughout(make, tmp_path):
    make(1).run()
    for row in table(tmp_path / "out" / "experiment1" / "results.csv"):
        assert {row[metric] for metric in ("dice", "specificity", "sensitivity", "accuracy")} == {"1.0"}


def test_an_empty_segmentation_scores_dice_0(make, bundles, tmp_path):
    bundles.segment = find_nothing
    make(1).run()
    assert {row["dice"] for row in table(tmp_path / "out" / "experiment1" / "results.csv")} == {"0.0"}


def test_every_model_case_slice_and_class_has_a_row(make, tmp_path):
    make(2).run()
    rows = table(tmp_path / "out" / "experiment2" / "slices.csv")
    assert len(rows) == len({tuple(row.values())[:6] for row in rows}) == 3 * 5 * 2


def test_rows_tell_which_slice_of_the_source_it_was(make, tmp_path):
    make(2).run()
    rows = table(tmp_path / "out" / "experiment2" / "slices.csv")
    assert [row["source_slice"] for row in rows if row["case"] == "case_3_F4" and row["model"] == "0"] == ["3", "3"]


def test_a_model_of_experiment_2_is_not_tested_on_what_it_validates(make, tmp_path):
    make(2).run()
    (fold,) = read_json(tmp_path / "out" / "experiment2" / "anam_net" / "model0" / "folds.json")["folds"]
    assert {case[-2:] for case in fold["validation"]} == {"F1"}
    assert {case[-2:] for case in fold["test"]} == {"F4"}


def test_the_networks_are_trained_on_the_papers_classes(make, tmp_path):
    make(1).run()
    folder = tmp_path / "out" / "experiment1" / "anam_net" / "model0"
    assert {configuration(folder, name)["label_map"] for name in (TRAIN, INFERENCE)} == {"abnormal_normal"}


def test_nothing_is_interpolated_between_slices(make, tmp_path):
    make(1).run()
    folder = tmp_path / "out" / "experiment1" / "anam_net" / "model0"
    assert {configuration(folder, name)["spacing_mm"][2] for name in (TRAIN, INFERENCE)} == {0}


@pytest.mark.parametrize(("number", "steps"), [(1, [6]), (2, [6, 6, 6])])
def test_the_papers_preset_sees_each_slice_three_times_an_epoch(make, number, steps):
    made = make(number, preset="paper")
    configured = [made.cross_validation("anam_net", model).configuration(TRAIN) for model in made.plan.models]
    # Nine and ten slices
    assert [content["iterations_per_epoch"] for content in configured] == steps


def test_other_presets_keep_their_steps(make):
    made = make(1)
    content = made.cross_validation("anam_net", made.plan.models[0]).configuration(TRAIN)
    assert content["iterations_per_epoch"] == merged(TRAIN, "anam_net", "demo", {}, {})["iterations_per_epoch"]


def test_overrides_reach_the_training(make):
    made = make(1, preset="paper", overrides={"iterations_per_epoch": 2})
    content = made.cross_validation("anam_net", made.plan.models[0]).configuration(TRAIN)
    assert content["iterations_per_epoch"] == 2


def test_the_same_command_repeats_nothing(make, bundles):
    make(2).run()
    done = len(bundles.asked)
    make(2).run()
    assert len(bundles.asked) == done


def test_experiment_3_trains_the_models_that_are_missing(make, bundles):
    make(3).run()
    assert (bundles.count(TRAIN), bundles.count(INFERENCE)) == (3, 6)


def test_experiment_3_takes_the_models_of_experiment_2(make, bundles):
    make(2).run()
    make(3).run()
    assert bundles.count(TRAIN) == 3


def test_experiment_3_is_scored_on_set_two(make, tmp_path):
    make(3).run()
    assert {row["case"] for row in table(tmp_path / "out" / "experiment3" / "slices.csv")} == {"set2_1", "set2_2"}


def test_predictions_of_an_earlier_model_are_refused(make, tmp_path):
    make(3).run()
    (tmp_path / "out" / "experiment2" / "anam_net" / "model1" / "fold0" / MODEL).write_text("trained again")
    with pytest.raises(InputError, match=r"experiment3/anam_net/model1: holds predictions of an earlier"):
        make(3).run()


def test_what_was_done_with_other_data_is_refused(make, data):
    make(1).run()
    write_set_two(data / "medseg2", volumes=3)
    with pytest.raises(InputError, match="experiment1: was begun with other slices"):
        make(1).run()


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ({}, "experiment2"),
        ({"by_patient": True}, "experiment2_by_patient"),
        ({"preparation": "window"}, "experiment2_window"),
    ],
)
def test_settings_that_give_other_slices_have_a_folder_of_their_own(make, settings, folder):
    assert make(2, **settings).folder.name == folder


def test_the_output_names_patients_on_both_sides(make):
    assert "Patients that were trained on and tested: case_3" in make(2).run()


def test_by_patient_no_patient_is_on_both_sides(make):
    assert "on and tested:" not in make(2, by_patient=True).run()


def test_the_output_says_which_data_were_really_used(make):
    shown = " ".join(make(2).run().split())
    assert "set3, in place of the public 20 CTs" in shown


def test_the_output_says_why_it_cannot_be_compared(make):
    shown = " ".join(make(2).run().split())
    assert "NOT comparable with it: preset demo; other data than the paper's; 5 slices tested, the paper 545" in shown


def test_the_output_says_that_experiment_3_has_no_table(make):
    assert "The paper prints no table for this experiment" in make(3).run()


def test_the_output_has_the_papers_number_beside_ours(make):
    (line,) = [line for line in make(1).run().splitlines() if line.startswith("anam_net  abnormal")]
    assert line.split()[2:] == ["1.000"] * 4 + ["0.755", "0.993", "0.900", "0.991"]


def test_the_page_says_what_is_printed(make, tmp_path):
    shown = make(1).run()
    page = (tmp_path / "out" / "experiment1" / "results.md").read_text()
    assert page.split()[1:8] == shown.split()[:7]


def test_png_slices_can_stand_in_for_set_one(make, data):
    (data / "medseg1" / "tr_im.nii.gz").unlink()
    write_png_slices(data / "set1", count=4)
    assert "4 case(s) of" in " ".join(make(1).run().split())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"networks": ("unet_3d",), "preset": "paper"}, "NETWORKS has unet_3d, which is not a 2D network"),
        ({"networks": ("anamnet",)}, "did you mean anam_net"),
        ({"overrides": {"label_map": "infection"}}, "OVERRIDES sets label_map"),
        ({"overrides": {"max_epoch": 3}}, "did you mean max_epochs"),
        ({"preparation": "raw"}, "PREPARATION is 'raw'"),
        ({"preset": "fast"}, "PRESET is 'fast'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_prepared(make, tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        make(1, **settings).run()
    assert not (tmp_path / "out").exists()


def test_a_command_prints_the_table_and_where_it_lies(bundles, data, tmp_path, capsys):
    words = ["--exp", "1", "--data", str(data), "--networks", "anam_net enet", "--preset", "demo"]
    run_command("experiment", *words, "--out", tmp_path / "out")
    shown = capsys.readouterr().out
    assert "enet" in shown
    assert f"Results are in {tmp_path}/out/experiment1." in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--paper", "inf_net"], "PAPER is 'inf_net'"), (["--networks", "anamnet"], "did you mean anam_net")],
)
def test_a_wrong_command_is_an_error(data, capsys, words, said):
    with pytest.raises(SystemExit, match="2"):
        run_command("experiment", "--exp", 1, "--data", data, *words)
    assert said in " ".join(capsys.readouterr().err.split())
