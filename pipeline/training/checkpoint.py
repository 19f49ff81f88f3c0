"""Checkpoints: the best model for use, and the whole state of a training so that killing it loses at most an epoch."""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow

from pipeline.core.atomic import remove_unfinished, replacing, write_json
from pipeline.core.errors import InputError
from pipeline.core.machine import peak_memory_mib
from pipeline.core.provenance import provenance
from pipeline.core.shared_files import moved

logger = logging.getLogger(__name__)
MODEL, LAST, PREVIOUS, FINISHED = "model.pt", "last.pt", "previous.pt", "training.json"
REFUSE, AGAIN = "refuse", "again"
# What reading a damaged file can end in; torch and zipfile each have several of their own
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError,
    ValueError, AttributeError, TypeError, LookupError, ArithmeticError, MemoryError,
    AssertionError,
)  # fmt: skip
# How torch names what it does not unpickle
_GLOBAL = re.compile(r"GLOBAL ([\w.]{1,60})")


class TrainingCheckpoint:
    """Handler for a trainer, to be after those whose state it saves.

    After every epoch: `model.pt`, the network's plain state dict, when `metric` is the lowest so far, or always where
    the last epoch's weights are wanted; then `last.pt`, all that is needed to go on as if nothing had happened (the one
    before stays as `previous.pt`). At the start it goes on from `last.pt` when there is one. Training stops after
    `patience` epochs without a new lowest value. Of several processes of one training the first one writes, and all
    of them go on from its files.

    Args:
        folder: of this training.
        objects: name -> anything with state_dict and load_state_dict; `network` must be among them.
        patience: in epochs.
        metric: of `trainer.state.metrics`, lower is better.
        weights_of: `best` for those of the epoch with the lowest metric, `last` for those of the last epoch.
        weights_file: gets `model.pt` whenever a training ends, and `<its name>_final.pt` the last epoch's weights,
            where programs that train bundles look for them. What was there before stays as `<its name>_before.pt`.
            None for nowhere.
    """

    def __init__(
        self,
        folder: str | Path,
        objects: Mapping[str, Any],
        patience: int,
        metric: str = "train_loss",
        weights_of: str = "best",
        weights_file: str | Path | None = None,
    ) -> None:
        if weights_of not in ("best", "last"):
            raise InputError(f"weights_of is {weights_of!r}, expected best or last.")
        self.folder = Path(folder)
        self.objects = dict(objects)
        self.patience = patience
        self.metric = metric
        self.weights_of = weights_of
        self.weights_file = None if weights_file is None else Path(weights_file)
        self.resumed = False
        self.best = float("inf")
        self.best_epoch = 0
        self.seconds = 0.0

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.hand_over)

    def resume(self, engine: Workflow) -> None:
        """Restore the state after the last whole epoch, if there is one.

        Once: whoever runs a trainer again, as federated learning does round by round, goes on with what it gave it.
        """
        self.began = time.monotonic()
        if self.resumed:
            return
        self.resumed = True
        if idist.get_rank() == 0:
            remove_unfinished(self.folder)
        state = self._newest_state()
        if state is None:
            return
        try:
            for name, thing in self.objects.items():
                thing.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.folder}: holds the checkpoint of a training with other settings ({_first_line(error)}); choose "
                "another output folder, or delete this one to train anew."
            ) from error
        if engine.scaler is not None:
            engine.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["torch_rng"])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        self.best, self.best_epoch, self.seconds = state["best"], state["best_epoch"], state["seconds"]
        logger.info("%s: going on after epoch %d", self.folder, state["epoch"])
        self._stop_if_stale(engine)

    def save(self, engine: Workflow) -> None:
        value = float(engine.state.metrics[self.metric])
        improved = value < self.best
        if improved:
            self.best, self.best_epoch = value, engine.state.epoch
        if idist.get_rank() == 0:
            self._write(engine, improved)
        self._stop_if_stale(engine)

    def _write(self, engine: Workflow, improved: bool) -> None:
        if improved or self.weights_of == "last":
            save_atomically(self.objects["network"].state_dict(), self.folder / MODEL)
        last = self.folder / LAST
        state = {
            **{name: thing.state_dict() for name, thing in self.objects.items()},
            "scaler": {} if engine.scaler is None else engine.scaler.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "seconds": self._seconds_so_far(),
        }
        with replacing(last) as temporary:
            write_state(state, temporary)
            if last.exists():
                moved(last, self.folder / PREVIOUS)

    def hand_over(self, engine: Workflow) -> None:
        """Lay the weights where other programs look for them; nothing where nobody asked for that."""
        file = self.weights_file
        if file is None or idist.get_rank() > 0:
            return
        before = file.with_name(f"{file.stem}_before{file.suffix}")
        if file.is_file() and not before.exists():
            # No second name of it: not every file system has those
            with replacing(before) as temporary:
                shutil.copyfile(file, temporary)
        save_atomically(read_state(self.folder / MODEL), file)
        save_atomically(self.objects["network"].state_dict(), file.with_name(f"{file.stem}_final{file.suffix}"))

    def finish(self, engine: Workflow) -> None:
        """Mark the training as finished and drop what was only needed to go on; nothing where it never began."""
        if idist.get_rank() > 0 or not self.resumed:
            return
        peak_mib = peak_memory_mib()
        summary = {
            "epochs": engine.state.epoch,
            "max_epochs": engine.state.max_epochs,
            "steps": engine.state.iteration,
            "best_epoch": self.best_epoch,
            f"best_{self.metric}": self.best,
            "seconds": round(self._seconds_so_far(), 1),
            "peak_memory_mib": None if peak_mib is None else round(peak_mib),
            "device": str(engine.state.device),
            "torch": torch.__version__,
            "provenance": provenance(engine.state.device),
        }
        write_json(self.folder / FINISHED, summary)
        for name in (LAST, PREVIOUS):
            (self.folder / name).unlink(missing_ok=True)

    def _stop_if_stale(self, engine: Workflow) -> None:
        if engine.state.epoch - self.best_epoch >= self.patience:
            logger.info("%s: stopping, no lower %s for %d epochs", self.folder, self.metric, self.patience)
            engine.terminate()

    def _seconds_so_far(self) -> float:
        return self.seconds + time.monotonic() - self.began

    def _newest_state(self) -> dict[str, Any] | None:
        damaged = []
        for name in (LAST, PREVIOUS):
            file = self.folder / name
            if not file.exists():
                continue
            try:
                state: dict[str, Any] = read_state(file)
                return state
            except InputError as error:
                logger.warning("%s", error)
                damaged.append(name)
        if damaged:
            logger.warning("%s: no whole checkpoint is left, beginning anew", self.folder)
        return None


class Setting:
    """A value that a training keeps to its end: one of the `objects` of its checkpoint, which is refused with another.

    Args:
        name: as the configuration has it.
        value: plain.
    """

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def state_dict(self) -> dict[str, Any]:
        return {self.name: self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state[self.name] != self.value:
            raise ValueError(f"{self.name} was {state[self.name]}, now it is {self.value}")


def read_state(file: str | Path) -> Any:
    """What torch.save wrote, on the CPU; nothing but tensors and plain values is unpickled.

    Raises InputError where any part of the file is not what was written, or it holds more, such as code. torch.load
    alone would take a flipped bit for another weight: it does not compare the checksums that torch.save writes.
    """
    try:
        content = io.BytesIO(Path(file).read_bytes())
        with zipfile.ZipFile(content) as parts:
            _check_parts(parts, len(content.getbuffer()))
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        if named := _GLOBAL.search(str(error)):
            raise InputError(
                f"{file} holds more than weights ({named[1]}); loading that could run code on this machine, so it was "
                "not loaded; get the weights again from who trained them."
            ) from error
        raise InputError(f"{file} is damaged ({_first_line(error)}); delete it.") from error


def _check_parts(parts: zipfile.ZipFile, file_bytes: int) -> None:
    """Raise ValueError for parts of a checkpoint that are not as torch.save writes them; it packs none."""
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
        raise ValueError("a part of it is packed, as torch packs none")
    if sum(part.file_size for part in parts.infolist()) > file_bytes:
        raise ValueError("its parts are larger than the file")
    if (part := parts.testzip()) is not None:
        raise ValueError(f"the checksum of its {part} is another")


def save_atomically(state: Mapping[str, Any], file: str | Path) -> None:
    """torch.save under a temporary name, then rename."""
    with replacing(file) as temporary:
        write_state(state, temporary)


def write_state(state: Mapping[str, Any], file: Path) -> None:
    """torch.save, then wait until it is on the disk: a node that fails later must not leave a name without content."""
    # Into a stream: given a name, torch writes that into the file, and equal weights would not be equal files
    with file.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())


def load_weights(network: torch.nn.Module, file: str | Path) -> torch.nn.Module:
    """The network with the state dict of a file; nothing but tensors is unpickled.

    Raises InputError where the file is missing, damaged or does not fit.
    """
    if not Path(file).is_file():
        raise InputError(f"{file}: there is no such model; train first, or give MODEL another path.")
    state = read_state(file)
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"{file}: does not hold weights of this network ({_first_line(error)}); give the model that was trained "
            "with this network and preset."
        ) from error
    return network


def check_finished(folder: str | Path, when_finished: str = REFUSE) -> None:
    """Where a folder already holds a finished training: raise InputError, or let it be trained `again`."""
    if when_finished not in (REFUSE, AGAIN):
        raise InputError(f"when_finished is {when_finished!r}, expected {REFUSE} or {AGAIN}.")
    if not (Path(folder) / FINISHED).exists():
        return
    if when_finished == AGAIN:
        (Path(folder) / FINISHED).unlink()
    else:
        raise InputError(f"{folder}: this training is finished; choose another output folder, or delete this one.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] if lines else type(error).__name__
