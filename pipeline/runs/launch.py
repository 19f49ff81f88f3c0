"""Where the units of a run are run: here, one after another or side by side, or on a SLURM cluster.

    pneumobundle finish runs/unet_3d/cv/slurm/work.json

is what a cluster runs when all units are through: the same run here, which then only evaluates and reports.
"""

from __future__ import annotations

import pydoc
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.core import logs
from pipeline.core.atomic import write_json
from pipeline.core.bundle_process import signals_passed_on
from pipeline.core.configuration import TRAIN, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.project import PROJECT, inner_name
from pipeline.data.study import load_study
from pipeline.folders.several import named_folders
from pipeline.runs.arguments import LOCAL, SLURM
from pipeline.runs.cluster import Cluster, bytes_of
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.preflight import (
    KEPT,
    WRITTEN,
    bytes_of_training,
    check_build,
    check_disk,
    check_memory,
    memory_of_training,
)
from pipeline.runs.slurm import WORK, check_queue, submit
from pipeline.runs.units import REPORT, Unit, recorded


class Work(Protocol):
    """A dataclass that is one cross-validation or is made of several."""

    gpus: int

    @property
    def place(self) -> Path:
        """The folder of what belongs to all of it."""

    def prepare(self) -> list[Unit]:
        """Check everything, write down what the units need, and give them."""

    def units(self) -> list[Unit]:
        """Of a work that was prepared."""

    def run(self) -> str | None:
        """Run what is missing, evaluate and report; what is left to print."""


def launch(work: Any, where: str = LOCAL, cluster: Mapping[str, Any] | str = "{}") -> None:
    """Run a `Work` here, or hand its units to a cluster with settings beyond cluster.yaml's; InputError for others."""
    if where == LOCAL:
        if (shown := work.run()) is not None:
            logs.result(shown)
    elif where == SLURM:
        given = dict(parse_overrides(cluster))
        dry = bool(given.pop("dry", False))
        asked = Cluster.read(given).with_gpus(work.gpus)
        if asked.report_anyway and not isinstance(work, CrossValidation):
            raise InputError("MISSING (report_anyway) is for `make cv`: other reports need all of their folds.")
        check_build(asked.gres, asked.container)
        check_queue(work.place, dry)
        units = work.prepare()
        left = [unit for unit in units if not _is_done(unit)]
        check_disk(work.place, bytes_needed(left, asked.at_once))
        if "gpu" not in (asked.gres or ""):
            check_memory(memory_needed(left), bytes_of(asked.mem), "a step")
        write_json(work.place / WORK, {**described(work), "anyway": asked.report_anyway})
        asked = asked.with_folders(folders_of(work, units))
        logs.result(submit(work.place, left, len(units), asked, dry))
    else:
        raise InputError(f"LAUNCH is {where!r}, expected {LOCAL} or {SLURM}.")


def folders_of(work: Any, units: Sequence[Unit]) -> list[str | Path]:
    """What the jobs of a work read and write: its results, and its data."""
    data = [getattr(work, name, None) for name in ("data_dir", "dataset_dir", "test_dir")]
    return [
        work.place,
        *(unit.folder for unit in units),
        *(name for each in data if each for name in named_folders(each)),
        *getattr(work, "outside", {}).values(),
    ]


def bytes_needed(units: Sequence[Unit], at_once: int) -> int:
    """On the disk, for the checkpoints of units of which so many run at the same time."""
    sizes = {}
    for folder in {unit.folder for unit in units}:
        training = CrossValidation.of(folder)
        sizes[folder] = [bytes_of_training(training.configuration(TRAIN, stage)) for stage in training.stages]
    written = sorted((WRITTEN * max(sizes[unit.folder]) for unit in units), reverse=True)
    return KEPT * sum(sum(sizes[unit.folder]) for unit in units) + sum(written[:at_once])


def memory_needed(units: Sequence[Unit]) -> int:
    """Of the largest training among units, on a CPU."""
    trainings = [CrossValidation.of(folder) for folder in {unit.folder for unit in units}]
    sizes = [memory_of_training(each.configuration(TRAIN, stage)) for each in trainings for stage in each.stages]
    return max(sizes, default=0)


def described(work: Any) -> dict[str, Any]:
    """What `made` makes the same work of again."""
    if not is_dataclass(work) or isinstance(work, type):
        raise TypeError(f"{work!r} is no instance of a dataclass")
    module = type(work).__module__
    # The same in a checkout and in a wheel
    return {"what": f"{PROJECT}.{inner_name(module)}.{type(work).__qualname__}", "arguments": asdict(work)}


def made(description: Mapping[str, Any]) -> Any:
    """The work of a description."""
    kind: Any = pydoc.locate(description["what"])
    return kind(**description["arguments"])


def finish(work: Any, anyway: bool = False) -> None:
    """Evaluate and report; of a cross-validation `anyway` where units are not done, else InputError naming them."""
    with recorded(work.place, REPORT):
        units = work.units()
        missing = [str(unit) for unit in units if not _is_done(unit)]
        if missing and anyway:
            work.evaluate_finished()
            return
        if missing:
            raise InputError(
                f"{len(missing)} of {len(units)} are not done: {', '.join(missing)}; "
                f"`make status RUN={shlex.quote(str(work.place))}` says why."
            )
        with signals_passed_on():
            launch(work)


def _is_done(unit: Unit) -> bool:
    return CrossValidation.of(unit.folder).is_done(load_study(unit.folder), unit.fold)
