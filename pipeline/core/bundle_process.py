"""`python -m monai.bundle run` in a process of its own; its memory and settings end with it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from fire.parser import DefaultParseValue

from pipeline.core import logs
from pipeline.core.configuration import LOGGING, METADATA
from pipeline.core.errors import CAUSE_FILE, InputError
from pipeline.core.machine import cores
from pipeline.core.several_processes import environments
from pipeline.core.stop_signal import SIGNALS, STOPPED_STATUS

logger = logging.getLogger(__name__)
# The bundles that this process runs now, how many it is starting, and the signals that it has got
_running: set[subprocess.Popen[bytes]] = set()
_starting: list[str] = []
_got: list[int] = []


# How often several processes are looked after
LOOK_S = 0.1
THREADS = "OMP_NUM_THREADS"
# Of our own, beside this module: by its name here, which in a wheel is a longer one
MONAI_COMMAND = f"{__package__}.monai_command"


def run_bundle(what: str, arguments: Mapping[str, Any], threads: int = 0, processes: int = 1) -> None:
    """Run a bundle with `--key value` of each argument, `config_file` among them; InputError where it fails.

    `what` is said before it starts and where it fails. `threads` is how many it computes with, 0 for as many as it
    likes; what the environment says comes first. `processes` of one training, as torchrun would start them, share
    these threads. Ends this process with status STOPPED_STATUS where the bundle was stopped.
    """
    options = {"meta_file": METADATA, "logging_file": LOGGING, **arguments}
    shown = shlex.join(["python", "-m", "monai.bundle", *_words(options)]).replace(f"{Path.cwd()}{os.sep}", "")
    logger.info("%s\n  %s", what, shown)
    command = [sys.executable, "-m", "monai.bundle", *_words(options)]
    if logs.ENVIRONMENT in os.environ:
        # It logs as this one was asked to
        command = [sys.executable, "-m", MONAI_COMMAND, *_words({**options, "logging_file": False})]
    # MONAI warns on every run that a configuration is code; the README says so once.
    settings = {"PYTHONWARNINGS": "ignore::UserWarning:monai.bundle.scripts"}
    if threads:
        settings[THREADS] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        each = [
            {**settings, **os.environ, **own, CAUSE_FILE: str(Path(folder, f"{place}.txt"))}
            for place, own in enumerate(_environments(processes, threads))
        ]
        place, status = _status_of(command, each)
        cause = Path(folder, f"{place}.txt")
        said = cause.read_text(encoding="utf-8").strip().rstrip(".") if cause.exists() else ""
    if status == STOPPED_STATUS or (status and _got):
        raise SystemExit(STOPPED_STATUS)
    if status:
        ended = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise InputError(f"{what} {ended} ({said or 'see above'}); run the same command again to go on.")


def _words(options: Mapping[str, Any]) -> list[str]:
    """`run` and its options, as fire reads them."""
    words = ["run"]
    for key, value in options.items():
        words += [f"--{key}", str(value) if isinstance(value, (list, bool)) else as_word(str(value))]
    return words


def _environments(processes: int, threads: int) -> list[dict[str, str]]:
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    share = max(1, int(os.environ.get(THREADS, threads or cores())) // processes)
    return [{**own, THREADS: str(share)} for own in environments(processes, port)]


def _status_of(command: list[str], environments: Sequence[Mapping[str, str]]) -> tuple[int, int]:
    """Of the process that decided how it ended: its place, and its status."""
    if _got:
        return 0, STOPPED_STATUS
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as until_all_ended:
        _starting.append(command[0])
        try:
            for environment in environments:
                started.append(until_all_ended.enter_context(subprocess.Popen(command, env=environment)))
                _running.add(started[-1])
        finally:
            _starting.pop()
        try:
            if _got:
                # It came while the bundle was started
                for process in started:
                    _send(process, _got[-1])
            return _first_failure(started)
        finally:
            for process in started:
                # Does nothing to those that have ended
                process.kill()
                _running.discard(process)


def _first_failure(started: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """Place and status of the first that failed, for which the others would wait for ever; else of a stopped one."""
    if len(started) == 1:
        return 0, started[0].wait()
    statuses: dict[int, int] = {}
    while len(statuses) < len(started):
        for place, process in enumerate(started):
            if place in statuses:
                continue
            with suppress(subprocess.TimeoutExpired):
                statuses[place] = process.wait(LOOK_S)
                if statuses[place] not in (0, STOPPED_STATUS):
                    return place, statuses[place]
    return max(statuses.items(), key=lambda ended: ended[1])


@contextmanager
def signals_passed_on() -> Iterator[None]:
    """Within the block, the SIGNALS, such as SIGTERM, go to the bundles that run, and no further one is begun.

    A thread cannot do that: there the block is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _got.clear()
    before = {number: signal.signal(number, _pass_on) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(number: int, frame: FrameType | None) -> None:
    _got.append(number)
    if not _running and not _starting:
        raise SystemExit(STOPPED_STATUS)
    for process in list(_running):
        _send(process, number)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    # Windows' console sends Ctrl-Break to all of its processes, and no process can send it to one of them
    if number != getattr(signal, "SIGBREAK", None):
        process.send_signal(number)


def as_word(text: str) -> str:
    """Text as a command-line word that fire reads back as this text; a path such as `a,b` would become a tuple."""
    return text if str(DefaultParseValue(text)) == text else json.dumps(text)
