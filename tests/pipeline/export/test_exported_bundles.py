"""Exported bundles stand alone: a 3D network, a 2D one and a cascade here, all networks with -m slow."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import exported_once
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from exported import exported, monai_alone, run_alone, small
from monai.bundle import ConfigWorkflow

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, METADATA, cascades, networks
from pipeline.core.project import ROOT
from pipeline.export.build import export
from pipeline.export.source import ensemble_from_run
from pipeline.export.verify import FAIL, verify
from pipeline.export.zoo import lay_into
from pipeline.inference.members import ensemble_configuration, find_members
from pipeline.phantom.dataset import write_phantom
from pipeline.prediction.predict import predict

SCHEMA = ROOT.parent / "shared" / "reference" / "meta_schema_20240725.json"
ENSEMBLES = ("small_covid_net", pytest.param("chs_net", marks=pytest.mark.slow))
REPRESENTATIVE = ("unet_3d", "small_covid_net", "chs_net")
TWO_BUNDLES = """
import sys, warnings
from monai.bundle import load
warnings.simplefilter("ignore")
for folder, name in {bundles!r}:
    print("class of", type(load(name=name, bundle_dir=folder, device="cpu")).__module__)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    write_phantom(place / "phantom", patients=1, coarsening=4.0)
    return place


@pytest.fixture(scope="module")
def overrides():
    return dict(exported_once.OVERRIDES)


@pytest.fixture(scope="module")
def bundle_of(shared_folder):
    """A network's bundle."""
    return partial(exported_once.bundle, shared_folder)


@pytest.fixture(scope="module")
def run_of(shared_folder):
    """The run of two members of a network."""
    return partial(exported_once.run, shared_folder)


@pytest.fixture(scope="module")
def ensemble_of(shared_folder):
    """The bundle of that run's two members."""
    return partial(exported_once.ensemble, shared_folder)


def failures(bundle):
    schema = SCHEMA if SCHEMA.is_file() else None
    return [str(finding) for finding in verify(bundle, schema) if finding.outcome == FAIL]


def run_source(network, bundle, folder, overrides):
    """This project's own configuration on the phantom, with the weights of a bundle.

    Writes `source_labels` and `source_probabilities`.
    """
    source = small(network, overrides)
    for member in source.members:
        write_json(folder / f"{member.stage.name}.json", member.inference)
    own = {"model_file": str(bundle / "models" / "model.pt")}
    if len(source.members) > 1:
        own["first_stage_model"] = str(bundle / "models" / "lungs.pt")
        own["first_stage_configuration"] = str(folder / "lungs.json")
    file = str(folder / f"{source.last.stage.name}.json")
    own |= {"dataset_dir": str(folder.parent / "phantom" / "images"), "output_dir": str(folder / "source_labels")}
    own["probability_dir"] = str(folder / "source_probabilities")
    workflow = ConfigWorkflow(file, str(METADATA), logging_file=False, workflow_type="infer", **own)
    workflow.initialize()
    workflow.run()


def run_ensemble(run, folder):
    """This project's own ensemble of a run's members on the phantom; writes `source_labels`."""
    write_json(folder / "ensemble.json", ensemble_configuration(find_members(run), "vote", None))
    own = {"dataset_dir": str(folder.parent / "phantom" / "images"), "output_dir": str(folder / "source_labels")}
    file = str(folder / "ensemble.json")
    workflow = ConfigWorkflow(file, str(METADATA), logging_file=False, workflow_type="infer", **own)
    workflow.initialize()
    workflow.run()


def voxels(folder):
    (file,) = folder.glob("*.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


@pytest.mark.parametrize("network", REPRESENTATIVE)
def test_a_bundle_passes_every_check_of_the_model_zoo(network, bundle_of):
    assert failures(bundle_of(network)) == []


@pytest.mark.parametrize("network", REPRESENTATIVE)
def test_a_bundle_alone_segments_as_the_project_does_voxel_by_voxel(network, bundle_of, folder, overrides):
    bundle, place = bundle_of(network), folder / network
    place.mkdir()
    files = {"config_file": bundle / "configs" / f"{INFERENCE}.json", "dataset_dir": folder / "phantom" / "images"}
    monai_alone("run", bundle, place, **files, output_dir="labels", probability_dir="probabilities")
    run_source(network, bundle, place, overrides)
    assert np.array_equal(voxels(place / "labels"), voxels(place / "source_labels"))
    # Untrained networks may find one class everywhere; their probabilities tell more
    assert np.array_equal(voxels(place / "probabilities"), voxels(place / "source_probabilities"))


@pytest.mark.parametrize("network", ["small_covid_net", "chs_net"])
def test_predict_with_a_bundle_gives_the_labels_of_the_bundle_alone_byte_by_byte(network, bundle_of, folder):
    bundle, place = bundle_of(network), folder / f"predict_{network}"
    place.mkdir()
    files = {"config_file": bundle / "configs" / f"{INFERENCE}.json", "dataset_dir": folder / "phantom" / "images"}
    monai_alone("run", bundle, place, **files, output_dir="labels")
    predict(bundle, folder / "phantom" / "images", place / "predicted")
    alone, predicted = (next((place / name).glob("*.nii.gz")) for name in ("labels", "predicted"))
    assert alone.read_bytes() == predicted.read_bytes()


@pytest.mark.parametrize("network", ENSEMBLES)
def test_an_ensemble_s_bundle_passes_every_check_of_the_model_zoo(network, ensemble_of):
    assert failures(ensemble_of(network)) == []


@pytest.mark.parametrize("network", ENSEMBLES)
def test_an_ensemble_s_bundle_alone_votes_and_disagrees_as_the_project_s_voxel_by_voxel(
    network, ensemble_of, run_of, folder
):
    bundle, place = ensemble_of(network), folder / f"ensemble_{network}"
    place.mkdir()
    files = {"config_file": bundle / "configs" / f"{INFERENCE}.json", "dataset_dir": folder / "phantom" / "images"}
    monai_alone("run", bundle, place, **files, output_dir="labels")
    run_ensemble(run_of(network), place)
    disagreement = voxels(place / "source_labels" / "uncertainty")
    assert len(np.unique(disagreement)) > 2
    assert np.array_equal(voxels(place / "labels"), voxels(place / "source_labels"))
    assert np.array_equal(voxels(place / "labels" / "uncertainty"), disagreement)


@pytest.mark.slow
def test_a_second_export_of_an_ensemble_has_the_same_bytes(ensemble_of, run_of, folder):
    first = ensemble_of("small_covid_net")
    again = export(ensemble_from_run("small_covid_net", run_of("small_covid_net")), folder / "ensembles_again")
    archives = [next(bundle.parent.glob(f"{bundle.name}_v*.zip")) for bundle in (first, again)]
    assert archives[0].read_bytes() == archives[1].read_bytes()


@pytest.mark.slow
def test_the_test_for_the_model_zoo_trains_a_member_of_an_ensemble_and_lets_it_vote(ensemble_of, folder):
    bundle, zoo = ensemble_of("small_covid_net"), folder / "zoo_ensemble"
    for name in ("models", "ci"):
        (zoo / name).mkdir(parents=True)
    _, test = lay_into(bundle, zoo)
    done = run_alone([str(test)], bundle, zoo)
    assert done.returncode == 0, done.stderr


def test_a_second_export_has_the_same_bytes_from_wherever_one_stands(bundle_of, folder, overrides, monkeypatch):
    first = bundle_of("small_covid_net")
    monkeypatch.chdir(folder)
    again = folder / exported("small_covid_net", Path("again"), overrides)
    archives = [next(bundle.parent.glob(f"{bundle.name}_v*.zip")) for bundle in (first, again)]
    assert {file.name for file in (again / "models").iterdir()} == {"model.pt", "model.ts", "model.pt2"}
    assert archives[0].name == archives[1].name
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_two_bundles_in_one_process_have_classes_of_their_own(bundle_of, folder):
    first, second = bundle_of("unet_3d"), bundle_of("small_covid_net")
    script = TWO_BUNDLES.format(bundles=[(str(bundle.parent), bundle.name) for bundle in (first, second)])
    done = run_alone(["-c", script], first, folder / "two")
    assert re.findall(r"^class of (\w+)", done.stdout, re.MULTILINE) == [f"{first.name}_code", f"{second.name}_code"]


def test_the_test_for_the_model_zoo_trains_evaluates_and_segments(bundle_of, folder):
    bundle, zoo = bundle_of("small_covid_net"), folder / "zoo"
    for name in ("models", "ci"):
        (zoo / name).mkdir(parents=True)
    _, test = lay_into(bundle, zoo)
    done = run_alone([str(test)], bundle, zoo)
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("network", [*networks(), *cascades()])
def test_every_network_s_bundle_passes_every_check(network, bundle_of):
    assert failures(bundle_of(network)) == []


@pytest.mark.slow
@pytest.mark.parametrize("network", [*networks(), *cascades()])
def test_every_network_s_bundle_trains_evaluates_and_segments(network, bundle_of, folder):
    bundle, zoo = bundle_of(network), folder / f"zoo_{network}"
    for name in ("models", "ci"):
        (zoo / name).mkdir(parents=True)
    _, test = lay_into(bundle, zoo)
    done = run_alone([str(test)], bundle, zoo)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_train_one_network_that_one_of_them_writes(bundle_of, folder, overrides):
    bundle, place = bundle_of("small_covid_net"), folder / "two_processes"
    write_phantom(folder / "phantoms", patients=2, coarsening=4.0)
    configs = [str(bundle / "configs" / name) for name in ("train.json", "multi_gpu_train.json")]
    words = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1"]
    words += ["--master_port", "29531", "-m", "monai.bundle", "run", "--config_file", str(configs), "--folds", "2"]
    words += ["--dataset_dir", str(folder / "phantoms"), "--output_dir", str(place / "out")]
    done = run_alone(words, bundle, place, GLOO_SOCKET_IFNAME="lo")
    assert done.returncode == 0, done.stderr
    weights = torch.load(place / "out" / "fold0" / "model.pt", weights_only=True)
    assert weights.keys() == torch.load(bundle / "models" / "model.pt", weights_only=True).keys()
    history = (place / "out" / "fold0" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + overrides["max_epochs"]
