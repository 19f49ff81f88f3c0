"""Probabilities by a run with a temperature: written, told and given to programs, and no label is another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import chest, tiny_overrides
from exported import small_run

import pneumobundle as pb
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.temperature import Temperature, tempered, write_temperature
from pipeline.prediction.predict import predict
from pipeline.prediction.probabilities import Probabilities
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry

FOUND = Temperature(2.5, 7, 8)
OVERRIDES = {**tiny_overrides(), "mixed_precision": False, "infection_threshold": 0.2}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run of before: two members with few and random weights, and no temperature."""
    folder = small_run("unet_3d", tmp_path_factory.mktemp("plain") / "cv", OVERRIDES)
    (folder / "datalist.json").write_text(json.dumps({"layout": "images", "dataset_dir": "data", "training": []}))
    folds = [{"fold": fold, "test": [], "train": []} for fold in range(2)]
    (folder / "folds.json").write_text(json.dumps({"split": "patients", "seed": 0, "folds": folds}))
    return folder


@pytest.fixture(scope="module")
def run(plain, tmp_path_factory) -> Path:
    """The same with one."""
    folder = Path(shutil.copytree(plain, tmp_path_factory.mktemp("tempered") / "cv"))
    write_temperature(folder, FOUND, "a rule")
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("scan") / "a.nii.gz"
    sitk.WriteImage(chest((40, 36, 20), (8.0, 8.0, 14.0))[0], str(file))
    return file


@pytest.fixture(scope="module")
def written(plain, run, scan, tmp_path_factory) -> dict[str, Path]:
    """What either run writes with PROBABILITIES=1, by a fold and by two as a mean and as a vote."""
    folders = {}
    for name, models in (("plain", plain), ("tempered", run)):
        for kind, model, method in (("fold", models / "fold0", "vote"), ("mean", models, "mean")):
            folders[f"{name} {kind}"] = out = tmp_path_factory.mktemp(kind)
            predict(model, scan, out, method, pages=False, probabilities=True)
    return folders


def levels(folder: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "probabilities" / "a.nii.gz")))


def told(folder: Path) -> dict[str, object]:
    return json.loads((folder / "a.json").read_text())["probabilities"]


@pytest.mark.parametrize("kind", ["fold", "mean"])
def test_labels_are_the_same_byte_for_byte(written, kind):
    plain, changed = (written[f"{name} {kind}"] / "a.nii.gz" for name in ("plain", "tempered"))
    assert plain.read_bytes() == changed.read_bytes()
    assert 3 in np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(plain))))


def test_a_folds_probabilities_are_tempered_and_its_json_says_so(written):
    before, after = levels(written["plain fold"]), levels(written["tempered fold"])
    expected = tempered(before / 255, FOUND.temperature) * 255
    # Files hold whole levels, here of both sides, and low ones are spread the most
    known = (before > 5) & (before < 250)
    assert np.abs(after - expected)[known].max() < 3
    assert np.abs(after.astype(int) - before).max() > 20
    assert told(written["tempered fold"]) == {"calibrated": True, "temperature": 2.5, "patients": 7}


def test_a_run_of_before_gives_what_its_network_says_and_tells_that(written, plain, scan):
    assert told(written["plain fold"]) == {"calibrated": False}
    with pb.load(plain / "fold0") as model:
        result = model.segment(scan)
    assert result.calibration == {"calibrated": False}
    own = np.rint(result.probability("infection") * 255).transpose(2, 1, 0)
    assert (own == levels(written["plain fold"])).all()


def test_a_mean_averages_tempered_probabilities(written, run, scan):
    assert told(written["tempered mean"]) == {"calibrated": True, "temperature": [2.5, 2.5], "patients": [7, 7]}
    alone = []
    for fold in ("fold0", "fold1"):
        with pb.load(run / fold) as model:
            alone.append(model.segment(scan).probability("infection"))
    difference = np.abs(levels(written["tempered mean"]) / 255 - np.mean(alone, axis=0).transpose(2, 1, 0))
    # It is averaged where windows overlap too, and tempered before it is interpolated
    assert np.median(difference) < 0.01
    assert difference.mean() < 0.02


def test_a_vote_is_not_called_calibrated(run, scan):
    with pb.load(run, method="vote") as model:
        assert model.segment(scan).calibration == {"calibrated": False}


def test_a_result_of_another_temperature_is_done_again(run, scan, tmp_path):
    folder, out = Path(shutil.copytree(run, tmp_path / "cv")), tmp_path / "out"
    predict(folder / "fold0", scan, out, pages=False, probabilities=True)
    write_temperature(folder, Temperature(1.5, 9, 9), "a rule")
    predict(folder / "fold0", scan, out, pages=False)
    assert told(out)["temperature"] == 2.5
    predict(folder / "fold0", scan, out, pages=False, probabilities=True)
    assert told(out) == {"calibrated": True, "temperature": 1.5, "patients": 9}


def test_a_file_of_somebody_else_is_not_replaced(run, scan, tmp_path):
    (tmp_path / "probabilities").mkdir()
    (tmp_path / "probabilities" / "a.nii.gz").write_bytes(b"mine")
    with pytest.raises(InputError, match="did not write"):
        predict(run / "fold0", scan, tmp_path, pages=False, probabilities=True)


def test_a_network_without_infection_has_no_probability_to_write(scan, tmp_path):
    folder = small_run("unet_3d", tmp_path / "cv", {**OVERRIDES, "label_map": "lungs"}, folds=1)
    with pytest.raises(InputError, match="does not tell infection from the rest"):
        predict(folder / "fold0", scan, tmp_path / "out", pages=False, probabilities=True)


@pytest.fixture
def of_two_voxels() -> Probabilities:
    """Background, left, right and infection: 0.1 0.2 0.3 0.4, and all infection."""
    shares = torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.4, 1.0]], dtype=torch.float16)
    grid = Geometry((2, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    front = Front(spacing_mm=(1.0, 1.0, 1.0))
    prepared = shares.view(4, *front.grid(grid).size)
    return Probabilities(prepared, front, grid, label_map("lungs_infection"), FOUND.temperature)


def test_what_is_not_infected_keeps_its_shares_of_the_rest(of_two_voxels):
    infection = of_two_voxels.of("infection", "a")
    assert infection.flat[0] == pytest.approx(tempered(np.array(0.4), 2.5), abs=1e-3)
    left, right = (of_two_voxels.of(name, "a").flat[0] for name in ("left_lung", "right_lung"))
    assert left == pytest.approx((1 - infection.flat[0]) * 0.2 / 0.6, abs=1e-3)
    assert right == pytest.approx(1.5 * left, rel=1e-2)
    names = ("background", "left_lung", "right_lung", "infection")
    assert sum(of_two_voxels.of(name, "a").flat[0] for name in names) == pytest.approx(1, abs=1e-5)
