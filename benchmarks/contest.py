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
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import IO, Any, cast

from pipeline.core.atomic import read_json
from pipeline.core.waiting import SETTINGS

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
# What the libraries of OpenMP do where nothing is set, in numbers, since a process of this project sets something else
PLAIN = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
# What PyTorch on Linux gains most from, set as a user of any library could set it
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1000000000000",
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
NO_CONTESTANTS = ("MALLOC_", *SETTINGS)
ERROR_LINES = 25
# One that has taken as long in all is not repeated: of minutes a part of one is not what matters
ENOUGH_S = 200.0


@dataclass(frozen=True)
class Contestant:
    """One way of doing something.

    Args:
        name: in the table.
        function: `benchmarks.module:function`. Called with `arguments` it prepares what is not measured and returns a
            function without arguments; the seconds of calling that are what is measured. It may return a dictionary
            of numbers, of which the medians are kept.
        arguments: JSON values.
        environment: variables of its process: PLAIN of another program, PLAIN | TUNED_ALLOCATOR of a tuned one.
        python: the interpreter that runs it, of another environment where that has other packages.
    """

    name: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable

    @property
    def surroundings(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Those that share these are started by the same process."""
        return self.python, frozenset(self.environment.items())


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


class Starter:
    """Starts contestants of the same surroundings, each in a process of its own: see `benchmarks.measured`.

    Args:
        contestants: their modules are imported before the first is started. Of the caller's environment they have what
            no allocator reads.
    """

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        first = contestants[0]
        modules = dict.fromkeys(each.function.partition(":")[0] for each in contestants)
        # Settings of whoever calls are no contestant's
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NO_CONTESTANTS)}
        self.process = subprocess.Popen(
            [first.python, "-m", "benchmarks.measured", *modules],
            cwd=ROOT,
            env={**inherited, **first.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.requests, self.answers = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def run(self, contestant: Contestant) -> dict[str, Any]:
        """`seconds`, `peak_bytes` and `numbers` of one run; RuntimeError with the last lines of what it said."""
        with TemporaryDirectory() as folder:
            answer, errors = Path(folder) / "answer.json", Path(folder) / "errors.txt"
            request = {"function": contestant.function, "arguments": dict(contestant.arguments)}
            print(json.dumps({**request, "answer": str(answer), "errors": str(errors)}), file=self.requests, flush=True)
            status = self.answers.readline().strip() or "unknown, as its starter ended"
            if status != "0":
                last = "\n".join(errors.read_text().splitlines()[-ERROR_LINES:]) if errors.is_file() else ""
                raise RuntimeError(f"{contestant.name} ended with status {status}:\n{last}")
            return read_json(answer)

    def close(self) -> None:
        """End the starter once its last contestant is through."""
        self.process.communicate()


def run_alternately(contestants: Sequence[Contestant], repeats: int) -> dict[str, Outcome]:
    """Each contestant `repeats` times at most, one after the other in turn; outcomes by name.

    Raises RuntimeError with the last lines of a process that fails.
    """
    results: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in contestants}
    with ExitStack() as starters:
        started = {}
        for surroundings in {contestant.surroundings for contestant in contestants}:
            alike = [each for each in contestants if each.surroundings == surroundings]
            started[surroundings] = starters.enter_context(closing(Starter(alike)))
        for number in range(repeats):
            for contestant in contestants:
                if sum(run["seconds"] for run in results[contestant.name]) >= ENOUGH_S:
                    continue
                found = started[contestant.surroundings].run(contestant)
                results[contestant.name].append(found)
                logger.info(
                    "%s, %d of %d: %.2f s, %.2f GiB",
                    contestant.name, number + 1, repeats, found["seconds"], found["peak_bytes"] / GIB,
                )  # fmt: skip
    return {name: _outcome(runs) for name, runs in results.items()}


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
