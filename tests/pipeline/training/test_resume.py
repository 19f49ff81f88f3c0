"""Trainings that are really killed, damaged, warned or out of disk end as if nothing had happened."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from forked import forked, status_of
from ignite.engine import Events
from trainings import equal, state_of, workflow

from pipeline.core.errors import InputError
from pipeline.core.stop_signal import STOP_WITHIN, STOPPED_STATUS, StopOnSignal
from pipeline.training.checkpoint import LAST, PREVIOUS, TrainingCheckpoint, read_state

EPOCHS = 12
# Seconds of computing after which a training is killed, from its start to some epochs later
MOMENTS_S = (0.2, 1.2)


@pytest.fixture(scope="module")
def begin(tiny_training, data):
    return partial(begin_training, tiny_training(features=[4, 8, 8]), data)


@pytest.fixture(scope="module")
def straight(begin, tmp_path_factory):
    """The folder of a training that nobody disturbed."""
    out = tmp_path_factory.mktemp("straight")
    assert status_of(begin(out)) == 0
    return out


def begin_training(tiny: dict, data: Path, out: Path, before: Callable | None = None) -> int:
    """Train in a process of its own; its number. What is needed to go on is kept at the end, to be compared.

    `before` gets the trainer.
    """

    def train() -> None:
        running = workflow(tiny, data, out, max_epochs=EPOCHS, lr_schedule="@plateau_schedule")
        if before is not None:
            before(running.parser.get_parsed_content("train::trainer"))
        running.run()

    return forked(train)


def wait_for_cpu(number: int, seconds: float) -> None:
    """Wait until a child has computed for so long, or is over."""
    while True:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z" or sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") >= seconds:
            return
        time.sleep(0.005)


def kill_and_go_on(begin: Callable, folder: Path, kills: int, seed: int) -> list[Path]:
    """Trainings that are killed at random moments until there were so many kills; their folders."""
    moments, done = random.Random(seed), []
    while kills > 0 or not done:
        out = folder / str(len(done))
        while True:
            number = begin(out)
            if kills > 0:
                wait_for_cpu(number, moments.uniform(*MOMENTS_S))
                os.kill(number, signal.SIGKILL)
            status = status_of(number)
            if status == 0:
                break
            assert status == -signal.SIGKILL
            kills -= 1
        done.append(out)
    return done


@pytest.mark.parametrize("kills", [3, pytest.param(24, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_moments_equals_a_straight_one(begin, straight, kills, tmp_path):
    for out in kill_and_go_on(begin, tmp_path, kills, seed=kills):
        assert equal(state_of(out), state_of(straight))


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_training_that_is_asked_to_stop_saves_its_epoch_and_goes_on_later(begin, straight, number, tmp_path):
    def ask(trainer):
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=9), lambda: os.kill(os.getpid(), number))

    assert status_of(begin(tmp_path, ask)) == STOPPED_STATUS
    assert read_state(tmp_path / "fold0" / LAST)["epoch"] == 5
    assert status_of(begin(tmp_path)) == 0
    assert equal(state_of(tmp_path), state_of(straight))


def test_without_time_for_the_epoch_it_stops_at_the_step(begin, straight, monkeypatch, tmp_path):
    def ask(trainer):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=9), lambda: os.kill(os.getpid(), signal.SIGUSR1))

    monkeypatch.setenv(STOP_WITHIN, "0")
    assert status_of(begin(tmp_path, ask)) == STOPPED_STATUS
    assert read_state(tmp_path / "fold0" / LAST)["epoch"] == 4
    assert status_of(begin(tmp_path)) == 0
    assert equal(state_of(tmp_path), state_of(straight))


def test_a_full_disk_ends_the_training_and_loses_an_epoch_at_most(begin, straight, tmp_path):
    fold, last = tmp_path / "fold0", (straight / "fold0" / LAST).stat().st_size

    def fill(trainer):
        limit = (resource.RLIMIT_FSIZE, (last - 5000, last - 5000))
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=9), lambda: resource.setrlimit(*limit))

    assert status_of(begin(tmp_path, fill)) == 1
    assert read_state(fold / LAST)["epoch"] == 4
    assert [file.name for file in fold.glob(".*")] == []
    assert status_of(begin(tmp_path)) == 0
    assert equal(state_of(tmp_path), state_of(straight))


def test_what_a_kill_left_half_written_is_removed(begin, tmp_path):
    left = tmp_path / "fold0" / f".{'0f' * 16}.{LAST}"
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert status_of(begin(tmp_path)) == 0
    assert not left.exists()


@pytest.fixture
def saved(tmp_path):
    """A file of torch.save, and what is in it."""
    state = {"weight": torch.arange(3000.0), "history": {"rows": [{"epoch": 1, "val_loss": None}]}, "epoch": 7}
    torch.save(state, tmp_path / LAST)
    return tmp_path / LAST, state


def test_a_flipped_bit_is_noticed_or_changes_nothing(saved):
    file, state = saved
    whole, moments, noticed = file.read_bytes(), random.Random(0), 0
    for _ in range(200):
        damaged, place = bytearray(whole), moments.randrange(len(whole))
        damaged[place] ^= 1 << moments.randrange(8)
        file.write_bytes(damaged)
        try:
            assert equal(read_state(file), state), place
        except InputError:
            noticed += 1
    assert noticed > 100


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_noticed(saved, share):
    file, _ = saved
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=rf"{LAST} is damaged \(.+\); delete it\."):
        read_state(file)


def test_a_flipped_bit_in_the_newest_checkpoint_falls_back_to_the_one_before(begin, straight, tmp_path):
    def die(trainer):
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=9), lambda: os.kill(os.getpid(), signal.SIGKILL))

    assert status_of(begin(tmp_path, die)) == -signal.SIGKILL
    last = tmp_path / "fold0" / LAST
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 16
    last.write_bytes(content)
    assert status_of(begin(tmp_path)) == 0
    assert equal(state_of(tmp_path), state_of(straight))


def test_where_no_checkpoint_is_whole_it_says_that_it_begins_anew(tmp_path, caplog):
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"damaged")
    checkpoint = TrainingCheckpoint(tmp_path, {"network": torch.nn.Linear(1, 1)}, patience=5)
    checkpoint.resume(None)
    assert [LAST in caplog.text, PREVIOUS in caplog.text, "beginning anew" in caplog.text] == [True] * 3


def test_only_the_main_thread_is_asked_to_stop(monkeypatch):
    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr("threading.current_thread", lambda: None)
    StopOnSignal().attach(None)
    assert signal.getsignal(signal.SIGUSR1) is before
