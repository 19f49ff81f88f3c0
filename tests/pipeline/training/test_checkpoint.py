"""A training that was killed goes on as if nothing had happened."""

from __future__ import annotations

import os
import zipfile
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from trainings import workflow

from pipeline.core.errors import InputError, input_error_in, one_sentence
from pipeline.training.checkpoint import FINISHED, TrainingCheckpoint, check_finished, load_weights

# Noise too, whose random numbers are drawn on the device
ON_DEVICE = {"augment_on": "device", "augmentation_probability": 0.5}


@pytest.fixture(scope="module")
def train(tiny_training):
    return partial(train_with, tiny_training(features=[4, 8, 8]))


def train_with(tiny, data, out, until=None, **more):
    """Train to the end, or to the middle of the epoch after `until`; the trainer."""
    running = workflow(tiny, data, out, **more)
    trainer = running.parser.get_parsed_content("train::trainer")
    if until is not None:

        def die(engine):
            if engine.state.epoch > until:
                raise KeyboardInterrupt

        trainer.add_event_handler(Events.ITERATION_COMPLETED, die)
        with pytest.raises(KeyboardInterrupt):
            running.run()
    else:
        running.run()
        running.finalize()
    return trainer


def test_the_seed_alone_decides_the_first_weights(tiny_training, data, tmp_path):
    begun = []
    for before in (1, 2):
        torch.manual_seed(before)
        ready = workflow(tiny_training(features=[4, 8, 8]), data, tmp_path)
        begun.append(ready.parser.get_parsed_content("network").state_dict())
    assert equal(*begun)


def weights(out):
    return torch.load(out / "fold0" / "model.pt", weights_only=True)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def straight(train, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    train(data, out)
    return out


@pytest.mark.parametrize("until", [0, 1, 3])
def test_a_resumed_training_ends_with_the_same_weights_bit_for_bit(train, until, data, straight, tmp_path):
    train(data, tmp_path, until=until)
    train(data, tmp_path)
    assert equal(weights(tmp_path), weights(straight))


def test_a_resumed_training_keeps_its_whole_history(train, data, straight, tmp_path):
    train(data, tmp_path, until=2)
    train(data, tmp_path)
    histories = [(folder / "fold0" / "history.csv").read_text() for folder in (tmp_path, straight)]
    assert histories[0] == histories[1]


def test_workers_do_not_change_the_result(train, data, straight, tmp_path):
    train(data, tmp_path, num_workers=2)
    assert equal(weights(tmp_path), weights(straight))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(train, data, straight, tmp_path, caplog):
    train(data, tmp_path, until=2)
    last = tmp_path / "fold0" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    train(data, tmp_path)
    assert "last.pt is damaged" in caplog.text
    assert equal(weights(tmp_path), weights(straight))


def test_training_stops_when_the_loss_no_longer_falls(train, data, tmp_path):
    trainer = train(data, tmp_path, max_epochs=30, early_stop_patience=2, learning_rate=0.0, val_interval=0)
    assert trainer.state.epoch < 30


def test_a_checkpoint_of_other_settings_is_refused(train, data, tmp_path):
    train(data, tmp_path, until=1)
    with pytest.raises(Exception, match="Failed to") as failure:
        train(data, tmp_path, **{"network_def::features": [4, 8, 16]})
    assert "other settings" in repr(failure.value.__cause__) or "other settings" in str(failure.getrepr(style="long"))


@pytest.fixture(scope="module")
def straight_on_device(train, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight_on_device")
    train(data, out, **ON_DEVICE)
    return out


def test_a_resumed_training_augmented_on_the_device_is_equal_bit_for_bit(train, data, straight_on_device, tmp_path):
    train(data, tmp_path, until=1, **ON_DEVICE)
    train(data, tmp_path, **ON_DEVICE)
    assert equal(weights(tmp_path), weights(straight_on_device))


def test_workers_do_not_change_what_is_augmented_on_the_device(train, data, straight_on_device, tmp_path):
    train(data, tmp_path, num_workers=2, **ON_DEVICE)
    assert equal(weights(tmp_path), weights(straight_on_device))


@pytest.mark.parametrize(("began", "asked"), [("loader", "device"), ("device", "loader")])
def test_a_training_does_not_go_on_augmenting_elsewhere(began, asked, train, data, tmp_path):
    train(data, tmp_path, until=1, augment_on=began)
    with pytest.raises(Exception, match="Failed to") as failure:
        train(data, tmp_path, augment_on=asked)
    told = one_sentence(input_error_in(failure.value))
    assert f"with other settings (augment_on was {began}, now it is {asked}); choose another output folder" in told


def test_a_finished_training_is_not_begun_again(straight):
    with pytest.raises(InputError, match="is finished"):
        check_finished(straight / "fold0")


def test_weights_of_another_network_are_refused(straight):
    with pytest.raises(InputError, match="does not hold weights of this network"):
        load_weights(torch.nn.Conv3d(1, 1, 1), straight / "fold0" / "model.pt")


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.pt: there is no such model"):
        load_weights(torch.nn.Conv3d(1, 1, 1), tmp_path / "no.pt")


class Planted:
    """Pickled, it is a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(("function", "named"), [(open, r"io\.open"), (os.mkdir, r"posix\.mkdir")])
def test_pickled_code_in_a_model_is_told_and_not_run(tmp_path, function, named):
    torch.save({"weight": Planted(function, str(tmp_path / "was_here"), 511)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"model\.pt.* holds more than weights \({named}\)"):
        load_weights(torch.nn.Conv3d(1, 1, 1), tmp_path / "model.pt")
    assert not (tmp_path / "was_here").exists()


def test_pickled_code_in_the_state_of_a_training_is_not_run(tmp_path, caplog):
    torch.save({"network": Planted(os.mkdir, str(tmp_path / "was_here"))}, tmp_path / "last.pt")
    checkpoint = TrainingCheckpoint(tmp_path, {"network": torch.nn.Linear(1, 1)}, patience=9)
    checkpoint.resume(SimpleNamespace(scaler=None))
    assert "last.pt holds more than weights (posix.mkdir)" in caplog.text
    assert not (tmp_path / "was_here").exists()


def test_a_pickle_that_names_no_tensor_where_it_should_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as parts:
        # A number where torch asserts the name of a tensor's numbers
        parts.writestr("archive/data.pkl", b"\x80\x02K\x03Q.")
        parts.writestr("archive/version", b"3\n")
    with pytest.raises(InputError, match=r"model\.pt is damaged"):
        load_weights(torch.nn.Conv3d(1, 1, 1), tmp_path / "model.pt")


def test_a_model_that_unpacks_to_more_than_itself_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(InputError, match="a part of it is packed, as torch packs none"):
        load_weights(torch.nn.Conv3d(1, 1, 1), tmp_path / "model.pt")


@pytest.mark.parametrize(("weights_of", "kept"), [("best", 2.0), ("last", 3.0)])
def test_the_model_is_that_of_the_best_or_the_last_epoch(tmp_path, weights_of, kept):
    network = torch.nn.Linear(1, 1, bias=False)
    checkpoint = TrainingCheckpoint(tmp_path, {"network": network}, patience=9, weights_of=weights_of)
    checkpoint.began = 0.0
    for epoch, loss in ((1, 0.8), (2, 0.5), (3, 0.6)):
        torch.nn.init.constant_(network.weight, epoch)
        state = SimpleNamespace(metrics={"train_loss": loss}, epoch=epoch, iteration=epoch)
        checkpoint.save(SimpleNamespace(state=state, scaler=None))
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == kept


def test_other_weights_than_the_best_or_the_last_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^weights_of is 'lats', expected best or last\.$"):
        TrainingCheckpoint(tmp_path, {}, patience=9, weights_of="lats")


def test_a_training_that_never_began_is_not_finished(tmp_path):
    TrainingCheckpoint(tmp_path, {}, patience=1).finish(SimpleNamespace(state=None))
    assert not (tmp_path / FINISHED).exists()


def test_of_several_processes_only_the_first_one_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    state = SimpleNamespace(metrics={"train_loss": 1.0}, epoch=1)
    checkpoint = TrainingCheckpoint(tmp_path, {"network": torch.nn.Linear(1, 1)}, patience=5)
    checkpoint.save(SimpleNamespace(state=state))
    checkpoint.finish(SimpleNamespace(state=state))
    assert (checkpoint.best, list(tmp_path.iterdir())) == (1.0, [])
