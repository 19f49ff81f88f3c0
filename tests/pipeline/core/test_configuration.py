"""Every layer of every run resolves, nothing is said twice, and a misspelt key is refused."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from pipeline.core import configuration
from pipeline.core.configuration import (
    BUNDLES,
    COMMON,
    INFERENCE,
    RECIPES,
    TRAIN,
    check_keys,
    config_files,
    load,
    merged,
)
from pipeline.core.errors import InputError
from pipeline.scans.front import Front

TRAINING, INFERRING = load([COMMON / "train.yaml"]), load([COMMON / "inference.yaml"])
DECLARED = load(config_files(TRAIN, "unet_3d", "paper"))
# What training and inference both declare and may give other values.
DIFFERENT = {
    "imports": "each imports what it uses",
    "initialize": "training refuses a finished fold, inference loads the weights",
    "run": "a trainer or an evaluator",
    "output_dir": "a study's folder or the labels' folder",
}
NETWORK_FILES = sorted(BUNDLES.glob("*/configs/network.yaml"))
every_workflow = pytest.mark.parametrize("workflow", [TRAIN, INFERENCE])
every_network = pytest.mark.parametrize("network", configuration.networks())
every_preset = pytest.mark.parametrize("preset", configuration.presets())
every_network_file = pytest.mark.parametrize("file", NETWORK_FILES, ids=lambda file: file.parents[1].name)


@cache
def layered(workflow: str, network: str, preset: str) -> dict[str, Any]:
    """All layers of a run in one."""
    return merged(workflow, network, preset, {}, {})


def leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of everything in a configuration that is no mapping; `a::b` in a key is two steps."""
    if not isinstance(part, Mapping):
        yield path, part
        return
    for key, value in part.items():
        yield from leaves(value, f"{path}::{key}".removeprefix("::"))


def complaint(key: str) -> str:
    with pytest.raises(InputError) as caught:
        check_keys([key], DECLARED, "OVERRIDES")
    return str(caught.value)


def test_an_unknown_network_is_refused_with_a_proposal():
    with pytest.raises(InputError, match=r"^NETWORK is 'unet3d', expected one of: .*did you mean unet_3d\?"):
        config_files(TRAIN, "unet3d", "paper")


def test_an_unknown_preset_is_refused_with_a_proposal():
    with pytest.raises(InputError, match=r"^PRESET is 'quik', expected one of: .*did you mean quick\?"):
        config_files(TRAIN, "unet_3d", "quik")


def test_nothing_is_proposed_for_a_name_unlike_all_others():
    with pytest.raises(InputError) as caught:
        config_files(TRAIN, "zzz", "paper")
    assert "did you mean" not in str(caught.value)


@every_workflow
@every_network
@every_preset
def test_every_preset_resolves_for_every_network(workflow, network, preset):
    content = layered(workflow, network, preset)
    assert (content["name"], content["preset"]) == (network, preset)
    assert isinstance(ConfigParser(content).get_parsed_content("front"), Front)


@every_network
@every_preset
def test_the_patch_of_every_preset_fits_every_network(network, preset):
    parser = ConfigParser(layered(TRAIN, network, preset))
    size = parser["slice_size"] if parser["spatial_dims"] == 2 else parser["patch_size"]
    # On torch's meta device, which computes shapes alone
    with torch.device("meta"):
        logits = parser.get_parsed_content("network_def").eval()(torch.empty(1, 1, *size))
    assert logits.shape[2:] == torch.Size(size)


@every_network_file
def test_a_network_is_named_like_its_folder(file):
    assert load([file])["name"] == file.parents[1].name


@every_network_file
@pytest.mark.parametrize("common", [TRAINING, INFERRING], ids=["train", "inference"])
def test_a_network_does_not_repeat_a_common_value(file, common):
    shared = dict(leaves(common))
    repeated = [path for path, value in leaves(load([file])) if path in shared and shared[path] == value]
    assert repeated == []


@every_network_file
def test_a_network_sets_only_what_a_common_file_declares(file):
    tops = {path.split("::")[0] for path, _ in leaves(load([file]))}
    assert tops <= TRAINING.keys() | INFERRING.keys()


def test_a_networks_recipe_stands_between_what_is_common_and_the_network():
    names = [str(file.relative_to(BUNDLES)) for file in config_files(TRAIN, "anam_net", "quick")]
    network, preset = "anam_net/configs/network.yaml", "common/presets/quick.yaml"
    assert names[:4] == ["common/train.yaml", "common/recipes/anam_net.yaml", network, preset]


@every_network_file
def test_a_network_does_not_repeat_a_value_of_its_recipe(file):
    recipe = load([file]).get("recipe")
    shared = dict(leaves(load([RECIPES / f"{recipe}.yaml"]))) if recipe else {}
    repeated = [path for path, value in leaves(load([file])) if path in shared and shared[path] == value]
    assert repeated == []


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("common", [TRAINING, INFERRING], ids=["train", "inference"])
def test_a_recipe_does_not_repeat_a_common_value(file, common):
    # A component takes the place of another one whole, so its parts may be alike
    repeated = [key for key, value in load([file]).items() if key in common and common[key] == value]
    assert repeated == []


def test_networks_of_the_anam_net_paper_have_its_numbers():
    content = layered(TRAIN, "enet", "paper")
    keys = (
        "slice_size",
        "batch_size",
        "max_epochs",
        "learning_rate",
        "lr_step_epochs",
        "weights_of",
        "min_labelled_pixels",
    )
    assert [content[key] for key in keys] == [[512, 512], 5, 100, 0.0005, 33, "last", 0]


def test_inf_net_has_its_papers_numbers():
    content = layered(TRAIN, "inf_net", "paper")
    keys = ("slice_size", "batch_size", "max_epochs", "learning_rate", "lr_step_epochs", "gradient_limit", "scales")
    assert [content[key] for key in keys] == [[352, 352], 24, 100, 0.0001, 50, 0.5, [0.75, 1.0, 1.25]]


def test_mini_seg_has_its_papers_numbers():
    content = layered(TRAIN, "mini_seg", "paper")
    keys = ("slice_size", "batch_size", "max_epochs", "learning_rate", "scales")
    assert [content[key] for key in keys] == [[512, 512], 5, 80, 0.001, [1.5, 1.25, 0.75, 1.0]]
    assert content["head_weights"] == [1.0, 0.4, 0.4, 0.4]


def test_a_misspelt_key_of_a_network_is_refused(tmp_path, monkeypatch):
    (tmp_path / "new_net" / "configs").mkdir(parents=True)
    (tmp_path / "new_net" / "configs" / "network.yaml").write_text("name: new_net\nlearnin_rate: 0.01\n")
    monkeypatch.setattr(configuration, "BUNDLES", tmp_path)
    monkeypatch.setattr(configuration, "ROOT", Path("/"))
    with pytest.raises(InputError, match=r"network\.yaml: key 'learnin_rate' .*did you mean learning_rate\?"):
        config_files(TRAIN, "new_net", "paper")


def test_a_misspelt_argument_in_a_networks_part_of_a_preset_is_refused(tmp_path, monkeypatch):
    configs = shutil.copytree(BUNDLES / "unet_3d", tmp_path / "unet_3d") / "configs"
    (configs / "quick.yaml").write_text("network_def::residul: true\n")
    monkeypatch.setattr(configuration, "BUNDLES", tmp_path)
    monkeypatch.setattr(configuration, "ROOT", Path("/"))
    with pytest.raises(InputError, match=r"quick\.yaml: key 'network_def::residul' .*did you mean residual\?"):
        config_files(TRAIN, "unet_3d", "quick")


def test_training_and_inference_declare_the_same_values():
    both = (TRAINING.keys() & INFERRING.keys()) - DIFFERENT.keys()
    assert {"front", "window_hu", "spacing_mm", "patch_size", "network", "device", "mixed_precision"} <= both
    assert {key: TRAINING[key] for key in both} == {key: INFERRING[key] for key in both}


def test_what_may_differ_does_differ():
    assert [key for key in DIFFERENT if TRAINING[key] == INFERRING[key]] == []


def test_the_front_gets_all_its_settings_from_the_configuration():
    assert set(TRAINING["front"]) - {"_target_"} == set(inspect.signature(Front).parameters)


def test_training_has_the_papers_numbers():
    keys = ("patch_size", "batch_size", "iterations_per_epoch", "max_epochs", "early_stop_patience", "learning_rate")
    assert [TRAINING[key] for key in keys] == [[160, 160, 80], 2, 150, 1000, 100, 0.001]


def test_the_front_has_the_papers_numbers():
    keys = ("window_hu", "spacing_mm", "interpolation_order")
    assert [TRAINING[key] for key in keys] == [[-1250, 250], [1.58, 1.58, 2.70], 3]


@pytest.mark.parametrize(
    ("factor", "bad_epochs"), [pytest.param(1, 14, id="14 bad epochs"), pytest.param(0.1, 15, id="15 bad epochs")]
)
def test_the_learning_rate_falls_at_the_15th_bad_epoch_as_in_keras(factor, bad_epochs):
    parser = ConfigParser(load([COMMON / "train.yaml"]))
    parser["network"] = "$torch.nn.Linear(1, 1)"
    schedule = parser.get_parsed_content("plateau_schedule").lr_scheduler
    for loss in [1.0] + bad_epochs * [1.0 - 0.9e-4]:
        schedule.step(loss)
    assert schedule.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * factor)


@pytest.mark.parametrize(
    ("key", "proposal"),
    [
        ("max_epoch", "max_epochs"),
        ("network_def::feature", "features"),
        ("train::trainr", "trainer"),
        ("deform_and_crop::order_datum", "order_data"),
        ("train#trainer#max_epoch", "max_epochs"),
    ],
)
def test_a_misspelt_key_is_refused_with_a_proposal(key, proposal):
    said = f"OVERRIDES: key {key!r} is not one that this configuration reads (did you mean {proposal}?); known here: "
    assert complaint(key).startswith(said)


def test_a_key_unlike_all_others_is_told_what_there_is():
    assert complaint("network_def::lr").endswith(
        "reads; known here: _target_, batch_norm_momentum, features, in_channels, out_channels, residual."
    )


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("max_epochs", id="on top"),
        pytest.param("train::trainer::max_epochs", id="nested"),
        pytest.param("train#trainer#max_epochs", id="nested, in MONAI's other notation"),
        pytest.param("network_def::residual", id="an argument of a class"),
        pytest.param("adam::amsgrad", id="an argument of torch's"),
        pytest.param("dice_cross_entropy::lambda_ce", id="an argument of MONAI's, under its short name"),
        pytest.param("augmentations::0::axes", id="in a list"),
    ],
)
def test_a_key_that_is_read_is_accepted(key):
    assert check_keys([key], DECLARED, "OVERRIDES") is None


@pytest.mark.parametrize("key", ["network_def::residual", "network_def#residual"])
def test_an_override_takes_effect(key):
    assert merged(TRAIN, "unet_3d", "paper", {key: True}, {})["network_def"].get("residual") is True


def test_an_override_wins_over_the_preset():
    assert merged(TRAIN, "unet_3d", "quick", {"max_epochs": 3}, {})["max_epochs"] == 3


def test_the_runs_own_values_win_over_overrides():
    assert merged(TRAIN, "unet_3d", "paper", {"folds": 3}, {"folds": 4})["folds"] == 4


def test_an_override_for_the_other_workflow_is_left_out():
    assert "max_epochs" not in merged(INFERENCE, "unet_3d", "paper", {"max_epochs": 3}, {})


def test_an_override_that_neither_workflow_reads_is_refused():
    with pytest.raises(InputError, match=r"^OVERRIDES: key 'max_epoch' .*did you mean max_epochs\?"):
        merged(INFERENCE, "unet_3d", "paper", {"max_epoch": 3}, {})


FILES = f"['{COMMON}/train.yaml', '{BUNDLES}/unet_3d/configs/network.yaml']"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--config_file", FILES, "--max_epoch", "3"], id="several files"),
        pytest.param(["--config_file", f"{COMMON}/train.yaml", "--max_epoch", "3"], id="one file"),
        pytest.param([f"--config_file={FILES}", "--max_epoch=3"], id="with equal signs"),
    ],
)
def test_a_misspelt_key_on_the_command_line_is_refused(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", *words])
    with pytest.raises(InputError, match=r"^command line: key 'max_epoch' .*did you mean max_epochs\?"):
        configuration.check_command_line()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--max_epochs", "3", "--network_def::residual", "true"], id="keys of the files"),
        pytest.param(["--logging_file", "x.conf", "--meta_file", "x.json"], id="arguments of MONAI's run"),
    ],
)
def test_a_right_command_line_is_accepted(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "--config_file", FILES, *words])
    assert configuration.check_command_line() is None


def test_the_command_line_of_another_program_is_none_of_our_business(monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest", "--max_epoch", "3"])
    assert configuration.check_command_line() is None
