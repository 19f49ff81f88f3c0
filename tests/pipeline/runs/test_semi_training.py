"""One real training that begins with given weights and takes pseudo-labelled slices, and one real segmentation."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigWorkflow

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, LOGGING, METADATA, TRAIN, merged
from pipeline.core.errors import input_error_in
from pipeline.phantom.dataset import write_phantom, write_unlabelled
from pipeline.scans.scan import file_sha256


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with labelled and unlabelled coarse phantoms."""
    folder = tmp_path_factory.mktemp("semi")
    write_phantom(folder / "phantom", patients=2, coarsening=4.0)
    write_unlabelled(folder / "unlabelled", patients=1, coarsening=4.0)
    return folder


@pytest.fixture
def workflow(place, tiny_training, tmp_path):
    """Makes an initialised workflow of a tiny ENet that learns nothing: its learning rate is 0."""

    def make(name, **own):
        tiny = {**tiny_training(features=[8, 16, 32]), "cache_dir": str(place / "cache"), "max_epochs": 1}
        if name == TRAIN:
            tiny |= {"learning_rate": 0.0, "dataset_dir": str(place / "phantom"), "folds": 2, "val_interval": 0}
        content = merged(name, "enet", "demo", tiny, {"output_dir": str(tmp_path / "out"), **own})
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        kind = "train" if name == TRAIN else "infer"
        ready = ConfigWorkflow(str(file), meta_file=str(METADATA), logging_file=str(LOGGING), workflow_type=kind)
        ready.initialize()
        return ready

    return make


def test_a_training_begins_with_the_weights_of_a_file(workflow, tmp_path):
    first = workflow(TRAIN, output_dir=str(tmp_path / "other"), fold_dir=str(tmp_path / "first"), seed=1)
    first.run()
    second = workflow(TRAIN, begin_with=str(tmp_path / "first" / "model.pt"), fold_dir=str(tmp_path / "second"))
    second.run()
    before, after = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("first", "second"))
    learnt = [name for name, _ in first.network_def.named_parameters()]
    assert all((before[name] == after[name]).all() for name in learnt)


def test_a_model_of_another_network_is_refused(workflow, tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(Exception, match=r".*") as caught:
        workflow(TRAIN, begin_with=str(tmp_path / "other.pt"))
    assert "does not hold weights of this network" in str(input_error_in(caught.value))


def test_pseudo_labelled_slices_are_trained_on_beside_the_labelled(workflow, place, tmp_path):
    image, label = (place / "phantom" / kind / "phantom_01.nii.gz" for kind in ("images", "labels"))
    files = {"image": str(image), "label": str(label), "slices": [1, 3]}
    sums = {"image_sha256": file_sha256(image), "label_sha256": file_sha256(label)}
    write_json(tmp_path / "record.json", [{"case": "x", **files, **sums}])
    own = {"pseudo_labelled": str(tmp_path / "record.json"), "fold_dir": str(tmp_path / "fold")}
    both, alone = (
        workflow(TRAIN, trained_on=chosen, **own).parser.get_parsed_content("train::dataset")
        for chosen in ("all", "pseudo_labelled")
    )
    labelled = workflow(TRAIN, **own, trained_on="labelled").parser.get_parsed_content("train::dataset")
    assert (len(alone), len(both)) == (2, len(labelled) + 2)


def test_a_segmentation_leaves_how_sure_it_is(workflow, place, tmp_path):
    workflow(TRAIN, fold_dir=str(tmp_path / "fold")).run()
    own = {"model_file": str(tmp_path / "fold" / "model.pt"), "dataset_dir": str(place / "unlabelled")}
    workflow(INFERENCE, **own, output_dir=str(tmp_path / "found"), confidence_dir=str(tmp_path / "found")).run()
    assert {file.name for file in (tmp_path / "found").iterdir()} == {"unlabelled_01.json", "unlabelled_01.nii.gz"}
    sums = json.loads((tmp_path / "found" / "unlabelled_01.json").read_text())
    # The likeliest of four classes has a quarter at least
    assert all(0.25 * every <= one <= every for one, every in zip(sums["probability"], sums["voxels"], strict=True))
