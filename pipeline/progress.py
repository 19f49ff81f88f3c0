"""Progress for people: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ignite.engine import Events
from monai.engines import Workflow
from tqdm import tqdm

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
LOG_EVERY_S = 30.0
LONG_RUN_S = 3600.0
PACE_ITERATIONS = 5


def progress_bar(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Iterate with a bar on a terminal, with one line every half minute elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, leave=False)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > LOG_EVERY_S:
            last = time.monotonic()
            logger.info("%s: %d of %d", what, done, total)


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3.2 h`, `5.4 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


class TrainingProgress:
    """Handler for a trainer: a line an epoch, a bar within it on a terminal, and a warning before a long run.

    Args:
        name: said at the start of each line, such as `fold 2`.
        runs: how many runs like this one the user asked for; the warning counts them all.
        quicker: what to say when the run will take over an hour, such as the name of a quicker preset; "" for nothing.
    """

    def __init__(self, name: str, runs: int = 1, quicker: str = "") -> None:
        self.name = name
        self.runs = runs
        self.quicker = quicker
        self.bar: Any = None

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def started(self, engine: Workflow) -> None:
        self.paces: list[float] = []
        self.warned = False
        self.last = time.monotonic()

    def epoch_started(self, engine: Workflow) -> None:
        self.epoch_began = self.last = time.monotonic()
        if sys.stderr.isatty():
            self.bar = tqdm(total=engine.state.epoch_length, desc=self._epoch(engine), leave=False)

    def iteration_completed(self, engine: Workflow) -> None:
        now = time.monotonic()
        self.paces.append(now - self.last)
        self.last = now
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{engine.state.output['loss'].item():.3f}", refresh=False)
            self.bar.update()
        if not self.warned and len(self.paces) == PACE_ITERATIONS:
            self.warned = True
            self.warn_if_long(engine, sorted(self.paces)[len(self.paces) // 2])

    def warn_if_long(self, engine: Workflow, pace_s: float) -> None:
        """Say how long the run takes at most, from the median of the first steps."""
        epochs_left = engine.state.max_epochs - engine.state.epoch + 1
        seconds = pace_s * engine.state.epoch_length * epochs_left
        if seconds * self.runs < LONG_RUN_S:
            return
        all_runs = f", {duration(seconds * self.runs)} for all {self.runs} folds" if self.runs > 1 else ""
        logger.warning(
            "%s: at %.2f s a step this takes up to %s%s (%d epochs of %d steps, fewer if it stops early). %s",
            self.name, pace_s, duration(seconds), all_runs, epochs_left, engine.state.epoch_length, self.quicker,
        )  # fmt: skip

    def epoch_completed(self, engine: Workflow) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        seconds = time.monotonic() - self.epoch_began
        left = seconds * (engine.state.max_epochs - engine.state.epoch)
        losses = ", ".join(f"{name} {value:.4f}" for name, value in engine.state.metrics.items())
        logger.info("%s: %s, %.0f s, at most %s left", self._epoch(engine), losses, seconds, duration(left))

    def _epoch(self, engine: Workflow) -> str:
        return f"{self.name}, epoch {engine.state.epoch}/{engine.state.max_epochs}"


class InferenceProgress:
    """Handler for an evaluator with one case a step: a line a case with its seconds."""

    def __init__(self, cases: list[str]) -> None:
        self.cases = cases

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)

    def started(self, engine: Workflow) -> None:
        self.last = time.monotonic()

    def iteration_completed(self, engine: Workflow) -> None:
        now = time.monotonic()
        done = engine.state.iteration
        logger.info("segmented %s, %d of %d, %.1f s", self.cases[done - 1], done, len(self.cases), now - self.last)
        self.last = now
