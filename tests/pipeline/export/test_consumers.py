"""Bundles in the hands of other programs: small ones, written from what the real ones do with a bundle.

In the manner of a server (MONAI Label), of a program with scans in memory (MONAI Deploy), and of one that builds the
evaluator and runs it without `initialize` (3D Slicer's module for bundles).
"""

from __future__ import annotations

import sys
from functools import cache, partial
from pathlib import Path

import exported_once
import numpy as np
import pytest
import torch
from client_bundles import voxels
from monai.bundle import ConfigParser
from monai.transforms import Compose, LoadImage, SaveImaged
from network_table import NETWORKS

from pipeline.core.configuration import INFERENCE, cascades
from pipeline.core.errors import innermost
from pipeline.phantom.dataset import write_phantom
from pipeline.prediction.predict import predict
from transforms.disagreement import UNCERTAINTY

ENSEMBLE, MEMBERS = "ensemble", "small_covid_net"
# In 3D, in 2D, a cascade, and two folds as one
REPRESENTATIVE = ("unet_3d", "small_covid_net", "chs_net", ENSEMBLE)
OTHERS = sorted({*(network.bundle for network in NETWORKS), *cascades()} - {*REPRESENTATIVE})
MODEL = Path("models", "model.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("consumers")
    write_phantom(place / "phantom", patients=1, coarsening=4.0)
    return place


@pytest.fixture(scope="module")
def scan(folder):
    (file,) = (folder / "phantom" / "images").glob("*.nii.gz")
    return file


@pytest.fixture(scope="module")
def bundle_of(shared_folder):
    """A network's bundle."""
    return partial(exported_once.bundle, shared_folder)


@pytest.fixture(scope="module")
def found_by_predict(folder, bundle_of, shared_folder):
    """A bundle, and the label that `make predict` finds with it, (W, H, D)."""

    @cache
    def made(network):
        bundle = exported_once.ensemble(shared_folder, MEMBERS) if network == ENSEMBLE else bundle_of(network)
        predict(bundle, folder / "phantom" / "images", folder / f"labels_{network}")
        (file,) = (folder / f"labels_{network}").glob("*.nii.gz")
        return bundle, voxels(file)

    return made


@pytest.fixture(autouse=True)
def path_of_python(monkeypatch):
    """A bundle adds itself to it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def parser_of(bundle, **replaced):
    """As these programs have a bundle's inference: the device is a text, and where the bundle is they say."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / f"{INFERENCE}.json"))
    parser.read_meta(str(bundle / "configs" / "metadata.json"))
    for key, value in {"bundle_root": str(bundle), "device": "cpu", **replaced}.items():
        parser[key] = value
    return parser


def network_of(parser, bundle):
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / MODEL, weights_only=True), strict=True)
    return network.eval()


def predicted(parser, bundle, case):
    """What preprocessing, network and inferer make of a case, still to be postprocessed."""
    with torch.inference_mode():
        logits = parser.get_parsed_content("inferer")(case["image"][None], network_of(parser, bundle))
    return {**case, "pred": logits[0]}


def by_server(bundle, scan, folder):
    """Gives a path and nothing else; drops instances of `SaveImaged`; wants an array with an affine."""
    parser = parser_of(bundle, output_dir=str(folder))
    preprocessing, postprocessing = map(parser.get_parsed_content, ("preprocessing", "postprocessing"))
    case = preprocessing({"image": str(scan), "image_path": str(scan), "device": "cpu", "model": "a"})
    steps = [step for step in postprocessing.transforms if not isinstance(step, SaveImaged)]
    found = Compose(steps)(predicted(parser, bundle, case))
    # It would resize, and write with the affine that the image tells
    assert tuple(found["pred"].shape[1:]) == tuple(found["image"].meta["spatial_shape"])
    assert np.allclose(found["image"].meta["original_affine"], LoadImage()(scan).affine.numpy(), atol=1e-4)
    return found["pred"][0].numpy()


def in_memory(bundle, scan, folder):
    """Has the voxels; drops what has LoadImage or SaveImage in its name; squeezes `pred`."""
    parser = parser_of(bundle, output_dir=str(folder))
    steps = {
        name: [
            step
            for step in parser.get_parsed_content(name).transforms
            if "LoadImage" not in type(step).__name__ and "SaveImage" not in type(step).__name__
        ]
        for name in ("preprocessing", "postprocessing")
    }
    case = Compose(steps["preprocessing"])({"image": LoadImage()(scan)})
    # It would give the network all of them
    assert [name for name, value in case.items() if isinstance(value, torch.Tensor)] == ["image"]
    found = Compose(steps["postprocessing"])(predicted(parser, bundle, case))
    return found["pred"].numpy().squeeze()


def without_initialize(bundle, scan, folder):
    """Builds what it needs, runs the evaluator, and takes the file below the output folder."""
    parser = parser_of(bundle, output_dir=str(folder), dataset_dir=str(scan.parent))
    dataset, evaluator = map(parser.get_parsed_content, ("dataset", "evaluator"))
    dataset.data = [{"image": str(scan)}]
    evaluator.run()
    # Of an ensemble, the map of disagreement is another
    (file,) = (file for file in folder.rglob("*.nii*") if UNCERTAINTY not in file.parts)
    return voxels(file)


CONSUMERS = (by_server, in_memory, without_initialize)


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("network", REPRESENTATIVE)
def test_a_consumer_gets_what_predict_finds(network, consumer, found_by_predict, scan, tmp_path):
    bundle, expected = found_by_predict(network)
    found = consumer(bundle, scan, tmp_path / "out")
    assert found.shape == expected.shape
    assert np.count_nonzero(found != expected) == 0


@pytest.mark.slow
@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("network", OTHERS)
def test_a_consumer_gets_of_every_network_what_predict_finds(network, consumer, found_by_predict, scan, tmp_path):
    test_a_consumer_gets_what_predict_finds(network, consumer, found_by_predict, scan, tmp_path)


def test_a_consumer_with_weights_of_another_network_is_told(bundle_of, scan):
    """Programs load what fits and pass over the rest."""
    parser = parser_of(bundle_of("unet_3d"))
    network = parser.get_parsed_content("network_def")
    network.load_state_dict({"weights.of.another": torch.zeros(1)}, strict=False)
    image = parser.get_parsed_content("preprocessing")({"image": str(scan)})["image"]
    # Of the bundle's own code, no class of this project's
    with pytest.raises(Exception, match="has no weights, or not all of its own, and would segment at random"):
        parser.get_parsed_content("inferer")(image[None], network.eval())


@pytest.mark.parametrize("consumer", [by_server, in_memory])
def test_a_consumer_that_writes_for_itself_finds_nothing_written(consumer, bundle_of, scan, tmp_path):
    consumer(bundle_of("unet_3d"), scan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_evaluator_without_weights_segments_nothing(bundle_of, scan, tmp_path):
    bundle = bundle_of("unet_3d")
    places = {"model_file": tmp_path / "none.pt", "dataset_dir": scan.parent, "output_dir": tmp_path / "out"}
    parser = parser_of(bundle, **{name: str(path) for name, path in places.items()})
    with pytest.raises(RuntimeError) as failed:
        parser.get_parsed_content("evaluator")
    assert "there is no such model" in str(innermost(failed.value))
