"""Runs several ways of doing one thing alternately, each in a process of its own, and takes the medians.

Alternately, because a machine that others use drifts; in a process each, because peak memory and the allocator's
settings belong to a process.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.atomic import read_json

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
# What PyTorch on Linux gains most from, set as a user of any library could set it
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1000000000000",
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
ERROR_LINES = 25


@dataclass(frozen=True)
class Contestant:
    """One way of doing something.

    Args:
        name: in the table.
        function: `benchmarks.module:function`. Called with `arguments` it prepares what is not measured and returns a
            function without arguments; the seconds of calling that are what is measured. It may return a dictionary
            of numbers, of which the medians are kept.
        arguments: JSON values.
        environment: variables of its process, such as TUNED_ALLOCATOR.
    """

    name: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Medians over the repeats of one contestant.

    Args:
        seconds: of the measured part.
        peak_gib: the most memory that the process had at once, from its start on.
        numbers: what the measured part returned.
        repeats: seconds of each repeat.
    """

    seconds: float
    peak_gib: float
    numbers: dict[str, float]
    repeats: tuple[float, ...]


def run_alternately(contestants: Sequence[Contestant], repeats: int) -> dict[str, Outcome]:
    """Each contestant `repeats` times, one after the other in turn; outcomes by name.

    Raises RuntimeError with the last lines of a process that fails.
    """
    results: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in contestants}
    for number in range(repeats):
        for contestant in contestants:
            found = run_once(contestant)
            results[contestant.name].append(found)
            logger.info(
                "%s, %d of %d: %.2f s, %.2f GiB",
                contestant.name, number + 1, repeats, found["seconds"], found["peak_bytes"] / GIB,
            )  # fmt: skip
    return {name: _outcome(runs) for name, runs in results.items()}


def run_once(contestant: Contestant) -> dict[str, Any]:
    """`seconds`, `peak_bytes` and `numbers` of one run in a new process."""
    with TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        # Settings of whoever calls are no contestant's
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
        command = [sys.executable, "-m", "benchmarks.measured", contestant.function, json.dumps(contestant.arguments)]
        done = subprocess.run(
            [*command, str(answer)],
            cwd=ROOT,
            env={**inherited, **contestant.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = "\n".join(done.stderr.splitlines()[-ERROR_LINES:])
            raise RuntimeError(f"{contestant.name} ended with status {done.returncode}:\n{last}")
        return read_json(answer)


def _outcome(runs: Sequence[Mapping[str, Any]]) -> Outcome:
    seconds = tuple(run["seconds"] for run in runs)
    return Outcome(
        seconds=median(seconds),
        peak_gib=median(run["peak_bytes"] for run in runs) / GIB,
        numbers={key: _median(run["numbers"][key] for run in runs) for key in runs[0]["numbers"]},
        repeats=seconds,
    )


def _median(values: Iterable[float]) -> float:
    return float(median(values))
