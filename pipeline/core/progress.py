"""How far a training or an inference is: a line an epoch or a case, and a bar within them."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow

from pipeline.core.atomic import write_json
from pipeline.core.machine import memory_in_words
from pipeline.core.progress_bar import LOG_EVERY_S, Form, Progress, duration

logger = logging.getLogger(__name__)
LONG_RUN_S = 3600.0
PACE_ITERATIONS = 5
# In a training's folder: how far it is
PROGRESS = "progress.json"


class TrainingProgress:
    """Handler for a trainer: a line an epoch, a bar within it on a terminal, and a warning before a long run.

    Args:
        name: said at the start of each line, such as `fold 2`.
        runs: how many runs like this one the user asked for; the warning counts them all.
        quicker: what to say when the run will take over an hour, such as the name of a quicker preset; "" for nothing.
        folder: gets `progress.json`, which `make status` reads, at the end of every epoch and every half minute; None
            for no such file.
    """

    def __init__(self, name: str, runs: int = 1, quicker: str = "", folder: str | Path | None = None) -> None:
        self.name = name
        self.runs = runs
        self.quicker = quicker
        self.folder = None if folder is None else Path(folder)
        self.within: Progress | None = None

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def started(self, engine: Workflow) -> None:
        self.paces: list[float] = []
        self.warned = False
        self.last = self.told = time.monotonic()

    def epoch_started(self, engine: Workflow) -> None:
        self.epoch_began = self.last = time.monotonic()
        if idist.get_rank() == 0:
            self.within = Progress(self._epoch(engine), engine.state.epoch_length, with_lines=False)

    def iteration_completed(self, engine: Workflow) -> None:
        now = time.monotonic()
        self.paces.append(now - self.last)
        self.last = now
        if self.within is not None:
            # Of a GPU the loss is waited for, so not where nobody sees it
            seen = self.within.form in (Form.BAR, Form.EVENTS)
            self.within.advance(**({"loss": engine.state.output["loss"].item()} if seen else {}))
        if not self.warned and len(self.paces) == PACE_ITERATIONS:
            self.warned = True
            self.warn_if_long(engine, sorted(self.paces)[len(self.paces) // 2])
        if now - self.told > LOG_EVERY_S:
            self.told = now
            self.heartbeat(engine, now - self.epoch_began)

    def heartbeat(self, engine: Workflow, seconds: float) -> None:
        """Within a long epoch: that it lives, how fast it is, and what it holds of the memory."""
        steps = engine.state.iteration - (engine.state.epoch - 1) * engine.state.epoch_length
        loss = engine.state.output["loss"].item()
        patches = steps * engine.state.output["image"].shape[0] * idist.get_world_size()
        whole = seconds / steps * engine.state.epoch_length
        self.write(engine, {"loss": loss}, whole, whole - seconds)
        if self.within is None or self.within.form is not Form.BAR:
            logger.info(
                "%s: step %d of %d, loss %.4f, %.3g patches/s, %s",
                self._epoch(engine), steps, engine.state.epoch_length, loss, patches / seconds, memory_in_words(),
            )  # fmt: skip

    def write(self, engine: Workflow, losses: dict[str, float], epoch_s: float, this_epoch_s: float) -> None:
        """Note how far it is; `epoch_s` is what an epoch takes and `this_epoch_s` what is left of this one."""
        if self.folder is None or idist.get_rank() > 0:
            return
        left = this_epoch_s + epoch_s * (engine.state.max_epochs - engine.state.epoch)
        state = {"epoch": engine.state.epoch, "max_epochs": engine.state.max_epochs}
        numbers = {name: round(value, 4) for name, value in losses.items() if value == value}
        write_json(self.folder / PROGRESS, {**state, "losses": numbers, "seconds_left": round(left), "at": time.time()})

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
        if self.within is not None:
            self.within.close()
            self.within = None
        seconds = time.monotonic() - self.epoch_began
        left = seconds * (engine.state.max_epochs - engine.state.epoch)
        self.told = time.monotonic()
        self.write(engine, engine.state.metrics, seconds, 0.0)
        losses = ", ".join(f"{name} {value:.4f}" for name, value in engine.state.metrics.items())
        logger.info("%s: %s, %.0f s, at most %s left", self._epoch(engine), losses, seconds, duration(left))

    def _epoch(self, engine: Workflow) -> str:
        return f"{self.name}, epoch {engine.state.epoch}/{engine.state.max_epochs}"


class InferenceProgress:
    """Handler for an evaluator with one case a step: a line a case with its seconds, and when all will be done."""

    def __init__(self, cases: list[str]) -> None:
        self.cases = cases

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Workflow) -> None:
        self.last = time.monotonic()
        self.all = Progress("segmenting", len(self.cases))

    def completed(self, engine: Workflow) -> None:
        self.all.close()

    def iteration_completed(self, engine: Workflow) -> None:
        now = time.monotonic()
        done = engine.state.iteration
        logger.info("segmented %s, %d of %d, %.1f s", self.cases[done - 1], done, len(self.cases), now - self.last)
        self.last = now
        self.all.advance()
