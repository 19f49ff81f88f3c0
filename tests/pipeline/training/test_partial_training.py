"""A training on labels of infection alone, of lungs alone and with voxels that nobody knows."""

import json
import math

import pytest
import SimpleITK as sitk
import torch
from trainings import workflow

from pipeline.core.annotation import IGNORED, PLACE
from pipeline.core.labels import IGNORE
from pipeline.phantom.dataset import write_phantom
from pipeline.training.checkpoint import MODEL, read_state

HELD = {"phantom_01": ([1, 2], ["infection"]), "phantom_02": ([3, 4, 5], ["left_lung", "right_lung"])}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three patients: a mask of infection, a mask of the lungs, and a whole label with a slab that nobody knows."""
    folder = tmp_path_factory.mktemp("partial")
    write_phantom(folder / "phantom", 3, coarsening=2.0)
    for case, (absent, _) in HELD.items():
        file = str(folder / "phantom" / "labels" / f"{case}.nii.gz")
        kept = {code: 0 if absent == [1, 2] else 1 for code in absent}
        sitk.WriteImage(sitk.ChangeLabel(sitk.ReadImage(file), kept), file)
    file = str(folder / "phantom" / "labels" / "phantom_03.nii.gz")
    label = sitk.ReadImage(file)
    label[:, :, :5] = IGNORE
    sitk.WriteImage(label, file)
    cases = [{"case": case, "annotates": annotates} for case, (_, annotates) in HELD.items()]
    (folder / "phantom" / "manifest.json").write_text(json.dumps({"cases": cases}))
    return folder


@pytest.mark.parametrize("augment_on", ["loader", "device"])
def test_a_network_is_trained_on_labels_of_three_kinds(tmp_path, data, tiny_training, augment_on):
    more = {"augment_on": augment_on, "max_epochs": 1, "iterations_per_epoch": 3}
    running = workflow(tiny_training(features=[4, 8, 8]), data, tmp_path, fold=1, **more)
    seen = []
    trainer = running.parser.get_parsed_content("train::trainer")
    loss = trainer.loss_function
    trainer.loss_function = lambda prediction, target: seen.append(target) or loss(prediction, target)
    running.run()
    running.finalize()
    numbers = {number for target in seen for number in target.unique().tolist()}
    assert max(numbers) > IGNORED
    assert len({number // PLACE for number in numbers}) > 1
    weights = read_state(tmp_path / "fold1" / MODEL)
    assert all(tensor.isfinite().all() for tensor in weights.values() if isinstance(tensor, torch.Tensor))
    history = (tmp_path / "fold1" / "history.csv").read_text().splitlines()
    assert all(math.isfinite(float(cell)) for cell in history[-1].split(",") if cell)
