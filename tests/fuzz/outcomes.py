"""What becomes of an input in a process of its own that has a limit of memory and of time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.core.errors import InputError

RESULT, REFUSED, TRACEBACK, HANG, CRASH, LEAK = "result", "refused", "traceback", "hang", "crash", "leak"
GOOD = (RESULT, REFUSED)
LIMIT_S, LIMIT_BYTES = 20.0, 3 << 29
MOST_CHARACTERS = 1000
# Of the patient in tests/dicom_makers.py, in no message
PLANTED = ("Plantagenet", "PID-4711", "19470331", "ACC-0815")


@dataclass(frozen=True)
class Outcome:
    """`result`, or `refused` in one sentence; else `traceback`, `hang`, `crash` or `leak`; and what was said."""

    name: str
    kind: str
    said: str = ""

    @property
    def good(self) -> bool:
        return self.kind in GOOD


def outcome(name: str, attempt: Callable[[], object]) -> Outcome:
    try:
        attempt()
    except InputError as error:
        said = str(error)
        if any(name in said for name in PLANTED):
            return Outcome(name, LEAK, said)
        one = "\n" not in said and len(said) < MOST_CHARACTERS and said.endswith(".")
        return Outcome(name, REFUSED if one else TRACEBACK, said)
    except BaseException:
        return Outcome(name, TRACEBACK, traceback.format_exc())
    return Outcome(name, RESULT)


def _serve(pipe: Connection, attempt: Callable[[Path], object]) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LIMIT_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What the libraries themselves say of each
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    while True:
        place = pipe.recv()
        pipe.send(outcome(place.name, lambda place=place: attempt(place)))


def outcomes(inputs: Iterable[Path], attempt: Callable[[Path], object]) -> Iterator[tuple[Path, Outcome]]:
    """The outcome of each input in turn, of a process that is begun again where it hangs or dies."""
    # Forked: to import what reads images takes seconds
    context = multiprocessing.get_context("fork")
    process = None
    try:
        for place in inputs:
            if process is None:
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, attempt), daemon=True)
                process.start()
                there.close()
            here.send(place)
            try:
                if here.poll(LIMIT_S):
                    yield place, here.recv()
                    continue
                yield place, Outcome(place.name, HANG, f"nothing within {LIMIT_S:g} s")
            except EOFError:
                process.join()
                yield place, Outcome(place.name, CRASH, f"status {process.exitcode}")
            process.kill()
            process = None
    finally:
        if process is not None:
            process.kill()
