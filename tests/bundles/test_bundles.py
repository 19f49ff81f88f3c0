"""Every network's configuration is a bundle in the sense of MONAI."""

from __future__ import annotations

import json
import logging

import pytest
from jsonschema import Draft201909Validator
from monai.bundle import ConfigWorkflow
from network_table import BY_BUNDLE

from pipeline.core.configuration import COMMON, INFERENCE, METADATA, TRAIN, merged, networks
from pipeline.core.project import ROOT
from pipeline.phantom.dataset import write_phantom

SCHEMA = ROOT.parent / "shared" / "reference" / "meta_schema_20240725.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bundles")
    write_phantom(place / "phantom", patients=2, coarsening=4.0)
    return place


def workflow(name, kind, network, folder, tiny_training, **own):
    """The initialised workflow of a network that is made small, on a coarse phantom."""
    overrides = {**tiny_training(**BY_BUNDLE[network].tiny), "cache_dir": str(folder / "cache"), "max_epochs": 1}
    content = merged(name, network, "demo", {**overrides, "iterations_per_epoch": 1}, own)
    file = folder / f"{network}_{name}.json"
    file.write_text(json.dumps(content))
    ready = ConfigWorkflow(str(file), meta_file=str(METADATA), logging_file=False, workflow_type=kind)
    ready.initialize()
    return ready


@pytest.mark.parametrize("network", networks())
def test_a_bundle_trains_and_segments_and_has_every_property_that_monai_asks_for(network, folder, tiny_training):
    data, out = str(folder / "phantom"), folder / network
    training = workflow(TRAIN, "train", network, folder, tiny_training, dataset_dir=data, output_dir=str(out), folds=2)
    assert training.check_properties() == []
    training.run()
    model, labels = str(out / "fold0" / "model.pt"), out / "labels"
    own = {"dataset_dir": data, "model_file": model, "output_dir": str(labels)}
    inference = workflow(INFERENCE, "infer", network, folder, tiny_training, **own)
    assert inference.check_properties() == []
    inference.run()
    assert {file.name for file in labels.iterdir()} == {"phantom_01.nii.gz", "phantom_02.nii.gz"}


@pytest.mark.parametrize("network", networks())
def test_a_bundle_has_a_page_that_says_how_to_run_it(network):
    page = (ROOT / "bundles" / network / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"make cv NETWORK={network}" in page


def test_the_metadata_names_its_version_in_the_changelog():
    metadata = json.loads(METADATA.read_text())
    assert metadata["version"] in metadata["changelog"]


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema of the Model Zoo is not at hand and is not downloaded")
def test_the_metadata_follows_the_schema_of_the_model_zoo():
    schema = json.loads(SCHEMA.read_text())
    errors = [error.message for error in Draft201909Validator(schema).iter_errors(json.loads(METADATA.read_text()))]
    assert errors == []


def test_the_logging_configuration_is_one_that_monai_accepts():
    from monai.bundle.workflows import _apply_logging_file

    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    try:
        _apply_logging_file(str(COMMON / "logging.conf"))
        assert root.level == logging.INFO
    finally:
        root.level, root.handlers = before
