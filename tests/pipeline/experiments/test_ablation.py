"""A paper's ablation table: its rows as they are listed, and run with a stand-in for what trains and segments."""

from __future__ import annotations

import csv
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import Bundles, find_nothing
from commands import run_command
from monai.bundle import ConfigParser
from slice_set_makers import write_cases

from evaluation.tables.paper_table import published
from pipeline.core.atomic import read_json
from pipeline.core.configuration import RECIPES, TRAIN, load, merged, presets
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.stages import stages_of
from pipeline.experiments.ablation import ABLATIONS, AVERAGINGS, Ablation, ablations, folder_name
from pipeline.runs.cross_validation import CrossValidation

ROWS = [(paper, row["name"]) for paper in ablations() for row in load([ABLATIONS / f"{paper}.yaml"])["rows"]]
LOSSES = {row["name"]: row["overrides"]["loss"] for row in load([ABLATIONS / "eamc_loss.yaml"])["rows"]}


def ablation_of(folder: Path, paper: str, **settings: Any) -> Ablation:
    """An ablation of five small cases in two folds with the demo preset, its output in folder/out."""
    data = folder / "data"
    if not data.exists():
        write_cases(data)
    chosen = {"paper": paper, "data_dir": str(data), "folds": 2, "preset": "demo", "output_dir": str(folder / "out")}
    return Ablation(**{**chosen, **settings})


@pytest.fixture
def make(tmp_path, bundles):
    return partial(ablation_of, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What a perfect segmentation gives in a paper's ablation: what is printed, the folder, and what was asked for."""

    @cache
    def run(paper: str) -> tuple[str, Path, Bundles]:
        folder, made = tmp_path_factory.mktemp(paper), Bundles()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CrossValidation, "bundle_run", lambda *arguments: made.run(*arguments))
            return ablation_of(folder, paper, seed=3).run(), folder / "out", made

    return run


def rows_of(paper: str) -> list[dict[str, Any]]:
    return load([ABLATIONS / f"{paper}.yaml"])["rows"]


def row_of(paper: str, name: str) -> dict[str, Any]:
    (row,) = (row for row in rows_of(paper) if row["name"] == name)
    return row


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def loss(name: str) -> torch.nn.Module:
    parser = ConfigParser({"classes": "$labels.label_map('infection')", "loss": LOSSES[name]})
    parser["imports"] = ["$import pneumobundle.pipeline.core.labels as labels"]
    return parser.get_parsed_content("loss")


def reference_losses(logits: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
    """The paper's formulas, of one sigmoid `p` and a label `y` over the whole batch."""
    p, y = torch.sigmoid(logits[:, 1:] - logits[:, :1]), label.float()
    common, missed, wrong = (y * p).sum(), (y * (1 - p)).sum(), ((1 - y) * p).sum()
    right = torch.where(label == 1, p, 1 - p)
    dice = 1 - (2 * common + 1) / (y.sum() + p.sum() + 1)
    tversky = 1 - (common + 1) / (common + 0.3 * wrong + 0.7 * missed + 1)
    return {
        "DL": dice,
        "CEDL": dice - right.log().mean(),
        "IoU": 1 - (common + 1) / (y.sum() + p.sum() - common + 1),
        "FL": -(torch.where(label == 1, 0.8, 0.2) * (1 - right) ** 2 * right.log()).mean(),
        "TL": tversky,
        "FTL": tversky**0.5,
    }


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize(("paper", "name"), ROWS)
def test_every_row_is_a_configuration_of_every_preset(paper, name, preset):
    row = row_of(paper, name)
    for stage in stages_of(row["network"]):
        content = merged(TRAIN, stage.network, preset, row["overrides"], {}, stage.name, stage.cascade)
        assert content["name"] == stage.network


@pytest.mark.parametrize("paper", ablations())
def test_a_description_has_nothing_that_is_not_read(paper):
    content = load([ABLATIONS / f"{paper}.yaml"])
    assert set(content) == {"title", "table", "papers_data", "averagings", "remarks", "rows"}
    assert all(set(row) == {"name", "network", "overrides"} for row in content["rows"])


@pytest.mark.parametrize("paper", ablations())
def test_the_rows_are_those_of_the_papers_table(paper):
    table = published(load([ABLATIONS / f"{paper}.yaml"])["table"])
    assert {row["name"] for row in rows_of(paper)} == {name for name, _ in table}


@pytest.mark.parametrize("paper", ablations())
def test_every_row_has_a_folder_of_its_own(paper):
    folders = [folder_name(row["name"]) for row in rows_of(paper)]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("paper", ablations())
def test_rows_differ(paper):
    overrides = [str((row["network"], row["overrides"])) for row in rows_of(paper)]
    assert len(set(overrides)) == len(overrides)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_papers_formula(name):
    torch.manual_seed(0)
    logits, label = torch.randn(2, 2, 6, 5), torch.randint(0, 2, (2, 1, 6, 5))
    assert loss(name)(logits, label).item() == pytest.approx(reference_losses(logits, label)[name].item(), abs=1e-6)


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("name", LOSSES)
def test_a_rows_loss_replaces_the_presets_as_a_whole(name, preset):
    row = row_of("eamc_loss", name)
    assert merged(TRAIN, row["network"], preset, row["overrides"], {})["loss"] == LOSSES[name]


def test_the_focal_loss_is_that_of_the_papers_recipe():
    assert LOSSES["FL"] == load([RECIPES / "eamc.yaml"])["loss"]


@pytest.mark.parametrize("name", [row["name"] for row in rows_of("eamc_dilation")])
def test_the_dilations_reach_the_network(name):
    row = row_of("eamc_dilation", name)
    network = ConfigParser(merged(TRAIN, row["network"], "paper", row["overrides"], {})).get_parsed_content(
        "network_def"
    )
    first = next(module for module in network.modules() if type(module).__name__ == "MSBlock")
    dilations = [convolution[0].dilation[0] for convolution in first.dilated]
    assert ", ".join(map(str, dilations)) == name


# Spec: the paper's width of 18, one channel and, for the counts, one output
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("BU", 3_475_333), ("BU+RIB", 3_440_745), ("BU+RIB+HP", 3_771_837), ("RAIU-Net", 4_189_666)],
)
@pytest.mark.parametrize("mode", ["direct", "cascade"])
def test_the_rows_of_chs_net_have_the_counted_parameters(name, parameters, mode):
    row = row_of("chs_net", f"{name} {mode}")
    overrides = {**row["overrides"], "network_def::out_channels": 1}
    network = ConfigParser(merged(TRAIN, "raiu_net", "paper", overrides, {})).get_parsed_content("network_def")
    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_every_row_has_the_same_folds(finished):
    folds = [read_json(file) for file in finished("eamc_dilation")[1].glob("*/folds.json")]
    assert len(folds) == 3
    assert all(other == folds[0] for other in folds)


def test_every_row_is_trained_once_a_fold_and_stage(finished):
    assert finished("chs_net")[2].count(TRAIN) == (4 + 2 * 4) * 2


def test_a_perfect_segmentation_scores_1_in_every_averaging(finished):
    rows = results(finished("eamc_dilation")[1])
    assert {row["dice"] for row in rows} == {"1.0"}
    assert {row["averaging"] for row in rows} == set(AVERAGINGS.values())


def test_slices_and_cases_are_counted(finished):
    scored = {row["averaging"]: row["scored"] for row in results(finished("eamc_dilation")[1])}
    assert [scored[AVERAGINGS[name]] for name in ("cases", "slices", "pooled")] == ["5", "20", "5"]


def test_a_cascade_is_scored_on_lungs_and_infection(finished):
    rows = results(finished("chs_net")[1])
    assert {row["structure"] for row in rows if row["row"] == "BU cascade"} == {"lungs", "infection"}


def test_the_papers_numbers_stand_to_the_right(finished):
    (line,) = [line for line in finished("eamc_dilation")[0].splitlines() if line.startswith("1, 2, 3, 4 ")][:1]
    assert line.split()[5::3] == ["1.000", "0.802", "0.702", "0.755", "0.891"]


def test_a_deviation_stands_beside_its_mean(finished):
    (line,) = [line for line in finished("eamc_dilation")[0].splitlines() if line.startswith("1, 2, 3, 4 ")][:1]
    assert line.split()[7::3] == ["0.000", "0.182", "0.176", "0.150", "0.101"]


def test_the_notes_say_what_was_run_on_what(finished):
    shown = " ".join(finished("eamc_dilation")[0].split())
    assert "5 cases of 5 patients; 2 folds (split patients), the same for every row; seed 3." in shown
    assert "preset demo;" in shown


def test_the_notes_say_whose_the_published_numbers_are(finished):
    shown = " ".join(finished("chs_net")[0].split())
    assert "The paper's numbers are of 30 % of 3560 slices" in shown
    assert "Ours are of other data, and trained otherwise: compare the order of the rows, NOT the numbers." in shown


def test_the_notes_tell_the_two_jaccards_apart(finished):
    assert "the mean of that of the structure and that of all else" in " ".join(finished("chs_net")[0].split())


def test_the_page_has_a_table_an_averaging(finished):
    page = (finished("chs_net")[1] / "results.md").read_text()
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert headings == [AVERAGINGS["pooled"], AVERAGINGS["cases"]]


def test_the_same_command_repeats_nothing(make, bundles):
    make("eamc_dilation").run()
    done = len(bundles.asked)
    make("eamc_dilation").run()
    assert len(bundles.asked) == done


def test_it_goes_on_where_it_was_interrupted(make, bundles, monkeypatch):
    def interrupted(*arguments: Any) -> None:
        if bundles.count(TRAIN) == 3:
            raise KeyboardInterrupt
        run(*arguments)

    run = bundles.run
    monkeypatch.setattr(bundles, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make("eamc_dilation").run()
    monkeypatch.setattr(bundles, "run", run)
    make("eamc_dilation").run()
    assert bundles.count(TRAIN) == 6


def test_an_empty_segmentation_has_no_precision(make, bundles, tmp_path):
    bundles.segment = find_nothing
    make("eamc_dilation").run()
    pooled = [row for row in results(tmp_path / "out") if row["averaging"] == AVERAGINGS["pooled"]]
    assert {(row["precision"], row["sensitivity"]) for row in pooled} == {("", "0.0")}


def test_rows_that_are_not_run_yet_show_the_papers_numbers_alone(make, monkeypatch):
    wanted = make("eamc_dilation")
    monkeypatch.setitem(wanted.description, "rows", wanted.description["rows"][:1])
    (line,) = [line for line in wanted.run().splitlines() if line.startswith("1, 2, 4, 8 ")][:1]
    assert line.split()[5:9] == ["-", "0.748", "±", "0.149"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"paper": "anam_net"}, "PAPER is 'anam_net', expected one of: chs_net, eamc_dilation, eamc_loss"),
        ({"overrides": {"loss": "@x"}}, "OVERRIDES sets loss, which the row DL of the ablation sets itself"),
        ({"overrides": {"loss::softmax": False}}, "OVERRIDES sets loss::softmax"),
        ({"overrides": {"label_map": "lungs"}}, "OVERRIDES sets label_map"),
        ({"overrides": {"max_epoch": 3}}, "did you mean max_epochs"),
        ({"paper": "eamc_dilation", "overrides": {"network_def": {}}}, "OVERRIDES sets network_def"),
        (
            {"paper": "chs_net", "overrides": {"lungs::network_def::block": "plain"}},
            "OVERRIDES sets lungs::network_def",
        ),
        ({"preset": "fast"}, "PRESET is 'fast'"),
        ({"folds": 9}, "folds: 9"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(make, bundles, settings, said):
    with pytest.raises(InputError, match=said):
        make(**{"paper": "eamc_loss", **settings}).run()
    assert bundles.asked == []


def test_other_arguments_of_the_network_may_be_overridden(make, tmp_path):
    make("eamc_dilation", overrides={"network_def::dropout": 0.1}).run()
    network = read_json(tmp_path / "out" / "1_2_4_8" / "train.json")["network_def"]
    assert (network["dropout"], network["dilations"]) == (0.1, [1, 2, 4, 8])


def test_the_label_maps_of_the_rows_exist():
    names = {row["overrides"].get("label_map") for paper in ablations() for row in rows_of(paper)}
    assert [label_map(name).structures for name in names if name]


def test_a_command_prints_the_table_and_where_it_lies(make, tmp_path, capsys):
    data = make("eamc_dilation").data_dir
    words = ["--paper", "eamc_dilation", "--data", data, "--folds", "2", "--preset", "demo"]
    run_command("ablation", *words, "--out", tmp_path / "all")
    shown = capsys.readouterr().out
    assert "Table 4 of the EAMC paper" in shown
    assert shown.endswith(f"Results are in {tmp_path}/all/eamc_dilation.\n")
