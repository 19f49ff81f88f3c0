"""The starter model made again, and used where no MODEL is given: tiny trainings on synthetic chests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run_command

import pneumobundle as pb
from evaluation.measures.cases import read_metrics_csv
from pipeline.core.errors import InputError
from pipeline.core.scan_traits import HELD_OUT, TRAINING, read_traits
from pipeline.export.documents import data_license, readme
from pipeline.export.metadata import data_source, metadata
from pipeline.export.source import from_run
from pipeline.inference import starter_model
from pipeline.inference.members import find_members, images_trained_on
from pipeline.phantom.dataset import write_phantom
from pipeline.runs.starter import make_starter, of_no_machine
from pipeline.runs.starter_card import by_source
from pipeline.training.checkpoint import read_state

NAME = "chest_ct_starter"


@pytest.fixture(scope="module")
def made(tiny_training, tmp_path_factory):
    """Folders of the data, the run and the models."""
    place = tmp_path_factory.mktemp("starter")
    write_phantom(place / "data", patients=4, coarsening=3.0)
    overrides = {**tiny_training(features=[4, 8, 8]), "cache_dir": str(place / "cache")}
    words = ["starter", "--data", place / "data", "--network", "unet_3d", "--preset", "demo", "--folds", 2]
    words += ["--out", place / "run", "--models", place / "models", "--jobs", 1]
    run_command(*words, "--overrides", overrides)
    return SimpleNamespace(data=place / "data", run=place / "run", models=place / "models")


@pytest.fixture
def installed(made, monkeypatch):
    monkeypatch.setattr(starter_model, "MODELS", made.models)
    return made


def test_its_weights_are_of_a_training_on_every_scan_and_half_as_large(made):
    member = find_members(made.models / NAME)[0]
    assert member.name == "fold2"
    cases = json.loads((made.run / "datalist.json").read_text())["training"]
    assert images_trained_on([member]) == {case["image_sha256"] for case in cases}
    laid_down, trained = (read_state(folder / "fold2" / "model.pt") for folder in (made.models / NAME, made.run))
    assert laid_down.keys() == trained.keys()
    for name, values in trained.items():
        expected = torch.float16 if values.ndim > 1 else values.dtype
        assert laid_down[name].dtype == expected, name
        torch.testing.assert_close(laid_down[name], values.to(expected))


def test_the_training_on_all_is_longer_than_a_fold(made):
    folds, on_all = (
        json.loads((folder / "train.json").read_text())["max_epochs"] for folder in (made.run, made.models / NAME)
    )
    assert on_all == 3 * folds
    steps = [json.loads((made.run / f"fold{fold}" / "training.json").read_text())["steps"] for fold in (0, 2)]
    assert steps[1] == 3 * steps[0]


def test_how_it_sees_its_training_scans_comes_with_it(made):
    fold = Path("fold2")
    kept = read_traits(made.models / NAME / fold)
    assert kept == read_traits(made.run / fold)
    assert len(kept[TRAINING]) == 4
    assert kept[HELD_OUT] == {}


def test_what_its_probabilities_are_worth_comes_with_it(made):
    for name in ("reliability.csv", "temperature.json"):
        of_run, laid_down = (folder / name for folder in (made.run, made.models / NAME))
        assert of_run.is_file() == laid_down.is_file()
        assert not of_run.is_file() or of_run.read_bytes() == laid_down.read_bytes()
    assert (made.run / "reliability.csv").is_file()


def test_nothing_in_it_names_a_folder_of_the_machine_that_made_it(made):
    texts = [file for file in (made.models / NAME).rglob("*") if file.is_file() and file.suffix != ".pt"]
    assert len(texts) > 8
    for file in texts:
        assert str(made.data.parent) not in file.read_text(encoding="utf-8"), file.name


def test_several_folders_keep_their_own_names_alone():
    files = {"home/joe/a": "x", "data/a": "y", "data/b": "z"}
    cases = [
        {"case": case, "image": f"{folder}/{case}.nii", "label": f"{folder}/l/{case}.nii"}
        for folder, case in files.items()
    ]
    told = of_no_machine({"dataset_dir": "/", "folders": list(files), "training": cases})
    assert told["dataset_dir"] == "data"
    assert told["folders"] == ["a", "a_1", "b"]
    assert [case["image"] for case in told["training"]] == ["a/x.nii", "a_1/y.nii", "b/z.nii"]
    assert [case["label"] for case in told["training"]] == ["a/l/x.nii", "a_1/l/y.nii", "b/l/z.nii"]


def test_the_card_has_the_figures_of_the_cross_validation(made):
    card = (made.models / NAME / "README.md").read_text(encoding="utf-8")
    assert "4 scans of 4 patients" in card
    assert "| 4 scans of 4 patients | of a source that nobody named | NOT STATED |" in card
    assert "This one was trained on all, 3 times as long" in card
    for row in read_metrics_csv(made.run / "metrics.csv"):
        if row["structure"] == "left_lung":
            assert f"| {row['dice']:.3f} |" in card
    told = (made.run / "summary.json").read_text()
    graded = json.loads(told)["severity"]["held_out"]
    assert f"- The CT grade was right in {graded['grades_right']} of {graded['graded']} patients." in card
    assert ("are tempered by" in card) == (made.run / "temperature.json").is_file()
    assert "Research only. Not a medical device." in card
    assert "CC BY-NC-SA 4.0" in (made.models / NAME / "data_license.txt").read_text(encoding="utf-8")


def test_predict_takes_it_where_no_model_is_given_and_says_so(installed, tmp_path, caplog):
    caplog.set_level("INFO")
    run_command("predict", installed.data / "images", "--out", tmp_path, "--no-pages", "--anyway")
    assert f"MODEL is not given: the starter model {NAME} is used, trained on 4 scans of 4 patients" in caplog.text
    assert "Research only, no medical device; its weights are CC BY-NC-SA 4.0." in caplog.text
    assert "MODEL was trained on 4 of these scans" in caplog.text
    assert len(list(tmp_path.glob("*.nii.gz"))) == 4


def test_a_network_that_is_named_means_its_own_run(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="MODEL is runs/anam_net/cv/fold0, but there is no"):
        run_command("predict", installed.data / "images", "--network", "anam_net")


def test_where_none_is_installed_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(starter_model, "MODELS", tmp_path)
    with pytest.raises(InputError, match=r"MODEL is not given, and the starter model is not in .*; give MODEL"):
        starter_model.starter_model()


def test_a_folder_that_is_no_such_model_stays_as_it_is(made, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is a folder, but no starter model"):
        make_starter(None, {}, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_sources_come_in_the_order_of_their_description():
    described = {"sources": [{"cases": "b*", "what": "second"}, {"cases": "a*", "what": "first"}]}
    cases = [{"case": name} for name in ("a1", "b1", "c1", "a2")]
    found = [(source["what"], len(mine)) for source, mine in by_source(cases, described)]
    assert found == [("second", 1), ("first", 2), ("of a source that nobody named", 1)]


def test_one_that_is_not_as_it_was_given_is_refused(made, tmp_path, monkeypatch):
    for entry in (NAME, f"{NAME}.sha256"):
        copy = shutil.copytree if (made.models / entry).is_dir() else shutil.copyfile
        copy(made.models / entry, tmp_path / entry)
    monkeypatch.setattr(starter_model, "MODELS", tmp_path)
    assert starter_model.starter_model() == tmp_path / NAME / "fold2"
    (tmp_path / NAME / "fold2" / "inference.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=rf"{NAME}/fold2/inference.json is not what {NAME}.sha256 says"):
        starter_model.starter_model()
    (tmp_path / f"{NAME}.sha256").unlink()
    with pytest.raises(InputError, match=rf"{NAME}.sha256: is missing, and says whether the starter model is whole"):
        starter_model.starter_model()


def test_a_program_that_names_no_model_is_told_which_it_has(installed, caplog):
    with pb.load(device="cpu") as model:
        assert model.facts["members"] == ["fold2"]
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.getMessage().startswith(f"MODEL is not given: the starter model {NAME} is used")


def test_a_bundle_of_it_says_that_it_saw_every_scan_and_has_its_terms(made):
    source = from_run("unet_3d", made.models / NAME)
    page = readme(source, metadata(source, []))
    assert "these weights were trained on all of them, and each fold's own model on all but its fold" in page
    assert "**These weights saw every one of these scans**" in page
    assert "which they have not seen" not in page
    assert data_license(source) == (made.models / NAME / "data_license.txt").read_text(encoding="utf-8")
    assert data_source(source) == "4 synthetic chest CTs, made by this project"
