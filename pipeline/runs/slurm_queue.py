"""What is in SLURM's queue of a run, with or without accounting, and its end."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError

FOLDER, JOBS = "slurm", "jobs.json"
# SLURM's own default, where it does not tell
MAX_ARRAY_SIZE = 1001
# States from which no job comes back
OVER = (
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED",
)  # fmt: skip


def max_array_size() -> int:
    """How many tasks an array may have here; SLURM's default where there is no cluster to ask."""
    told = _ask(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", told, flags=re.MULTILINE)
    return int(found[1]) if found else MAX_ARRAY_SIZE


def jobs_of(folder: Path) -> dict[str, Any]:
    """What was submitted last for a run: its arrays with their units, and the job that reports."""
    file = folder / FOLDER / JOBS
    return read_json(file) if file.is_file() else {"arrays": []}


def job_ids(folder: Path) -> list[str]:
    jobs = jobs_of(folder)
    return [*(array["job"] for array in jobs["arrays"]), *([jobs["finish"]] if "finish" in jobs else [])]


def known_jobs(ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Job, such as `12_3` or `13` -> its state and SLURM's reason, of those jobs that SLURM still knows.

    By the queue, which keeps ended jobs for some minutes, and by accounting where there is any. Raises InputError where
    SLURM does not answer, which is not to be taken for an empty queue.
    """
    if not ids or shutil.which("squeue") is None:
        return {}
    listed = ",".join(ids)
    # Without accounting sacct fails
    told = _ask(["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State", "--jobs", listed]) or ""
    past = {job: (state.partition(" ")[0], "") for job, _, state in (row.partition("|") for row in told.splitlines())}
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r", "--jobs", listed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # It says so of jobs that it has forgotten
    if done.returncode and "Invalid job id" not in done.stderr:
        raise InputError(f"squeue does not answer ({done.stderr.strip()}); try again later.")
    rows = (line.split("|") for line in done.stdout.splitlines())
    return {**past, **{job: (state, reason) for job, state, reason in rows}}


def is_over(state: str) -> bool:
    """Whether a job in this state will not run any more."""
    return state in OVER


def active_jobs(folder: Path) -> list[str]:
    """The jobs of a run that are queued or running, arrays once."""
    known = known_jobs(job_ids(folder))
    return sorted({job.partition("_")[0] for job, (state, _) in known.items() if not is_over(state)})


def cancel(ids: Sequence[str]) -> None:
    """End jobs, waiting ones too."""
    done = subprocess.run(["scancel", *ids], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"scancel {' '.join(ids)} fails ({done.stderr.strip()}).")


def _ask(command: Sequence[str]) -> str | None:
    """What a SLURM command prints; None where there is none, or it fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
