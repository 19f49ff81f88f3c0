"""What holds for a process that runs a command, whichever."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import SimpleNamespace

from pipeline.core import logs
from pipeline.core.errors import InputError, report_plainly


def set_up(given: SimpleNamespace) -> None:
    """How mistakes, warnings and progress are told, from the options that every command has."""
    report_plainly()
    told = {name: getattr(given, name, None) for name in ("quiet", "verbose", "log", "json")}
    try:
        logs.set_up(bool(told["quiet"]), bool(told["verbose"]), told["log"], bool(told["json"]))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"LOG is {told['log']}, which cannot be written ({reason}); give another file.") from error
    if getattr(given, "device", ""):
        from pipeline.core.device import ENVIRONMENT

        # The processes that a command starts inherit it
        os.environ[ENVIRONMENT] = given.device
    # MONAI warns on every run that a configuration is code; docs/bundles.md says so once
    warnings.filterwarnings("ignore", category=UserWarning, module="monai.bundle.scripts")


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as an exception does, so that what it has claimed is given back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
