"""Whether a process of this machine is still the one that it was: a later one of its number began at another time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pipeline.core import windows

PROC = Path("/proc")
# States of a process that does nothing more, though its number is still taken
ENDED = ("Z", "X")


def process_began(pid: int) -> str | None:
    """When a process of this machine began, in the words of its system; None where none of that number runs.

    Linux counts ticks, `ps` of other Unix systems tells a date, Windows a time in steps of 100 ns.
    """
    if (PROC / "self" / "stat").exists():
        return _by_proc(pid)
    if os.name == "posix" and shutil.which("ps"):
        return _by_ps(pid)
    return windows.process_began(pid)


def _by_proc(pid: int) -> str | None:
    try:
        # The name, in brackets, may hold anything; the state is the 3rd and the start the 22nd of all fields
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ENDED else fields[19]


def _by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, encoding="utf-8")
    state, _, began = told.stdout.strip().partition(" ")
    return None if not state or state[0] in ENDED else " ".join(began.split())
