"""Ending a training when it is asked to: before a time limit, or by `kill`, so that the same command goes on later."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from ignite.engine import Events
from monai.engines import Workflow

from pipeline.core.several_processes import any_of_them

logger = logging.getLogger(__name__)
# Before a cluster's time limit, what `kill` and a shutdown send, and Ctrl-Break of Windows, which has not the first one
SIGNALS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGTERM", "SIGBREAK") if hasattr(signal, name))
# The exit status of what was stopped and can go on: "temporary failure", EX_TEMPFAIL of sysexits.h
STOPPED_STATUS = 75
# How long a training may still take after the signal
STOP_WITHIN = "PNEUMOBUNDLE_STOP_WITHIN_S"
# SLURM kills this long after SIGTERM unless it was set up otherwise
STOP_WITHIN_S = 25.0


class StopOnSignal:
    """Handler for a trainer, to be attached after the one that saves its state.

    After SIGUSR1 or SIGTERM, on Windows Ctrl-Break, the process ends with status STOPPED_STATUS: when the epoch is over
    and saved, where that is within the seconds that the environment's PNEUMOBUNDLE_STOP_WITHIN_S says, else at the next
    step, and then the begun epoch is lost. Nothing that an epoch computes depends on where the training went on.
    Several processes of one training end in the same step, all as soon as one of them has to: one alone would leave the
    others waiting.
    """

    def __init__(self) -> None:
        self.stop_at: float | None = None
        self.after_steps = 0.0

    def attach(self, engine: Workflow) -> None:
        # Python lets the main thread alone handle signals
        if threading.current_thread() is not threading.main_thread():
            return
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Workflow) -> None:
        self.before: dict[int, Any] = {number: signal.signal(number, self.asked) for number in SIGNALS}

    def completed(self, engine: Workflow) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def asked(self, number: int, frame: FrameType | None) -> None:
        if self.stop_at is None:
            self.stop_at = time.monotonic() + float(os.environ.get(STOP_WITHIN, STOP_WITHIN_S))

    def epoch_started(self, engine: Workflow) -> None:
        self.epoch_began = time.monotonic()

    def iteration_completed(self, engine: Workflow) -> None:
        self.last_step = time.monotonic()
        if any_of_them(self.stop_at is not None and not self.in_time(engine)):
            self.stop(engine.state.epoch - 1)

    def in_time(self, engine: Workflow) -> bool:
        """Whether the epoch would be over and saved before this has to end."""
        steps = engine.state.iteration - (engine.state.epoch - 1) * engine.state.epoch_length
        left = (self.last_step - self.epoch_began) / steps * (engine.state.epoch_length - steps)
        return self.stop_at is None or self.last_step + left + self.after_steps <= self.stop_at

    def epoch_completed(self, engine: Workflow) -> None:
        # Validation and saving, which the next epoch has too
        self.after_steps = time.monotonic() - self.last_step
        if any_of_them(self.stop_at is not None) and engine.state.epoch < engine.state.max_epochs:
            self.stop(engine.state.epoch)

    def stop(self, epoch: int) -> None:
        logger.warning("stopped as asked, the same command goes on after epoch %d", epoch)
        raise SystemExit(STOPPED_STATUS)
