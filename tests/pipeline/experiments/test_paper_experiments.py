"""The experiments of the CHS-Net and SmallCovid-Net papers, with a stand-in for what trains and segments."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from bundle_runs import find_nothing
from commands import run_command
from slice_set_makers import write_cases, write_set_one

from evaluation.report.published_numbers import SOURCES, sources
from evaluation.tables.paper_table import PUBLISHED, published
from pipeline.core.atomic import read_json
from pipeline.core.configuration import COMMON, INFERENCE, TRAIN, cascades, load, merged, networks, optional_networks
from pipeline.core.errors import InputError
from pipeline.experiments.description import described, papers, recipe_overrides
from pipeline.experiments.experiment import Experiment
from pipeline.scans.scan import read_scan

EVERY = [(paper, number) for paper in papers() for number in range(len(described(paper).experiments))]


@pytest.fixture
def data(tmp_path):
    """Set I with 20 slices, and 4 x 10 slices in place of set III."""
    write_set_one(tmp_path / "data" / "medseg", count=20)
    write_cases(tmp_path / "data" / "set3", cases=4, count=10)
    return tmp_path / "data"


@pytest.fixture
def make(data, tmp_path, bundles):
    return partial(experiment_of, data, tmp_path / "out")


def experiment_of(data: Path, out: Path, paper: str, *names: str, **settings: Any) -> Experiment:
    chosen = {"data_dir": str(data), "preset": "demo", "output_dir": str(out), "paper": paper}
    return Experiment(**{"number": 1, "networks": names or described(paper).networks, **chosen, **settings})


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def line_of(shown: str, *words: str) -> list[str]:
    """The numbers of the first line of a table that begins with these words."""
    lines = (line.split() for line in shown.splitlines())
    return next(line[len(words) :] for line in lines if line[: len(words)] == [*words])


@pytest.mark.parametrize("paper", papers())
def test_the_networks_of_a_paper_all_have_bundles(paper):
    assert {*described(paper).networks} <= {*networks(), *cascades()}


@pytest.mark.parametrize(("paper", "number"), EVERY)
def test_a_published_table_is_of_networks_that_have_bundles(paper, number):
    rows = published(described(paper).experiments[number].table)
    assert {network for network, _ in rows} <= {*networks(), *cascades(), *optional_networks()}


def test_every_published_table_of_results_is_used():
    used = {described(paper).experiments[number].table for paper, number in EVERY}
    used |= {load([file])["table"] for file in (COMMON / "ablations").glob("*.yaml")}
    compared = {source.table for source in sources()}
    costs = {"anam_net_table2.csv", "anam_net_table3.csv"}
    assert {file.name for file in PUBLISHED.glob("*.csv")} == (used - {None}) | compared | costs | {SOURCES.name}


def test_small_covid_net_trains_five_models_a_network(make, bundles):
    make("small_covid_net").run()
    assert bundles.count(TRAIN) == 3 * 5


def test_chs_net_trains_both_stages_of_its_cascade(make, bundles):
    make("chs_net").run()
    assert bundles.count(TRAIN) == 5 + 2 * 5


def test_all_models_are_tested_on_the_same_slices(make, tmp_path):
    make("small_covid_net", "small_covid_net").run()
    rows = table(tmp_path / "out" / "experiment1" / "slices.csv")
    tested = {model: {row["source_slice"] for row in rows if row["model"] == model} for model in "01234"}
    assert len(tested["0"]) == 2
    assert all(slices == tested["0"] for slices in tested.values())


def test_the_slices_have_the_papers_size(make, tmp_path):
    make("small_covid_net", "small_covid_net").run()
    images = (tmp_path / "out" / "experiment1" / "data" / "images").iterdir()
    assert {read_scan(file).GetSize()[:2] for file in images} == {(256, 256)}


def test_a_cascade_is_scored_on_lungs_and_infection(make, tmp_path):
    make("chs_net").run()
    rows = table(tmp_path / "out" / "experiment1" / "slices.csv")
    found = {(row["network"], row["class"]) for row in rows}
    assert found == {("raiu_net", "infection"), ("chs_net", "lungs"), ("chs_net", "infection")}


@pytest.mark.parametrize("paper", ["chs_net", "small_covid_net"])
def test_a_perfect_segmentation_scores_1_throughout(make, tmp_path, paper):
    make(paper).run()
    metrics = described(paper).metrics
    rows = [row for row in table(tmp_path / "out" / "experiment1" / "results.csv") if row["dice"]]
    assert {row[metric] for row in rows for metric in metrics} == {"1.0"}


def test_an_empty_segmentation_has_no_precision(make, bundles):
    bundles.segment = find_nothing
    shown = make("small_covid_net", "small_covid_net").run()
    assert line_of(shown, "small_covid_net", "infection")[:3] == ["0.000", "-", "0.000"]


def test_the_papers_numbers_stand_beside_the_first_averaging(make):
    shown = make("small_covid_net", "small_covid_net").run()
    assert line_of(shown, "small_covid_net", "infection")[3:] == ["0.701", "0.712", "0.732"]


def test_the_papers_other_networks_are_reference_rows(make):
    shown = make("small_covid_net", "small_covid_net").run()
    assert line_of(shown, "mask_rcnn", "infection") == ["-", "-", "-", "0.680", "0.686", "0.633"]


def test_both_averagings_are_named(make):
    shown = make("small_covid_net", "small_covid_net").run()
    assert "\nmean over the test slices, then over the models\n" in shown
    assert "\nall pixels of a model's test slices together, then mean over the models\n" in shown


def test_the_output_warns_of_neighbouring_slices(make):
    shown = " ".join(make("chs_net", "raiu_net").run().split())
    assert "Patients that were trained on and tested: case_0" in shown
    assert "Neighbouring slices of one patient then stand on both sides" in shown


def test_by_patient_no_patient_is_on_both_sides(make, data):
    write_cases(data / "set3", cases=12, count=3)
    wanted = make("chs_net", "raiu_net", by_patient=True)
    assert "on and tested:" not in wanted.run()
    assert wanted.folder.name == "experiment1_by_patient"


def test_the_output_says_what_is_missing_of_the_papers_data(make):
    shown = " ".join(make("chs_net", "raiu_net").run().split())
    assert "NOT comparable with it: preset demo; other data than the paper's; without set II; 12 slices tested" in shown


def test_the_output_says_which_encoders_the_paper_took(make):
    assert "segnet is its SegNet with a VGG16 encoder" in " ".join(make("chs_net", "raiu_net").run().split())


def test_the_same_command_repeats_nothing(make, bundles):
    make("chs_net").run()
    done = len(bundles.asked)
    make("chs_net").run()
    assert len(bundles.asked) == done


def test_the_papers_preset_takes_the_slices_as_they_are(make):
    wanted = make("chs_net", preset="paper")
    training = wanted.cross_validation("chs_net", wanted.plan.models[0])
    kept = [training.configuration(TRAIN, stage)["spacing_mm"] for stage in training.stages]
    assert kept == [[0, 0, 0], [0, 0, 0]]


def test_nothing_is_interpolated_between_the_slices_of_a_cascade(make):
    wanted = make("chs_net")
    training = wanted.cross_validation("chs_net", wanted.plan.models[0])
    kept = [
        training.configuration(name, stage)["spacing_mm"] for name in (TRAIN, INFERENCE) for stage in training.stages
    ]
    assert {spacing[2] for spacing in kept} == {0}


def test_the_stages_of_a_cascade_keep_their_label_maps(make):
    wanted = make("chs_net")
    training = wanted.cross_validation("chs_net", wanted.plan.models[0])
    assert [training.configuration(TRAIN, stage)["label_map"] for stage in training.stages] == ["lungs", "infection"]


@pytest.mark.parametrize("workflow", [TRAIN, INFERENCE])
@pytest.mark.parametrize("network", ["unet_2d", "segnet"])
def test_another_network_can_be_trained_by_the_papers_recipe(network, workflow):
    own = merged(workflow, "small_covid_net", "paper", {}, {})
    other = merged(workflow, network, "paper", recipe_overrides(network, "small_covid_net"), {})
    # Layers leave keys of the other workflow behind, which nothing reads
    read = load([COMMON / f"{workflow}.yaml"])
    assert {key for key in read if own[key] != other[key]} == {"name", "network_def"}


def test_the_papers_preset_trains_every_network_by_the_papers_recipe(make):
    wanted = make("small_covid_net", preset="paper")
    content = wanted.cross_validation("unet_2d", wanted.plan.models[0]).configuration(TRAIN)
    assert (content["recipe"], content["iterations_per_epoch"], content["max_epochs"]) == ("small_covid_net", 600, 20)


def test_other_presets_leave_a_network_its_own_recipe(make):
    wanted = make("small_covid_net")
    content = wanted.cross_validation("unet_2d", wanted.plan.models[0]).configuration(TRAIN)
    assert content["recipe"] == "anam_net"


def test_overrides_win_over_the_papers_recipe(make):
    wanted = make("small_covid_net", preset="paper", overrides={"max_epochs": 2})
    content = wanted.cross_validation("unet_2d", wanted.plan.models[0]).configuration(TRAIN)
    assert content["max_epochs"] == 2


def test_overrides_of_one_stage_reach_it_alone(make):
    wanted = make("chs_net", overrides={"infection::max_epochs": 2})
    training = wanted.cross_validation("chs_net", wanted.plan.models[0])
    first, second = (training.configuration(TRAIN, stage)["max_epochs"] for stage in training.stages)
    assert second == 2 != first


@pytest.mark.parametrize(
    ("paper", "settings", "said"),
    [
        ("chs_net", {"number": 2}, "EXP is 2, expected one of: 1"),
        ("anam_net", {"number": 4}, "EXP is 4, expected one of: 1, 2, 3"),
        ("chs_net", {"networks": ("unet_3d>raiu_net",), "preset": "paper"}, "which is not a 2D network"),
        ("chs_net", {"preparation": "paper"}, "PREPARATION is 'paper', expected one of: resized"),
        ("small_covid_net", {"overrides": {"label_map": "lungs"}}, "OVERRIDES sets label_map"),
        ("small_covid_net", {"by_patient": True}, r"has 20 labelled slices of 1 patient\(s\)"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(make, bundles, paper, settings, said):
    with pytest.raises(InputError, match=said):
        make(paper, **settings).run()
    assert bundles.asked == []


def test_a_prepared_label_holds_the_projects_codes(make, tmp_path):
    make("chs_net", "raiu_net").run()
    label = next((tmp_path / "out" / "experiment1" / "data" / "labels").iterdir())
    assert {0, 1, 2, 3} == set(sitk.GetArrayFromImage(read_scan(label)).ravel().tolist())


def test_a_command_takes_the_papers_networks_and_only_experiment(bundles, data, tmp_path, capsys):
    words = ["--paper", "small_covid_net", "--data", str(data), "--preset", "demo", "--out", str(tmp_path / "out")]
    run_command("experiment", *words)
    shown = capsys.readouterr().out
    assert shown.startswith("SmallCovid-Net paper: a tenth of set I for testing")
    assert shown.endswith(f"Results are in {tmp_path}/out/experiment1.\n")


def test_the_split_is_written_down(make, tmp_path):
    make("small_covid_net", "small_covid_net").run()
    (fold,) = read_json(tmp_path / "out" / "experiment1" / "split2.json")["folds"]
    assert ({name[-2:] for name in fold["validation"]}, {name[-4:] for name in fold["test"]}) == ({"F3"}, {"test"})
