"""What fits of another model is begun with, the rest is named, and what was taken over may stay for a while."""

from __future__ import annotations

import csv
import logging
import re

import pytest
import torch
from ignite.engine import Engine
from trainings import workflow

from pipeline.core.errors import InputError
from pipeline.networks.miscnn_unet import MIScnnUNet
from pipeline.phantom.dataset import write_phantom
from pipeline.training.transfer import FrozenAtFirst, Transferred, begin_with, weights_file

LAST = {"output.weight", "output.bias"}


def network(seed: int, classes: int = 4, channels: int = 1) -> MIScnnUNet:
    torch.manual_seed(seed)
    return MIScnnUNet(channels, classes, features=(2, 4))


@pytest.fixture
def model(tmp_path):
    torch.save(network(0).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_the_same_network_takes_all_over(model):
    mine = network(1)
    assert begin_with(mine, model) == Transferred(frozenset(mine.state_dict()), {})
    assert all(torch.equal(tensor, mine.state_dict()[name]) for name, tensor in network(0).state_dict().items())


def test_with_other_classes_the_last_layer_begins_anew_and_the_log_says_so(model, caplog):
    mine, fresh = network(1, classes=2), network(1, classes=2)
    with caplog.at_level(logging.INFO):
        found = begin_with(mine, model)
    assert found.anew is not None
    assert found.anew.keys() == LAST
    assert torch.equal(mine.output.weight, fresh.output.weight)
    assert torch.equal(mine.encoder[0].units[0][0].weight, network(0).encoder[0].units[0][0].weight)
    assert "output.weight begins anew: it has shape 4 x 2 x 1 x 1 x 1 there, 2 x 2 x 1 x 1 x 1 here" in caplog.text
    assert re.search(r"output +0 of 2", caplog.text)


def test_with_other_channels_the_first_layer_begins_anew(model):
    found = begin_with(network(1, channels=2), model)
    assert found.anew is not None
    assert set(found.anew) == {"encoder.0.units.0.0.weight"}


def test_without_a_model_nothing_happens():
    mine = network(1)
    assert begin_with(mine, None) == Transferred()
    assert torch.equal(mine.output.weight, network(1).output.weight)


@pytest.mark.parametrize("place", ["model.pt", "models/model.pt"])
def test_a_fold_and_a_bundle_may_be_named_by_their_folders(tmp_path, place):
    file = tmp_path / "folder" / place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert weights_file(tmp_path / "folder") == file


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no such model; give a model\.pt, the folder"):
        begin_with(network(1), tmp_path)


def test_a_model_of_which_nothing_fits_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match="does not hold weights of this network, none of its 2 tensors fits"):
        begin_with(network(1), tmp_path / "other.pt")


def test_what_was_transferred_stays_for_the_first_epochs_alone(model):
    mine = network(1, classes=2)
    found = begin_with(mine, model)
    optimizer = torch.optim.Adam(mine.parameters(), lr=0.1)
    changed = []

    def step(engine, batch):
        before = {name: weight.detach().clone() for name, weight in mine.named_parameters()}
        optimizer.zero_grad()
        mine(torch.ones(1, 1, 4, 4, 4)).square().mean().backward()
        optimizer.step()
        changed.append({name for name, weight in mine.named_parameters() if not torch.equal(weight, before[name])})

    trainer = Engine(step)
    FrozenAtFirst(mine, found, 2).attach(trainer)
    trainer.run([0], max_epochs=3)
    assert changed[:2] == [LAST, LAST]
    assert changed[2] > LAST


def test_lungs_learnt_first_make_infection_learn_faster(tiny_training, tmp_path):
    """On the phantom, in every epoch."""
    write_phantom(tmp_path / "phantom", patients=3, coarsening=4.0)
    settings = {**tiny_training(features=[4, 8]), "iterations_per_epoch": 8, "mixed_precision": False}

    def losses(name, **more):
        training = workflow(settings, tmp_path, tmp_path / name, **more)
        training.run()
        training.finalize()
        with (tmp_path / name / "fold0" / "history.csv").open() as table:
            return [float(row["train_loss"]) for row in csv.DictReader(table)]

    losses("lungs", label_map="lungs", max_epochs=8)
    anew = losses("anew", label_map="infection", max_epochs=3)
    begun = losses("begun", label_map="infection", max_epochs=3, begin_with=str(tmp_path / "lungs" / "fold0"))
    assert [after < before for after, before in zip(begun, anew, strict=True)] == [True, True, True]
