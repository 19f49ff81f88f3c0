"""A scan that is unlike the training is told by `make predict`, where the model's run says what that is."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import chest, tiny_overrides
from exported import small_run

from evaluation.statistics.unlike_training import TraitLimits, write_limits
from pipeline.core.atomic import read_json, write_json
from pipeline.core.scan_traits import HELD_OUT, TRAINING, Traits, write_traits
from pipeline.inference.chosen_model import open_model
from pipeline.prediction.predict import predict
from pipeline.scans.scan import read_scan


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two members with random weights, which know three chests."""
    folder = small_run(
        "unet_3d", tmp_path_factory.mktemp("unlike") / "cv", {**tiny_overrides(), "mixed_precision": False}
    )
    write_json(folder / "datalist.json", {"layout": "images", "dataset_dir": "data", "training": []})
    folds = [{"fold": fold, "test": [], "train": []} for fold in range(2)]
    write_json(folder / "folds.json", {"split": "patients", "seed": 0, "folds": folds})
    for fold in sorted(folder.glob("fold?")):
        with open_model(fold) as model:
            seen = [model.segmenter.segment("chest", chest(seed=seed)[0]).traits for seed in (10, 11, 12)]
        write_traits(fold, {TRAINING: {f"chest_{i}": traits for i, (traits,) in enumerate(seen)}, HELD_OUT: {}})
    write_limits(folder, TraitLimits(deep=1.0, levels=0.2 / 3, patients=9))
    return folder


@pytest.fixture
def scans(tmp_path):
    """A chest like those, and one with four times the noise of tissue."""
    image = chest(seed=1)[0]
    noise = np.random.default_rng(0).normal(0, 400, image.GetSize()[::-1])
    noisy = sitk.GetImageFromArray(np.rint(sitk.GetArrayFromImage(image) + noise).astype(np.int16))
    noisy.CopyInformation(image)
    for name, scan in (("like", image), ("unlike", noisy)):
        sitk.WriteImage(scan, str(tmp_path / f"{name}.nii.gz"))
    return tmp_path


def told(out, case):
    """The flag of a case, and all names of its flags."""
    flags = {flag["flag"]: flag for flag in read_json(out / f"{case}.json")["flags"]}
    return flags.get("unlike_training"), set(flags)


@pytest.mark.parametrize("model", ["fold0", ""], ids=["a fold", "an ensemble"])
def test_a_scan_like_the_training_is_nearer_than_one_that_is_not(run, scans, tmp_path, model):
    predict(run / model, scans, tmp_path / "out", pages=False)
    like, unlike = (told(tmp_path / "out", case)[0] for case in ("like", "unlike"))
    assert 0 < like["value"] < unlike["value"]
    assert unlike["raised"]
    assert "unlike those that it was trained on" in unlike["sentence"]


def test_without_the_limits_of_a_run_there_is_no_such_flag(run, scans, tmp_path):
    (run / "unlike_training.json").rename(run / "aside.json")
    predict(run / "fold0", scans / "like.nii.gz", tmp_path / "out", pages=False)
    (run / "aside.json").rename(run / "unlike_training.json")
    flag, names = told(tmp_path / "out", "like")
    assert flag is None
    assert "lung_volume" in names


def test_the_traits_of_a_scan_are_those_of_its_voxels(run, scans):
    with open_model(run / "fold0") as model:
        (first,), (again,) = (
            model.segmenter.segment("like", read_scan(scans / "like.nii.gz")).traits for _ in range(2)
        )
    assert isinstance(first, Traits)
    assert first == again
