"""Configurations of bundles: this project's, merged, with the code of a package of their own."""

from __future__ import annotations

import json

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from pipeline.bundle_files.own_code import aliases_as_references, standalone
from pipeline.bundle_files.package import names_in
from pipeline.core.configuration import INFERENCE, METADATA, TRAIN, merged
from pipeline.export.build import configurations
from pipeline.export.configs import EVALUATE, MULTI_GPU, published
from pipeline.export.source import initial


@pytest.fixture(scope="module")
def contents():
    return configurations(initial("small_covid_net", "demo", {}))


def test_an_alias_becomes_a_reference_and_nothing_else_does():
    expression = "$labels.label_map(@labels) + [labels for label in 'labels.x'] + x.labels"
    expected = "$@own_code::labels.label_map(@labels) + [@own_code::labels for label in 'labels.x'] + x.labels"
    assert aliases_as_references(expression, {"labels": "pipeline.core.labels"}) == expected


def test_an_alias_after_letters_of_two_bytes_is_found():
    assert aliases_as_references("$('é', m.f(@a::b))", {"m": "pipeline.m"}) == "$('é', @own_code::m.f(@a::b))"


def test_every_component_of_its_own_requires_the_path():
    content = {"imports": [], "x": [{"_target_": "pipeline.scans.front.Front", "order": 1}, {"_target_": "Compose"}]}
    first, second = standalone(content, "code")["x"]
    assert first == {"_target_": "code.pipeline.scans.front.Front", "order": 1, "_requires_": "@own_code::on_path"}
    assert second == {"_target_": "Compose"}


@pytest.mark.parametrize("name", [TRAIN, INFERENCE, EVALUATE, MULTI_GPU])
def test_nothing_names_this_project_s_own_packages(contents, name):
    assert list(names_in(standalone(contents[name], "code"))) == []


def test_the_evaluation_laid_over_the_training_is_the_inference_of_its_held_out_cases(contents):
    both = {**contents[TRAIN], **contents[EVALUATE]}
    unlike = {key for key in contents[INFERENCE] if both[key] != contents[INFERENCE][key]}
    assert unlike == {"imports", "cases", "run"}


def test_what_a_machine_or_a_run_chose_is_not_published():
    run = merged(TRAIN, "unet_3d", "demo", {"device": "$torch.device('cuda:3')"}, {"split": "/home/x/split.json"})
    content = published({**run, "weights_path": "/home/x/a.pth", "dataset_dir": "/home/x"}, TRAIN, {})
    assert "/home" not in json.dumps(content)
    assert "cuda:3" not in json.dumps(content)


def test_an_override_of_a_run_is_published():
    run = merged(TRAIN, "unet_3d", "demo", {"max_epochs": 7}, {})
    assert published(run, TRAIN, {})["max_epochs"] == 7


def test_a_cascade_has_both_networks_in_one_bundle():
    contents = configurations(initial("chs_net", "demo", {}))
    assert contents[INFERENCE]["first_stage_model"] == "$@bundle_root + '/models/lungs.pt'"
    assert contents["lungs"]["label_map"] == "lungs"
    assert contents["train_lungs"]["label_map"] == "lungs"


def test_a_configuration_finds_the_folder_that_it_is_read_from(contents, tmp_path, monkeypatch):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    (configs / "inference.json").write_text(json.dumps(standalone({**contents[INFERENCE], "initialize": []}, "code")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    workflow = ConfigWorkflow("bundle/configs/inference.json", str(METADATA), logging_file=False, workflow_type="infer")
    workflow.initialize()
    assert workflow.bundle_root == str(tmp_path / "bundle")


def test_a_folder_that_is_given_wins_over_the_one_that_is_found(contents):
    parser = ConfigParser({**standalone(contents[INFERENCE], "code"), "bundle_root": "elsewhere"})
    assert parser.get_parsed_content("model_file") == "elsewhere/models/model.pt"
