"""Several processes of one training share its batches, and end as one process does."""

from __future__ import annotations

import csv
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from forked import forked, status_of
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from trainings import equal, state_of

from pipeline.core.atomic import write_json
from pipeline.core.configuration import COMMON, TRAIN, merged
from pipeline.core.errors import InputError
from pipeline.core.several_processes import RANK, environments, own_device, share
from pipeline.core.stop_signal import STOPPED_STATUS
from pipeline.runs.cross_validation import SEVERAL_GPUS

# Of the losses of two processes and of one: sums in another order, three epochs on
RELATIVE = 1e-4
EPOCHS = 3
LIMIT_S = 120


@pytest.fixture(scope="module")
def train(tiny_training, data):
    return partial(train_together, tiny_training(features=[4, 8, 8]), data)


@pytest.fixture(scope="module")
def one(train, tmp_path_factory):
    """The folder of a training in one process."""
    out = tmp_path_factory.mktemp("one")
    assert train(out, 1) == [0]
    return out


@pytest.fixture(scope="module")
def two(train, tmp_path_factory):
    """The folder of the same training in two."""
    out = tmp_path_factory.mktemp("two")
    assert train(out, 2) == [0, 0]
    return out


def train_together(tiny: dict, data: Path, out: Path, processes: int, before: Callable | None = None) -> list[int]:
    """Train in so many processes of their own; how each ended. `before` gets the trainer in the last one."""
    # Not in bfloat16, nor by Adam: for it a gradient that is nothing but rounding is as good as any other
    exact = {"mixed_precision": False, "optimizer": "@gradient_descent", "learning_rate": 0.05}
    overrides = {
        **tiny,
        **exact,
        "max_epochs": EPOCHS,
        "num_workers": 0,
        "val_interval": 1,
        "cache_dir": str(data / "cache"),
    }
    own = {"dataset_dir": str(data / "phantom"), "output_dir": str(out), "folds": 3}
    merged_file = out / "train.json"
    write_json(merged_file, merged(TRAIN, "unet_3d", "demo", overrides, own))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        each = environments(processes, free.getsockname()[1])
    files = [str(merged_file), *([str(SEVERAL_GPUS)] if processes > 1 else [])]
    started = [begin(files, environment, before if environment is each[-1] else None) for environment in each]
    return [status_of(number) for number in started]


def begin(files: list[str], environment: dict[str, str], before: Callable | None) -> int:
    """Train in a process of its own, which does not wait for ever for another that failed; its number."""

    def train() -> None:
        os.environ |= environment
        running = ConfigWorkflow(config_file=files, meta_file=str(COMMON / "metadata.json"), logging_file=False)
        running.initialize()
        if before is not None:
            before(running.parser.get_parsed_content("train::trainer"))
        # Without `finalize`: what is needed to go on is compared
        running.run()

    return forked(train, LIMIT_S)


def losses(out: Path) -> list[float]:
    with (out / "fold0" / "history.csv").open() as table:
        return [float(row[name]) for row in csv.DictReader(table) for name in ("train_loss", "val_loss")]


def test_two_processes_have_the_losses_of_one(one, two):
    assert losses(two) == pytest.approx(losses(one), rel=RELATIVE)


def test_only_the_first_writes(one, two):
    written = [sorted(file.suffix for file in out.rglob("*") if file.is_file()) for out in (one, two)]
    assert written[0] == written[1]


def test_all_stop_when_one_is_asked_to_and_go_on_to_the_same_end(train, two, tmp_path):
    def ask(trainer):
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda: os.kill(os.getpid(), signal.SIGUSR1))

    assert train(tmp_path, 2, ask) == [STOPPED_STATUS] * 2
    assert train(tmp_path, 2) == [0, 0]
    assert equal(state_of(tmp_path), state_of(two))


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(train, one, tmp_path):
    def ask(trainer):
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda: os.kill(os.getpid(), signal.SIGUSR1))

    assert train(tmp_path, 1, ask) == [STOPPED_STATUS]
    assert train(tmp_path, 2) == [0, 0]
    assert losses(tmp_path) == pytest.approx(losses(one), rel=RELATIVE)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="GPUS is 3, but a batch has 4 patches"):
        share(4)


def test_without_torchrun_it_says_so(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE is not set, .* begin with torchrun"):
        share(2)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in environments(2, 1)[1].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="GPUS is 2, but this machine lends 1"):
        own_device()


def test_each_process_is_told_its_place():
    assert [environment[RANK] for environment in environments(2, 29500)] == ["0", "1"]
