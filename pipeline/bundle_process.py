"""`python -m monai.bundle run` in a process of its own; its memory and settings end with it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fire.parser import DefaultParseValue

from pipeline.configuration import LOGGING, METADATA
from pipeline.errors import CAUSE_FILE, InputError
from pipeline.stop_signal import SIGNALS, STOPPED_STATUS

logger = logging.getLogger(__name__)
# The bundles that this process runs now, how many it is starting, and the signals that it has got
_running: set[subprocess.Popen[bytes]] = set()
_starting: list[str] = []
_got: list[int] = []


def run_bundle(what: str, arguments: Mapping[str, Any], threads: int = 0) -> None:
    """Run a bundle with `--key value` of each argument, `config_file` among them; InputError where it fails.

    `what` is said before it starts and where it fails. `threads` is how many it computes with, 0 for as many as it
    likes; what the environment says comes first. Ends this process with status STOPPED_STATUS where the
    bundle was stopped.
    """
    command = [sys.executable, "-m", "monai.bundle", "run"]
    for key, value in {"meta_file": METADATA, "logging_file": LOGGING, **arguments}.items():
        command += [f"--{key}", as_word(str(value))]
    shown = shlex.join(["python", *command[1:]]).replace(f"{Path.cwd()}{os.sep}", "")
    logger.info("%s\n  %s", what, shown)
    # MONAI warns on every run that a configuration is code; the README says so once.
    settings = {"PYTHONWARNINGS": "ignore::UserWarning:monai.bundle.scripts"}
    if threads:
        settings["OMP_NUM_THREADS"] = str(threads)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", suffix=".txt") as cause:
        status = _status_of(command, {**settings, **os.environ, CAUSE_FILE: cause.name})
        said = cause.read().strip().rstrip(".")
    if status == STOPPED_STATUS or (status and _got):
        raise SystemExit(STOPPED_STATUS)
    if status:
        ended = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise InputError(f"{what} {ended} ({said or 'see above'}); run the same command again to go on.")


def _status_of(command: list[str], environment: Mapping[str, str]) -> int:
    if _got:
        return STOPPED_STATUS
    _starting.append(command[0])
    try:
        process = subprocess.Popen(command, env=environment)
        _running.add(process)
    finally:
        _starting.pop()
    with process:
        try:
            if _got:
                # It came while the bundle was started
                process.send_signal(_got[-1])
            return process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            _running.discard(process)


@contextmanager
def signals_passed_on() -> Iterator[None]:
    """Within the block, SIGUSR1 and SIGTERM go to the bundles that run, and no further one is begun.

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
        process.send_signal(number)


def as_word(text: str) -> str:
    """Text as a command-line word that fire reads back as this text; a path such as `a,b` would become a tuple."""
    return text if str(DefaultParseValue(text)) == text else json.dumps(text)
