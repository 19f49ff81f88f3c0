"""Progress is told in words, and a run of many hours is announced after its first steps."""

from __future__ import annotations

import itertools
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from pipeline.core.progress import PACE_ITERATIONS, InferenceProgress, TrainingProgress
from pipeline.core.progress_bar import Form

QUICKER = "PRESET=quick trains in minutes."


@pytest.fixture(autouse=True)
def log_file(monkeypatch, caplog):
    """No bars are drawn, and all that is logged is kept."""
    monkeypatch.setattr("pipeline.core.progress_bar.form", lambda: Form.LINES)
    caplog.set_level(logging.INFO, logger="pipeline.core.progress")


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock that goes on by ten seconds whenever it is read."""
    clock = itertools.count(step=10)
    monkeypatch.setattr("pipeline.core.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))


def engine(epoch: int = 1, max_epochs: int = 10, epoch_length: int = 100) -> Any:
    """As much of a trainer as the progress looks at."""
    metrics = {"train_loss": 1.23456}
    return SimpleNamespace(
        state=SimpleNamespace(epoch=epoch, max_epochs=max_epochs, epoch_length=epoch_length, metrics=metrics)
    )


def test_a_run_of_an_hour_is_announced(caplog):
    # 10 epochs of 100 steps of 3.6 s
    TrainingProgress("fold 2", quicker=QUICKER).warn_if_long(engine(), 3.6)
    assert caplog.messages == [
        "fold 2: at 3.60 s a step this takes up to 1.0 h (10 epochs of 100 steps, fewer if it stops early). "
        "PRESET=quick trains in minutes."
    ]


def test_a_run_of_less_than_an_hour_is_not_announced(caplog):
    TrainingProgress("fold 2", quicker=QUICKER).warn_if_long(engine(), 3.5)
    assert caplog.messages == []


def test_all_folds_count(caplog):
    TrainingProgress("fold 2", runs=5, quicker=QUICKER).warn_if_long(engine(), 0.9)
    assert "this takes up to 15 min, 1.2 h for all 5 folds (10 epochs" in caplog.text


def test_only_the_epochs_that_are_left_count(caplog):
    TrainingProgress("fold 2", quicker=QUICKER).warn_if_long(engine(epoch=8), 18)
    assert "takes up to 1.5 h (3 epochs of 100 steps" in caplog.text


def test_a_long_training_is_announced_once(caplog, slow_clock):
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(1.0), "image": torch.zeros(2, 1)})
    TrainingProgress("fold 2", quicker=QUICKER).attach(trainer)
    trainer.run(range(PACE_ITERATIONS + 2), max_epochs=100)
    assert caplog.text.count("takes up to") == 1


def test_an_epoch_is_a_line_with_its_loss(caplog, slow_clock):
    progress = TrainingProgress("fold 2")
    progress.epoch_started(engine(epoch=3))
    progress.epoch_completed(engine(epoch=3))
    assert caplog.messages == ["fold 2, epoch 3/10: train_loss 1.2346, 10 s, at most 1 min left"]


def test_a_segmented_case_is_a_line(caplog, slow_clock):
    evaluator = Engine(lambda engine, batch: None)
    InferenceProgress(["case_a", "case_b"]).attach(evaluator)
    evaluator.run(range(2))
    assert caplog.messages == ["segmented case_a, 1 of 2, 10.0 s", "segmented case_b, 2 of 2, 10.0 s"]
