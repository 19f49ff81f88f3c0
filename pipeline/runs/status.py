"""What of a run is queued, running, done or failed, and why; and its end.

    pneumobundle status runs/unet_3d/cv
    pneumobundle cancel runs/unet_3d/cv

It reads what the units write beside their results, and asks SLURM where the run was handed to it; so it tells of runs
on this machine as well, and does without SLURM's accounting.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.progress import PROGRESS
from pipeline.core.progress_bar import duration
from pipeline.data.study import load_study
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.shards import NAME, scans_done, shards_of
from pipeline.runs.slurm_queue import FOLDER, active_jobs, cancel, is_over, job_ids, jobs_of, known_jobs
from pipeline.runs.units import DONE, FAILED, REPORT, RUN, RUNNING, STOPPED, Unit, lives, read_record
from pipeline.training.checkpoint import FINISHED

# SLURM's reasons for a job that nothing but another wish, or another cluster, gets out of the queue
HOPELESS = ("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints")
QUEUED, WAITING, CANCELLED, LOST = "queued", "not begun", "cancelled", "lost"


@dataclass(frozen=True)
class Line:
    """The state of a unit, or of the report, and what there is to say about it."""

    name: str
    state: str
    why: str = ""


def status_lines(folder: str | Path) -> list[Line]:
    """A line a unit of a run, and one for the report's job; InputError where no run was begun."""
    folder = Path(folder)
    jobs = jobs_of(folder)
    submitted = {
        Unit(*unit): f"{array['job']}_{place}" for array in jobs["arrays"] for place, unit in enumerate(array["units"])
    }
    units = list(submitted) + [unit for unit in _begun(folder) if unit not in submitted]
    if not units and "finish" not in jobs:
        raise InputError(f"RUN is {folder}: no run was begun there; give a folder such as runs/unet_3d/cv.")
    known = known_jobs(job_ids(folder))
    if shards_of(folder):
        return shard_lines(folder, known)
    lines = [unit_line(unit, submitted.get(unit), known) for unit in sorted(units, key=_order)]
    if "finish" in jobs:
        lines.append(_line("report", read_record(folder, REPORT), jobs["finish"], known, ""))
    return lines


def shard_lines(folder: Path, known: Mapping[str, tuple[str, str]]) -> list[Line]:
    """A line a task of `pipeline.runs.shards`, by SLURM's queue alone, one for the scans, and one for the table."""
    jobs = jobs_of(folder)
    tasks = {
        f"{NAME} {task}": f"{array['job']}_{task}" for array in jobs["arrays"] for task in range(shards_of(folder))
    }
    tasks |= {"table": jobs["finish"]} if "finish" in jobs else {}
    scans, done, failed = scans_done(folder)
    state = DONE if done == scans else FAILED if done + failed == scans else RUNNING
    if state == RUNNING and not any(not is_over(told) for told, _ in known.values()):
        state = STOPPED
    counted = Line("scans", state, f"{done} of {scans} segmented" + (f", {failed} failed" if failed else ""))
    return [counted, *(_shard_line(name, job, *known.get(job, ("", ""))) for name, job in tasks.items())]


def _shard_line(name: str, job: str, state: str, reason: str) -> Line:
    if state == "PENDING":
        return Line(name, QUEUED, queued(job, reason))
    if not state:
        return Line(name, LOST, f"SLURM has forgotten job {job}")
    if not is_over(state):
        return Line(name, RUNNING, f"job {job}")
    if state in ("COMPLETED", "CANCELLED"):
        return Line(name, DONE if state == "COMPLETED" else CANCELLED)
    return Line(name, FAILED, f"job {job} ended as {state}; its log says why")


def queued(job: str, reason: str) -> str:
    """A job in the queue, why it is there, and what to do where it will stay there."""
    if reason not in HOPELESS:
        return f"job {job}, {reason}"
    return f"job {job} will never run ({reason}): no node has what it asks for; `make cancel`, then ask for less"


def _order(unit: Unit) -> tuple[str, int]:
    return unit.folder, unit.fold


def _begun(folder: Path) -> list[Unit]:
    """The units of all cross-validations in a folder, by what they wrote down."""
    places = sorted(file.parent for file in folder.rglob(RUN)) if folder.is_dir() else []
    return [unit for place in places for unit in CrossValidation.of(place).units()]


def unit_line(unit: Unit, job: str | None, known: Mapping[str, tuple[str, str]]) -> Line:
    """A unit's line; `job` is its task in an array, `known` is of `pipeline.runs.slurm_queue.known_jobs`."""
    training = CrossValidation.of(unit.folder)
    if training.is_done(load_study(unit.folder), unit.fold):
        return Line(str(unit), DONE)
    folders = [training.folder(stage) / f"fold{unit.fold}" for stage in training.stages]
    return _line(str(unit), read_record(unit.folder, f"fold{unit.fold}"), job, known, _progress(folders))


def _line(
    name: str,
    record: Mapping[str, Any] | None,
    job: str | None,
    known: Mapping[str, tuple[str, str]],
    progress: str,
) -> Line:
    """From SLURM's queue first, then from what the unit wrote down, then from how its job ended."""
    state, reason = known.get(job or "", ("", ""))
    if state and not is_over(state):
        told, what = (QUEUED, queued(job or "", reason)) if state == "PENDING" else (RUNNING, f"job {job}")
        return Line(name, told, _and(what, progress))
    if state == "CANCELLED":
        return Line(name, CANCELLED, progress)
    if record is None or (job is not None and record["job"] != job):
        # The job never came to write anything down
        if state:
            return Line(name, LOST, f"job {job} ended as {state}; its log says why")
        return Line(name, WAITING, progress)
    if record["state"] == RUNNING and _is_local(record):
        return Line(name, RUNNING, _and(f"process {record['pid']}", progress))
    if record["state"] == RUNNING:
        who = f"job {record['job']}" if record["job"] else f"process {record['pid']} on {record['host']}"
        return Line(name, LOST, _and(f"{who} ended without a word{f' as {state}' if state else ''}", progress))
    return Line(name, record["state"], record.get("why", progress))


def _and(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _progress(folders: Sequence[Path]) -> str:
    """How far the newest training in some folders is."""
    files = [folder / PROGRESS for folder in folders if not (folder / FINISHED).exists()]
    for file in files:
        if file.exists():
            at = read_json(file)
            losses = ", ".join(f"{name} {value:.4f}" for name, value in at["losses"].items())
            left = max(0.0, at["seconds_left"] - (time.time() - at["at"]))
            stage = f"{file.parents[1].name} " if len(folders) > 1 else ""
            return f"{stage}epoch {at['epoch']}/{at['max_epochs']}, {losses}, at most {duration(left)} left"
    return "" if files else "segmenting"


def status_text(folder: str | Path) -> str:
    """The lines as a table with a count above."""
    lines = status_lines(folder)
    states = [line.state for line in lines]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    width, wide = max(len(line.name) for line in lines), max(map(len, states))
    rows = [f"  {line.name:{width}}  {line.state:{wide}}  {line.why}".rstrip() for line in lines]
    logs = [f"Logs: {Path(folder) / FOLDER}/*.log"] if job_ids(Path(folder)) else []
    return "\n".join([f"{folder}: {counts}", *rows, *logs])


def cancel_run(folder: str | Path) -> str:
    """End the jobs of a run, and its processes on this machine; says what was ended."""
    folder = Path(folder)
    if active := active_jobs(folder):
        cancel(active)
    records = [read_record(unit.folder, f"fold{unit.fold}") for unit in _begun(folder)]
    mine = sorted({known["pid"] for known in records if known and known["state"] == RUNNING and _is_local(known)})
    for pid in mine:
        _end(pid)
    ended_now = [*(f"job {job}" for job in active), *(f"process {pid}" for pid in mine)]
    return f"Ended: {', '.join(ended_now)}." if ended_now else f"{folder}: nothing of this run is queued or running."


def _end(pid: int) -> None:
    # There a program asks no other one to end: it ends it, and leaves what that one has started running
    if os.name == "nt":
        raise InputError(
            f"process {pid} runs in another window, where Ctrl-Break ends it with its epoch; `taskkill /T /F /PID "
            f"{pid}` ends it at once, and what is saved stays."
        )
    os.kill(pid, signal.SIGTERM)


def _is_local(record: Mapping[str, Any]) -> bool:
    return record["job"] is None and lives(record)
