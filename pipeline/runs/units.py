"""The units of a run, a fold of a network each: what is known of one, written down beside its results.

`run.json` in a cross-validation's folder has what a process needs to run one of its folds, so that units can run in any
order on any machine that sees the folder: `pneumobundle run-unit runs/unet_3d/cv 3`. `units/fold<k>.json`
says who ran a unit last and how that ended.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json, write_json
from pipeline.core.processes import process_began

RUN, UNITS = "run.json", "units"
# The record of what follows when all units are through
REPORT = "report"
RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"
# Of the environment that SLURM gives to a job
JOB = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")


@dataclass(frozen=True)
class Unit:
    """A fold of a cross-validation: all its trainings, and the segmentation of its held-out cases.

    Args:
        folder: of the cross-validation.
        fold: its number.
    """

    folder: str
    fold: int

    def __str__(self) -> str:
        return f"{self.folder} fold {self.fold}"


def record_file(folder: str | Path, name: str) -> Path:
    return Path(folder) / UNITS / f"{name}.json"


def read_record(folder: str | Path, name: str) -> dict[str, Any] | None:
    """What was written down when a unit was last run; None where it never was."""
    file = record_file(folder, name)
    return read_json(file) if file.is_file() else None


@contextmanager
def recorded(folder: str | Path, name: str) -> Iterator[None]:
    """Write down that this process runs something, and at the end of the block how that went."""
    file = record_file(folder, name)
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_began": process_began(os.getpid()),
        "job": slurm_job(),
        "began": time.time(),
    }
    write_json(file, {**mine, "state": RUNNING})
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, SystemExit | KeyboardInterrupt)
        end = {"state": STOPPED} if stopped else {"state": FAILED, "why": str(error) or type(error).__name__}
        # On a full disk the error itself matters more
        with suppress(OSError):
            write_json(file, {**mine, **end, "ended": time.time()})
        raise
    write_json(file, {**mine, "state": DONE, "ended": time.time()})


def slurm_job() -> str | None:
    """The SLURM job of this process, such as `12_3` for a task of an array; None outside SLURM."""
    array, task, job = (os.environ.get(name) for name in JOB)
    return f"{array}_{task}" if array and task else job


def lives(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record runs on this machine."""
    began = process_began(record["pid"])
    return record["host"] == socket.gethostname() and began is not None and began == str(record["process_began"])
